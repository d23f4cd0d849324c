package ovs

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// request is what DPDK takes of huge pages at its start, in MB.
type request struct {
	key      string // how it was asked for
	byNode   map[int]int
	anywhere int
}

// words are the options in dpdk-extra.
func (g *ground) words() []string { return strings.Fields(g.asked["dpdk-extra"]) }

// extra is the value of an option in dpdk-extra, the last of several; long options
// have it behind a = or as a word of its own, short ones behind them or so.
func (g *ground) extra(option string) (value string, set bool) {
	words := g.words()
	for i, w := range words {
		rest, is := strings.CutPrefix(w, option)
		switch {
		case !is:
		case rest == "" && i+1 < len(words):
			value, set = words[i+1], true
		case strings.HasPrefix(option, "--") && strings.HasPrefix(rest, "="):
			value, set = rest[1:], true
		case !strings.HasPrefix(option, "--") && rest != "":
			value, set = rest, true
		}
	}
	return value, set
}

// request is what is asked for; ok is false where that is not for huge pages to
// give. What dpdk-extra says wins, and of the two keys dpdk-socket-mem. Without
// any, Open vSwitch asked for 1024 MB on each node until 2.16, and leaves it to
// DPDK since, which takes what it needs when it needs it (NEWS of 2.17).
func (g *ground) request(nodes map[int]node) (r request, ok bool, err error) {
	if slices.Contains(g.words(), "--no-huge") {
		return r, false, nil
	}
	sockets, bySocket := g.extra("--socket-mem")
	whole, anywhere := g.extra("-m")
	switch {
	case bySocket:
		r.key = "--socket-mem"
	case anywhere:
		r.key = "-m"
	case g.asked["dpdk-socket-mem"] != "":
		r.key, sockets = "dpdk-socket-mem", g.asked["dpdk-socket-mem"]
	case g.asked["dpdk-alloc-mem"] != "":
		r.key, whole = "dpdk-alloc-mem", g.asked["dpdk-alloc-mem"]
	case before217(g.version):
		r.key, r.byNode = "dpdk-socket-mem left out", map[int]int{}
		for number, n := range nodes {
			if len(n.cpus) > 0 {
				r.byNode[number] = 1024
			}
		}
		return r, true, nil
	default:
		return r, true, nil
	}
	if r.key == "-m" || r.key == "dpdk-alloc-mem" {
		n, err := strconv.ParseUint(whole, 10, 31)
		if err != nil {
			return r, false, fmt.Errorf("other_config: %s: %q is no number of megabytes", r.key, whole)
		}
		r.anywhere = int(n)
		return r, true, nil
	}
	r.byNode = map[int]int{}
	for i, part := range strings.Split(sockets, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(part), 10, 31)
		if err != nil {
			return r, false, fmt.Errorf("other_config: %s: %q is no list of megabytes, one a NUMA node: write it as \"1024,1024\"", r.key, sockets)
		}
		r.byNode[i] = int(n)
	}
	return r, true, nil
}

var versionIn = regexp.MustCompile(`\(Open vSwitch\) ([0-9]{1,4})\.([0-9]{1,4})`)

// before217 judges what ovs-vswitchd --version says; what says nothing is of now.
func before217(said string) bool {
	m := versionIn.FindStringSubmatch(said)
	if m == nil {
		return false
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return major < 2 || major == 2 && minor < 17
}

// mountedSizes are the sizes of pages that DPDK can take: those that a hugetlbfs is
// mounted for, or the one that it is told to use. Nil is any: since 2.17 Open vSwitch has
// DPDK take them without files (--in-memory), unless its memory is of the legacy kind.
func (g *ground) mountedSizes(mounts []hugetlbfs, known bool) []int {
	words := g.words()
	inMemory := slices.Contains(words, "--in-memory") || !before217(g.version) && !slices.Contains(words, "--legacy-mem")
	if !known || inMemory {
		return nil
	}
	dir, told := g.extra("--huge-dir")
	if !told {
		dir = g.asked["dpdk-hugepage-dir"]
	}
	sizes, deepest := []int{}, ""
	for _, m := range mounts {
		switch {
		case dir == "" && !slices.Contains(sizes, m.kb):
			sizes = append(sizes, m.kb)
		case dir != "" && (dir == m.point || strings.HasPrefix(dir, strings.TrimSuffix(m.point, "/")+"/")) && len(m.point) >= len(deepest):
			sizes, deepest = []int{m.kb}, m.point
		}
	}
	return sizes
}
