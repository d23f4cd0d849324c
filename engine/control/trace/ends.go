package trace

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

func compare(a, b string) int { return cmp.Compare(a, b) }

// address is a station on a logical switch.
type address struct {
	mac string // lower case, with colons
	ips []netip.Addr
}

// readAddress reads an element of a logical switch port's addresses, as
// ovn-nb(5) has it: an Ethernet address and IP addresses. What names none
// ("unknown", "router", "dynamic") is not one.
func readAddress(text string) (address, bool) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return address{}, false
	}
	mac, err := net.ParseMAC(words[0])
	if err != nil || len(mac) != 6 {
		return address{}, false
	}
	a := address{mac: mac.String()}
	for _, w := range words[1:] {
		w, _, _ = strings.Cut(w, "/")
		if ip, err := netip.ParseAddr(w); err == nil {
			a.ips = append(a.ips, ip.Unmap())
		}
	}
	return a, true
}

// end is one of the two that a packet is to go between.
type end struct {
	port     *logicalPort // nil for an address that is no port's
	attached string       // the guest's own MAC, where Open vSwitch is told of it
	ip       netip.Addr
	// router is the router's port that has the address, if one has.
	router string
	on     *machine // the host that it is plugged in at; nil where none says so
	iface  iface    // there
}

// find finds an end by what people call it: a logical port, an address, the
// name of a guest (its interface at Open vSwitch, which a fake VM has in common
// with its namespace), or HOST/NAME where several hosts have such a guest.
func (n *network) find(name string) (end, error) {
	if ip, err := netip.ParseAddr(name); err == nil {
		return n.findAddress(ip.Unmap())
	}
	if p := n.port(name); p != nil {
		return n.end(p), nil
	}
	var found []end
	var where []string
	for _, m := range n.machines {
		for _, i := range m.ifaces {
			if i.id == "" || i.name != name && m.name+"/"+i.name != name {
				continue
			}
			p := n.port(i.id)
			if p == nil {
				return end{}, fmt.Errorf("%s on %s says it is the logical port %q (iface-id), and there is none of that name", i.name, m.name, i.id)
			}
			e := n.end(p)
			e.plug(m, i)
			found, where = append(found, e), append(where, m.name+"/"+i.name)
		}
	}
	switch len(found) {
	case 0:
		return end{}, fmt.Errorf("nothing is called %q: it is no logical port, no address, and no interface with an iface-id on a host that answered%s", name, n.mute())
	case 1:
		return found[0], nil
	}
	return end{}, fmt.Errorf("%q is several guests: say %s", name, strings.Join(where, " or "))
}

func (n *network) findAddress(ip netip.Addr) (end, error) {
	var found []end
	var names []string
	for _, p := range n.ports {
		for _, a := range p.addresses {
			if slices.Contains(a.ips, ip) && p.kind == "" {
				e := n.end(p)
				e.ip = ip
				found, names = append(found, e), append(names, p.name)
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		out := end{ip: ip}
		for _, r := range n.routers {
			for _, network := range r.networks {
				if p, err := netip.ParsePrefix(network); err == nil && p.Addr() == ip {
					out.router = r.name
				}
			}
		}
		return out, nil
	}
	return end{}, fmt.Errorf("several logical ports have the address %s: say %s", ip, strings.Join(names, " or "))
}

// end is a logical port as an end, plugged in where it is bound, or else somewhere.
func (n *network) end(p *logicalPort) end {
	e := end{port: p}
	plugged := n.plugged(p.name)
	if m := n.on(n.bound[p.name]); m != nil {
		if i, ok := plugged[m]; ok {
			e.plug(m, i)
			return e
		}
	}
	for m, i := range plugged {
		if e.on == nil || m.name < e.on.name {
			e.plug(m, i)
		}
	}
	return e
}

func (e *end) plug(m *machine, i iface) {
	e.on, e.iface = m, i
	if mac, err := net.ParseMAC(i.mac); err == nil {
		e.attached = mac.String()
	}
}

// known is the Ethernet address that others send to: the logical port's, which OVN
// answers with to those who ask for the address (ARP), else the guest's own.
func (e end) known() string {
	if e.port == nil {
		return ""
	}
	for _, a := range e.port.addresses {
		if slices.Contains(a.ips, e.ip) {
			return a.mac
		}
	}
	if len(e.port.addresses) > 0 {
		return e.port.addresses[0].mac
	}
	return e.attached
}

// own is the Ethernet address that the guest sends from: the one attached, which may
// not be the port's.
func (e end) own() string { return cmp.Or(e.attached, e.known()) }

// called is what the end is called in texts.
func (e end) called() string {
	if e.port == nil {
		return e.ip.String()
	}
	return e.port.name
}

// choose fills in the addresses, of one family: that of the end which has one
// already, else IPv4 where both have it.
func choose(from, to *end) error {
	if to.ip.IsValid() && !from.ip.IsValid() {
		from.ip = from.first(to.ip.Is4())
	}
	if from.ip.IsValid() && !to.ip.IsValid() {
		to.ip = to.first(from.ip.Is4())
	}
	for _, v4 := range []bool{true, false} {
		if !from.ip.IsValid() && !to.ip.IsValid() && from.first(v4).IsValid() && to.first(v4).IsValid() {
			from.ip, to.ip = from.first(v4), to.first(v4)
		}
	}
	for _, e := range []*end{from, to} {
		if !e.ip.IsValid() {
			return fmt.Errorf("%s has no address in the northbound database that the packet could bear", e.called())
		}
	}
	if from.ip.Is4() != to.ip.Is4() {
		return fmt.Errorf("%s and %s are not of one family", from.ip, to.ip)
	}
	if from.own() == "" {
		return fmt.Errorf("%s has no Ethernet address, neither in the northbound database nor at Open vSwitch (attached-mac)", from.called())
	}
	return nil
}

// first is the first address of a family, or the zero one.
func (e end) first(v4 bool) netip.Addr {
	if e.port != nil {
		for _, a := range e.port.addresses {
			for _, ip := range a.ips {
				if ip.Is4() == v4 {
					return ip
				}
			}
		}
	}
	return netip.Addr{}
}
