package network

import (
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const vlan = steptest.Prefix + "-v"

// tagged is a VLAN of another hand, with a bridge around it.
var tagged = steptest.Hand{
	Name: "another VLAN",
	Fake: func(m *fake.Machine) {
		m.MakeLink(host.NewLink{Name: vlan, Kind: "vlan", Lower: other, MAC: "02:00:00:00:00:07", MTU: 1400, Options: map[string]string{"id": "7", "protocol": "802.1ad", "mvrp": "1"}})
		m.MakeLink(host.NewLink{Name: bridge, Kind: "bridge", MAC: "02:00:00:00:00:0b"})
		m.SetLink("", vlan, host.LinkChange{Master: new(bridge), Up: new(true), AddAddresses: prefixes("198.18.0.7/24", "2001:db8:0:1::7/64"),
			AddRoutes: []host.Route{routeOf("203.0.113.0/24", "198.18.0.254", 0)}})
	},
	Host: slices.Concat(ip("link", "add", vlan, "link", other, "address", "02:00:00:00:00:07", "mtu", "1400", "type", "vlan", "id", "7", "protocol", "802.1ad", "mvrp", "on"),
		ip("link", "add", bridge, "address", "02:00:00:00:00:0b", "type", "bridge"), ip("link", "set", vlan, "master", bridge, "up"),
		ip("address", "add", "198.18.0.7/24", "dev", vlan), ip("address", "add", "2001:db8:0:1::7/64", "dev", vlan, "nodad"), ip("route", "add", "203.0.113.0/24", "via", "198.18.0.254")),
}

func TestVLANLaws(t *testing.T) {
	remade := func(name string, l host.NewLink, words ...string) steptest.Hand {
		return steptest.Hand{
			Name: name,
			Fake: func(m *fake.Machine) {
				m.RemoveLink("", vlan)
				m.MakeLink(l)
				m.SetLink("", vlan, host.LinkChange{Up: new(true)})
			},
			Host: slices.Concat(ip("link", "del", vlan), ip(slices.Concat([]string{"link", "add", vlan, "link", l.Lower, "type", "vlan"}, words)...), ip("link", "set", vlan, "up")),
		}
	}
	seen := seenMade(vlan)
	seen.Queries = append(seen.Queries, ip("-br", "link", "show", bridge)...)
	laws(t, steptest.Subject{
		Kind: netVLANKind(), Machine: nics, Prepare: needKind("vlan", nil), Clean: cleanMade(), Touches: seen, Policy: []string{"persist", "persist_by"}, // TestKeptLaws
		Found: []steptest.Hand{{Name: "untouched", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")}, tagged},
		Cases: []steptest.Case{
			{
				Name: "whole",
				Spec: NetVLANSpec{
					Name: vlan, Link: nic, ID: 301, Protocol: "802.1Q", ReorderHeader: step.Is(false), GVRP: step.Is(true), MVRP: step.Is(false), LooseBinding: step.Is(true),
					MTU: step.Is(1450), MAC: step.Is("02:00:00:00:00:0A"),
				},
				Drift: []steptest.Hand{
					remade("link", host.NewLink{Name: vlan, Kind: "vlan", Lower: other, Options: map[string]string{"id": "301"}}, "id", "301"),
					remade("id", host.NewLink{Name: vlan, Kind: "vlan", Lower: nic, Options: map[string]string{"id": "302"}}, "id", "302"),
					remade("protocol", host.NewLink{Name: vlan, Kind: "vlan", Lower: nic, Options: map[string]string{"id": "301", "protocol": "802.1ad"}}, "protocol", "802.1ad", "id", "301"),
					option("reorder_hdr", vlan, "vlan", map[string]string{"reorder_hdr": "1"}, "reorder_hdr", "on"),
					option("gvrp", vlan, "vlan", map[string]string{"gvrp": "0"}, "gvrp", "off"),
					option("mvrp", vlan, "vlan", map[string]string{"mvrp": "1"}, "mvrp", "on"),
					option("loose_binding", vlan, "vlan", map[string]string{"loose_binding": "0"}, "loose_binding", "off"),
					byIP("mtu", vlan, host.LinkChange{MTU: 1300}, "link", "set", vlan, "mtu", "1300"),
					byIP("mac", vlan, host.LinkChange{MAC: "02:00:00:00:00:66"}, "link", "set", vlan, "address", "02:00:00:00:00:66"),
					byIP("up", vlan, host.LinkChange{Up: new(false)}, "link", "set", vlan, "down"),
					byIPRemoved(vlan),
				},
			},
			{Name: "down", Spec: NetVLANSpec{Name: vlan, Link: nic, ID: 5, Protocol: "802.1Q", Up: step.Is(false)}, Drift: []steptest.Hand{byIP("up", vlan, host.LinkChange{Up: new(true)}, "link", "set", vlan, "up")}},
			{Name: "absent", Spec: NetVLANSpec{Name: vlan, State: step.Absent}, Drift: []steptest.Hand{{
				Name: "state", Fake: func(m *fake.Machine) {
					m.MakeLink(host.NewLink{Name: vlan, Kind: "vlan", Lower: nic, Options: map[string]string{"id": "9"}})
				}, Host: ip("link", "add", vlan, "link", nic, "type", "vlan", "id", "9")}}},
		},
	})
}

func TestVLANRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(m *fake.Machine)
		want    string
	}{
		"no device":     {func(m *fake.Machine) { m.RemoveLink("", nic) }, "put the step that makes it"},
		"a device down": {func(m *fake.Machine) { m.SetLink("", nic, host.LinkChange{Up: new(false)}) }, "bring it up before"},
		"the VLAN by another name": {func(m *fake.Machine) {
			m.MakeLink(host.NewLink{Name: "weft-laws-x", Kind: "vlan", Lower: nic, Options: map[string]string{"id": "5"}})
		}, "weft-laws-x is that VLAN"},
		"something above the other": {func(m *fake.Machine) {
			m.MakeLink(host.NewLink{Name: vlan, Kind: "vlan", Lower: nic, Options: map[string]string{"id": "6"}})
			m.MakeLink(host.NewLink{Name: "weft-laws-x", Kind: "vlan", Lower: vlan, Options: map[string]string{"id": "5"}})
		}, "weft-laws-x stands on"},
	} {
		m := nics()
		c.arrange(m)
		s := stepOf(t, netVLANKind(), NetVLANSpec{Name: vlan, Link: nic, ID: 5, Protocol: "802.1Q"})
		if _, err := s.Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A VLAN that takes the name of another costs what that one carried.
func TestVLANInPlaceOfAnother(t *testing.T) {
	m := nics()
	tagged.Fake(m)
	s := stepOf(t, netVLANKind(), NetVLANSpec{Name: vlan, Link: nic, ID: 5, Protocol: "802.1Q"})
	f := run(t, m, s)
	if f.Cost.Disruption == "" || !slices.Equal(f.Cost.Severs, []string{vlan}) {
		t.Errorf("cost %+v", f.Cost)
	}
	has(t, m, vlan, "198.18.0.7/24", "2001:db8:0:1::7/64")
	if l, _ := m.Link("", vlan); l.Master != bridge || l.Lower != nic {
		t.Errorf("%+v", l)
	}
}

func TestVLANProblems(t *testing.T) {
	for path, s := range map[string]NetVLANSpec{
		"name": {Name: "far too long a name", Link: "a", ID: 1},
		"link": {Name: "a.1", Link: "a.1", ID: 1},
		"id":   {Name: "a.1", Link: "a", ID: 4095},
		"gvrp": {Name: "a.1", Link: "a", ID: 1, GVRP: step.None[bool]()},
	} {
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
	if p := (&NetVLANSpec{Name: "a.1", State: step.Absent}).Validate(); len(p) > 0 {
		t.Errorf("of one that is to go: %v", p)
	}
}
