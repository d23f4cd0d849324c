package network

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"weft/engine/host/frame"
	"weft/engine/step"
)

// HeaderSpec is what the headers of a frame must be like; what is left out may
// be anything.
type HeaderSpec struct {
	SourceMAC      step.Attr[string] `json:"source_mac,omitzero" doc:"Ethernet address that the frame comes from."`
	DestinationMAC step.Attr[string] `json:"destination_mac,omitzero" doc:"Ethernet address that it goes to."`
	VLAN           step.Attr[int]    `json:"vlan,omitzero" doc:"Id of its outermost VLAN tag; 0 for frames without one."`
	EtherType      step.Attr[string] `json:"ethertype,omitzero" doc:"ipv4, ipv6, arp, lacp, lldp, or a number such as 0x88cc."`
	Source         step.Attr[string] `json:"source,omitzero" doc:"IP address or network that it comes from, of ARP too."`
	Destination    step.Attr[string] `json:"destination,omitzero" doc:"IP address or network that it goes to."`
	Protocol       step.Attr[string] `json:"protocol,omitzero" doc:"tcp, udp, icmp, icmpv6, gre, or a number."`
	SourcePort     step.Attr[int]    `json:"source_port,omitzero" doc:"Port of TCP or UDP that it comes from."`
	Port           step.Attr[int]    `json:"port,omitzero" doc:"Port of TCP or UDP that it goes to: 6081 of geneve, 4789 of vxlan."`
	VNI            step.Attr[int]    `json:"vni,omitzero" doc:"Virtual network of a tunnel of geneve or vxlan, or the key of one of gre."`
}

func etherTypes() map[string]uint16 {
	return map[string]uint16{"ipv4": frame.IPv4, "ipv6": frame.IPv6, "arp": frame.ARP, "lacp": frame.Slow, "lldp": frame.LLDP}
}

func protocols() map[string]uint8 {
	return map[string]uint8{"tcp": frame.TCP, "udp": frame.UDP, "icmp": frame.ICMP, "icmpv6": frame.ICMPv6, "gre": frame.GRE}
}

// match is the spec as a capture has it, and what is wrong with it; paths of
// problems begin with at.
func (s HeaderSpec) match(at string) (frame.Match, []step.Problem) {
	var problems []step.Problem
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: at + "." + path, Message: message, Hint: hint})
	}
	mac := func(path string, a step.Attr[string]) string {
		text, ok := a.Get()
		address, err := net.ParseMAC(text)
		if ok && (err != nil || len(address) != 6) {
			bad(path, fmt.Sprintf("%q is not an Ethernet address", text), "write it as 02:00:00:00:00:01")
		}
		return address.String()
	}
	prefix := func(path string, a step.Attr[string]) netip.Prefix {
		text, ok := a.Get()
		network, err := networkOf(text)
		if ok && err != nil {
			bad(path, fmt.Sprintf("%q is neither an IP address nor a network", text), `write "10.0.0.1" or "10.0.0.0/24"`)
		}
		return network
	}
	number := func(path string, a step.Attr[int], least, most int) int {
		n, ok := a.Get()
		if ok && (n < least || n > most) {
			bad(path, fmt.Sprintf("is not from %d to %d", least, most), "")
		}
		return n
	}
	m := frame.Match{
		Source: mac("source_mac", s.SourceMAC), Destination: mac("destination_mac", s.DestinationMAC),
		From: prefix("source", s.Source), To: prefix("destination", s.Destination),
		FromPort: uint16(number("source_port", s.SourcePort, 1, 65535)), ToPort: uint16(number("port", s.Port, 1, 65535)),
	}
	if id := number("vlan", s.VLAN, 0, 4094); !s.VLAN.IsZero() && !s.VLAN.Absent() {
		m.VLAN = &id
	}
	if id := number("vni", s.VNI, 0, 1<<32-1); !s.VNI.IsZero() && !s.VNI.Absent() {
		m.VNI = &id
	}
	if text, ok := s.EtherType.Get(); ok {
		if m.EtherType, ok = numbered(etherTypes(), text, 0x600, 0xffff); !ok {
			bad("ethertype", fmt.Sprintf("%q is no EtherType", text), "ipv4, ipv6, arp, lacp, lldp, or a number from 0x0600 on")
		}
	}
	if text, ok := s.Protocol.Get(); ok {
		if m.Protocol, ok = numbered(protocols(), text, 1, 255); !ok {
			bad("protocol", fmt.Sprintf("%q is no protocol of IP", text), "tcp, udp, icmp, icmpv6, gre, or a number from 1 to 255")
		}
	}
	return m, problems
}

// numbered reads a name of a table, or a number.
func numbered[N uint8 | uint16](names map[string]N, text string, least, most uint64) (N, bool) {
	if n, ok := names[strings.ToLower(text)]; ok {
		return n, true
	}
	n, err := strconv.ParseUint(text, 0, 16)
	return N(n), err == nil && n >= least && n <= most
}

// networkOf reads an address as a network of one.
func networkOf(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}
