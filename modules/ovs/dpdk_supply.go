package ovs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// supply is what is left of the huge pages of each node while those who want some
// are served.
type supply struct {
	pages map[int]map[int]int // by node and size in kB
	// left are pages by size that are given back too, of nodes that are not
	// known; lent is how many of a node's they may be.
	left map[int]int
	lent map[int]map[int]int
}

func newSupply(nodes map[int]node, left map[int]int) supply {
	s := supply{pages: map[int]map[int]int{}, lent: map[int]map[int]int{}, left: maps.Clone(left)}
	for number, n := range nodes {
		s.pages[number], s.lent[number] = map[int]int{}, map[int]int{}
		for kb, p := range n.pools {
			s.pages[number][kb] = p.free + p.own
			s.lent[number][kb] = max(p.used-p.own, 0)
		}
	}
	return s
}

func (s supply) clone() supply {
	c := supply{pages: map[int]map[int]int{}, lent: map[int]map[int]int{}, left: maps.Clone(s.left)}
	for number := range s.pages {
		c.pages[number], c.lent[number] = maps.Clone(s.pages[number]), maps.Clone(s.lent[number])
	}
	return c
}

// numbers are the nodes, in order.
func (s supply) numbers() []int { return slices.Sorted(maps.Keys(s.pages)) }

// sizes are all sizes of pages, in kB, the largest first; only those of a list
// where that is not nil.
func (s supply) sizes(only []int) []int {
	var all []int
	for _, pools := range s.pages {
		for kb := range pools {
			if !slices.Contains(all, kb) && (only == nil || slices.Contains(only, kb)) {
				all = append(all, kb)
			}
		}
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all
}

// there is how many pages of a size nodes have.
func (s supply) there(nodes []int, kb int) int {
	n, lent := 0, 0
	for _, number := range nodes {
		n += s.pages[number][kb]
		lent += s.lent[number][kb]
	}
	return n + min(s.left[kb], lent)
}

// use takes pages that are there.
func (s supply) use(nodes []int, kb, n int) {
	for _, number := range nodes {
		if free := min(n, s.pages[number][kb]); free > 0 {
			s.pages[number][kb] -= free
			n -= free
		}
	}
	for _, number := range nodes {
		if lent := min(n, s.lent[number][kb], s.left[kb]); lent > 0 {
			s.lent[number][kb] -= lent
			s.left[kb] -= lent
			n -= lent
		}
	}
}

// take takes memory in whole pages of these sizes, as DPDK does
// (eal_dynmem_calc_num_pages_per_socket): of the largest what fits, the rest of
// smaller ones, and one more where those do not suffice. It returns what is
// missing.
func (s supply) take(nodes []int, kb int, sizes []int) int {
	for i, size := range sizes {
		there := s.there(nodes, size)
		n := min(kb/size, there)
		s.use(nodes, size, n)
		kb -= n * size
		if kb == 0 || n == there {
			continue
		}
		smaller := 0
		for _, other := range sizes[i+1:] {
			smaller += s.there(nodes, other) * other
		}
		if smaller < kb {
			s.use(nodes, size, 1)
			return 0
		}
	}
	return kb
}

// megabytes is what nodes have in pages of these sizes.
func (s supply) megabytes(nodes, sizes []int) int {
	kb := 0
	for _, size := range sizes {
		kb += s.there(nodes, size) * size
	}
	return kb / 1024
}

// describe says what nodes have: "512 MB", with the sizes of pages where there are
// several, or where DPDK can have none of one.
func (s supply) describe(nodes, mounted []int) string {
	var parts []string
	bare := true
	for _, size := range s.sizes(nil) {
		if s.there(nodes, size) == 0 {
			continue
		}
		part := fmt.Sprintf("%d MB in pages of %s", s.there(nodes, size)*size/1024, sizeName(size))
		if mounted != nil && !slices.Contains(mounted, size) {
			part += ", for which no hugetlbfs is mounted (a step mount)"
			bare = false
		}
		parts = append(parts, part)
	}
	if len(parts) > 1 || !bare {
		return strings.Join(parts, " and ")
	}
	return fmt.Sprintf("%d MB", s.megabytes(nodes, s.sizes(nil)))
}

func sizeName(kb int) string {
	switch {
	case kb%(1<<20) == 0:
		return fmt.Sprintf("%dG", kb>>20)
	case kb%(1<<10) == 0:
		return fmt.Sprintf("%dM", kb>>10)
	}
	return fmt.Sprintf("%dK", kb)
}
