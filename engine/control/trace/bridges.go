package trace

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"weft/engine/wire"
)

// through follows the packet through the OpenFlow of each chassis, and the tunnels
// between. What explains why flows do not lead on is looked at before them: a tunnel
// that is not there, a guest's port that is down.
func (t *tracer) through(ctx context.Context, stops []string) {
	flow := ""
	if m := t.on(stops[0]); m != nil {
		if i, ok := t.plugged(t.from.port.name)[m]; ok {
			flow = t.packet.frame().openFlow(i.number)
		}
	}
	for i := range stops {
		after := t.aside(func() {
			if i+1 < len(stops) {
				t.tunnel(stops[i], stops[i+1])
			} else {
				t.destination(stops)
			}
		})
		if flow != "" && !slices.ContainsFunc(after, Hop.dies) {
			flow = t.openFlow(ctx, stops, i, flow)
		}
		if !t.died() {
			t.hops = append(t.hops, after...)
		}
		if flow != "" && !t.died() && i+1 < len(stops) {
			flow = t.outOfTunnel(ctx, stops[i], stops[i+1])
		}
		if t.died() {
			return
		}
	}
}

// openFlow asks Open vSwitch of a chassis on the way what it does with a flow. It
// returns "" where that is not known.
func (t *tracer) openFlow(ctx context.Context, stops []string, at int, flow string) string {
	m := t.on(stops[at])
	if m == nil || t.died() {
		return ""
	}
	hop := Hop{Where: m.bridge + " on " + m.name}
	if said := t.flows(ctx, m, flow); said.Absent {
		hop.What = "ovs-vswitchd does not run there"
		hop.Do = "on " + m.name + ": journalctl -u ovs-vswitchd"
		t.dies(hop)
		return ""
	} else if said.Error != "" {
		t.unknown(hop.Where, "%s cannot say: %s", m.name, oneLine(said.Error))
		return ""
	}
	next := ""
	if at+1 < len(stops) {
		next = stops[at+1]
	}
	switch encaps := t.chassis[next].encaps; {
	case t.flow.unresolved() && next != "":
		hop.Where = fmt.Sprintf("tunnel %s to %s", m.name, t.called(next))
		hop.What = strings.Join(t.flow.remarks, "; ")
		hop.Why = "the other end of the tunnel does not answer on the underlay"
		hop.Do = fmt.Sprintf("on %s: ping %s; look at links and VLANs between", m.name, strings.Join(encaps, ", "))
		t.dies(hop)
	case t.flow.dropped():
		t.dies(t.dropped(m, at, hop))
	case next == "":
		t.comesOut(m, hop)
	case !t.flow.leadsTo(encaps):
		hop.What = fmt.Sprintf("it goes to %s, and not to %s (%s)", t.flow.whither(), t.called(next), strings.Join(encaps, ", "))
		hop.Why = "the flows of " + m.name + " do not know yet where the port is bound, or the datapath hides it"
		hop.Do = "on " + m.name + ": systemctl status ovn-controller"
		t.dies(hop)
	default:
		what := "into the tunnel to " + t.flow.whither()
		if c, ok := t.flow.into(encaps); ok {
			what += ", " + c.called()
		}
		t.pass(hop.Where, "%s", what)
	}
	return flow
}

// dropped is the hop where the flows of a chassis drop what logical flows let pass.
func (t *tracer) dropped(m *machine, at int, hop Hop) Hop {
	hop.What = "the OpenFlow flows drop it at: " + t.flow.last
	hop.Why = "the logical flows let it pass: those of the chassis are older, or not all there"
	hop.Do = "on " + m.name + ": systemctl status ovn-controller; is it connected, and its tunnels made?"
	if at > 0 {
		hop.What = "the OpenFlow flows drop what comes out of the tunnel at: " + t.flow.last
		hop.Do = "on " + m.name + ": systemctl status ovn-controller; is it connected? Flows that another hand took away come back as it is restarted"
	}
	return hop
}

// comesOut looks at where the packet comes out of the last chassis.
func (t *tracer) comesOut(m *machine, hop Hop) {
	var guest iface
	known := false
	if t.to.port != nil && t.to.port.kind == "" {
		guest, known = t.plugged(t.to.port.name)[m]
	}
	switch {
	case len(t.flow.remotes) > 0 && t.to.router != "":
		t.pass(hop.Where, "the answer goes into the tunnel to %s", t.flow.whither())
	case !known && len(t.flow.outputs) == 0:
		t.pass(hop.Where, "stays on %s", m.name)
	case !known:
		t.pass(hop.Where, "out of %s", m.outlets(t.flow))
	case slices.Contains(t.flow.outputs, outlet{m.bridge, guest.number}):
		t.pass(hop.Where, "out of %s", guest.name)
	default:
		hop.What = fmt.Sprintf("it comes out of %s, and not of %s", m.outlets(t.flow), guest.name)
		hop.Why = "the flows of " + m.name + " do not know where the guest is plugged in, or take it for another"
		hop.Do = "on " + m.name + ": systemctl status ovn-controller; ovs-vsctl find interface external_ids:iface-id=" + argument(t.to.port.name)
		t.dies(hop)
	}
}

// outlets are the ports of the integration bridge that a packet comes out of, by the
// names of their interfaces.
func (m *machine) outlets(flow flowTrace) string {
	var names []string
	for _, o := range flow.outputs {
		if o.bridge != m.bridge {
			continue
		}
		name := fmt.Sprintf("port %d", o.port)
		for _, i := range m.ifaces {
			if i.bridge == o.bridge && i.number == o.port {
				name = i.name
			}
		}
		names = append(names, name)
	}
	return orText(strings.Join(names, ", "), "no port of "+m.bridge)
}

// outOfTunnel is the flow that comes out of a tunnel, of what its other end was seen
// to put in; "" where that could not be seen.
func (t *tracer) outOfTunnel(ctx context.Context, from, to string) string {
	a, b := t.on(from), t.on(to)
	if a == nil || b == nil {
		return ""
	}
	c, ok := t.flow.into(t.chassis[to].encaps)
	if !ok || !c.frame.valid() {
		t.unknown(b.bridge+" on "+b.name, "what comes out of the tunnel cannot be made of what Open vSwitch of %s says", a.name)
		return ""
	}
	in := t.tunnelTo(b, from)
	if c.source.IsValid() && c.source.String() != in.remote {
		at := slices.IndexFunc(b.ifaces, func(i iface) bool { return i.bridge == b.bridge && i.remote == c.source.String() })
		if at < 0 {
			t.dies(Hop{Where: fmt.Sprintf("tunnel %s to %s", a.name, b.name),
				What: fmt.Sprintf("%s sends from %s, and no tunnel of %s is to that address", a.name, c.source, b.name),
				Why:  "Open vSwitch takes in a tunnel's packets from its remote_ip alone",
				Do:   fmt.Sprintf("look at the addresses and routes of %s to %s: ip route get %s", a.name, c.remote, c.remote)})
			return ""
		}
		in = b.ifaces[at]
	}
	t.underlay(ctx, a, b, c, in)
	return c.openFlow(in.number)
}

// flows has Open vSwitch trace a flow. A tunnel's other end that is not known is asked
// for by that (ARP), and given a moment to answer.
func (t *tracer) flows(ctx context.Context, m *machine, flow string) wire.Answer {
	for try := range 5 {
		said := t.one(ctx, m.name, wire.Ask{Daemon: &wire.DaemonCall{
			Daemon: "ovs-vswitchd", Command: "ofproto/trace", Args: []string{m.bridge, flow},
		}})
		if said.Error != "" {
			return said
		}
		if t.flow = readFlowTrace(said.Text); !t.flow.unresolved() || try == 4 {
			break
		}
		select {
		case <-ctx.Done():
			return wire.Answer{Error: ctx.Err().Error()}
		case <-time.After(200 * time.Millisecond):
		}
	}
	return wire.Answer{}
}
