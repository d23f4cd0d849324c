package graph

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"weft/engine/host/topology"
)

// pictureOf has a host for each list of tunnels: "geneve 10.0.0.2 KEY", from the
// address 10.0.0.N of the Nth host.
func pictureOf(hosts ...[]string) Picture {
	p := Picture{}
	for n, tunnels := range hosts {
		b := topology.Bridge{Name: "br0"}
		for i, t := range tunnels {
			words := strings.Fields(t + " flow")
			b.Ports = append(b.Ports, single(fmt.Sprintf("t%d", i), topology.Interface{Type: words[0], Remote: words[1], Key: words[2]}))
		}
		p.Hosts = append(p.Hosts, Host{Name: fmt.Sprintf("h%d", n+1), Topology: &topology.Topology{
			Bridges: []topology.Bridge{b}, Links: []topology.Link{{Name: "eth0", Addresses: []string{fmt.Sprintf("10.0.0.%d/24", n+1), "172.17.0.1/16"}}}}})
	}
	return p
}

func TestTunnels(t *testing.T) {
	for name, tt := range map[string]struct {
		hosts [][]string
		want  []tunnel
	}{
		"both ways": {[][]string{{"geneve 10.0.0.2"}, {"geneve 10.0.0.1"}}, []tunnel{{kind: "geneve", key: "flow", to: 1}}},
		"one way":   {[][]string{{}, {"geneve 10.0.0.1"}}, []tunnel{{kind: "geneve", key: "flow", to: 1, wrong: "h1 has no way back to h2"}}},
		"keys that differ": {[][]string{{"vxlan 10.0.0.2 7"}, {"vxlan 10.0.0.1 8"}}, []tunnel{
			{kind: "vxlan", key: "7", to: 1, wrong: "h2 has no way back to h1"}, {kind: "vxlan", key: "8", to: 1, wrong: "h1 has no way back to h2"}}},
		"to whoever":                         {[][]string{{"geneve flow"}}, []tunnel{}},
		"outside":                            {[][]string{{"gre 192.0.2.9"}}, []tunnel{{kind: "gre", key: "flow", to: -1, outside: "192.0.2.9"}}},
		"an address that every host has":     {[][]string{{"gre 172.17.0.1"}, {}}, []tunnel{{kind: "gre", key: "flow", to: -1, outside: "172.17.0.1"}}},
		"an IPv4 address as IPv6 spells one": {[][]string{{"gre ::ffff:10.0.0.2"}, {"gre 10.0.0.1"}}, []tunnel{{kind: "gre", key: "flow", to: 1}}},
	} {
		p := pictureOf(tt.hosts...)
		c := composer{ends: endsOf(p)}
		if got := c.tunnels(p); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestTunnelEndsCountFirst(t *testing.T) {
	p := pictureOf([]string{"geneve 172.17.0.1"}, nil)
	p.Hosts[1].Topology.Chassis = &topology.Chassis{EncapIPs: []string{"172.17.0.1"}}
	if at, ok := endsOf(p).host("172.17.0.1"); !ok || at != 1 {
		t.Errorf("%d, %v", at, ok)
	}
}

func TestHostsThatWereNotReadAreNotBlamed(t *testing.T) {
	p := pictureOf([]string{"geneve 10.0.9.2"})
	p.Hosts = append(p.Hosts, Host{Name: "away", Address: "10.0.9.2"})
	c := composer{ends: endsOf(p)}
	if got := c.tunnels(p); len(got) != 1 || got[0].to != 1 || got[0].wrong != "" {
		t.Errorf("got %+v", got)
	}
}

// whole are the tunnels of n hosts from first on, all with all.
func whole(first, n int) []tunnel {
	var all []tunnel
	for a := first; a < first+n; a++ {
		for b := a + 1; b < first+n; b++ {
			all = append(all, tunnel{kind: "geneve", from: a, to: b})
		}
	}
	return all
}

func TestMeshes(t *testing.T) {
	cards := make([]*card, 20)
	for i := range cards {
		cards[i] = &card{name: fmt.Sprintf("h%d", i)}
	}
	for name, tt := range map[string]struct {
		tunnels []tunnel
		detail  Detail
		want    []string
		rest    int
	}{
		"few are drawn":         {whole(0, 4), Full, nil, 6},
		"three in a summary":    {whole(0, 3), Summary, []string{"3 hosts, all with all: 3 tunnels"}, 0},
		"two that do not meet":  {slices.Concat(whole(0, 5), whole(10, 6)), Full, []string{"5 hosts, all with all: 10 tunnels", "6 hosts, all with all: 15 tunnels"}, 0},
		"one pair is missing":   {whole(0, 5)[1:], Full, []string{"5 hosts, 9 of 10 tunnels; h0 - h1: no tunnel"}, 0},
		"spokes":                {[]tunnel{{kind: "geneve", to: 1}, {kind: "geneve", to: 2}, {kind: "geneve", to: 3}, {kind: "geneve", to: 4}}, Summary, nil, 4},
		"what leads outside":    {append(whole(0, 5), tunnel{kind: "geneve", to: -1}), Full, []string{"5 hosts, all with all: 10 tunnels"}, 1},
		"different keys differ": {[]tunnel{{kind: "gre", key: "1", to: 1}, {kind: "gre", key: "2", from: 1, to: 2}, {kind: "gre", key: "3", to: 2}}, Summary, nil, 3},
	} {
		found, rest := meshesOf(tt.tunnels, tt.detail, cards)
		var got []string
		for _, m := range found {
			got = append(got, strings.Join(append([]string{m.text()}, m.wrong...), "; "))
		}
		if !slices.Equal(got, tt.want) || len(rest) != tt.rest {
			t.Errorf("%s: %q, and %d more", name, got, len(rest))
		}
	}
}

func TestTellTunnels(t *testing.T) {
	cards := make([]*card, 12)
	all := []tunnel{{kind: "gre", from: 1, to: 2, wrong: "h2 has no way back"}, {kind: "gre", from: 3, to: -1, outside: "192.0.2.9"}}
	for i := range cards {
		cards[i] = &card{name: fmt.Sprintf("h%d", i)}
		if i > 0 {
			all = append(all, tunnel{kind: "gre", to: i})
		}
	}
	texts, wrong := tellTunnels(all, cards)
	want := []string{"gre: h0 - h1, h2, h3, h4, h5, h6 and 5 more", "gre: 192.0.2.9 - h3", "gre: h1 - h2"}
	if !slices.Equal(texts, want) || !slices.Equal(wrong, []string{"gre h1 - h2: h2 has no way back"}) {
		t.Errorf("%q, %q", texts, wrong)
	}
}
