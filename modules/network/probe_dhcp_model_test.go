package network

import (
	"bytes"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/frame"
)

const askerMAC = "02:ac:10:01:00:11"

// asker is a machine with a guest, and what answers on its link.
func asker(answers ...func(frame.Packet) []frame.Packet) *fake.Machine {
	m := fake.New()
	m.AddNamespace("vm1")
	m.AddLink("vm1", host.Link{Name: "eth0", MAC: askerMAC, Up: true})
	m.OnFrame(func(_ *fake.Machine, _, _ string, b []byte) [][]byte {
		p, ok := frame.Unpack(b)
		if !ok {
			return nil
		}
		var back [][]byte
		for _, answer := range answers {
			for _, a := range answer(p) {
				back = append(back, a.Bytes())
			}
		}
		return back
	})
	return m
}

func ethernetOf(text string) net.HardwareAddr {
	mac, err := net.ParseMAC(text)
	if err != nil {
		panic(err)
	}
	return mac
}

// server4 is a server of DHCP.
type server4 struct {
	id, mac, address, router, dns string
	mtu                           uint16
	options                       []dhcpv4.Modifier
	refuse                        bool               // by a DHCPNAK
	mute                          dhcpv4.MessageType // that it does not answer
	change                        func(*frame.Packet)
	late                          int // messages that it does not answer at first

	heard []dhcpv4.MessageType
	given map[string]bool // leases, by their address
}

func goodServer4() *server4 {
	return &server4{id: "172.16.1.254", mac: "02:00:00:00:01:fe", address: "172.16.1.11", router: "172.16.1.254", dns: "9.9.9.9", mtu: 1442}
}

func (s *server4) answer(p frame.Packet) []frame.Packet {
	if p.Protocol != frame.UDP || p.ToPort != 67 || p.FromPort != 68 || p.From.IsUnspecified() != (p.To == netip.MustParseAddr("255.255.255.255")) {
		return nil
	}
	m, err := dhcpv4.FromBytes(p.Payload)
	if err != nil {
		panic(err)
	}
	if only := m.ServerIdentifier(); only != nil && only.String() != s.id {
		return nil
	}
	s.heard = append(s.heard, m.MessageType())
	if s.late--; s.late >= 0 {
		return nil
	}
	kind := dhcpv4.MessageTypeOffer
	switch m.MessageType() {
	case dhcpv4.MessageTypeRequest:
		kind = dhcpv4.MessageTypeAck
		s.given = map[string]bool{m.RequestedIPAddress().String(): true}
	case dhcpv4.MessageTypeRelease:
		delete(s.given, m.ClientIPAddr.String())
		return nil
	}
	if m.MessageType() == s.mute {
		return nil
	}
	if s.refuse && kind == dhcpv4.MessageTypeAck {
		kind, s.given = dhcpv4.MessageTypeNak, nil
	}
	options := append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(net.ParseIP(s.address)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(3600),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(s.id))), dhcpv4.WithOption(dhcpv4.OptRouter(net.ParseIP(s.router))),
		dhcpv4.WithOption(dhcpv4.OptDNS(net.ParseIP(s.dns))), dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{byte(s.mtu >> 8), byte(s.mtu)}),
		dhcpv4.WithGeneric(dhcpv4.OptionMessage, []byte("not\x1b here")),
	}, s.options...)
	reply, err := dhcpv4.NewReplyFromRequest(m, options...)
	if err != nil {
		panic(err)
	}
	back := frame.Packet{
		Source: ethernetOf(s.mac), Destination: m.ClientHWAddr, From: netip.MustParseAddr(s.id), To: netip.MustParseAddr(s.address),
		HopLimit: 64, Protocol: frame.UDP, FromPort: 67, ToPort: 68, Payload: reply.ToBytes(),
	}
	if s.change != nil {
		s.change(&back)
	}
	return []frame.Packet{back}
}

// server6 is a server of DHCPv6, which must learn by a solicitation who asks.
type server6 struct {
	mac, address, dns string
	status            iana.StatusCode
	whose             dhcpv6.DUID // client that it answers, in the place of who asked
	mute              dhcpv6.MessageType

	waiting *frame.Packet // until the client has said where it is
	heard   []dhcpv6.MessageType
	given   map[string]bool
}

func goodServer6() *server6 {
	return &server6{mac: "02:00:00:00:06:fe", address: "2001:db8:1::11", dns: "2001:db8:1::53"}
}

func (s *server6) answer(p frame.Packet) []frame.Packet {
	if s.waiting != nil && p.Protocol == frame.ICMPv6 && p.Payload[0] == 136 && p.Source.String() == askerMAC {
		back := *s.waiting
		s.waiting = nil
		return []frame.Packet{back}
	}
	if p.Protocol != frame.UDP || p.ToPort != 547 || p.FromPort != 546 || p.From != frame.LinkLocal(p.Source) {
		return nil
	}
	m, err := dhcpv6.MessageFromBytes(p.Payload)
	if err != nil {
		panic(err)
	}
	s.heard = append(s.heard, m.MessageType)
	if m.MessageType == s.mute {
		return nil
	}
	id := dhcpv6.WithServerID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: ethernetOf(s.mac)})
	var reply *dhcpv6.Message
	switch m.MessageType {
	case dhcpv6.MessageTypeSolicit:
		reply, err = dhcpv6.NewAdvertiseFromSolicit(m, id)
	case dhcpv6.MessageTypeRequest:
		reply, err = dhcpv6.NewReplyFromMessage(m, id)
		s.given = map[string]bool{m.Options.OneIANA().Options.OneAddress().IPv6Addr.String(): true}
	default:
		reply, err = dhcpv6.NewReplyFromMessage(m, id)
		delete(s.given, m.Options.OneIANA().Options.OneAddress().IPv6Addr.String())
	}
	if err != nil {
		panic(err)
	}
	if s.whose != nil {
		reply.UpdateOption(dhcpv6.OptClientID(s.whose))
	}
	ia := &dhcpv6.OptIANA{IaId: m.Options.OneIANA().IaId}
	if s.status != 0 {
		ia.Options.Add(&dhcpv6.OptStatusCode{StatusCode: s.status, StatusMessage: "full"})
	} else {
		ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(s.address), PreferredLifetime: time.Minute, ValidLifetime: time.Hour})
	}
	reply.AddOption(ia)
	reply.AddOption(dhcpv6.OptDNS(net.ParseIP(s.dns)))
	own := ethernetOf(s.mac)
	s.waiting = &frame.Packet{
		Source: own, Destination: p.Source, From: frame.LinkLocal(own), To: p.From, HopLimit: 64, Protocol: frame.UDP,
		FromPort: 547, ToPort: 546, Payload: reply.ToBytes(),
	}
	solicit := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, p.From.AsSlice()...)
	return []frame.Packet{{Source: own, Destination: ethernetOf("33:33:ff:01:00:11"), From: frame.LinkLocal(own), To: netip.MustParseAddr("ff02::1:ff01:11"), HopLimit: 255, Protocol: frame.ICMPv6, Payload: solicit}}
}

// advertiser is a router. It says everything twice, and the second time another MTU.
type advertiser struct {
	mac    string
	flags  byte // 0x80 managed, 0x40 other
	mtu    uint16
	prefix string
}

func goodRouter() advertiser {
	return advertiser{mac: "02:00:00:00:01:fe", flags: 0x80, mtu: 1442, prefix: "2001:db8:1::"}
}

func (r advertiser) answer(p frame.Packet) []frame.Packet {
	if p.Protocol != frame.ICMPv6 || p.Payload[0] != 133 {
		return nil
	}
	own := ethernetOf(r.mac)
	message := []byte{134, 0, 0, 0, 64, r.flags, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 0, 0, 0, byte(r.mtu >> 8), byte(r.mtu), 3, 4, 64, 0xc0, 0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 0, 0}
	message = append(message, netip.MustParseAddr(r.prefix).AsSlice()...)
	all := netip.IPv6LinkLocalAllNodes()
	said := frame.Packet{Source: own, Destination: frame.Multicast6(all), From: frame.LinkLocal(own), To: all, HopLimit: 255, Protocol: frame.ICMPv6, Payload: message}
	again := said
	again.Payload = bytes.Clone(message)
	again.Payload[23]++
	return []frame.Packet{said, again}
}
