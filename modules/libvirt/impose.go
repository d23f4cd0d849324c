package libvirt

import (
	"slices"
	"strings"

	"weft/engine/host/xmltree"
)

// impose gives a definition the values of parts, whose paths are those of want.
// What parts has no value for is taken away; what want does not name stays.
func impose(base, want *xmltree.Node, p parts) { imposeAt(base, want, "", p) }

// imposeAt does it for one element, and says whether any part of it has a value.
func imposeAt(base, want *xmltree.Node, at string, p parts) (there bool) {
	for _, leaf := range leaves(want) {
		v, set := p[at+leaf].Get()
		there = there || set
		write(base, want, leaf, v, set)
	}
	counted := map[string]int{}
	for _, c := range want.Children {
		path := join(at, segment(c, counted))
		old := counterpart(base, c, counted)
		if opaque(want, c) {
			v, set := p[path].Get()
			there = there || set
			replace(base, old, v, set)
			continue
		}
		n, wasBare := old, old != nil && bare(old)
		if n == nil {
			n = &xmltree.Node{Name: c.Name}
		}
		switch some := imposeAt(n, c, path, p); {
		case some && old == nil:
			insert(base, n)
			there = true
		case some:
			there = true
		case old != nil && (key(c) != "" || bare(c) || !wasBare && bare(old)):
			base.Remove(old)
		}
	}
	return there
}

func bare(n *xmltree.Node) bool { return len(n.Attrs)+len(n.Children) == 0 && n.Text == "" }

// write sets a leaf, or takes it away.
func write(base, want *xmltree.Node, leaf, v string, set bool) {
	if sized(want, leaf) {
		if number, kib := strings.CutSuffix(v, " KiB"); kib {
			base.Set("unit", "KiB")
			v = number
		}
	}
	switch {
	case leaf == "":
		base.Text = v
	case set:
		base.Set(leaf[1:], v)
	default:
		base.Drop(leaf[1:])
	}
}

// replace puts the element that v is the text of in the place of another.
func replace(base, old *xmltree.Node, v string, set bool) {
	switch n, err := xmltree.Parse(v); {
	case set && err == nil && old != nil:
		*old = *n
	case set && err == nil:
		base.Add(n)
	case !set && old != nil:
		base.Remove(old)
	}
}

// insert adds a child behind those of its name.
func insert(base, n *xmltree.Node) {
	at := len(base.Children)
	for i, c := range base.Children {
		if c.Name == n.Name {
			at = i + 1
		}
	}
	base.Children = slices.Insert(base.Children, at, n)
	base.Text = ""
}
