package graph

import (
	"slices"
	"strings"

	"weft/engine/host/topology"
)

// loops names the bridges that patch ports join to rings in which frames would
// run for ever: one of them speaks no spanning tree, and none has flows of a
// controller that may break the ring, as br-int of OVN has.
func loops(t *topology.Topology) []string {
	at := map[string]string{} // bridges by their patch ports
	open, ruled := map[string]bool{}, map[string]bool{}
	for _, b := range t.Bridges {
		open[b.Name], ruled[b.Name] = b.Spanning == "", b.FailMode != "" || len(b.Controllers) > 0
		for _, p := range b.Ports {
			for _, i := range p.Interfaces {
				if i.Type == "patch" {
					at[i.Name] = b.Name
				}
			}
		}
	}
	tree := map[string][]string{} // neighbours by bridge, without rings
	var found []string
	for _, b := range t.Bridges {
		for _, p := range b.Ports {
			for _, i := range p.Interfaces {
				far, paired := at[i.Peer]
				if i.Type != "patch" || !paired || i.Name > i.Peer || i.Wrong != "" {
					continue // each pair once
				}
				ring := way(tree, b.Name, far, nil)
				if ring == nil {
					tree[b.Name], tree[far] = append(tree[b.Name], far), append(tree[far], b.Name)
					continue
				}
				among := func(set map[string]bool) bool {
					return slices.ContainsFunc(ring, func(bridge string) bool { return set[bridge] })
				}
				if among(open) && !among(ruled) {
					slices.Sort(ring)
					found = append(found, "patch ports make a loop of "+strings.Join(ring, ", ")+", which not all speak a spanning tree")
				}
			}
		}
	}
	return found
}

// way is the bridges from one to another, both included; nil where none leads
// there.
func way(tree map[string][]string, from, to string, seen []string) []string {
	seen = append(slices.Clone(seen), from)
	if from == to {
		return seen
	}
	for _, next := range tree[from] {
		if slices.Contains(seen, next) {
			continue
		}
		if found := way(tree, next, to, seen); found != nil {
			return found
		}
	}
	return nil
}
