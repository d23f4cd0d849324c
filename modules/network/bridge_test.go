package network

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const bridge = steptest.Prefix + "-r"

// spanning is a bridge of another hand, with a NIC in it that does not wait.
var spanning = steptest.Hand{
	Name: "a bridge",
	Fake: func(m *fake.Machine) {
		m.MakeLink(host.NewLink{Name: bridge, Kind: "bridge", MTU: 1400, Options: map[string]string{"forward_delay": "0", "ageing_time": "1234", "priority": "4096"}})
		m.SetLink("", other, host.LinkChange{Master: new(bridge)})
		m.SetLink("", bridge, host.LinkChange{Up: new(true), AddAddresses: prefixes("198.18.0.7/24", "2001:db8:0:1::7/64"), AddRoutes: []host.Route{routeOf("203.0.113.0/24", "198.18.0.254", 0)}})
	},
	Host: slices.Concat(ip("link", "add", bridge, "mtu", "1400", "type", "bridge", "forward_delay", "0", "ageing_time", "1234", "priority", "4096"), ip("link", "set", other, "master", bridge),
		ip("link", "set", bridge, "up"), ip("address", "add", "198.18.0.7/24", "dev", bridge), ip("address", "add", "2001:db8:0:1::7/64", "dev", bridge, "nodad"), ip("route", "add", "203.0.113.0/24", "via", "198.18.0.254")),
}

func TestBridgeLaws(t *testing.T) {
	absent := steptest.Case{Name: "absent", Spec: NetBridgeSpec{Name: bridge, State: step.Absent}, Drift: []steptest.Hand{{
		Name: "state", Fake: func(m *fake.Machine) { m.MakeLink(host.NewLink{Name: bridge, Kind: "bridge"}) }, Host: ip("link", "add", bridge, "type", "bridge")}}}
	laws(t, steptest.Subject{
		Kind: netBridgeKind(), Machine: nics, Prepare: needKind("bridge", nil), Clean: cleanMade(), Policy: []string{"others", "vlan_filtering", "persist", "persist_by"}, // TestVLANFilteringLaws, TestKeptLaws
		Touches: seenMade(bridge, "bridge/stp_state", "bridge/forward_delay", "bridge/hello_time", "bridge/max_age", "bridge/ageing_time", "bridge/priority", "bridge/multicast_snooping",
			"bridge/multicast_querier", "bridge/group_fwd_mask"),
		Found: []steptest.Hand{
			configured, spanning,
			byIP("down", nic, host.LinkChange{Up: new(false)}, "link", "set", nic, "down"),
			{Name: "a bridge without members",
				Fake: func(m *fake.Machine) { m.MakeLink(host.NewLink{Name: bridge, Kind: "bridge"}) },
				Host: ip("link", "add", bridge, "address", "02:00:00:00:00:99", "type", "bridge")},
		},
		Cases: []steptest.Case{
			{
				Name: "whole",
				Spec: NetBridgeSpec{
					Name: bridge, Members: []string{nic, other}, Others: "remove", STP: step.Is(false), Priority: step.Is(8192), ForwardDelay: step.Is("4s"), HelloTime: step.Is("1s"), MaxAge: step.Is("10s"), AgeingTime: step.Is("5m"),
					McastSnooping: step.Is(false), McastQuerier: step.Is(true), GroupFwdMask: step.Is(16384), MTU: step.Is(1450), MAC: step.Is("02:00:00:00:00:0B"), Up: step.Is(true),
				},
				Drift: []steptest.Hand{
					byIP("members", other, host.LinkChange{Master: new("")}, "link", "set", other, "nomaster"),
					byIP("members.up", other, host.LinkChange{Up: new(false)}, "link", "set", other, "down"),
					optionOf("stp", "stp_state", "1"), optionOf("priority", "priority", "32768"), optionOf("forward_delay", "forward_delay", "1550"), optionOf("hello_time", "hello_time", "200"),
					optionOf("max_age", "max_age", "2000"), optionOf("ageing_time", "ageing_time", "0"), optionOf("mcast_snooping", "mcast_snooping", "1"),
					optionOf("mcast_querier", "mcast_querier", "0"), optionOf("group_fwd_mask", "group_fwd_mask", "8"),
					byIP("mtu", bridge, host.LinkChange{MTU: 1300}, "link", "set", bridge, "mtu", "1300"),
					byIP("mac", bridge, host.LinkChange{MAC: "02:00:00:00:00:66"}, "link", "set", bridge, "address", "02:00:00:00:00:66"),
					byIP("up", bridge, host.LinkChange{Up: new(false)}, "link", "set", bridge, "down"),
					byIPRemoved(bridge),
				},
				Spellings: []steptest.Hand{optionOf("as it is", "ageing_time", "30000")},
			},
			{Name: "one of two", Spec: NetBridgeSpec{Name: bridge, Members: []string{nic}, Others: "report"}, Drift: []steptest.Hand{byIP("members", nic, host.LinkChange{Master: new("")}, "link", "set", nic, "nomaster")}},
			{Name: "bare", Spec: NetBridgeSpec{Name: bridge, Members: []string{}, Others: "remove", Up: step.Is(false)}, Drift: []steptest.Hand{byIP("members", nic, host.LinkChange{Master: new(bridge)}, "link", "set", nic, "master", bridge)}},
			absent,
		},
	})
}

// The kernel of a lab's host may not filter VLANs.
func TestVLANFilteringLaws(t *testing.T) {
	filtering := optionOf("vlan_filtering", "vlan_filtering", "0")
	filtering.Host = nil
	s := steptest.Subject{
		Kind: netBridgeKind(), Machine: nics, Found: []steptest.Hand{{Name: "absent", Fake: func(*fake.Machine) {}}}, Policy: []string{
			"members", "others", "stp", "priority", "forward_delay", "hello_time", "max_age", "ageing_time", "mcast_snooping", "mcast_querier", "group_fwd_mask", "up", "mtu", "mac", "state", "persist", "persist_by"},
		Cases: []steptest.Case{{Name: "filtering", Spec: NetBridgeSpec{Name: bridge, VLANFiltering: step.Is(true)}, Drift: []steptest.Hand{filtering}}},
	}
	laws(t, s)
}

func optionOf(name, opt, value string) steptest.Hand {
	return option(name, bridge, "bridge", map[string]string{opt: value}, opt, value)
}

// Members that nobody named stay, and keep a bridge that an undo would take away.
func TestGuestsOfABridge(t *testing.T) {
	m := nics()
	s := stepOf(t, netBridgeKind(), NetBridgeSpec{Name: bridge, Members: []string{nic}, Others: "report"})
	f := run(t, m, s)
	m.AddLink("", host.Link{Name: "tap0", Kind: "tun"})
	m.SetLink("", "tap0", host.LinkChange{Master: new(bridge)})
	again, err := s.Check(t.Context(), m.Host().View())
	if err != nil || again.Changed() || len(again.Warnings) != 1 || !strings.Contains(again.Warnings[0], "tap0 belongs to") {
		t.Errorf("%+v %q %v", again.Deltas, again.Warnings, err)
	}
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) {
		t.Errorf("undo: %v", err)
	}
	run(t, m, stepOf(t, netBridgeKind(), NetBridgeSpec{Name: bridge, Members: []string{nic}, Others: "remove"}))
	if l, _ := m.Link("", "tap0"); l.Master != "" {
		t.Error("the guest is still a member")
	}
}

func TestBridgeSevers(t *testing.T) {
	m := nics()
	configured.Fake(m)
	s := stepOf(t, netBridgeKind(), NetBridgeSpec{Name: bridge, Members: []string{nic}})
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil || !slices.Equal(f.Cost.Severs, []string{nic}) || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "move them by a net_address step") {
		t.Errorf("severs %v, warns %q (%v)", f.Cost.Severs, f.Warnings, err)
	}
	run(t, m, s)
	for name, spec := range map[string]NetBridgeSpec{
		"STP": {Name: bridge, STP: step.Is(true)}, "down": {Name: bridge, Up: step.Is(false)}, "MAC": {Name: bridge, MAC: step.Is("02:00:00:00:00:77")},
		"a member that leaves": {Name: bridge, Members: []string{}, Others: "remove"}, "gone": {Name: bridge, State: step.Absent},
	} {
		f, err := stepOf(t, netBridgeKind(), spec).Check(t.Context(), m.Host().View())
		if err != nil || !slices.Contains(f.Cost.Severs, bridge) {
			t.Errorf("%s severs %v (%v)", name, f.Cost.Severs, err)
		}
	}
}

func TestBridgeProblems(t *testing.T) {
	for path, s := range map[string]NetBridgeSpec{
		"name":           {Name: "far too long a name"},
		"members":        {Name: "br0", Members: []string{"br0"}},
		"forward_delay":  {Name: "br0", STP: step.Is(true), ForwardDelay: step.Is("1s")},
		"hello_time":     {Name: "br0", HelloTime: step.Is("2")},
		"max_age":        {Name: "br0", MaxAge: step.Is("41s")},
		"ageing_time":    {Name: "br0", AgeingTime: step.Is("1ms")},
		"priority":       {Name: "br0", Priority: step.Is(65536)},
		"group_fwd_mask": {Name: "br0", GroupFwdMask: step.Is(4)},
		"others":         {Name: "br0", Others: "remove"},
		"stp":            {Name: "br0", STP: step.None[bool]()},
	} {
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
}
