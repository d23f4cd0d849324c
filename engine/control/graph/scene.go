package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A scene is what is to be seen, before anybody says where. Texts are as hosts
// gave them.
type scene struct {
	title  string
	notes  []string
	detail Detail
	// routers and switches are OVN's. In a summary they have no rows.
	routers, switches []*box
	cards             []*card
	lines             []line   // between rows that are not of one card
	tunnels           []tunnel // those of no mesh
	meshes            []mesh
}

// A card is a host.
type card struct {
	id, name string
	text     []string // a line each
	wrong    []string
	lost     bool // nothing is known of it
	boxes    []*box
	lines    []line // between its rows
	meshes   []int  // it is part of
}

// A boxKind is what a box stands for.
type boxKind string

const (
	ovsBox    boxKind = "ovs"
	linuxBox  boxKind = "linux"
	linksBox  boxKind = "links" // NICs that are in nothing
	switchBox boxKind = "switch"
	routerBox boxKind = "router"
)

// A box is a bridge, or what else has ports.
type box struct {
	id, name string
	kind     boxKind
	text     string
	wrong    string
	rows     []*row
}

// A rowKind is what a row stands for.
type rowKind string

const (
	nicRow      rowKind = "nic"
	internalRow rowKind = "internal"
	bondRow     rowKind = "bond"
	patchRow    rowKind = "patch"
	tunnelRow   rowKind = "tunnel"
	guestRow    rowKind = "guest" // of a virtual machine, a container, a logical port
	moreRow     rowKind = "more"  // stands for several that are left out
)

// A row is a port, or a member of a bond.
type row struct {
	id, name string
	kind     rowKind
	text     string
	wrong    string
	member   bool // of the bond above
}

// A lineKind is what a line stands for.
type lineKind string

const (
	patchLine lineKind = "patch"
	vlanLine  lineKind = "vlan"
	routeLine lineKind = "route" // of a router port to a switch port
	boundLine lineKind = "bound" // of a logical port to the interface
)

// A line joins two rows.
type line struct {
	from, to string // ids
	kind     lineKind
}

// most is how many rows a box has before the rest is counted.
const most = 24

// compose makes a scene of a picture.
func compose(p Picture, d Detail) scene {
	s := scene{title: p.Title, notes: slices.Clone(p.Notes), detail: d}
	c := composer{scene: &s, ends: endsOf(p), bound: map[string][]place{}, chassis: map[string]int{}}
	for i, h := range p.Hosts {
		if h.Topology != nil && h.Topology.Chassis != nil {
			c.chassis[h.Topology.Chassis.Name] = i
		}
	}
	for i, h := range p.Hosts {
		s.cards = append(s.cards, c.card(i, h))
	}
	c.logical(p)
	s.meshes, s.tunnels = meshesOf(c.tunnels(p), d, s.cards)
	for m, mesh := range s.meshes {
		for _, at := range mesh.hosts {
			s.cards[at].meshes = append(s.cards[at].meshes, m)
		}
	}
	s.drop()
	return s
}

// outside are the addresses of tunnels that lead to no host of the picture.
func (s *scene) outside() []string {
	var all []string
	for _, t := range s.tunnels {
		if t.to < 0 && !slices.Contains(all, t.outside) {
			all = append(all, t.outside)
		}
	}
	return all
}

// end is the id of what a tunnel leads to.
func (s *scene) end(t tunnel) string {
	if t.to >= 0 {
		return s.cards[t.to].id
	}
	return fmt.Sprintf("outside%d", 1+slices.Index(s.outside(), t.outside))
}

// A composer makes the parts of a scene.
type composer struct {
	scene   *scene
	ends    ends
	bound   map[string][]place // interfaces by the logical port they are bound to
	chassis map[string]int     // cards by the names of their chassis
}

// A place is a row of a card.
type place struct {
	card int
	row  string
}

// drop takes out the lines whose ends are not drawn.
func (s *scene) drop() {
	drawn := map[string]bool{}
	boxes := slices.Concat(s.routers, s.switches)
	for _, c := range s.cards {
		boxes = append(boxes, c.boxes...)
	}
	for _, b := range boxes {
		for _, r := range b.rows {
			drawn[r.id] = true
		}
	}
	gone := func(l line) bool { return !drawn[l.from] || !drawn[l.to] }
	s.lines = slices.DeleteFunc(s.lines, gone)
	for _, c := range s.cards {
		c.lines = slices.DeleteFunc(c.lines, gone)
	}
}

// limited cuts a box to a readable length. What is wrong stays.
func limited(b *box, d Detail) {
	if d == Summary {
		b.rows = nil
		return
	}
	if len(b.rows) <= most {
		return
	}
	kept, out := []*row{}, map[rowKind]int{}
	for i, r := range b.rows {
		if r.wrong != "" || len(kept) < most-4 && i < most {
			kept = append(kept, r)
			continue
		}
		out[r.kind]++
	}
	for _, kind := range slices.Sorted(maps.Keys(out)) {
		kept = append(kept, &row{id: b.id + string(kind), kind: moreRow, name: fmt.Sprintf("+ %d more", out[kind]), text: string(kind)})
	}
	b.rows = kept
}

// ranges writes numbers as VLAN lists are written: 11, 300-304.
func ranges(numbers []int) string {
	sorted := slices.Compact(slices.Sorted(slices.Values(numbers)))
	var parts []string
	for i := 0; i < len(sorted); {
		j := i
		for j+1 < len(sorted) && sorted[j+1] == sorted[j]+1 {
			j++
		}
		part := fmt.Sprint(sorted[i])
		if j > i {
			part = fmt.Sprintf("%d-%d", sorted[i], sorted[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

// words joins what is not empty.
func words(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), " · ")
}
