package trace

import (
	"fmt"
	"slices"
	"strings"
)

// source looks at the port that the packet leaves its guest by.
func (t *tracer) source() { t.guest(t.from, t.bound[t.from.port.name]) }

// guest adds the hop of a guest's port on a chassis, "" where it has none.
func (t *tracer) guest(e end, chassis string) {
	p, plugged := e.port, t.plugged(e.port.name)
	hop := Hop{Where: "port " + p.name}
	if chassis == "" {
		hop.What = "bound to no chassis"
		switch names := hostsOf(plugged); {
		case len(names) == 0:
			hop.Why = "no interface with iface-id=" + p.name + " is on a host that answered" + t.mute()
			hop.Do = "plug the guest in: its interface on the integration bridge needs external_ids:iface-id=" + p.name
		case e.iface.bridge != e.on.bridge:
			hop.Why = fmt.Sprintf("%s on %s is on %s, and not on %s", e.iface.name, e.on.name, e.iface.bridge, e.on.bridge)
			hop.Do = "move it to " + e.on.bridge
		default:
			hop.Why = fmt.Sprintf("%s on %s says it is %s, and its chassis has not claimed it", e.iface.name, e.on.name, p.name)
			hop.Do = "on " + e.on.name + ": systemctl status ovn-controller; is it connected to the southbound database?"
		}
		t.dies(hop)
		return
	}
	m := t.on(chassis)
	if m == nil {
		t.unknown(hop.Where, "bound to %s, which is no host that answered", t.called(chassis))
		return
	}
	hop.Where += " on " + m.name
	i, ok := plugged[m]
	switch {
	case !ok:
		hop.What = fmt.Sprintf("bound to %s, and no interface there has its iface-id", m.name)
		hop.Do = "is ovn-controller of " + m.name + " still at work? It gives a port up whose interface goes"
		if names := hostsOf(plugged); len(names) > 0 {
			hop.Why = "it is on " + strings.Join(names, ", ")
		}
		t.dies(hop)
		return
	case i.wrong != "" || i.number <= 0:
		hop.What = fmt.Sprintf("Open vSwitch could not make %s: %s", i.name, orText(i.wrong, "it has no OpenFlow port"))
		hop.Do = "on " + m.name + ": journalctl -u ovs-vswitchd"
		t.dies(hop)
	case i.down:
		hop.What = fmt.Sprintf("%s is down", i.name)
		hop.Do = fmt.Sprintf("on %s: ip link set %s up, and is the guest's end up?", m.name, argument(i.name))
		t.dies(hop)
	default:
		t.pass(hop.Where, "%s, port %d of %s", i.name, i.number, i.bridge)
	}
	t.at(port{m, i})
}

// stops are the chassis that the packet comes by, in order: the guest's, that of
// a gateway, the other guest's.
func (t *tracer) stops() []string {
	stops := []string{t.bound[t.from.port.name]}
	for _, g := range t.logical.gateways {
		chassis := t.bound[g]
		if chassis == "" {
			port := strings.TrimPrefix(g, "cr-")
			t.dies(Hop{Where: "gateway " + g, What: "on no chassis",
				Why: "none of the chassis that " + port + " may be on is alive, or has the bridge that its network is mapped to",
				Do:  "ovn-nbctl lrp-get-gateway-chassis " + argument(port) + ", and look at ovn-controller there"})
			return nil
		}
		t.pass("gateway "+g, "on %s", t.called(chassis))
		stops = append(stops, chassis)
	}
	if t.to.port != nil && t.to.port.kind == "" {
		chassis := t.bound[t.to.port.name]
		if chassis == "" {
			t.guest(t.to, "")
			return nil
		}
		stops = append(stops, chassis)
	}
	return slices.Compact(stops)
}

// tunnel looks at both ends of the tunnel between two chassis.
func (t *tracer) tunnel(from, to string) {
	a, b := t.on(from), t.on(to)
	where := fmt.Sprintf("tunnel %s to %s", t.called(from), t.called(to))
	if a == nil {
		t.unknown(where, "%s is no host that answered", t.called(from))
		return
	}
	there, failed := t.tunnelEnd(a, to, where)
	if failed {
		return
	}
	if b == nil {
		t.unknown(where, "%s leads there from %s; %s is no host that answered", there.name, a.name, t.called(to))
		return
	}
	back, failed := t.tunnelEnd(b, from, where)
	if failed {
		return
	}
	what := fmt.Sprintf("%s to %s, back by %s to %s", there.kind, there.remote, back.name, back.remote)
	if there.bfdState != "" {
		what += ", BFD " + there.bfdState
	}
	t.pass(where, "%s", what)
	t.at(port{a, there}, port{b, back})
}

// tunnelEnd looks at the tunnel of a host to a chassis, and says whether the
// packet dies there.
func (t *tracer) tunnelEnd(m *machine, to, where string) (iface, bool) {
	encaps := t.chassis[to].encaps
	hop := Hop{Where: where}
	at := slices.IndexFunc(m.ifaces, func(i iface) bool { return i.bridge == m.bridge && slices.Contains(encaps, i.remote) })
	own := t.chassis[m.chassis].encaps
	switch {
	case at < 0:
		hop.What = fmt.Sprintf("%s has no tunnel to %s (%s)", m.name, t.called(to), strings.Join(encaps, ", "))
		hop.Why = "ovn-controller makes one for every chassis that it sees in the southbound database"
		hop.Do = "on " + m.name + ": systemctl status ovn-controller"
		t.dies(hop)
		return iface{}, true
	case m.encaps != "" && !agree(m.encaps, own):
		hop.What = fmt.Sprintf("%s is told ovn-encap-ip=%s, and the others know it as %s", m.name, m.encaps, strings.Join(own, ", "))
		hop.Do = "on " + m.name + ": systemctl status ovn-controller; it has not registered what it was told"
		t.dies(hop)
		return iface{}, true
	}
	i := m.ifaces[at]
	switch {
	case i.wrong != "" || i.number <= 0:
		hop.What = fmt.Sprintf("Open vSwitch of %s could not make %s: %s", m.name, i.name, orText(i.wrong, "it has no OpenFlow port"))
		hop.Do = "on " + m.name + ": journalctl -u ovs-vswitchd"
	case i.local != "" && i.local != "flow" && !slices.Contains(own, i.local):
		hop.What = fmt.Sprintf("%s of %s sends from %s, and the others expect %s", i.name, m.name, i.local, strings.Join(own, ", "))
		hop.Do = "look at local_ip of the tunnel on " + m.name
	case i.outletState == "down":
		hop.What = fmt.Sprintf("%s of %s leaves by %s, which has no carrier", i.name, m.name, i.outlet)
		hop.Do = "mend the underlay of " + m.name
	case i.bfdState != "" && i.bfdState != "up":
		hop.What = fmt.Sprintf("BFD between %s and %s is %s: %s", m.name, t.called(to), i.bfdState, i.bfd)
		hop.Why = "packets of the tunnel do not come over the underlay, one way or both"
		hop.Do = fmt.Sprintf("on %s: ping %s; look at links, VLANs and the firewall between (UDP 6081 of geneve, 3784 of BFD inside it)", m.name, i.remote)
	default:
		return i, false
	}
	t.dies(hop)
	return iface{}, true
}

// agree says whether what a host is told, a list with commas, is what the
// southbound database has of it.
func agree(told string, known []string) bool {
	list := strings.Split(told, ",")
	slices.Sort(list)
	return slices.Equal(slices.Compact(list), known)
}

// destination looks at where the packet comes out.
func (t *tracer) destination(stops []string) {
	last := stops[len(stops)-1]
	if t.to.port != nil && t.to.port.kind == "" {
		t.guest(t.to, last)
		if known := t.to.known(); t.to.on == t.on(last) && t.to.own() != known {
			t.dies(Hop{Where: "guest " + t.to.port.name, What: fmt.Sprintf("frames for %s come to it, and its MAC is %s", known, t.to.own()),
				Why: "the MAC of its logical port is not the one that was attached (attached-mac)",
				Do:  "give the guest the port's MAC, or the port the guest's: addresses and port_security of " + t.to.port.name})
		}
		return
	}
	out, leaves := t.logical.leaves()
	if !leaves {
		return
	}
	p := t.port(out.port)
	m := t.on(last)
	if out.kind != "localnet" || p == nil || m == nil {
		t.unknown("port "+out.port, "the packet leaves OVN here, and is not followed further")
		return
	}
	network := p.options["network_name"]
	hop := Hop{Where: fmt.Sprintf("network %s on %s", network, m.name)}
	bridge := m.mapped(network)
	switch {
	case bridge == "":
		hop.What = "no bridge is mapped to it"
		hop.Do = "name it in ovn-bridge-mappings of " + m.name
		t.dies(hop)
	case !slices.Contains(m.bridges, bridge):
		hop.What = "it is mapped to " + bridge + ", which is not there"
		hop.Do = "make the bridge " + bridge + " on " + m.name
		t.dies(hop)
	default:
		t.pass(hop.Where, "out by %s, where weft sees no further", bridge)
	}
}

// mapped is the bridge of a physical network, see ovn-bridge-mappings in
// ovn-controller(8).
func (m *machine) mapped(network string) string {
	for pair := range strings.SplitSeq(m.mappings, ",") {
		name, bridge, ok := strings.Cut(strings.TrimSpace(pair), ":")
		if ok && name == network {
			return bridge
		}
	}
	return ""
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
