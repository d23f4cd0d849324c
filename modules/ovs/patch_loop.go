package ovs

import (
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
)

// A hop is a pair of patch ports on the way from bridge to bridge.
type hop struct {
	port, peer, bridge string
}

// hops are the ways out of each bridge by patch ports whose peers name them in
// return.
func (t tables) hops() map[string][]hop {
	out, bridges := map[string][]hop{}, map[string]string{} // by name of the interface
	for _, b := range t.bridges {
		for _, i := range t.interfacesOf(b) {
			bridges[row.String(i, "name")] = row.String(b, "name")
		}
	}
	peers := map[string]string{}
	for _, i := range t.interfaces {
		if row.String(i, "type") == "patch" {
			peers[row.String(i, "name")] = row.Map(i, "options")["peer"]
		}
	}
	for _, port := range slices.Sorted(maps.Keys(peers)) {
		if peer := peers[port]; peers[peer] == port {
			out[bridges[port]] = append(out[bridges[port]], hop{port, peer, bridges[peer]})
		}
	}
	return out
}

// longestSearch bounds the search for a way: a host has a handful of bridges, but
// nothing keeps others from joining each with each.
const longestSearch = 10000

// loop describes the way by which two bridges are joined already, without the
// ports of the pair, where a bridge on it speaks no spanning tree protocol; empty
// where there is none.
func (t tables) loop(near, far PatchEnd) string {
	hops, left := t.hops(), longestSearch
	var walk func(way []hop) []hop
	walk = func(way []hop) []hop {
		left--
		here := way[len(way)-1].bridge
		if here == far.Bridge {
			if slices.ContainsFunc(way, func(h hop) bool { return !t.spans(h.bridge) }) {
				return way
			}
			return nil
		}
		for _, next := range hops[here] {
			ours := slices.Contains([]string{near.Port, far.Port}, next.port) || slices.Contains([]string{near.Port, far.Port}, next.peer)
			seen := slices.ContainsFunc(way, func(h hop) bool { return h.bridge == next.bridge })
			if ours || seen || left <= 0 {
				continue
			}
			if found := walk(append(slices.Clone(way), next)); found != nil {
				return found
			}
		}
		return nil
	}
	way := walk([]hop{{bridge: near.Bridge}})
	var b strings.Builder
	for i, h := range way {
		if i > 0 {
			b.WriteString(" - " + h.port + "/" + h.peer + " - ")
		}
		b.WriteString(h.bridge)
	}
	return b.String()
}

// joins says whether the pair is there.
func (t tables) joins(pair PatchSpec) bool {
	return slices.ContainsFunc(t.hops()[pair.Near.Bridge], func(h hop) bool {
		return h == hop{pair.Near.Port, pair.Far.Port, pair.Far.Bridge}
	})
}

// rapid says whether a bridge speaks RSTP. Two such bridges must not be joined:
// ovs-vswitchd sends a frame of RSTP while it holds the lock of that protocol (lib/rstp.c),
// a patch port hands it to the other bridge at once, and that one asks for the lock
// again. Seen to abort with 3.1.0; the lock of STP may be taken twice.
func (t tables) rapid(bridge string) bool {
	b, _ := named(t.bridges, bridge)
	return isOn(b, "rstp_enable")
}

// rapidNeighbour names a bridge with RSTP that patch ports join to one.
func (t tables) rapidNeighbour(bridge string) string {
	for _, h := range t.hops()[bridge] {
		if t.rapid(h.bridge) {
			return h.bridge
		}
	}
	return ""
}

// spans says whether a bridge speaks a spanning tree protocol.
func (t tables) spans(bridge string) bool {
	b, _ := named(t.bridges, bridge)
	return isOn(b, "stp_enable") || isOn(b, "rstp_enable")
}

func isOn(r ovsdb.Row, column string) bool {
	on, _ := row.Bool(r, column)
	return on
}
