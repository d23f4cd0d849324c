package frame

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"
)

// Types of ICMPv6 messages (RFC 4861, 4).
const (
	routerSolicitation     = 133
	routerAdvertisement    = 134
	neighbourSolicitation  = 135
	neighbourAdvertisement = 136
)

// Options of these messages (RFC 4861, 4.6; RFC 8106, 5.1).
const (
	sourceLinkAddress = 1
	targetLinkAddress = 2
	prefixInformation = 3
	mtuOption         = 5
	dnsServers        = 25
)

// neighbourHops is the hop limit of all of them: nobody beyond the link can have
// sent one.
const neighbourHops = 255

// LinkLocal is the address of the link fe80::/64 that a device with an Ethernet
// address gives itself by RFC 4291, appendix A.
func LinkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

// Multicast6 is the Ethernet address of a group of IPv6 (RFC 2464, 7).
func Multicast6(group netip.Addr) net.HardwareAddr {
	a := group.As16()
	return net.HardwareAddr{0x33, 0x33, a[12], a[13], a[14], a[15]}
}

// RouterSolicitation asks the routers of the link to advertise themselves.
func RouterSolicitation(mac net.HardwareAddr) Packet {
	all := netip.IPv6LinkLocalAllRouters()
	return Packet{
		Source: mac, Destination: Multicast6(all), From: LinkLocal(mac), To: all, HopLimit: neighbourHops, Protocol: ICMPv6,
		Payload: append([]byte{routerSolicitation, 0, 0, 0, 0, 0, 0, 0, sourceLinkAddress, 1}, mac...),
	}
}

// NeighbourAdvertisement tells all nodes of the link, unasked, that an address is
// with an Ethernet address now.
func NeighbourAdvertisement(mac net.HardwareAddr, a netip.Addr) Packet {
	all := netip.IPv6LinkLocalAllNodes()
	return advertise(mac, a, all, Multicast6(all), 0x20) // override
}

func advertise(mac net.HardwareAddr, a, to netip.Addr, toMAC net.HardwareAddr, flags byte) Packet {
	m := append([]byte{neighbourAdvertisement, 0, 0, 0, flags, 0, 0, 0}, a.AsSlice()...)
	return Packet{
		Source: mac, Destination: toMAC, From: a, To: to, HopLimit: neighbourHops, Protocol: ICMPv6,
		Payload: append(append(m, targetLinkAddress, 1), mac...),
	}
}

// Answer is what a device with an Ethernet address says to somebody who solicits
// for its link-local address; false where p is something else.
func Answer(p Packet, mac net.HardwareAddr) (Packet, bool) {
	own := LinkLocal(mac)
	asked := p.Protocol == ICMPv6 && p.HopLimit == neighbourHops && len(p.Payload) >= 24 && p.Payload[0] == neighbourSolicitation &&
		netip.AddrFrom16([16]byte(p.Payload[8:24])) == own
	if !asked || p.From.IsUnspecified() { // who has no address yet only looks for a duplicate
		return Packet{}, false
	}
	return advertise(mac, own, p.From, p.Source, 0x60), true // solicited, override
}

// RouterAdvertisement is what a router says of itself and of the link (RFC 4861,
// 4.2).
type RouterAdvertisement struct {
	Managed  bool          // addresses come by DHCPv6
	Other    bool          // other settings do
	Lifetime time.Duration // as a default router; 0 where it is none
	MTU      int           // of the link; 0 where it does not say
	Prefixes []Prefix
	DNS      []netip.Addr
}

// Prefix is a network of the link.
type Prefix struct {
	Network    netip.Prefix
	OnLink     bool // its addresses are reached without a router
	Autonomous bool // hosts may make addresses of it by themselves
}

// Advertised reads a router's advertisement; false where p is something else, or
// came from beyond the link. An option that is cut short ends it.
func Advertised(p Packet) (RouterAdvertisement, bool) {
	b := p.Payload
	if p.Protocol != ICMPv6 || p.HopLimit != neighbourHops || !p.From.IsLinkLocalUnicast() || len(b) < 16 || b[0] != routerAdvertisement {
		return RouterAdvertisement{}, false
	}
	r := RouterAdvertisement{
		Managed: b[5]&0x80 != 0, Other: b[5]&0x40 != 0,
		Lifetime: time.Duration(binary.BigEndian.Uint16(b[6:])) * time.Second,
	}
	for b = b[16:]; len(b) >= 8; {
		length := 8 * int(b[1])
		if length == 0 || length > len(b) {
			break
		}
		r.option(b[0], b[:length])
		b = b[length:]
	}
	return r, true
}

func (r *RouterAdvertisement) option(kind byte, b []byte) {
	switch {
	case kind == prefixInformation && len(b) == 32 && b[2] <= 128:
		p := netip.PrefixFrom(netip.AddrFrom16([16]byte(b[16:32])), int(b[2])).Masked()
		r.Prefixes = append(r.Prefixes, Prefix{Network: p, OnLink: b[3]&0x80 != 0, Autonomous: b[3]&0x40 != 0})
	case kind == mtuOption:
		r.MTU = int(binary.BigEndian.Uint32(b[4:]))
	case kind == dnsServers:
		for b = b[8:]; len(b) >= 16; b = b[16:] {
			r.DNS = append(r.DNS, netip.AddrFrom16([16]byte(b[:16])))
		}
	}
}
