package machine

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
)

// nodeMemory is what a NUMA node has of pages of one size, and of memory. A
// host without NUMA is one node.
type nodeMemory struct {
	Pages   int `json:"pages"`   // without those that are lent on top
	Used    int `json:"used"`    // pages that somebody has
	FreeKB  int `json:"free_kb"` // MemFree: what is in no page
	TotalKB int `json:"total_kb"`
}

// whole is the memory of all nodes.
func whole(nodes map[string]nodeMemory) nodeMemory {
	var sum nodeMemory
	for _, m := range nodes {
		sum.Pages += m.Pages
		sum.Used += m.Used
		sum.FreeKB += m.FreeKB
		sum.TotalKB += m.TotalKB
	}
	return sum
}

// refuse says where a number of pages cannot be, whatever is freed.
func (m nodeMemory) refuse(place string, pages int, of pool) error {
	if m.TotalKB == 0 || pages == 0 || pages < m.TotalKB/of.KB {
		return nil
	}
	return fmt.Errorf("%d pages of %s are %d MB, and %s has %d MB in all; ask for fewer", pages, of.unit(), pages*of.KB/1024, place, m.TotalKB/1024)
}

// advise warns of what a number of pages brings.
func (m nodeMemory) advise(place string, pages int, of pool) []string {
	var warnings []string
	if pages < m.Used {
		warnings = append(warnings, fmt.Sprintf("%d pages of %s are in use on %s, more than the %d that are asked for; what is too much stays, as surplus, until its users give it back", m.Used, of.unit(), place, pages))
	}
	if pages > m.Pages && m.TotalKB > 0 && pages*of.KB > m.TotalKB/10*9 {
		warnings = append(warnings, fmt.Sprintf("%d MB of the %d MB of %s go to pages of %s; the host itself is left with little and may kill programs for want of memory", pages*of.KB/1024, m.TotalKB/1024, place, of.unit()))
	}
	return warnings
}

const nodesDir = "/sys/devices/system/node"

// hostDir and nodeDir are where the kernel keeps the pages of a size
// (Documentation/admin-guide/mm/hugetlbpage.rst).
func (p pool) hostDir() string { return fmt.Sprintf("/sys/kernel/mm/hugepages/hugepages-%dkB", p.KB) }

func (p pool) nodeDir(node string) string {
	return fmt.Sprintf("%s/node%s/hugepages/hugepages-%dkB", nodesDir, node, p.KB)
}

// readMemory asks each node. A kernel that does not know nodes is node 0.
func readMemory(ctx context.Context, v host.View, want pool) (map[string]nodeMemory, error) {
	if _, err := v.Kernel.List(ctx, want.hostDir()); errors.Is(err, fs.ErrNotExist) {
		return nil, noSuchSize(ctx, v, want)
	} else if err != nil {
		return nil, err
	}
	names, err := v.Kernel.List(ctx, nodesDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	nodes := map[string]nodeMemory{}
	for _, name := range names {
		node, isNode := strings.CutPrefix(name, "node")
		if _, err := cpus.Number(node); !isNode || err != nil {
			continue
		}
		m, err := readNode(ctx, v, want.nodeDir(node), path.Join(nodesDir, name, "meminfo"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a node without memory, or one that /sys hides
		}
		if err != nil {
			return nil, err
		}
		nodes[node] = m
	}
	if len(nodes) == 0 {
		m, err := readNode(ctx, v, want.hostDir(), "/proc/meminfo")
		if err != nil {
			return nil, err
		}
		nodes["0"] = m
	}
	return nodes, nil
}

// noSuchSize names the sizes that there are.
func noSuchSize(ctx context.Context, v host.View, want pool) error {
	names, err := v.Kernel.List(ctx, path.Dir(want.hostDir()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var sizes []string
	for _, name := range names {
		if kb, err := pageKB(strings.TrimPrefix(name, "hugepages-")); err == nil {
			sizes = append(sizes, sizeName(kb))
		}
	}
	if len(sizes) == 0 {
		return errors.New("this kernel has no huge pages (CONFIG_HUGETLBFS)")
	}
	return fmt.Errorf("this processor and kernel have no pages of %s, only of %s; in a virtual machine, pages of 1G want a processor model with pdpe1gb", want.unit(), strings.Join(sizes, ", "))
}

func readNode(ctx context.Context, v host.View, dir, meminfo string) (nodeMemory, error) {
	var m nodeMemory
	counts := map[string]int{}
	for _, name := range []string{"nr_hugepages", "free_hugepages", "surplus_hugepages"} {
		text, err := v.Kernel.Get(ctx, path.Join(dir, name))
		if err != nil {
			return m, err
		}
		if counts[name], err = strconv.Atoi(strings.TrimSpace(text)); err != nil {
			return m, fmt.Errorf("read %s/%s: %q is no number of pages", dir, name, text)
		}
	}
	m.Pages = counts["nr_hugepages"] - counts["surplus_hugepages"]
	m.Used = counts["nr_hugepages"] - counts["free_hugepages"]
	text, err := v.Kernel.Get(ctx, meminfo)
	if err != nil {
		return m, err
	}
	m.TotalKB, m.FreeKB = meminfoKB(text, "MemTotal"), meminfoKB(text, "MemFree")
	return m, nil
}

// meminfoKB is a line of /proc/meminfo (proc(5)) or of a node's meminfo, which
// has "Node 0" before each name; 0 where it is not there.
func meminfoKB(text, name string) int {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) > 2 && f[0] == "Node" {
			f = f[2:]
		}
		if len(f) >= 2 && f[0] == name+":" {
			n, err := strconv.ParseUint(f[1], 10, 48)
			if err != nil {
				return 0
			}
			return int(n)
		}
	}
	return 0
}

// tries is how often the kernel is asked for pages, with a compaction between.
const tries = 3

// grow sets the number of pages of a node, or of the host where node is empty,
// and sees whether they came.
func grow(ctx context.Context, h host.Host, want pool, node string, pages int) error {
	dir, compact := want.hostDir(), "/proc/sys/vm/compact_memory"
	if node != "" {
		if _, err := h.Kernel.List(ctx, want.nodeDir(node)); err == nil {
			dir, compact = want.nodeDir(node), path.Join(nodesDir, "node"+node, "compact")
		}
	}
	for try := 1; ; try++ {
		if err := h.Kernel.Set(ctx, path.Join(dir, "nr_hugepages"), strconv.Itoa(pages)); err != nil {
			return err
		}
		now, err := readMemory(ctx, h.View(), want)
		if err != nil {
			return err
		}
		got := now[node]
		if node == "" {
			got = whole(now)
		}
		switch {
		case got.Pages == pages:
			return nil
		case got.Pages > pages:
			return fmt.Errorf("%s of %s still has %d pages, of which %d are in use, instead of %d; stop who uses them (grep -l hugepages /proc/*/numa_maps)", placeName(node), want.unit(), got.Pages, got.Used, pages)
		case try == tries:
			return shortfall(want, node, pages, now)
		}
		if err := h.Kernel.Set(ctx, compact, "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

func placeName(node string) string {
	if node == "" {
		return "the pool"
	}
	return "the pool of node " + node
}

// shortfall says what came of a number of pages, and what to do.
func shortfall(want pool, node string, pages int, now map[string]nodeMemory) error {
	m, place := now[node], "node "+node
	if node == "" {
		m, place = whole(now), "the host"
		if len(now) > 1 {
			var each []string
			for _, n := range slices.SortedFunc(maps.Keys(now), byNumber) {
				each = append(each, fmt.Sprintf("node %s %d", n, now[n].Pages))
			}
			place += " (" + strings.Join(each, ", ") + ")"
		}
	}
	missing := (pages - m.Pages) * want.KB
	said := fmt.Sprintf("%s: wanted %d pages of %s, got %d; %d MB are missing and MemFree is %d MB", place, pages, want.unit(), m.Pages, missing/1024, m.FreeKB/1024)
	if missing > m.FreeKB {
		return fmt.Errorf("%s: not enough memory is free: ask for fewer, or stop what holds it", said)
	}
	argument := strconv.Itoa(pages)
	if node != "" {
		argument = node + ":" + argument
	}
	return fmt.Errorf("%s, but in pieces that are too small: have them reserved at boot, by a kernel_cmdline step with hugepagesz=%s hugepages=%s", said, want.unit(), argument)
}

// pageKB reads the size of a page, in units of 1024 bytes.
func pageKB(text string) (int, error) {
	wrong := fmt.Errorf("%q is no size of a page", text)
	digits := strings.TrimRight(text, "kKmMgGiIbB")
	n, err := strconv.ParseUint(digits, 10, 32)
	kb := int(n)
	switch strings.ToLower(text[len(digits):]) {
	case "k", "kb", "kib":
	case "m", "mb", "mib":
		kb <<= 10
	case "g", "gb", "gib":
		kb <<= 20
	default:
		return 0, wrong
	}
	if err != nil || kb <= 0 || kb&(kb-1) != 0 || kb > 1<<24 {
		return 0, wrong // a page is a power of two, the largest has 16 GiB
	}
	return kb, nil
}

// sizeName is a size as kernel arguments and mount options write it.
func sizeName(kb int) string {
	switch {
	case kb%(1<<20) == 0:
		return strconv.Itoa(kb>>20) + "G"
	case kb%(1<<10) == 0:
		return strconv.Itoa(kb>>10) + "M"
	}
	return strconv.Itoa(kb) + "K"
}

// bootedElsewhere are the settings of other hands that are made at boot too and
// say otherwise.
func bootedElsewhere(ctx context.Context, v host.View, want pool) ([]string, error) {
	if !want.Persistent.Managed() || want.Persistent.Absent() {
		return nil, nil
	}
	var found []string
	files, err := confFiles(ctx, v, tmpfilesDirs[:]...)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		said, ok := want.portion().value(f.text).Get()
		if ok && f.path != want.file() && said != want.Persistent.Or("") {
			found = append(found, f.path+" too sets the number of pages at boot")
		}
	}
	settings, err := sysctlHugepages(ctx, v, want)
	return append(found, settings...), err
}

// sysctlHugepages looks for vm.nr_hugepages in the files of sysctl.d(5), which
// is about pages of the default size.
func sysctlHugepages(ctx context.Context, v host.View, want pool) ([]string, error) {
	meminfo, err := v.Kernel.Get(ctx, "/proc/meminfo")
	if errors.Is(err, fs.ErrNotExist) || meminfoKB(meminfo, "Hugepagesize") != want.KB {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files, err := confFiles(ctx, v, "/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")
	if err != nil {
		return nil, err
	}
	if text, err := readText(ctx, v, "/etc/sysctl.conf"); err != nil {
		return nil, err
	} else if t, ok := text.Get(); ok {
		files = append(files, confFile{"/etc/sysctl.conf", t})
	}
	var found []string
	for _, f := range files {
		for line := range strings.Lines(f.text) {
			key, value, _ := strings.Cut(line, "=")
			key = strings.ReplaceAll(strings.TrimPrefix(strings.TrimSpace(key), "-"), "/", ".")
			if n, err := strconv.Atoi(strings.TrimSpace(value)); key == "vm.nr_hugepages" && err == nil && n != want.Pages.Or(want.sum()) {
				found = append(found, fmt.Sprintf("%s sets vm.nr_hugepages to %d at boot", f.path, n))
			}
		}
	}
	return found, nil
}
