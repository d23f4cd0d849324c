package graph

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"weft/engine/host/topology"
)

// A tunnel joins two hosts, or a host and an address that is none's.
type tunnel struct {
	kind, key string
	from, to  int    // of the cards; to is -1 for an address outside
	outside   string // that address
	wrong     string
}

// name is what is written at the tunnel.
func (t tunnel) name() string { return words(t.kind, keyText(t.key)) }

// ends tells whose an address is.
type ends struct {
	names []string
	// owners are hosts by their addresses, -1 where several have it. Those
	// that are said to be ends of tunnels count before all others.
	tunnels, others map[netip.Addr]int
}

func endsOf(p Picture) ends {
	e := ends{tunnels: map[netip.Addr]int{}, others: map[netip.Addr]int{}}
	own := func(owners map[netip.Addr]int, text string, at int) {
		a, err := addressOf(text)
		if err != nil {
			return
		}
		if other, taken := owners[a]; taken && other != at {
			at = -1
		}
		owners[a] = at
	}
	for at, h := range p.Hosts {
		e.names = append(e.names, h.Name)
		own(e.others, h.Address, at)
		if h.Topology == nil {
			continue
		}
		if c := h.Topology.Chassis; c != nil {
			for _, ip := range c.EncapIPs {
				own(e.tunnels, ip, at)
			}
		}
		for i := range interfaces(h.Topology) {
			own(e.tunnels, i.Local, at)
		}
		for _, l := range h.Topology.Links {
			for _, a := range l.Addresses {
				own(e.others, a, at)
			}
		}
	}
	return e
}

// addressOf reads an address that may have a prefix length.
func addressOf(text string) (netip.Addr, error) {
	text, _, _ = strings.Cut(text, "/")
	a, err := netip.ParseAddr(text)
	return a.Unmap(), err
}

func (e ends) host(address string) (int, bool) {
	a, err := addressOf(address)
	if err != nil {
		return 0, false
	}
	for _, owners := range []map[netip.Addr]int{e.tunnels, e.others} {
		if at, ok := owners[a]; ok {
			return at, at >= 0
		}
	}
	return 0, false
}

// interfaces yields the interfaces of all bridges.
func interfaces(t *topology.Topology) func(func(topology.Interface) bool) {
	return func(yield func(topology.Interface) bool) {
		for _, b := range t.Bridges {
			for _, p := range b.Ports {
				for _, i := range p.Interfaces {
					if !yield(i) {
						return
					}
				}
			}
		}
	}
}

// tunnels finds the tunnels between the hosts of a picture, each once, with
// those that have but one end.
func (c *composer) tunnels(p Picture) []tunnel {
	type id struct {
		kind, key string
		from, to  int
	}
	found := map[id]*tunnel{}
	ends := map[id]map[int]bool{}
	var all []*tunnel
	for at, h := range p.Hosts {
		if h.Topology == nil {
			continue
		}
		for i := range interfaces(h.Topology) {
			if !topology.Tunnel(i.Type) || i.Remote == "" || i.Remote == "flow" {
				continue
			}
			t := tunnel{kind: i.Type, key: strings.TrimSpace(i.Key), from: at, to: -1, wrong: i.Wrong}
			to, known := c.ends.host(i.Remote)
			if !known || to == at {
				t.outside = i.Remote
				all = append(all, &t)
				continue
			}
			t.from, t.to = min(at, to), max(at, to)
			key := id{t.kind, t.key, t.from, t.to}
			if found[key] == nil {
				found[key], ends[key] = &t, map[int]bool{}
				all = append(all, &t)
			}
			ends[key][at] = true
			found[key].wrong = cmp.Or(found[key].wrong, t.wrong)
		}
	}
	for key, t := range found {
		for at, other := range map[int]int{key.from: key.to, key.to: key.from} {
			if !ends[key][at] && p.Hosts[at].Topology != nil && t.wrong == "" {
				t.wrong = fmt.Sprintf("%s has no way back to %s", p.Hosts[at].Name, p.Hosts[other].Name)
			}
		}
	}
	out := make([]tunnel, len(all))
	for i, t := range all {
		out[i] = *t
	}
	slices.SortFunc(out, func(a, b tunnel) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.outside, b.outside),
			cmp.Compare(a.kind, b.kind), cmp.Compare(a.key, b.key), cmp.Compare(a.wrong, b.wrong))
	})
	return out
}
