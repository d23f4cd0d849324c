package network

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"weft/engine/host/frame"
	"weft/engine/step"
)

// dhcp6 asks by DHCPv6 (RFC 8415), and routers to advertise themselves (RFC 4861).
type dhcp6 struct {
	*client
	id      uint32
	expect  LeaseSpec
	address bool // whether DHCPv6 must give one, whatever routers say
}

// router is what one router advertised.
type router struct {
	address netip.Addr
	mac     string
	frame.RouterAdvertisement
}

// answers are what came of all who answered.
type answers struct {
	routers []router
	offers  []lease
	refused string // by a server that has no address
}

func (d dhcp6) offers(ctx context.Context) ([]lease, error) {
	solicit, err := dhcpv6.NewSolicit(d.mac, dhcpv6.WithClientID(d.identity()))
	if err != nil {
		return nil, fmt.Errorf("write a SOLICIT: %w", err)
	}
	var l answers
	hear := func(p frame.Packet) bool {
		if r, ok := frame.Advertised(p); ok {
			l.advertised(router{p.From, p.Source.String(), r})
		} else if m, ok := d.answer(p, dhcpv6.MessageTypeAdvertise); ok {
			l.offered(p, m)
		}
		return d.routed(&l) && d.addressed(&l)
	}
	if err := d.ask(ctx, d.first, hear, frame.RouterSolicitation(d.mac), d.packet(solicit)); err != nil {
		return nil, err
	}
	if err := d.judge(&l); err != nil {
		return nil, err
	}
	return l.leases(), nil
}

// identity is the client's: the same each time, so that a server takes it
// for the same guest.
func (d dhcp6) identity() dhcpv6.DUID {
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: d.mac}
}

// packet is a message to all servers and relays of the link.
func (d dhcp6) packet(m *dhcpv6.Message) frame.Packet {
	to := netip.MustParseAddr("ff02::1:2")
	m.TransactionID = dhcpv6.TransactionID{byte(d.id >> 16), byte(d.id >> 8), byte(d.id)}
	elapsed := min(time.Since(d.began), math.MaxUint16*10*time.Millisecond) // RFC 8415, 21.9
	m.UpdateOption(dhcpv6.OptElapsedTime(elapsed))
	return frame.Packet{
		Source: d.mac, Destination: frame.Multicast6(to), From: frame.LinkLocal(d.mac), To: to, HopLimit: 1, Protocol: frame.UDP,
		FromPort: dhcpv6.DefaultClientPort, ToPort: dhcpv6.DefaultServerPort, Payload: m.ToBytes(),
	}
}

// answer reads a server's answer of a type to this client.
func (d dhcp6) answer(p frame.Packet, wanted dhcpv6.MessageType) (*dhcpv6.Message, bool) {
	if p.Protocol != frame.UDP || p.FromPort != dhcpv6.DefaultServerPort || p.ToPort != dhcpv6.DefaultClientPort {
		d.strangers++
		return nil, false
	}
	m, err := dhcpv6.MessageFromBytes(p.Payload)
	if err != nil {
		d.misread = fmt.Sprintf("from %s (%s): %v", p.From, p.Source, err)
		return nil, false
	}
	id := m.TransactionID
	ours := id == dhcpv6.TransactionID{byte(d.id >> 16), byte(d.id >> 8), byte(d.id)}
	client := m.Options.ClientID()
	return m, ours && m.MessageType == wanted && client != nil && client.Equal(d.identity()) && m.Options.ServerID() != nil
}

// advertised adds what a router says, unless it has said so: it may do it again.
func (l *answers) advertised(r router) {
	if !slices.ContainsFunc(l.routers, func(o router) bool { return o.address == r.address && o.mac == r.mac }) {
		l.routers = append(l.routers, r)
	}
}

// offered adds what an ADVERTISE says.
func (l *answers) offered(p frame.Packet, m *dhcpv6.Message) {
	offer, refused := leased6(p, m)
	if refused != "" {
		l.refused = refused
		return
	}
	l.offers = oneEach(l.offers, offer)
}

// leased6 is what an ADVERTISE or a REPLY says, or why it gives no address.
func leased6(p frame.Packet, m *dhcpv6.Message) (l lease, refused string) {
	l = lease{server: p.From, mac: p.Source.String(), dns: addressesOf(m.Options.DNS()), six: m}
	status := m.Options.Status()
	if ia := m.Options.OneIANA(); ia != nil {
		if a := ia.Options.OneAddress(); a != nil && a.ValidLifetime > 0 {
			l.address, l.time = addressOf(a.IPv6Addr), a.ValidLifetime
		}
		if own := ia.Options.Status(); own != nil {
			status = own
		}
	}
	switch {
	case l.address.IsValid():
		return l, ""
	case status != nil:
		return l, fmt.Sprintf("%s gives none: %s %q", l.from(), status.StatusCode, status.StatusMessage)
	}
	return l, l.from() + " gives none"
}

// routed says whether enough is known of routers.
func (d dhcp6) routed(l *answers) bool { return len(l.routers) > 0 || d.expect.Router.Absent() }

// managed says whether a router wants addresses to come by DHCPv6.
func (l *answers) managed() bool {
	for _, r := range l.routers {
		if r.Managed {
			return true
		}
	}
	return false
}

// addressed says whether there is an offer where one must be.
func (d dhcp6) addressed(l *answers) bool {
	needed := d.address || l.managed() || len(l.routers) == 0
	return len(l.offers) > 0 || d.expect.Address.Absent() || !needed
}

// judge says what is missing, and which routers contradict one another: they may
// advertise different prefixes, the rest must be alike (RFC 4861, 6.2.7).
func (d dhcp6) judge(l *answers) error {
	saw := d.silence()
	if l.refused != "" {
		saw = l.refused
	}
	if !d.routed(l) {
		if len(l.offers) > 0 {
			saw = "none, though DHCPv6 offers " + l.offers[0].String()
		}
		return &step.ProbeError{
			Wanted: "a router that advertises itself on " + d.place, Seen: saw,
			Hint: "has the router's port address_mode in ipv6_ra_configs and an IPv6 network, and is the switch joined to it (`ovn-nbctl show`)? Where there is to be none say router = absent",
		}
	}
	if !d.addressed(l) {
		if len(l.routers) > 0 {
			saw += fmt.Sprintf("; router %s says managed = %t", l.routers[0].address, l.routers[0].Managed)
		}
		return &step.ProbeError{
			Wanted: "an address by DHCPv6 on " + d.place, Seen: saw,
			Hint: "is the port bound and up (probe_ovn_port), has it dhcpv6_options and an IPv6 address (`ovn-nbctl list Logical_Switch_Port`)?",
		}
	}
	for _, r := range l.routers {
		first := l.routers[0]
		if r.Managed != first.Managed || r.Other != first.Other || r.MTU != first.MTU && r.MTU != 0 && first.MTU != 0 {
			return d.rogue("routers that say the same", first, r)
		}
	}
	return nil
}

func (r router) String() string {
	return fmt.Sprintf("%s (%s): managed = %t, other = %t, mtu %d", r.address, r.mac, r.Managed, r.Other, r.MTU)
}

// leases are the offers with what routers say, or that alone.
func (l *answers) leases() []lease {
	told := lease{managed: l.managed()}
	for _, r := range l.routers {
		if r.Lifetime > 0 {
			told.routers = append(told.routers, r.address)
		}
		for _, p := range r.Prefixes {
			told.prefixes = append(told.prefixes, p.Network)
		}
		told.dns = append(told.dns, r.DNS...)
		told.mtu = max(told.mtu, r.MTU)
	}
	if len(l.offers) == 0 {
		return []lease{told}
	}
	var all []lease
	for _, o := range l.offers {
		all = append(all, o.within(told))
	}
	return all
}

// within adds to a server's lease what routers say.
func (l lease) within(told lease) lease {
	l.routers, l.prefixes, l.mtu, l.managed = told.routers, told.prefixes, told.mtu, told.managed
	for _, a := range told.dns {
		if !slices.Contains(l.dns, a) {
			l.dns = append(l.dns, a)
		}
	}
	for _, p := range told.prefixes {
		if p.Contains(l.address) {
			l.network = p
		}
	}
	return l
}

func (d dhcp6) take(ctx context.Context, offer lease) (lease, error) {
	request, err := dhcpv6.NewRequestFromAdvertise(offer.six)
	if err != nil {
		return lease{}, fmt.Errorf("write a REQUEST: %w", err)
	}
	var l answers
	hear := func(p frame.Packet) bool {
		if m, ok := d.answer(p, dhcpv6.MessageTypeReply); ok {
			l.offered(p, m)
		}
		return len(l.offers) > 0 || l.refused != ""
	}
	if err := d.ask(ctx, patience{d.first.answer, 0}, hear, d.packet(request)); err != nil {
		return lease{}, err
	}
	if len(l.offers) == 0 {
		saw := l.refused
		if saw == "" {
			saw = d.silence()
		}
		return lease{}, &step.ProbeError{Wanted: fmt.Sprintf("%s from %s on %s", offer.address, offer.from(), d.place), Seen: saw,
			Hint: "it was advertised, so see the server's log"}
	}
	return l.offers[0].within(offer), nil
}

// release waits for the server's reply, but not for long: it is a courtesy.
func (d dhcp6) release(ctx context.Context, given lease) error {
	m, err := dhcpv6.NewMessage(dhcpv6.WithClientID(d.identity()), dhcpv6.WithServerID(given.six.Options.ServerID()))
	if err != nil {
		return fmt.Errorf("write a RELEASE: %w", err)
	}
	m.MessageType = dhcpv6.MessageTypeRelease
	m.AddOption(given.six.Options.OneIANA())
	return d.ask(ctx, patience{time.Second, 0}, func(p frame.Packet) bool {
		_, ok := d.answer(p, dhcpv6.MessageTypeReply)
		return ok
	}, d.packet(m))
}
