package trace

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"weft/engine/host"
	"weft/engine/wire"
)

// pings is how many packets are sent: enough to tell them from others that pass
// by the same ports, mostly.
const pings = 5

// counts are what ports of the integration bridge have counted, by their names.
type counts map[string]struct{ rx, tx int }

var portCounts = regexp.MustCompile(`(?s)port +"?([^\s":]+)"?: rx pkts=([0-9]+),.*?tx pkts=([0-9]+),`)

// readCounts reads what ovs-ofctl(8) dump-ports says.
func readCounts(text string) counts {
	c := counts{}
	for _, m := range portCounts.FindAllStringSubmatch(text, -1) {
		rx, err := strconv.Atoi(m[2])
		tx, err2 := strconv.Atoi(m[3])
		if err == nil && err2 == nil {
			c[m[1]] = struct{ rx, tx int }{rx, tx}
		}
	}
	return c
}

// ping sends packets from the guest, where that is a namespace, and says how far
// they came by what the ports on the way counted meanwhile.
func (t *tracer) ping(ctx context.Context, stops []string) {
	source := t.on(stops[0])
	if source == nil {
		t.unknown("ping", "%s is no host that answered", t.called(stops[0]))
		return
	}
	before := t.counted(ctx, stops)
	said := t.one(ctx, source.name, wire.Ask{Ping: &host.Ping{
		Namespace: t.from.iface.name, Target: t.packet.to, Source: t.packet.from,
		Count: pings, Interval: 200 * time.Millisecond, Wait: 2 * time.Second,
	}})
	if said.Error != "" || said.Ping == nil {
		t.unknown("ping", "none was sent: %s", oneLine(said.Error))
		return
	}
	after := t.counted(ctx, stops)
	r := said.Ping
	if r.Received > 0 {
		t.pass("ping", "%d of %d answered, %s", r.Received, r.Sent, r.Average.Round(10*time.Microsecond))
		return
	}
	hop := Hop{Where: "ping", What: fmt.Sprintf("none of %d answered", r.Sent), Why: r.Refused}
	t.blame(stops, before, after, &hop)
	t.dies(hop)
}

// counted asks the hosts on the way for what their ports counted.
func (t *tracer) counted(ctx context.Context, stops []string) map[string]counts {
	questions := map[string][]wire.Ask{}
	for _, s := range stops {
		if m := t.on(s); m != nil {
			questions[m.name] = []wire.Ask{{Query: []string{"ovs-ofctl", "-OOpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15", "dump-ports", m.bridge}}}
		}
	}
	all := map[string]counts{}
	for name, said := range t.asker.Ask(ctx, questions) {
		all[name] = readCounts(said[0].Text)
	}
	return all
}

// blame finds the first port on the way that did not count the packets.
func (t *tracer) blame(stops []string, before, after map[string]counts, hop *Hop) {
	type place struct{ where, what, do string }
	grew := func(m *machine, port string) (rx, tx bool, known bool) {
		b, ok := before[m.name][port]
		a, ok2 := after[m.name][port]
		return a.rx-b.rx >= pings, a.tx-b.tx >= pings, ok && ok2
	}
	found := func(p place) { hop.Where, hop.What, hop.Do = p.where, hop.What+"; "+p.what, p.do }
	first := t.on(stops[0])
	if rx, _, known := grew(first, t.from.iface.name); known && !rx {
		found(place{"port " + t.from.port.name + " on " + first.name, "the guest sent nothing by it",
			"look at the guest: its address, its route, whether it finds its neighbour by ARP"})
		return
	}
	for i := 1; i < len(stops); i++ {
		a, b := t.on(stops[i-1]), t.on(stops[i])
		if b == nil {
			return
		}
		out, back := t.tunnelTo(a, stops[i]), t.tunnelTo(b, stops[i-1])
		_, sent, known := grew(a, out)
		came, _, known2 := grew(b, back)
		where := fmt.Sprintf("tunnel %s to %s", a.name, b.name)
		switch {
		case known && !sent:
			found(place{where, a.name + " put nothing into " + out, "on " + a.name + ": is ovn-controller at work, and do its flows lead there?"})
			return
		case known && known2 && !came:
			found(place{where, fmt.Sprintf("%s put them into %s, and %s saw none come", a.name, out, b.name),
				"look at the underlay between: links, VLANs, MTU, the firewall (UDP 6081 of geneve)"})
			return
		}
	}
	m := t.on(stops[len(stops)-1])
	if t.to.port == nil || t.to.on == nil || m == nil {
		return
	}
	if rx, tx, known := grew(m, t.to.iface.name); known && tx {
		p := place{"guest " + t.to.port.name, "they were handed to it, and it answered nothing", "look at the guest: its address, its firewall, whether it runs"}
		if rx {
			p = place{"way back from " + t.to.port.name, "it answered, and the answers do not come",
				fmt.Sprintf("weft trace %s %s", t.to.port.name, t.from.port.name)}
		}
		found(p)
	}
}

// tunnelTo is the name of a host's tunnel to a chassis.
func (t *tracer) tunnelTo(m *machine, chassis string) string {
	for _, i := range m.ifaces {
		for _, ip := range t.chassis[chassis].encaps {
			if i.remote == ip && i.bridge == m.bridge {
				return i.name
			}
		}
	}
	return ""
}
