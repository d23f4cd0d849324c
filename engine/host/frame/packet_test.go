package frame

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func hw(last byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, last} }

// samples are packets of each sort.
func samples() map[string]Packet {
	a := netip.MustParseAddr
	return map[string]Packet{
		"UDP of IPv4": {Source: hw(1), Destination: hw(2), From: a("192.0.2.1"), To: a("192.0.2.2"), HopLimit: 64, Protocol: UDP, FromPort: 68, ToPort: 67, Payload: bytes.Repeat([]byte{7}, 33)},
		"UDP of IPv6": {Source: hw(1), Destination: hw(2), From: a("2001:db8::1"), To: a("2001:db8::2"), HopLimit: 1, Protocol: UDP, FromPort: 546, ToPort: 547, Payload: []byte{}},
		"ICMPv6":      RouterSolicitation(hw(1)),
	}
}

func TestPacket(t *testing.T) {
	for name, p := range samples() {
		b := p.Bytes()
		got, ok := Unpack(append(b, 0xaa, 0xaa)) // as padding is
		if p.Protocol == ICMPv6 {
			copy(p.Payload[2:], got.Payload[2:4])
		}
		if !ok || !reflect.DeepEqual(got, p) || len(b) < 60 {
			t.Errorf("%s: got %+v, want %+v", name, got, p)
		}
		if f := Decode(b); f.From != p.From || f.To != p.To || f.ToPort != p.ToPort || f.Protocol != p.Protocol {
			t.Errorf("%s: is decoded as %+v", name, f)
		}
		for cut := range 42 { // of every sort that is in its headers
			if _, ok := Unpack(b[:cut]); ok {
				t.Errorf("%s: %d bytes are enough", name, cut)
			}
		}
	}
}

// TestPacketChecksums: a receiver that sums up headers, pseudo-headers and payload
// gets nothing.
func TestPacketChecksums(t *testing.T) {
	for name, p := range samples() {
		b := p.Bytes()[etherHeader:]
		pseudo, from := 8, ipv6Header
		length := int(binary.BigEndian.Uint16(b[4:]))
		if p.From.Is4() {
			pseudo, from = 12, ipv4Header
			length = int(binary.BigEndian.Uint16(b[2:])) - ipv4Header
			if sum := Checksum(b[:ipv4Header]); sum != 0 {
				t.Errorf("%s: the header leaves %#x", name, sum)
			}
		}
		summed := binary.BigEndian.AppendUint32(bytes.Clone(b[pseudo:from]), uint32(length))
		summed = append(append(summed, 0, 0, 0, p.Protocol), b[from:from+length]...)
		if sum := Checksum(summed); sum != 0 {
			t.Errorf("%s: leaves %#x", name, sum)
		}
	}
}

// TestNoZeroChecksum: a sum that comes out as zero is sent as its other zero.
func TestNoZeroChecksum(t *testing.T) {
	p := samples()["UDP of IPv4"]
	p.Payload = []byte{0, 0}
	sum := binary.BigEndian.Uint16(p.Bytes()[40:])
	binary.BigEndian.PutUint16(p.Payload, sum)
	if got := p.Bytes()[40:42]; got[0] != 0xff || got[1] != 0xff {
		t.Errorf("got % x", got)
	}
}

func TestUnpackRefuses(t *testing.T) {
	whole := samples()["UDP of IPv4"].Bytes()
	six := samples()["UDP of IPv6"].Bytes()
	icmp := samples()["ICMPv6"].Bytes()
	for name, c := range map[string]struct {
		frame []byte
		at    int
		value byte
	}{
		"a fragment":           {whole, 20, 0x20},
		"a later fragment":     {whole, 21, 1},
		"TCP":                  {whole, 23, TCP},
		"another version":      {whole, 14, 0x65},
		"a short header":       {whole, 14, 0x44},
		"less than a header":   {whole, 17, 19},
		"more than there is":   {whole, 16, 9},
		"a datagram too short": {whole, 39, 7},
		"a datagram too long":  {whole, 38, 1},
		"ARP":                  {whole, 13, 6},
		"IPv6 too long":        {six, 18, 1},
		"IPv6 as IPv4":         {six, 14, 0x40},
		"IPv6 with options":    {six, 20, 0},
		"no message":           {icmp, 19, 3},
	} {
		b := bytes.Clone(c.frame)
		b[c.at] = c.value
		if p, ok := Unpack(b); ok {
			t.Errorf("%s: is %+v", name, p)
		}
	}
	if p, ok := Unpack(WithTag(whole, 0, 300)); ok {
		t.Errorf("with a tag: %+v", p)
	}
}

// advertisement is what radvd sends for 2001:db8:1::/64 with a managed flag.
const advertisement = "86 00 0000 40 80 0708 00000000 00000000" + // hop limit 64, managed, 1800 s
	"01 01 020000000001" + "05 01 0000 000005a2" + // source, MTU 1442
	"03 04 40 c0 ffffffff ffffffff 00000000 20010db8000100000000000000000000" +
	"19 03 0000 00000708 20010db8000100000000000000000053"

func advertised(t testing.TB, message string) Packet {
	return Packet{Source: hw(1), Destination: hw(2), From: LinkLocal(hw(1)), To: netip.IPv6LinkLocalAllNodes(), HopLimit: 255, Protocol: ICMPv6, Payload: frameOf(t, message)}
}

func TestAdvertised(t *testing.T) {
	want := RouterAdvertisement{
		Managed: true, Lifetime: 30 * time.Minute, MTU: 1442,
		Prefixes: []Prefix{{netip.MustParsePrefix("2001:db8:1::/64"), true, true}},
		DNS:      []netip.Addr{netip.MustParseAddr("2001:db8:1::53")},
	}
	p, _ := Unpack(advertised(t, advertisement).Bytes())
	if got, ok := Advertised(p); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for name, change := range map[string]func(*Packet){
		"from beyond":   func(p *Packet) { p.HopLimit = 254 },
		"no router":     func(p *Packet) { p.From = netip.MustParseAddr("2001:db8::1") },
		"a soliciting":  func(p *Packet) { p.Payload[0] = routerSolicitation },
		"cut short":     func(p *Packet) { p.Payload = p.Payload[:15] },
		"not of ICMPv6": func(p *Packet) { p.Protocol = UDP },
	} {
		p := advertised(t, advertisement)
		change(&p)
		if r, ok := Advertised(p); ok {
			t.Errorf("%s: %+v", name, r)
		}
	}
	cut := advertised(t, advertisement)
	cut.Payload = cut.Payload[:len(cut.Payload)-1]
	if got, ok := Advertised(cut); !ok || got.DNS != nil || got.MTU != 1442 {
		t.Errorf("with an option cut short: %+v", got)
	}
}

func TestAnswer(t *testing.T) {
	solicit := append([]byte{neighbourSolicitation, 0, 0, 0, 0, 0, 0, 0}, LinkLocal(hw(1)).AsSlice()...)
	asks := Packet{Source: hw(2), Destination: hw(1), From: LinkLocal(hw(2)), To: LinkLocal(hw(1)), HopLimit: 255, Protocol: ICMPv6, Payload: solicit}
	answer, ok := Answer(asks, hw(1))
	want := frameOf(t, "88 00 0000 60000000 fe80000000000000000000fffe000001 02 01 020000000001")
	if !ok || !bytes.Equal(answer.Payload, want) || answer.To != asks.From || answer.From != asks.To || answer.Destination.String() != "02:00:00:00:00:02" {
		t.Errorf("got %+v", answer)
	}
	if _, ok := Answer(asks, hw(3)); ok {
		t.Error("answers for another")
	}
	asks.From = netip.IPv6Unspecified()
	if _, ok := Answer(asks, hw(1)); ok {
		t.Error("claims an address that another wants")
	}
}

// FuzzUnpack: what is read is within the frame, and is read again from what it is
// written as.
func FuzzUnpack(f *testing.F) {
	for _, p := range samples() {
		f.Add(p.Bytes())
	}
	f.Add(advertised(f, advertisement).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := Unpack(b)
		if !ok {
			return
		}
		again, ok := Unpack(p.Bytes())
		if p.Protocol == ICMPv6 && len(again.Payload) == len(p.Payload) {
			p.Payload = bytes.Clone(p.Payload)
			copy(p.Payload[2:4], again.Payload[2:4])
		}
		if !ok || !reflect.DeepEqual(again, p) {
			t.Errorf("%+v became %+v", p, again)
		}
		Answer(p, hw(1))
		if r, ok := Advertised(p); ok && len(r.Prefixes)*32+len(r.DNS)*16 > len(p.Payload) {
			t.Errorf("%+v of %d bytes", r, len(p.Payload))
		}
	})
}
