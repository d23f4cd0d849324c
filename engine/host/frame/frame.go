// Package frame reads Ethernet frames as far as probes ask about them:
// addresses, VLAN tags, IP and its ports, and what a tunnel of geneve, vxlan
// or gre carries.
//
// A frame is a stranger's bytes: [Decode] takes any, and leaves out what is
// cut short or not known. [Match] says which frames are looked for.
package frame

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// EtherTypes that have a meaning here (IEEE 802 Numbers at IANA).
const (
	IPv4 uint16 = 0x0800
	ARP  uint16 = 0x0806
	IPv6 uint16 = 0x86dd
	Slow uint16 = 0x8809 // LACP, IEEE 802.1AX
	LLDP uint16 = 0x88cc

	customerTag uint16 = 0x8100
	serviceTag  uint16 = 0x88a8
	oldQinQ     uint16 = 0x9100
	ethernet    uint16 = 0x6558 // transparent Ethernet bridging, in geneve and gre
)

// Protocols of IP (Protocol Numbers at IANA).
const (
	ICMP   uint8 = 1
	TCP    uint8 = 6
	UDP    uint8 = 17
	GRE    uint8 = 47
	ICMPv6 uint8 = 58
)

// Ports of tunnels over UDP (RFC 8926, RFC 7348).
const (
	genevePort = 6081
	vxlanPort  = 4789
)

// Frame is what a frame says of itself. What it does not have is zero.
type Frame struct {
	Source      string // Ethernet address, lower case, with colons
	Destination string
	VLANs       []int  // ids of its tags, the outermost first; 0 is a priority tag
	EtherType   uint16 // behind the tags

	From, To         netip.Addr // of IP, or who asks and who is asked by ARP
	Protocol         uint8
	FromPort, ToPort uint16 // of TCP and UDP

	Tunnel string // "geneve", "vxlan" or "gre"
	VNI    int    // of a tunnel; the key of gre
	Inner  *Frame // what the tunnel carries, where it is Ethernet
}

// deepest is how many tunnels in one another are looked into.
const deepest = 2

// Decode reads a frame from its destination address on.
func Decode(b []byte) Frame { return decode(b, 0) }

func decode(b []byte, depth int) Frame {
	var f Frame
	if len(b) < 14 {
		return f
	}
	f.Destination, f.Source = net.HardwareAddr(b[:6]).String(), net.HardwareAddr(b[6:12]).String()
	f.EtherType, b = binary.BigEndian.Uint16(b[12:]), b[14:]
	for f.EtherType == customerTag || f.EtherType == serviceTag || f.EtherType == oldQinQ {
		if len(b) < 4 {
			return f
		}
		f.VLANs = append(f.VLANs, int(binary.BigEndian.Uint16(b)&0x0fff))
		f.EtherType, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	switch f.EtherType {
	case ARP:
		f.arp(b)
	case IPv4:
		f.ipv4(b, depth)
	case IPv6:
		f.ipv6(b, depth)
	}
	return f
}

// arp reads a packet of RFC 826 that is about IPv4 on Ethernet.
func (f *Frame) arp(b []byte) {
	if len(b) >= 28 && binary.BigEndian.Uint16(b[2:]) == IPv4 && b[4] == 6 && b[5] == 4 {
		f.From, f.To = netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
	}
}

func (f *Frame) ipv4(b []byte, depth int) {
	if len(b) < 20 {
		return
	}
	header := int(b[0]&0x0f) * 4
	f.From, f.To = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	f.Protocol = b[9]
	later := binary.BigEndian.Uint16(b[6:])&0x1fff > 0 // a fragment without the ports
	if header >= 20 && header <= len(b) && !later {
		f.payload(b[header:], depth)
	}
}

// ipv6 passes over extension headers that come before a fragment's.
func (f *Frame) ipv6(b []byte, depth int) {
	if len(b) < 40 {
		return
	}
	f.From, f.To = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	next, b := b[6], b[40:]
	for next == 0 || next == 43 || next == 60 { // hop-by-hop, routing, destination (RFC 8200)
		if len(b) < 8 || len(b) < 8*(int(b[1])+1) {
			return
		}
		next, b = b[0], b[8*(int(b[1])+1):]
	}
	f.Protocol = next
	f.payload(b, depth)
}

func (f *Frame) payload(b []byte, depth int) {
	switch {
	case f.Protocol == GRE:
		f.gre(b, depth)
		return
	case f.Protocol != TCP && f.Protocol != UDP || len(b) < 8:
		return
	}
	f.FromPort, f.ToPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if f.Protocol != UDP {
		return
	}
	switch b = b[8:]; f.ToPort {
	case genevePort:
		f.geneve(b, depth)
	case vxlanPort:
		f.vxlan(b, depth)
	}
}

// geneve reads a header of RFC 8926, 3.4.
func (f *Frame) geneve(b []byte, depth int) {
	if len(b) < 8 || b[0]>>6 != 0 {
		return
	}
	f.Tunnel, f.VNI = "geneve", vni(b)
	if options := 4 * int(b[0]&0x3f); binary.BigEndian.Uint16(b[2:]) == ethernet && len(b) >= 8+options {
		f.carry(b[8+options:], depth)
	}
}

// vxlan reads a header of RFC 7348, 5.
func (f *Frame) vxlan(b []byte, depth int) {
	if len(b) < 8 || b[0]&0x08 == 0 {
		return
	}
	f.Tunnel, f.VNI = "vxlan", vni(b)
	f.carry(b[8:], depth)
}

// vni is at the same place in both headers.
func vni(b []byte) int { return int(b[4])<<16 | int(b[5])<<8 | int(b[6]) }

// gre reads a header of RFC 2784 with the fields of RFC 2890.
func (f *Frame) gre(b []byte, depth int) {
	if len(b) < 4 || b[1]&0x07 != 0 {
		return
	}
	f.Tunnel = "gre"
	carries, flags := binary.BigEndian.Uint16(b[2:]), b[0]
	b = b[4:]
	for _, field := range []byte{0x80, 0x20, 0x10} { // checksum, key, sequence number
		if flags&field == 0 {
			continue
		}
		if len(b) < 4 {
			return
		}
		if field == 0x20 {
			f.VNI = int(binary.BigEndian.Uint32(b))
		}
		b = b[4:]
	}
	if carries == ethernet {
		f.carry(b, depth)
	}
}

func (f *Frame) carry(b []byte, depth int) {
	if depth+1 < deepest && len(b) >= 14 {
		inner := decode(b, depth+1)
		f.Inner = &inner
	}
}

// WithTag puts back a VLAN tag that the kernel took out of a frame, see
// packet(7), PACKET_AUXDATA.
func WithTag(b []byte, protocol, tag uint16) []byte {
	if len(b) < 12 {
		return b
	}
	if protocol == 0 { // kernels before 3.14 do not say
		protocol = customerTag
	}
	out := append(make([]byte, 0, len(b)+4), b[:12]...)
	out = binary.BigEndian.AppendUint16(out, protocol)
	out = binary.BigEndian.AppendUint16(out, tag)
	return append(out, b[12:]...)
}

// VLAN is the id of the outermost tag; 0 where there is none, or a priority
// tag, which says no more.
func (f Frame) VLAN() int {
	if len(f.VLANs) == 0 {
		return 0
	}
	return f.VLANs[0]
}

// Kind describes frames of one sort: "vlan 300 ARP", "geneve 7".
func (f Frame) Kind() string {
	var words []string
	if v := f.VLAN(); v != 0 {
		words = append(words, "vlan "+strconv.Itoa(v))
	}
	if f.Tunnel != "" {
		return strings.Join(append(words, f.Tunnel, strconv.Itoa(f.VNI)), " ")
	}
	return strings.Join(append(words, f.carries()), " ")
}

func (f Frame) carries() string {
	switch f.EtherType {
	case ARP:
		return "ARP"
	case Slow:
		return "LACP"
	case LLDP:
		return "LLDP"
	case IPv4, IPv6:
		switch f.Protocol {
		case ICMP:
			return "ICMP"
		case ICMPv6:
			return "ICMPv6"
		case TCP:
			return "TCP"
		case UDP:
			return "UDP"
		}
		return fmt.Sprintf("IP protocol %d", f.Protocol)
	}
	return fmt.Sprintf("ethertype 0x%04x", f.EtherType)
}
