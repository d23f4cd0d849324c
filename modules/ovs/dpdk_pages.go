package ovs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/host/cpus"
)

const nodesDir = "/sys/devices/system/node"

// node is a NUMA node: its processors, and its huge pages by their size in kB.
type node struct {
	cpus  cpus.Set
	pools map[int]pool
}

// pool is a node's pages of one size.
type pool struct {
	free int // that nobody has
	used int // that somebody has
	own  int // of these, that ovs-vswitchd has, and gives back when it stops
}

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
		if nodes[number], err = readNode(ctx, v, path.Join(nodesDir, name, "cpulist"), path.Join(nodesDir, name, "hugepages")); err != nil {
			return nil, err
		}
	}
	if len(nodes) > 0 {
		return nodes, nil
	}
	n, err := readNode(ctx, v, "/sys/devices/system/cpu/online", "/sys/kernel/mm/hugepages")
	return map[int]node{0: n}, err
}

func readNode(ctx context.Context, v host.View, cpulist, hugepages string) (n node, err error) {
	if n.cpus, err = kernelSet(ctx, v, cpulist); err != nil {
		return n, err
	}
	n.pools, err = readPools(ctx, v, hugepages)
	return n, err
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

// readPools reads the pages of each size
// (Documentation/admin-guide/mm/hugetlbpage.rst).
func readPools(ctx context.Context, v host.View, dir string) (map[int]pool, error) {
	pools := map[int]pool{}
	sizes, err := v.Kernel.List(ctx, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, size := range sizes {
		kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(size, "hugepages-"), "kB"), 10, 31)
		if err != nil || kb == 0 {
			continue
		}
		free, err := pageCount(ctx, v, path.Join(dir, size, "free_hugepages"))
		if err != nil {
			return nil, err
		}
		all, err := pageCount(ctx, v, path.Join(dir, size, "nr_hugepages"))
		if err != nil {
			return nil, err
		}
		pools[int(kb)] = pool{free: free, used: max(all-free, 0)}
	}
	return pools, nil
}

// pageCount reads a number of pages; a file that is not there has none.
func pageCount(ctx context.Context, v host.View, name string) (int, error) {
	text, err := v.Kernel.Get(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("read %s: %q is no number of pages", name, text)
	}
	return int(n), nil
}

// held is how many huge pages a process has, by node and size in kB, but for the
// memory of guests that it shares with them; see numa_maps in proc(5).
func held(numaMaps string) map[int]map[int]int {
	out := map[int]map[int]int{}
	for line := range strings.Lines(numaMaps) {
		fields := strings.Fields(line)
		if !slices.Contains(fields, "huge") || strings.Contains(line, "libvirt") || strings.Contains(line, "qemu") || strings.Contains(line, "memory-backend") {
			continue
		}
		pages, kb := map[int]int{}, 0
		for _, f := range fields {
			key, value, _ := strings.Cut(f, "=")
			n, err := strconv.ParseUint(value, 10, 31)
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
			if out[number] == nil {
				out[number] = map[int]int{}
			}
			out[number][kb] += n
		}
	}
	return out
}

// hugetlbfs is a mount of huge pages: where it lies, and their size in kB.
type hugetlbfs struct {
	point string
	kb    int
}

// readHugetlbfs reads the mounts of huge pages. Where nothing tells of mounts, the
// second result is false.
func readHugetlbfs(ctx context.Context, v host.View, normal int) ([]hugetlbfs, bool, error) {
	text, err := v.Kernel.Get(ctx, "/proc/self/mountinfo")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return hugetlbfsIn(text, normal), err == nil, err
}

// hugetlbfsIn are those of a /proc/self/mountinfo; normal is the size of pages of
// one that does not say any.
func hugetlbfsIn(mountinfo string, normal int) []hugetlbfs {
	var all []hugetlbfs
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if len(left) < 5 || len(right) < 3 || right[0] != "hugetlbfs" {
			continue
		}
		m := hugetlbfs{left[4], normal}
		for _, option := range strings.Split(right[2], ",") {
			if size, is := strings.CutPrefix(option, "pagesize="); is {
				m.kb = pageSize(size)
			}
		}
		if m.kb > 0 {
			all = append(all, m)
		}
	}
	return all
}

// pageSize reads a size as hugetlbfs says it, in kB: 2M, 1024M, 1G; 0 for none.
func pageSize(text string) int {
	shift := 0
	switch digits := strings.TrimRight(text, "KMG"); text[len(digits):] {
	case "K":
	case "M":
		shift = 10
	case "G":
		shift = 20
	default:
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimRight(text, "KMG"), 10, 24)
	if err != nil || n > 1<<30>>shift {
		return 0
	}
	return int(n << shift)
}

// normalPage is the size in kB of the pages that are meant where none is said; 0
// where the kernel does not tell.
func normalPage(ctx context.Context, v host.View) (int, error) {
	text, err := v.Kernel.Get(ctx, "/proc/meminfo")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Hugepagesize:" {
			n, _ := strconv.ParseUint(f[1], 10, 31)
			return int(n), nil
		}
	}
	return 0, nil
}

// leftBehind counts the pages, by size, that an ovs-vswitchd which is gone left in
// files of its own: the next one begins by removing them. Which node they are of
// nothing tells.
func leftBehind(ctx context.Context, v host.View, mounts []hugetlbfs, prefix string) (map[int]int, error) {
	left := map[int]int{}
	for _, m := range mounts {
		names, err := v.Files.List(ctx, m.point)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, name := range names {
			if !strings.HasPrefix(name, prefix+"map_") {
				continue
			}
			info, err := v.Files.Stat(ctx, path.Join(m.point, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			left[m.kb] += pagesFor(int(info.Size>>10), m.kb)
		}
	}
	return left, nil
}

// pagesFor is how many whole pages it takes.
func pagesFor(kb, size int) int { return kb/size + min(kb%size, 1) }
