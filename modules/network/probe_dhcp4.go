package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"weft/engine/host/frame"
	"weft/engine/step"
)

// dhcp4 asks by DHCP (RFC 2131).
type dhcp4 struct {
	*client
	id uint32
}

// requested is what clients of Linux ask for.
func requested() dhcpv4.Modifier {
	return dhcpv4.WithRequestedOptions(dhcpv4.OptionInterfaceMTU, dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionIPAddressLeaseTime)
}

func (d dhcp4) offers(ctx context.Context) ([]lease, error) {
	discover, err := dhcpv4.NewDiscovery(d.mac, requested())
	if err != nil {
		return nil, fmt.Errorf("write a DHCPDISCOVER: %w", err)
	}
	var offers []lease
	hear := func(p frame.Packet) bool {
		m, ok := d.answer(p)
		if ok && m.MessageType() == dhcpv4.MessageTypeOffer {
			offers = oneEach(offers, leased4(p, m))
		}
		return len(offers) > 0
	}
	if err := d.ask(ctx, d.first, hear, d.packet(discover)); err != nil {
		return nil, err
	}
	if len(offers) == 0 {
		return nil, &step.ProbeError{
			Wanted: "an offer by DHCP on " + d.place, Seen: d.silence(),
			Hint: "is the port bound and up (probe_ovn_port), has it dhcpv4_options and this Ethernet address (`ovn-nbctl list Logical_Switch_Port`)? " +
				"Outside OVN: does a server listen on this VLAN?",
		}
	}
	return offers, nil
}

// oneEach adds an offer, unless that server's is there: it may answer again.
func oneEach(offers []lease, l lease) []lease {
	if slices.ContainsFunc(offers, func(o lease) bool { return o.server == l.server && o.mac == l.mac }) {
		return offers
	}
	return append(offers, l)
}

// packet is a message to all, from a client without an address.
func (d dhcp4) packet(m *dhcpv4.DHCPv4) frame.Packet {
	binary.BigEndian.PutUint32(m.TransactionID[:], d.id)
	m.NumSeconds = uint16(min(time.Since(d.began)/time.Second, math.MaxUint16))
	return frame.Packet{
		Source: d.mac, Destination: net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		From: netip.IPv4Unspecified(), To: netip.AddrFrom4([4]byte{255, 255, 255, 255}),
		HopLimit: 64, Protocol: frame.UDP, FromPort: dhcpv4.ClientPort, ToPort: dhcpv4.ServerPort, Payload: m.ToBytes(),
	}
}

// answer reads a server's answer to this client.
func (d dhcp4) answer(p frame.Packet) (*dhcpv4.DHCPv4, bool) {
	if p.Protocol != frame.UDP || p.FromPort != dhcpv4.ServerPort || p.ToPort != dhcpv4.ClientPort {
		d.strangers++
		return nil, false
	}
	m, err := dhcpv4.FromBytes(p.Payload)
	if err != nil {
		d.misread = fmt.Sprintf("from %s (%s): %v", p.From, p.Source, err)
		return nil, false
	}
	ours := m.OpCode == dhcpv4.OpcodeBootReply && bytes.Equal(m.ClientHWAddr, d.mac) && binary.BigEndian.Uint32(m.TransactionID[:]) == d.id
	return m, ours
}

// leased4 is what an OFFER or an ACK says. Without a server's identifier it is who
// sent it.
func leased4(p frame.Packet, m *dhcpv4.DHCPv4) lease {
	l := lease{
		address: addressOf(m.YourIPAddr), server: addressOf(m.ServerIdentifier()), mac: p.Source.String(),
		routers: addressesOf(m.Router()), dns: addressesOf(m.DNS()), time: m.IPAddressLeaseTime(0), four: m,
	}
	if !l.server.IsValid() {
		l.server = p.From
	}
	if bits, size := m.SubnetMask().Size(); size == 32 {
		l.network = netip.PrefixFrom(l.address, bits).Masked()
	}
	if mtu := m.Options.Get(dhcpv4.OptionInterfaceMTU); len(mtu) == 2 {
		l.mtu = int(binary.BigEndian.Uint16(mtu))
	}
	if routes := m.ClasslessStaticRoute(); len(routes) > 0 { // then the other option does not count: RFC 3442
		l.routers = nil
		for _, r := range routes {
			if bits, _ := r.Dest.Mask.Size(); bits == 0 {
				l.routers = append(l.routers, addressOf(r.Router))
			}
		}
	}
	return l
}

func (d dhcp4) take(ctx context.Context, offer lease) (lease, error) {
	request, err := dhcpv4.NewRequestFromOffer(offer.four, requested())
	if err != nil {
		return lease{}, fmt.Errorf("write a DHCPREQUEST: %w", err)
	}
	request.ClientHWAddr = d.mac
	var given []lease
	seen := ""
	hear := func(p frame.Packet) bool {
		m, ok := d.answer(p)
		if !ok {
			return false
		}
		switch m.MessageType() {
		case dhcpv4.MessageTypeAck:
			given = append(given, leased4(p, m))
		case dhcpv4.MessageTypeNak:
			seen = fmt.Sprintf("DHCPNAK of %s (%s): %q", p.From, p.Source, m.Message())
		}
		return seen != "" || len(given) > 0
	}
	if err := d.ask(ctx, patience{d.first.answer, 0}, hear, d.packet(request)); err != nil {
		return lease{}, err
	}
	if seen == "" && len(given) == 0 {
		seen = d.silence()
	}
	if seen != "" {
		return lease{}, &step.ProbeError{Wanted: fmt.Sprintf("%s from %s on %s", offer.address, offer.from(), d.place), Seen: seen,
			Hint: "it was offered, so see the server's log"}
	}
	return given[0], nil
}

// release tells the server alone, as from the address. Nobody answers that.
func (d dhcp4) release(ctx context.Context, given lease) error {
	m, err := dhcpv4.NewReleaseFromACK(given.four)
	if err != nil {
		return fmt.Errorf("write a DHCPRELEASE: %w", err)
	}
	m.ClientHWAddr = d.mac
	to, err := net.ParseMAC(given.mac)
	if err != nil {
		return fmt.Errorf("the server's Ethernet address: %w", err)
	}
	p := d.packet(m)
	p.Destination, p.From, p.To = to, given.address, given.server
	return d.wire.Send(ctx, p.Bytes())
}
