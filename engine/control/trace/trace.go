package trace

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"weft/engine/wire"
)

// An Asker puts questions to hosts, by name, and returns their answers in the
// order of the questions. A host that was not reached is not among them.
type Asker interface {
	Ask(ctx context.Context, questions map[string][]wire.Ask) map[string][]wire.Answer
}

// Options say what is traced.
type Options struct {
	From, To string // a logical port, an address, a guest or HOST/GUEST
	Protocol string // icmp, udp or tcp
	Port     int    // the destination's, of udp and tcp
	Ping     bool   // send real packets too, from the namespace that From is
}

// State is how a hop stands to the packet.
type State string

// The states of a hop.
const (
	Passes  State = "passes"
	Dies    State = "dies"
	Unknown State = "unknown" // it could not be looked at
)

// A Hop is a place that the packet comes by, in order. Its texts have names that
// others chose: neutralise them.
type Hop struct {
	Where string `json:"where"` // "ls1 ingress", "tunnel h2 to h1"
	State State  `json:"state"`
	What  string `json:"what"` // what is there, or what happens to the packet
	Why   string `json:"why,omitempty"`
	Do    string `json:"do,omitempty"` // what the operator does next
	// Counted is what the ports at the hop have counted since they were made.
	Counted []Counted `json:"counted,omitempty"`

	ports []port
}

// Result is the way of a packet.
type Result struct {
	From    string `json:"from"` // what it is, with its addresses
	To      string `json:"to"`
	Packet  string `json:"packet"`
	Hops    []Hop  `json:"hops"`
	Arrives bool   `json:"arrives"`
	// Died is the first hop at which the packet dies; nil if it arrives.
	Died *Hop `json:"died,omitempty"`
}

// Run traces a packet over the hosts, named in the inventory's order. The error is
// of what was asked: names that mean nothing, a network that cannot be read.
func Run(ctx context.Context, hosts []string, asker Asker, o Options) (*Result, error) {
	questions := map[string][]wire.Ask{}
	for _, h := range hosts {
		questions[h] = asks()
	}
	n, err := surveyed(hosts, asker.Ask(ctx, questions))
	if err != nil {
		return nil, err
	}
	t := &tracer{network: n, asker: asker, options: o}
	if t.from, err = n.find(o.From); err != nil {
		return nil, err
	}
	if t.to, err = n.find(o.To); err != nil {
		return nil, err
	}
	if t.from.port == nil {
		return nil, fmt.Errorf("%s is no guest's address: a trace begins at a guest", o.From)
	}
	if t.to.port != nil && t.to.port.name == t.from.port.name {
		return nil, fmt.Errorf("%s and %s are the same port", o.From, o.To)
	}
	if err := choose(&t.from, &t.to); err != nil {
		return nil, err
	}
	t.packet = packet{from: t.from.ip, to: t.to.ip, mac: t.from.own(), protocol: o.Protocol, port: o.Port}
	if port := t.stranger(); port != "" {
		return nil, fmt.Errorf("%s may be behind the port %s of %s, and its Ethernet address is not known: a packet cannot be followed there", t.to.ip, port, t.from.port.sw)
	}
	t.walk(ctx)
	t.count(ctx)
	return t.result(), ctx.Err()
}

// tracer is a trace under way.
type tracer struct {
	*network
	asker    Asker
	options  Options
	from, to end
	packet   packet
	logical  logicalTrace
	flow     flowTrace
	hops     []Hop
}

// walk looks at the hops in the order in which they explain one another: where a
// guest is bound to no chassis, no flow leads there.
func (t *tracer) walk(ctx context.Context) {
	for _, u := range t.unread {
		t.unknown("host "+u.host, "it cannot be read: %s", oneLine(u.why))
	}
	t.source()
	if t.nextHop() {
		t.throughLogical(ctx)
	}
	if t.died() {
		return
	}
	stops := t.stops()
	if t.died() {
		return
	}
	t.through(ctx, stops)
	if t.options.Ping && !t.died() {
		t.ping(ctx, stops)
	}
}

func (t *tracer) pass(where, format string, a ...any) {
	t.hops = append(t.hops, Hop{Where: where, State: Passes, What: fmt.Sprintf(format, a...)})
}

// at notes the ports of the latest hop, whose counters are asked for at the end.
func (t *tracer) at(ports ...port) { t.hops[len(t.hops)-1].ports = ports }

// aside returns the hops that a look would add.
func (t *tracer) aside(look func()) []Hop {
	n := len(t.hops)
	look()
	added := slices.Clone(t.hops[n:])
	t.hops = t.hops[:n]
	return added
}

func (t *tracer) dies(h Hop) {
	h.State = Dies
	t.hops = append(t.hops, h)
}

func (t *tracer) unknown(where, format string, a ...any) {
	t.hops = append(t.hops, Hop{Where: where, State: Unknown, What: fmt.Sprintf(format, a...)})
}

func (t *tracer) died() bool { return slices.ContainsFunc(t.hops, Hop.dies) }

func (h Hop) dies() bool { return h.State == Dies }

// one puts one question to one host. A host that is not reached any more says so.
func (t *tracer) one(ctx context.Context, host string, q wire.Ask) wire.Answer {
	said := t.asker.Ask(ctx, map[string][]wire.Ask{host: {q}})[host]
	if len(said) != 1 {
		return wire.Answer{Error: host + " does not answer any more"}
	}
	return said[0]
}

// nextHop finds the Ethernet address that the guest sends to: the other guest's
// on the same switch, else the router's.
func (t *tracer) nextHop() bool {
	if t.to.port != nil && t.to.port.switchID == t.from.port.switchID {
		if mac, err := net.ParseMAC(t.to.known()); err == nil {
			t.packet.nextMAC = mac.String()
			return true
		}
		t.dies(Hop{Where: t.to.called(), What: "no Ethernet address is known of it",
			Do: "name its addresses in the northbound database, or attached-mac at its interface"})
		return false
	}
	return t.nextRouter()
}

// nextRouter finds the router's port on the guest's switch that guests of its
// network send to.
func (t *tracer) nextRouter() bool {
	sw := t.from.port.sw
	var routers []string
	for _, p := range t.ports {
		if p.switchID != t.from.port.switchID || p.kind != "router" {
			continue
		}
		for _, r := range t.routers {
			mac, err := net.ParseMAC(r.mac)
			if r.name != p.options["router-port"] || err != nil {
				continue
			}
			if network, ok := r.serves(t.packet.from); ok {
				if t.to.port == nil && t.to.router == "" && network.Contains(t.packet.to) {
					t.dies(Hop{Where: sw, What: fmt.Sprintf("no logical port has the address %s", t.packet.to),
						Why: fmt.Sprintf("it is in %s, the guest's own network, so that the guest asks for it on %s itself (ARP)", network.Masked(), sw),
						Do:  "look at the addresses of the ports of " + sw})
					return false
				}
				t.packet.nextMAC = mac.String()
				return true
			}
			routers = append(routers, r.name)
		}
	}
	h := Hop{Where: sw + " router", What: "no router's port joins " + sw,
		Why: fmt.Sprintf("%s is not on %s, and only a router leads to another network", t.to.called(), sw),
		Do:  "join " + sw + " to a router: ovn_router_port, and an ovn_switch_port of type router"}
	if len(routers) > 0 {
		h.What = fmt.Sprintf("no router's port has a network with %s", t.packet.from)
		h.Do = fmt.Sprintf("give %s an address in the network of the guests, or the guest one of its", strings.Join(routers, " or "))
	}
	t.dies(h)
	return false
}

// stranger is the port of the guest's own switch that the destination may be
// behind, where nothing else leads there: it is on a network that OVN does not know.
func (t *tracer) stranger() string {
	if t.to.port != nil || t.to.router != "" {
		return ""
	}
	physical := ""
	for _, p := range t.ports {
		if p.switchID != t.from.port.switchID {
			continue
		}
		switch p.kind {
		case "localnet", "l2gateway", "vtep":
			physical = p.name
		case "router":
			for _, r := range t.routers {
				network, ok := r.serves(t.packet.from)
				if r.name == p.options["router-port"] && ok && !network.Contains(t.packet.to) {
					return "" // by the router
				}
			}
		}
	}
	return physical
}

// serves is the port's address in the network of a guest.
func (r routerPort) serves(ip netip.Addr) (netip.Prefix, bool) {
	for _, network := range r.networks {
		if p, err := netip.ParsePrefix(network); err == nil && p.Contains(ip) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

func (t *tracer) result() *Result {
	r := &Result{Packet: t.packet.called(), Hops: t.hops, Arrives: true}
	r.From, r.To = t.from.described(), t.to.described()
	for i, h := range t.hops {
		if h.State == Dies {
			r.Arrives, r.Died = false, &t.hops[i]
			break
		}
	}
	return r
}

// described is the end with what was chosen of its addresses.
func (e end) described() string {
	if e.port == nil {
		if e.router != "" {
			return fmt.Sprintf("%s (router's port %s)", e.ip, e.router)
		}
		return e.ip.String() + " (outside)"
	}
	return fmt.Sprintf("%s (%s, %s)", e.port.name, e.ip, e.own())
}
