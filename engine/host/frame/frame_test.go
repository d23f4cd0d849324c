package frame

import (
	"encoding/hex"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// Frames as they are on a wire, in parts.
const (
	ethIPv4 = "020000000002 020000000001 0800"
	ethIPv6 = "020000000002 020000000001 86dd"
	ipUDP   = "4500 0000 0000 4000 40 11 0000 c0000201 c0000202"
	arpWho  = "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 c0000201 000000000000 c0000202"
	icmp    = "4500 0000 0000 4000 40 01 0000 ac10ff0b ac10ff16 0800 0000"
)

func frameOf(t testing.TB, parts ...string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(parts, ""), " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecode(t *testing.T) {
	a := netip.MustParseAddr
	eth := Frame{Source: "02:00:00:00:00:01", Destination: "02:00:00:00:00:02"}
	with := func(f Frame, change func(*Frame)) Frame { change(&f); return f }
	v4 := with(eth, func(f *Frame) { f.EtherType, f.From, f.To = IPv4, a("192.0.2.1"), a("192.0.2.2") })
	inner := with(eth, func(f *Frame) {
		f.EtherType, f.Protocol, f.From, f.To = IPv4, ICMP, a("172.16.255.11"), a("172.16.255.22")
	})
	udp := func(to uint16, change func(*Frame)) Frame {
		return with(with(v4, func(f *Frame) { f.Protocol, f.FromPort, f.ToPort = UDP, 0xd431, to }), change)
	}
	for name, c := range map[string]struct {
		parts []string
		want  Frame
		kind  string
	}{
		"short": {[]string{"0200"}, Frame{}, "ethertype 0x0000"},
		"arp": {[]string{arpWho}, with(eth, func(f *Frame) {
			f.Destination, f.EtherType, f.From, f.To = "ff:ff:ff:ff:ff:ff", ARP, a("192.0.2.1"), a("192.0.2.2")
		}), "ARP"},
		"tagged": {[]string{"020000000002 020000000001 8100 a12c 88cc"}, with(eth, func(f *Frame) { f.VLANs, f.EtherType = []int{300}, LLDP }), "vlan 300 LLDP"},
		"two tags": {[]string{"020000000002 020000000001 88a8 0007 8100 012c 8809"},
			with(eth, func(f *Frame) { f.VLANs, f.EtherType = []int{7, 300}, Slow }), "vlan 7 LACP"},
		"tag cut short": {[]string{"020000000002 020000000001 8100 01"}, with(eth, func(f *Frame) { f.EtherType = customerTag }), "ethertype 0x8100"},
		"tcp": {[]string{ethIPv4, "4600 0000 0000 4000 40 06 0000 c0000201 c0000202 00000000", "0016 c350 0000 0000"},
			with(v4, func(f *Frame) { f.Protocol, f.FromPort, f.ToPort = TCP, 22, 50000 }), "TCP"},
		"later fragment": {[]string{ethIPv4, "4500 0000 0000 0010 40 11 0000 c0000201 c0000202", "0016 c350 0000 0000"},
			with(v4, func(f *Frame) { f.Protocol = UDP }), "UDP"},
		"ipv6 behind options": {[]string{ethIPv6, "60000000 0000 00 40 20010db8000000000000000000000001 20010db8000000000000000000000002", "11 00 0000 0000 0000", "1111 2222 0000 0000"},
			with(eth, func(f *Frame) {
				f.EtherType, f.Protocol, f.From, f.To = IPv6, UDP, a("2001:db8::1"), a("2001:db8::2")
				f.FromPort, f.ToPort = 0x1111, 0x2222
			}), "UDP"},
		"geneve": {[]string{ethIPv4, ipUDP, "d431 17c1 0000 0000", "02 40 6558 000007 00", "0102 80 01 00010002", ethIPv4, icmp},
			udp(6081, func(f *Frame) { f.Tunnel, f.VNI, f.Inner = "geneve", 7, &inner }), "geneve 7"},
		"geneve cut short": {[]string{ethIPv4, ipUDP, "d431 17c1 0000 0000", "02 40 6558 000007 00", "0102"},
			udp(6081, func(f *Frame) { f.Tunnel, f.VNI = "geneve", 7 }), "geneve 7"},
		"vxlan": {[]string{ethIPv4, ipUDP, "d431 12b5 0000 0000", "08 000000 00012c 00", ethIPv4, icmp},
			udp(4789, func(f *Frame) { f.Tunnel, f.VNI, f.Inner = "vxlan", 300, &inner }), "vxlan 300"},
		"gre with a key": {[]string{ethIPv4, "4500 0000 0000 4000 40 2f 0000 c0000201 c0000202", "2000 6558 00000005", ethIPv4, icmp},
			with(v4, func(f *Frame) { f.Protocol, f.Tunnel, f.VNI, f.Inner = GRE, "gre", 5, &inner }), "gre 5"},
	} {
		f := Decode(frameOf(t, c.parts...))
		if !reflect.DeepEqual(f, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, f, c.want)
		}
		if f.Kind() != c.kind {
			t.Errorf("%s: is a %q, not %q", name, f.Kind(), c.kind)
		}
	}
}

func TestMatch(t *testing.T) {
	vlan, none, vni, other := 300, 0, 7, 8
	tagged := Decode(WithTag(frameOf(t, arpWho), 0, 0xa12c))
	tunnel := Decode(frameOf(t, ethIPv4, ipUDP, "d431 17c1 0000 0000", "00 40 6558 000007 00", ethIPv4, icmp))
	net := netip.MustParsePrefix
	for name, c := range map[string]struct {
		match Match
		frame Frame
		want  bool
	}{
		"all":               {Match{}, tagged, true},
		"tag":               {Match{VLAN: &vlan, EtherType: ARP}, tagged, true},
		"no tag":            {Match{VLAN: &none}, tagged, false},
		"without a tag":     {Match{VLAN: &none}, tunnel, true},
		"other type":        {Match{EtherType: IPv4}, tagged, false},
		"from":              {Match{From: net("192.0.2.0/24"), Source: "02:00:00:00:00:01"}, tagged, true},
		"from elsewhere":    {Match{From: net("192.0.2.2/32")}, tagged, false},
		"no address":        {Match{To: net("0.0.0.0/0")}, Frame{}, false},
		"to":                {Match{To: net("192.0.2.2/32"), Destination: "02:00:00:00:00:02", Protocol: UDP, FromPort: 0xd431, ToPort: 6081}, tunnel, true},
		"other port":        {Match{ToPort: 6082}, tunnel, false},
		"other protocol":    {Match{Protocol: TCP}, tunnel, false},
		"vni":               {Match{VNI: &vni, Inner: &Match{To: net("172.16.255.22/32"), Protocol: ICMP}}, tunnel, true},
		"other vni":         {Match{VNI: &other}, tunnel, false},
		"no tunnel":         {Match{VNI: &none}, tagged, false},
		"nothing inside":    {Match{Inner: &Match{}}, tagged, false},
		"another inside":    {Match{Inner: &Match{Source: "02:00:00:00:00:09"}}, tunnel, false},
		"other source":      {Match{Source: "02:00:00:00:00:09"}, tagged, false},
		"other destination": {Match{Destination: "02:00:00:00:00:09"}, tagged, false},
	} {
		if got := c.match.Matches(c.frame); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// FuzzDecode: any bytes are a frame, and what is taken out of a tag comes back.
func FuzzDecode(f *testing.F) {
	f.Add(frameOf(f, arpWho))
	f.Add(frameOf(f, ethIPv4, ipUDP, "d431 17c1 0000 0000", "02 40 6558 000007 00", "0102 80 01 00010002", ethIPv4, icmp))
	f.Add(frameOf(f, ethIPv4, ipUDP, "d431 12b5 0000 0000", "08 000000 00012c 00", ethIPv4, ipUDP, "d431 12b5 0000 0000", "08 000000 00012c 00", ethIPv4, icmp))
	f.Add(frameOf(f, ethIPv6, "60000000 0000 00 40 20010db8000000000000000000000001 20010db8000000000000000000000002", "11 ff"))
	f.Add(frameOf(f, ethIPv4, "4500 0000 0000 4000 40 2f 0000 c0000201 c0000202", "b000 6558 00000005"))
	f.Fuzz(func(t *testing.T, b []byte) {
		plain := Decode(b)
		if !(Match{}).Matches(plain) || plain.Kind() == "" {
			t.Errorf("%x is %+v", b, plain)
		}
		if plain.Inner != nil && plain.Inner.Inner != nil {
			t.Error("looked deeper than it may")
		}
		if len(b) < 14 {
			return
		}
		tag := Decode(WithTag(b, 0, 5))
		if len(tag.VLANs) != len(plain.VLANs)+1 || tag.VLAN() != 5 {
			t.Errorf("tagged %x is %+v", b, tag)
		}
		tag.VLANs, plain.VLANs = nil, nil
		if !reflect.DeepEqual(tag, plain) {
			t.Errorf("with its tag %+v, without %+v", tag, plain)
		}
	})
}
