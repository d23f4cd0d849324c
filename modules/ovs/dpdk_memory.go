package ovs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// memory compares what DPDK and the guests that start with the host want with
// the pages that are there for them.
func (g *ground) memory(ctx context.Context, v host.View, nodes map[int]node) error {
	asked, ok, err := g.request(nodes)
	if err != nil || !ok {
		return err
	}
	b := budget{nodes: nodes, asked: asked}
	if b.normal, err = normalPage(ctx, v); err != nil {
		return err
	}
	mounts, known, err := readHugetlbfs(ctx, v, b.normal)
	if err != nil {
		return err
	}
	b.mounted = g.mountedSizes(mounts, known)
	if b.left, err = g.givenBack(ctx, v, nodes, mounts); err != nil {
		return err
	}
	var warnings []string
	if b.guests, warnings, err = hungryGuests(ctx, v); err != nil {
		return err
	}
	g.warnings = append(append(g.warnings, warnings...), b.warnings()...)
	if short := b.short(); len(short) > 0 {
		return fmt.Errorf("too few huge pages are free for DPDK: %s; ask for less in dpdk-socket-mem, or have more by a step hugepages or kernel_cmdline before this one: %w",
			strings.Join(short, "; "), step.ErrNotYet)
	}
	return nil
}

// givenBack notes in nodes what the ovs-vswitchd that runs has. Of one that is gone
// it returns the pages that it left behind, by size.
func (g *ground) givenBack(ctx context.Context, v host.View, nodes map[int]node, mounts []hugetlbfs) (map[int]int, error) {
	u, err := v.Units.Unit(ctx, switchUnit)
	if err != nil {
		return nil, err
	}
	if u.MainPID == 0 {
		prefix, _ := g.extra("--file-prefix")
		return leftBehind(ctx, v, mounts, cmp.Or(prefix, "rte"))
	}
	maps, err := v.Kernel.Get(ctx, fmt.Sprintf("/proc/%d/numa_maps", u.MainPID))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for number, sizes := range held(maps) {
		for kb, n := range sizes {
			if p, there := nodes[number].pools[kb]; there {
				p.own = n
				nodes[number].pools[kb] = p
			}
		}
	}
	return nil, nil
}

// budget is who wants memory in huge pages, and what there is.
type budget struct {
	nodes   map[int]node
	left    map[int]int // pages by size that lie on nodes that are not known
	normal  int         // size of pages where none is said, in kB; 0 where it is not known
	mounted []int       // sizes that DPDK can take; nil for all
	asked   request
	guests  []guestMemory
}

// anyNode is the node of who takes memory wherever it is.
const anyNode = -1

// want is one who wants memory.
type want struct {
	who   string
	node  int
	kb    int
	sizes []int
}

// wants are those who are served at the next start of the host or of
// ovs-vswitchd, DPDK first.
func (b budget) wants(s supply) []want {
	var all []want
	sizes := s.sizes(b.mounted)
	for _, number := range s.numbers() {
		if mb := b.asked.byNode[number]; b.asked.byNode != nil {
			all = append(all, want{fmt.Sprintf("%s %d", b.asked.key, mb), number, mb << 10, sizes})
		}
	}
	if mb := b.asked.anywhere; mb > 0 {
		all = append(all, want{fmt.Sprintf("%s %d", b.asked.key, mb), anyNode, mb << 10, sizes})
	}
	for _, g := range b.guests {
		if g.starts {
			all = append(all, b.wantsOf(g, s)...)
		}
	}
	// Who may have it anywhere takes what the others leave.
	slices.SortStableFunc(all, func(x, y want) int { return cmp.Compare(min(y.node, 0), min(x.node, 0)) })
	return all
}

// wantsOf are those of a guest.
func (b budget) wantsOf(g guestMemory, s supply) []want {
	var all []want
	for _, c := range g.claims {
		w := want{fmt.Sprintf("guest %s %d", g.name, c.kb>>10), c.node, c.kb, []int{cmp.Or(c.size, b.normal)}}
		if w.sizes[0] == 0 {
			w.sizes = s.sizes(nil)
		}
		all = append(all, w)
	}
	return all
}

// serve takes what is wanted.
func (w want) serve(s supply) (missing int) {
	if w.node == anyNode {
		return s.take(s.numbers(), w.kb, w.sizes)
	}
	return s.take([]int{w.node}, w.kb, w.sizes)
}

// short says which nodes have less than is wanted of them.
func (b budget) short() []string {
	var short []string
	for _, number := range slices.Sorted(maps.Keys(b.asked.byNode)) {
		if _, there := b.nodes[number]; !there && b.asked.byNode[number] > 0 {
			short = append(short, fmt.Sprintf("node %d: wanted %d MB, and this host has no such node", number, b.asked.byNode[number]))
		}
	}
	whole := newSupply(b.nodes, b.left)
	s := whole.clone()
	wants := b.wants(s)
	failed := map[int]bool{}
	for _, w := range wants {
		if w.serve(s) > 0 {
			failed[w.node] = true
		}
	}
	for _, number := range slices.Sorted(maps.Keys(failed)) {
		if number != anyNode {
			mb, whose := wantedOf(wants, number)
			short = append(short, fmt.Sprintf("node %d: wanted %d MB (%s), got %s", number, mb, whose, whole.describe([]int{number}, b.mounted)))
		}
	}
	switch {
	case len(short) > 0:
	case whole.megabytes(whole.numbers(), whole.sizes(b.mounted)) == 0:
		short = append(short, "the host: none is free, and DPDK takes at least one (without them: --no-huge in dpdk-extra)")
		if unmounted := whole.megabytes(whole.numbers(), whole.sizes(nil)); unmounted > 0 {
			short[0] = "the host: DPDK takes at least one, and got " + whole.describe(whole.numbers(), b.mounted)
		}
	case failed[anyNode]:
		mb := 0
		for _, w := range wants {
			mb += w.kb >> 10
		}
		_, whose := wantedOf(wants, anyNode)
		short = append(short, fmt.Sprintf("the host: wanted %d MB (%s on any node), got %s", mb, whose, whole.describe(whole.numbers(), b.mounted)))
	}
	return short
}

// wantedOf is what is wanted of a node, and by whom.
func wantedOf(wants []want, number int) (mb int, whose string) {
	var names []string
	for _, w := range wants {
		if w.node == number {
			mb += w.kb >> 10
			names = append(names, w.who)
		}
	}
	return mb, strings.Join(names, ", ")
}

// warnings name guests that are defined, do not start with the host, and would
// not find their memory.
func (b budget) warnings() []string {
	s := newSupply(b.nodes, b.left)
	for _, w := range b.wants(s) {
		w.serve(s)
	}
	var out []string
	for _, g := range b.guests {
		if g.starts {
			continue
		}
		mine, missing, left := s.clone(), 0, 0
		for _, w := range b.wantsOf(g, s) {
			left = max(left, s.megabytes(s.numbers(), w.sizes))
			missing += w.serve(mine)
		}
		if missing > 0 {
			out = append(out, fmt.Sprintf("domain %s is not running and wants %d MB of huge pages for that, of which %d MB are left", g.name, g.whole()>>10, left))
		}
	}
	return out
}
