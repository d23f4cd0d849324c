package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A mesh is hosts that have tunnels with one another, nearly all with all.
type mesh struct {
	name  string
	hosts []int // of the cards, in order
	pairs int   // that there are
	wrong []string
}

// text counts a mesh.
func (m mesh) text() string {
	n := len(m.hosts)
	if whole := n * (n - 1) / 2; m.pairs < whole {
		return fmt.Sprintf("%s, %d of %d tunnels", plural(n, "host"), m.pairs, whole)
	}
	return fmt.Sprintf("%s, all with all: %s", plural(n, "host"), plural(m.pairs, "tunnel"))
}

// meshesOf takes meshes out of tunnels. A few tunnels are drawn as they are.
func meshesOf(all []tunnel, d Detail, cards []*card) ([]mesh, []tunnel) {
	least := 5
	if d == Summary {
		least = 3
	}
	byName := map[string][]tunnel{}
	var names []string
	var rest []tunnel
	for _, t := range all {
		if t.to < 0 {
			rest = append(rest, t)
			continue
		}
		if byName[t.name()] == nil {
			names = append(names, t.name())
		}
		byName[t.name()] = append(byName[t.name()], t)
	}
	slices.Sort(names)
	var found []mesh
	for _, name := range names {
		for _, part := range components(byName[name]) {
			m, ok := meshOf(name, part, cards, least)
			if !ok {
				rest = append(rest, part...)
				continue
			}
			found = append(found, m)
		}
	}
	return found, rest
}

// meshOf is a mesh where at least two of three pairs are there.
func meshOf(name string, tunnels []tunnel, cards []*card, least int) (mesh, bool) {
	m := mesh{name: name, pairs: len(tunnels)}
	there := map[[2]int]bool{}
	for _, t := range tunnels {
		m.hosts = append(m.hosts, t.from, t.to)
		there[[2]int{t.from, t.to}] = true
		if t.wrong != "" {
			m.wrong = append(m.wrong, fmt.Sprintf("%s - %s: %s", cards[t.from].name, cards[t.to].name, t.wrong))
		}
	}
	slices.Sort(m.hosts)
	m.hosts = slices.Compact(m.hosts)
	n := len(m.hosts)
	if n < least || 3*len(tunnels) < n*(n-1) {
		return mesh{}, false
	}
	for i, a := range m.hosts {
		for _, b := range m.hosts[i+1:] {
			if !there[[2]int{a, b}] {
				m.wrong = append(m.wrong, fmt.Sprintf("%s - %s: no tunnel", cards[a].name, cards[b].name))
			}
		}
	}
	m.wrong = shortened(m.wrong)
	return m, true
}

// components parts tunnels into groups that share no host.
func components(tunnels []tunnel) [][]tunnel {
	group := map[int]int{}
	var root func(int) int
	root = func(at int) int {
		if up, ok := group[at]; ok && up != at {
			return root(up)
		}
		return at
	}
	for _, t := range tunnels {
		a, b := root(t.from), root(t.to)
		group[max(a, b)] = min(a, b)
	}
	parts := map[int][]tunnel{}
	var order []int
	for _, t := range tunnels {
		r := root(t.from)
		if parts[r] == nil {
			order = append(order, r)
		}
		parts[r] = append(parts[r], t)
	}
	slices.Sort(order)
	var out [][]tunnel
	for _, r := range order {
		out = append(out, parts[r])
	}
	return out
}

// told is how many lines tunnels are told in at most.
const told = 12

// tellTunnels puts tunnels into words, for pictures in which lines would be too
// many: again and again the end that most of them share, with all its others.
func tellTunnels(tunnels []tunnel, cards []*card) (texts, wrong []string) {
	ends := func(t tunnel) [2]string {
		if t.to < 0 {
			return [2]string{cards[t.from].name, t.outside}
		}
		return [2]string{cards[t.from].name, cards[t.to].name}
	}
	byName := map[string][][2]string{}
	for _, t := range tunnels {
		e := ends(t)
		byName[t.name()] = append(byName[t.name()], e)
		if t.wrong != "" {
			wrong = append(wrong, fmt.Sprintf("%s %s - %s: %s", t.name(), e[0], e[1], t.wrong))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		for left := byName[name]; len(left) > 0; {
			hub := busiest(left)
			var others []string
			left = slices.DeleteFunc(left, func(e [2]string) bool {
				switch hub {
				case e[0]:
					others = append(others, e[1])
				case e[1]:
					others = append(others, e[0])
				default:
					return false
				}
				return true
			})
			texts = append(texts, fmt.Sprintf("%s: %s - %s", name, hub, several(others)))
		}
	}
	return shortened(texts), shortened(wrong)
}

// busiest is the end that most tunnels share, of several the first by name.
func busiest(pairs [][2]string) string {
	count := map[string]int{}
	for _, p := range pairs {
		count[p[0]]++
		count[p[1]]++
	}
	best := ""
	for _, name := range slices.Sorted(maps.Keys(count)) {
		if best == "" || count[name] > count[best] {
			best = name
		}
	}
	return best
}

// several names what is few, and counts what is many.
func several(names []string) string {
	if len(names) <= 8 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:6], ", "), len(names)-6)
}

func shortened(lines []string) []string {
	if len(lines) > told {
		return append(lines[:told-1], fmt.Sprintf("and %d more", len(lines)-told+1))
	}
	return lines
}
