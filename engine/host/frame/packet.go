package frame

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// Packet is an Ethernet frame without a VLAN tag that carries one datagram of UDP,
// or one message of ICMPv6, whole.
type Packet struct {
	Source, Destination net.HardwareAddr
	From, To            netip.Addr // both of one family
	HopLimit            uint8      // the time to live, of IPv4
	Protocol            uint8      // UDP or ICMPv6
	FromPort, ToPort    uint16     // of UDP
	// Payload is that of the datagram, or the whole message of ICMPv6, whose
	// checksum need not be there.
	Payload []byte
}

const (
	etherHeader = 14
	ipv4Header  = 20
	ipv6Header  = 40
	udpHeader   = 8
)

// Bytes is the packet on a wire, with its checksums, and as long as Ethernet wants
// it at least. The Ethernet addresses have six bytes.
func (p Packet) Bytes() []byte {
	inner := p.Payload
	if p.Protocol == UDP {
		inner = binary.BigEndian.AppendUint16(nil, p.FromPort)
		inner = binary.BigEndian.AppendUint16(inner, p.ToPort)
		inner = binary.BigEndian.AppendUint16(inner, uint16(udpHeader+len(p.Payload)))
		inner = append(append(inner, 0, 0), p.Payload...)
	}
	inner = p.summed(inner)
	b := append(append(make([]byte, 0, etherHeader+ipv6Header+len(inner)), p.Destination...), p.Source...)
	if p.From.Is4() {
		b = append(binary.BigEndian.AppendUint16(b, IPv4), p.ipv4(len(inner))...)
	} else {
		b = append(binary.BigEndian.AppendUint16(b, IPv6), p.ipv6(len(inner))...)
	}
	b = append(b, inner...)
	return append(b, make([]byte, max(0, 60-len(b)))...)
}

// summed is a message with its checksum, which covers a pseudo-header: RFC 768,
// RFC 8200, 8.1.
func (p Packet) summed(message []byte) []byte {
	at := 6 // in a header of UDP
	if p.Protocol == ICMPv6 {
		at = 2
	}
	message = append([]byte{}, message...)
	if len(message) < at+2 {
		return message
	}
	message[at], message[at+1] = 0, 0
	pseudo := append(p.From.AsSlice(), p.To.AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(message)))
	pseudo = append(pseudo, 0, 0, 0, p.Protocol)
	sum := Checksum(append(pseudo, message...))
	if sum == 0 && p.Protocol == UDP {
		sum = 0xffff // zero would say that there is none
	}
	binary.BigEndian.PutUint16(message[at:], sum)
	return message
}

func (p Packet) ipv4(length int) []byte {
	h := make([]byte, ipv4Header)
	h[0], h[8], h[9] = 0x45, p.HopLimit, p.Protocol
	binary.BigEndian.PutUint16(h[2:], uint16(ipv4Header+length))
	copy(h[12:], p.From.AsSlice())
	copy(h[16:], p.To.AsSlice())
	binary.BigEndian.PutUint16(h[10:], Checksum(h))
	return h
}

func (p Packet) ipv6(length int) []byte {
	h := make([]byte, 8, ipv6Header)
	h[0], h[6], h[7] = 0x60, p.Protocol, p.HopLimit
	binary.BigEndian.PutUint16(h[4:], uint16(length))
	return append(append(h, p.From.AsSlice()...), p.To.AsSlice()...)
}

// Unpack reads a frame that is a packet, and says whether it is one: whole, without
// a VLAN tag, without extension headers of IPv6. Checksums are not looked at: a
// sender on the same machine leaves them to hardware that is not there.
func Unpack(b []byte) (Packet, bool) {
	if len(b) < etherHeader {
		return Packet{}, false
	}
	p := Packet{Destination: b[:6], Source: b[6:12]}
	var ok bool
	switch binary.BigEndian.Uint16(b[12:]) {
	case IPv4:
		ok = p.unpack4(b[etherHeader:])
	case IPv6:
		ok = p.unpack6(b[etherHeader:])
	}
	return p, ok
}

func (p *Packet) unpack4(b []byte) bool {
	if len(b) < ipv4Header || b[0]>>4 != 4 {
		return false
	}
	header, total := int(b[0]&0x0f)*4, int(binary.BigEndian.Uint16(b[2:]))
	fragment := binary.BigEndian.Uint16(b[6:])&0x3fff > 0 // more to come, or not the first
	if header < ipv4Header || total < header || total > len(b) || fragment {
		return false
	}
	p.From, p.To = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	p.HopLimit, p.Protocol = b[8], b[9]
	return p.Protocol == UDP && p.datagram(b[header:total])
}

func (p *Packet) unpack6(b []byte) bool {
	if len(b) < ipv6Header || b[0]>>4 != 6 {
		return false
	}
	p.From, p.To = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	p.Protocol, p.HopLimit = b[6], b[7]
	length := int(binary.BigEndian.Uint16(b[4:]))
	b = b[ipv6Header:]
	if length > len(b) {
		return false
	}
	if p.Protocol == ICMPv6 {
		p.Payload = b[:length]
		return length >= 4
	}
	return p.Protocol == UDP && p.datagram(b[:length])
}

func (p *Packet) datagram(b []byte) bool {
	if len(b) < udpHeader {
		return false
	}
	p.FromPort, p.ToPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length < udpHeader || length > len(b) {
		return false
	}
	p.Payload = b[udpHeader:length]
	return true
}

// Checksum is the Internet checksum of RFC 1071.
func Checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) > 0 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
