package graph

import (
	"slices"
	"strings"
	"testing"

	"weft/engine/host/topology"
)

// patched has bridges joined by pairs of patch ports: "a-b b-c".
func patched(bridges, pairs string) *topology.Topology {
	t := &topology.Topology{}
	for _, name := range strings.Fields(bridges) {
		b := topology.Bridge{Name: name}
		for _, pair := range strings.Fields(pairs) {
			near, far, _ := strings.Cut(pair, "-")
			for _, end := range [][2]string{{near, far}, {far, near}} {
				if end[0] == name {
					b.Ports = append(b.Ports, single(end[0]+"to"+end[1], topology.Interface{Type: "patch", Peer: end[1] + "to" + end[0]}))
				}
			}
		}
		t.Bridges = append(t.Bridges, b)
	}
	return t
}

func TestLoops(t *testing.T) {
	all := func(what func(*topology.Bridge)) func(*topology.Topology) {
		return func(t *topology.Topology) {
			for i := range t.Bridges {
				what(&t.Bridges[i])
			}
		}
	}
	for name, tt := range map[string]struct {
		pairs string
		but   func(*topology.Topology)
		want  []string
	}{
		"a chain":              {"a-b b-c c-d", nil, nil},
		"a triangle":           {"a-b b-c a-c", nil, []string{"a, b, c"}},
		"a tail":               {"a-b b-c a-c c-d", nil, []string{"a, b, c"}},
		"two":                  {"a-b b-c a-c c-d a-d", nil, []string{"a, b, c", "a, c, d"}},
		"with RSTP":            {"a-b b-c a-c", all(func(b *topology.Bridge) { b.Spanning = "rstp" }), nil},
		"RSTP on all but one":  {"a-b b-c a-c", func(t *topology.Topology) { t.Bridges[0].Spanning, t.Bridges[1].Spanning = "rstp", "rstp" }, []string{"a, b, c"}},
		"flows of controllers": {"a-b b-c a-c", func(t *topology.Topology) { t.Bridges[0].FailMode = "secure" }, nil},
		"a controller":         {"a-b b-c a-c", func(t *topology.Topology) { t.Bridges[2].Controllers = []string{"tcp:192.0.2.9:6653"} }, nil},
		"half a pair":          {"a-b b-c a-c", func(t *topology.Topology) { t.Bridges[2].Ports = nil }, nil},
	} {
		top := patched("a b c d", tt.pairs)
		if tt.but != nil {
			tt.but(top)
		}
		var want []string
		for _, ring := range tt.want {
			want = append(want, "patch ports make a loop of "+ring+", which not all speak a spanning tree")
		}
		if got := loops(top); !slices.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestLoopsAreShown(t *testing.T) {
	p := Picture{Hosts: []Host{{Name: "h", Topology: patched("a b c", "a-b b-c a-c")}}}
	for _, d := range []Detail{Full, Summary} {
		if !strings.Contains(string(drawn(t, p, DOT, d)), "a loop of a, b, c") {
			t.Errorf("%s shows no loop", d)
		}
	}
}
