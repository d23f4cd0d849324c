package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"weft/engine/step"
)

// forever is the lease time that never ends: all ones, in seconds (RFC 2131, 3.3;
// RFC 8415, 7.7).
const forever = (1<<32 - 1) * time.Second

// lease is what a guest is told, by one server and by all routers.
type lease struct {
	address  netip.Addr   // invalid where DHCPv6 gives none
	network  netip.Prefix // that it lies in; invalid where nobody says
	server   netip.Addr   // its identifier, or the address that it answered from
	mac      string       // that the answer came from
	routers  []netip.Addr
	dns      []netip.Addr
	mtu      int
	time     time.Duration
	managed  bool
	prefixes []netip.Prefix // that routers advertise for the link

	four *dhcpv4.DHCPv4  // the message, of DHCP
	six  *dhcpv6.Message // or of DHCPv6
}

// from names who said it: "172.16.1.254 (02:00:00:00:01:fe)".
func (l lease) from() string {
	return fmt.Sprintf("%s (%s)", l.server, l.mac)
}

// String is what was offered, in a line.
func (l lease) String() string {
	words := []string{"no address by DHCPv6"}
	if l.address.IsValid() {
		address := l.address.String()
		if l.network.IsValid() {
			address = netip.PrefixFrom(l.address, l.network.Bits()).String()
		}
		words = []string{address + " from " + l.from()}
	}
	add := func(name, text string) {
		if text != "" {
			words = append(words, name+" "+text)
		}
	}
	add("router", joined(l.routers))
	add("prefix", joined(l.prefixes))
	add("dns", joined(l.dns))
	add("mtu", said(l.mtu))
	add("for", span(l.time))
	return strings.Join(words, ", ")
}

func (l lease) outputs() ProbeDHCPOutputs {
	o := ProbeDHCPOutputs{MTU: l.mtu, LeaseTime: int(l.time / time.Second), Managed: l.managed, DNS: []string{}}
	if l.address.IsValid() {
		o.Address, o.Server = l.address.String(), l.server.String()
	}
	if l.network.IsValid() {
		o.Network = l.network.String()
	}
	if len(l.routers) > 0 {
		o.Router = l.routers[0].String()
	}
	for _, a := range l.dns {
		o.DNS = append(o.DNS, a.String())
	}
	return o
}

func joined[T fmt.Stringer](all []T) string {
	var texts []string
	for _, a := range all {
		texts = append(texts, a.String())
	}
	slices.Sort(texts)
	return strings.Join(slices.Compact(texts), " ")
}

// said is empty for what was not said.
func said(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func span(d time.Duration) string {
	switch d {
	case 0:
		return ""
	case forever:
		return "ever"
	}
	return d.String()
}

// agree fails where two servers would set a guest up differently. Two that give
// addresses of one network, and say the same of it, are a pair.
func (c *client) agree(offers []lease) error {
	like := func(l lease) string {
		return strings.Join([]string{l.network.String(), joined(l.routers), joined(l.dns), said(l.mtu)}, ", ")
	}
	for _, l := range offers[1:] {
		if like(l) != like(offers[0]) {
			return c.rogue("one answer", offers[0], l)
		}
	}
	return nil
}

// rogueError is a ProbeError of two who contradict each other.
type rogueError struct{ *step.ProbeError }

func (c *client) rogue(wanted string, one, other fmt.Stringer) error {
	return rogueError{&step.ProbeError{
		Wanted: wanted + " on " + c.place, Seen: one.String() + "; and " + other.String(),
		Hint: "one of them is a rogue: find its Ethernet address by `ovs-appctl fdb/show BRIDGE`, `ovn-sbctl list FDB` or in the MAC table of the switch",
	}}
}

// needsAddress says whether what is expected is told by DHCPv6 alone.
func (e LeaseSpec) needsAddress() bool {
	_, address := e.Address.Get()
	_, server := e.Server.Get()
	_, span := e.LeaseTime.Get()
	return address || server || span
}

// holds fails where an offer is not what is expected.
func (c *client) holds(e LeaseSpec, l lease) error {
	d := differences{}
	if text, ok := e.Address.Get(); ok {
		if network, err := networkOf(text); err != nil || !network.Contains(l.address) {
			d.add("address", text, l.address.String())
		}
	} else if e.Address.Absent() && l.address.IsValid() {
		d.add("address", "", l.address.String())
	}
	d.same("router", e.Router.Managed(), canonicalAddress(e.Router.Or("")), joined(l.routers))
	var dns []string
	for _, text := range e.DNS.Or(nil) {
		dns = append(dns, canonicalAddress(text))
	}
	slices.Sort(dns)
	d.same("dns", e.DNS.Managed(), strings.Join(slices.Compact(dns), " "), joined(l.dns))
	d.same("mtu", e.MTU.Managed(), said(e.MTU.Or(0)), said(l.mtu))
	d.same("lease_time", e.LeaseTime.Managed(), span(e.LeaseTime.Or(0)), span(l.time))
	d.same("server", e.Server.Managed(), canonicalAddress(e.Server.Or("")), l.server.String())
	d.same("managed", e.Managed.Managed(), strconv.FormatBool(e.Managed.Or(false)), strconv.FormatBool(l.managed))
	if text, ok := e.Prefix.Get(); ok {
		if network, err := networkOf(text); err != nil || !slices.Contains(l.prefixes, network) {
			d.add("prefix", text, joined(l.prefixes))
		}
	} else if e.Prefix.Absent() {
		d.same("prefix", true, "", joined(l.prefixes))
	}
	if len(d.wanted) == 0 {
		return nil
	}
	by := ""
	if l.server.IsValid() {
		by = " from " + l.from()
	}
	return &step.ProbeError{
		Wanted: strings.Join(d.wanted, ", ") + " on " + c.place, Seen: strings.Join(d.saw, ", ") + by,
		Hint: "compare with `ovn-nbctl list DHCP_Options` and what the port has of them (dhcpv4_options, dhcpv6_options), " +
			"with ipv6_ra_configs of the router's port, or with the server's own configuration",
	}
}

// differences are what was wanted and seen instead, in words.
type differences struct{ wanted, saw []string }

func (d *differences) same(name string, managed bool, wanted, saw string) {
	if managed && wanted != saw {
		d.add(name, wanted, saw)
	}
}

func (d *differences) add(name, wanted, saw string) {
	say := func(text string) string {
		if text == "" || text == "invalid IP" {
			text = "none"
		}
		return name + " " + text
	}
	d.wanted, d.saw = append(d.wanted, say(wanted)), append(d.saw, say(saw))
}

// canonicalAddress spells an address as the messages' are.
func canonicalAddress(text string) string {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return text
	}
	return a.Unmap().String()
}
