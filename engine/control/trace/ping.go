package trace

import (
	"context"
	"fmt"
	"slices"
	"time"

	"weft/engine/host"
	"weft/engine/wire"
)

// pings is how many packets are sent: more than BFD sends meanwhile, and a guest of
// its own.
const pings = 10

// ping sends packets from the guest, where that is a namespace, and says how far
// they came by what the ports on the way counted meanwhile.
func (t *tracer) ping(ctx context.Context, stops []string) {
	source := t.on(stops[0])
	if source == nil {
		t.unknown("ping", "%s is no host that answered", t.called(stops[0]))
		return
	}
	var hosts []*machine
	for _, s := range stops {
		if m := t.on(s); m != nil {
			hosts = append(hosts, m)
		}
	}
	before := t.counted(ctx, hosts)
	said := t.one(ctx, source.name, wire.Ask{Ping: &host.Ping{
		Namespace: t.from.iface.name, Target: t.packet.to, Source: t.packet.from,
		Count: pings, Interval: 100 * time.Millisecond, Wait: 2 * time.Second,
	}})
	if said.Error != "" || said.Ping == nil {
		t.unknown("ping", "none was sent: %s", oneLine(said.Error))
		return
	}
	after := t.counted(ctx, hosts)
	r := said.Ping
	if r.Received > 0 {
		t.pass("ping", "%d of %d answered, %s", r.Received, r.Sent, r.Average.Round(10*time.Microsecond))
		return
	}
	hop := Hop{Where: "ping", What: fmt.Sprintf("none of %d answered", r.Sent), Why: r.Refused}
	t.blame(stops, before, after, &hop)
	t.dies(hop)
}

// blame finds the first port on the way that did not count the packets.
func (t *tracer) blame(stops []string, before, after map[string]counts, hop *Hop) {
	found := func(where, what, do string) { hop.Where, hop.What, hop.Do = where, hop.What+"; "+what, do }
	count := func(m *machine, i iface) growth {
		b, known := before[m.name][i.number]
		a, still := after[m.name][i.number]
		return growth{in: a.rx-b.rx >= pings, out: a.tx-b.tx >= pings, known: known && still}
	}
	first := t.on(stops[0])
	if g := count(first, t.from.iface); g.known && !g.in {
		found("port "+t.from.port.name+" on "+first.name, "the guest sent nothing by it",
			"look at the guest: its address, its route, whether it finds its neighbour by ARP")
		return
	}
	for i := 1; i < len(stops); i++ {
		a, b := t.on(stops[i-1]), t.on(stops[i])
		if a == nil || b == nil {
			return
		}
		out, back := t.tunnelTo(a, stops[i]), t.tunnelTo(b, stops[i-1])
		sent, came := count(a, out), count(b, back)
		where := fmt.Sprintf("tunnel %s to %s", a.name, b.name)
		switch {
		case sent.known && !sent.out:
			found(where, a.name+" put none into "+out.name, "on "+a.name+": is ovn-controller at work, and do its flows lead there?")
			return
		case sent.known && came.known && !came.in:
			found(where, fmt.Sprintf("%s put them into %s, and %s saw none come", a.name, out.name, b.name),
				"look at the underlay between: links, VLANs, MTU, the firewall (UDP 6081 of geneve)")
			return
		}
	}
	last := t.on(stops[len(stops)-1])
	if t.to.port == nil || last == nil || t.to.on != last {
		return
	}
	switch g := count(last, t.to.iface); {
	case g.known && !g.out:
		found(last.bridge+" on "+last.name, "the guest "+t.to.port.name+" was handed none", "on "+last.name+": systemctl status ovn-controller")
	case g.known && !g.in:
		found("guest "+t.to.port.name, "they were handed to it, and it answered none", "look at the guest: its address, its firewall, whether it runs")
	case g.known:
		found("way back from "+t.to.port.name, "it answered, and the answers do not come", "trace the way back: weft trace "+argument(t.to.port.name)+" "+argument(t.from.port.name))
	}
}

// growth says whether a port counted the packets.
type growth struct{ in, out, known bool }

// tunnelTo is a host's tunnel to a chassis.
func (t *tracer) tunnelTo(m *machine, chassis string) iface {
	for _, i := range m.ifaces {
		if i.bridge == m.bridge && slices.Contains(t.chassis[chassis].encaps, i.remote) {
			return i
		}
	}
	return iface{}
}
