package ovs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/host/cpus"
	"weft/engine/step"
)

const nodesDir = "/sys/devices/system/node"

// node is a NUMA node: its processors, and its memory in huge pages, in kB.
type node struct {
	cpus cpus.Set
	free int // in pages that nobody has
	own  int // that ovs-vswitchd has, and gives back when it stops
}

func (n node) got() int { return n.free + n.own }

// readNodes reads the nodes by number; a kernel without NUMA is node 0.
func readNodes(ctx context.Context, v host.View) (map[int]node, error) {
	nodes := map[int]node{}
	names, err := v.Kernel.List(ctx, nodesDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, name := range names {
		digits, isNode := strings.CutPrefix(name, "node")
		number, err := cpus.Number(digits)
		if !isNode || err != nil {
			continue
		}
		var n node
		if n.cpus, err = kernelSet(ctx, v, path.Join(nodesDir, name, "cpulist")); err != nil {
			return nil, err
		}
		if n.free, err = freePages(ctx, v, path.Join(nodesDir, name, "hugepages")); err != nil {
			return nil, err
		}
		nodes[number] = n
	}
	if len(nodes) > 0 {
		return nodes, nil
	}
	var n node
	if n.cpus, err = kernelSet(ctx, v, "/sys/devices/system/cpu/online"); err != nil {
		return nil, err
	}
	n.free, err = freePages(ctx, v, "/sys/kernel/mm/hugepages")
	return map[int]node{0: n}, err
}

// kernelSet reads a file with a list; one that is not there is empty.
func kernelSet(ctx context.Context, v host.View, name string) (cpus.Set, error) {
	text, err := v.Kernel.Get(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	set, err := cpus.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return set, nil
}

// freePages adds up pages of all sizes, in kB
// (Documentation/admin-guide/mm/hugetlbpage.rst).
func freePages(ctx context.Context, v host.View, dir string) (int, error) {
	sizes, err := v.Kernel.List(ctx, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	sum := 0
	for _, size := range sizes {
		kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(size, "hugepages-"), "kB"), 10, 32)
		if err != nil {
			continue
		}
		name := path.Join(dir, size, "free_hugepages")
		text, err := v.Kernel.Get(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
		if err != nil {
			return 0, fmt.Errorf("read %s: %q is no number of pages", name, text)
		}
		sum += int(n) * int(kb)
	}
	return sum, nil
}

// held is what a process has of huge pages, in kB by node, but for the memory of
// guests that it shares with them; see numa_maps in proc(5).
func held(numaMaps string) map[int]int {
	out := map[int]int{}
	for line := range strings.Lines(numaMaps) {
		fields := strings.Fields(line)
		if !slices.Contains(fields, "huge") || strings.Contains(line, "libvirt") || strings.Contains(line, "qemu") || strings.Contains(line, "memory-backend") {
			continue
		}
		pages, kb := map[int]int{}, 0
		for _, f := range fields {
			key, value, _ := strings.Cut(f, "=")
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				continue
			}
			if number, err := cpus.Number(strings.TrimPrefix(key, "N")); err == nil && strings.HasPrefix(key, "N") {
				pages[number] += int(n)
			} else if key == "kernelpagesize_kB" {
				kb = int(n)
			}
		}
		for number, n := range pages {
			out[number] += n * kb
		}
	}
	return out
}

// socketMemory is what DPDK takes at its start, in MB by node; ok is false where
// that is not for huge pages to give, or not said beforehand.
func (g *ground) socketMemory() (mb map[int]int, ok bool, err error) {
	text, words := g.asked["dpdk-socket-mem"], strings.Fields(g.asked["dpdk-extra"])
	if slices.Contains(words, "--no-huge") {
		return nil, false, nil
	}
	for i, w := range words { // what dpdk-extra says wins
		if value, is := strings.CutPrefix(w, "--socket-mem="); is {
			text = value
		} else if w == "--socket-mem" && i+1 < len(words) {
			text = words[i+1]
		}
	}
	mb = map[int]int{}
	if text == "" {
		return mb, true, nil
	}
	for i, part := range strings.Split(text, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(part), 10, 31)
		if err != nil {
			return nil, false, fmt.Errorf("other_config:dpdk-socket-mem: %q is no list of megabytes, one a NUMA node: write it as \"1024,1024\"", text)
		}
		mb[i] = int(n)
	}
	return mb, true, nil
}

// memory compares what DPDK and the guests that start with the host want with
// the pages that are there for them.
func (g *ground) memory(ctx context.Context, v host.View, nodes map[int]node) error {
	sockets, ok, err := g.socketMemory()
	if err != nil || !ok {
		return err
	}
	u, err := v.Units.Unit(ctx, switchUnit)
	if err != nil {
		return err
	}
	if u.MainPID > 0 {
		maps, err := v.Kernel.Get(ctx, fmt.Sprintf("/proc/%d/numa_maps", u.MainPID))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for number, kb := range held(maps) {
			if n, there := nodes[number]; there {
				n.own = kb
				nodes[number] = n
			}
		}
	}
	guests, err := hungryGuests(ctx, v)
	if err != nil {
		return err
	}
	b := budget{nodes: nodes, sockets: sockets, guests: guests}
	g.warnings = append(g.warnings, b.warnings()...)
	if short := b.short(); len(short) > 0 {
		return fmt.Errorf("too few huge pages are free for DPDK: %s; ask for less in dpdk-socket-mem, or have more by a step hugepages or kernel_cmdline before this one: %w",
			strings.Join(short, "; "), step.ErrNotYet)
	}
	return nil
}

// budget is who wants memory in huge pages, and what there is.
type budget struct {
	nodes   map[int]node
	sockets map[int]int // MB by node
	guests  []guestMemory
}

// short says which nodes have less than is wanted of them.
func (b budget) short() []string {
	var short []string
	wanted, got := 0, 0
	for _, number := range slices.Sorted(maps.Keys(b.sockets)) {
		if _, there := b.nodes[number]; !there && b.sockets[number] > 0 {
			short = append(short, fmt.Sprintf("node %d: wanted %d MB, and this host has no such node", number, b.sockets[number]))
		}
	}
	for _, number := range slices.Sorted(maps.Keys(b.nodes)) {
		kb, whose := b.sockets[number]*1024, []string{fmt.Sprintf("dpdk-socket-mem %d", b.sockets[number])}
		for _, g := range b.guests {
			if n := g.byNode[number]; g.starts && n > 0 {
				kb += n
				whose = append(whose, fmt.Sprintf("guest %s %d", g.name, n/1024))
			}
		}
		wanted, got = wanted+kb, got+b.nodes[number].got()
		if kb > b.nodes[number].got() {
			short = append(short, fmt.Sprintf("node %d: wanted %d MB (%s), got %d MB", number, kb/1024, strings.Join(whose, ", "), b.nodes[number].got()/1024))
		}
	}
	var anywhere []string
	for _, g := range b.guests {
		if g.starts && g.anywhere > 0 {
			wanted += g.anywhere
			anywhere = append(anywhere, fmt.Sprintf("guest %s %d", g.name, g.anywhere/1024))
		}
	}
	switch {
	case len(short) > 0:
	case got == 0:
		short = append(short, "the host: none is free, and DPDK takes at least one (without them: --no-huge in dpdk-extra)")
	case wanted > got:
		short = append(short, fmt.Sprintf("the host: wanted %d MB (%s on any node), got %d MB", wanted/1024, strings.Join(anywhere, ", "), got/1024))
	}
	return short
}

// warnings name guests that are defined, do not start with the host, and would
// not find their memory.
func (b budget) warnings() []string {
	left := 0
	for number, n := range b.nodes {
		left += n.got() - b.sockets[number]*1024
	}
	var late []guestMemory
	for _, g := range b.guests {
		if g.starts {
			left -= g.whole()
		} else {
			late = append(late, g)
		}
	}
	var out []string
	for _, g := range late {
		if g.whole() > max(left, 0) {
			out = append(out, fmt.Sprintf("domain %s is not running and wants %d MB of huge pages for that, of which %d MB are left", g.name, g.whole()/1024, max(left, 0)/1024))
		}
	}
	return out
}
