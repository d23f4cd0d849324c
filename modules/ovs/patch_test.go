package ovs_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/modules/ovs"
)

// joined is a machine with bridges br0, br1, …, of which the given pairs are
// joined by patch ports pN-M.
func joined(bridges int, pairs ...[2]int) *fake.Machine {
	m := machine()
	for n := range bridges {
		ovsVsctl(m, []string{"add-br", fmt.Sprintf("br%d", n)})
	}
	for _, p := range pairs {
		for _, e := range [][2]int{p, {p[1], p[0]}} {
			name := fmt.Sprintf("p%d-%d", e[0], e[1])
			ovsVsctl(m, []string{"add-port", fmt.Sprintf("br%d", e[0]), name, "--", "set", "interface", name, "type=patch", fmt.Sprintf("options:peer=p%d-%d", e[1], e[0])})
		}
	}
	return m
}

func between(near, far int) ovs.PatchSpec {
	return ovs.PatchSpec{
		Near: ovs.PatchEnd{Bridge: fmt.Sprintf("br%d", near), Port: fmt.Sprintf("p%d-%d", near, far)},
		Far:  ovs.PatchEnd{Bridge: fmt.Sprintf("br%d", far), Port: fmt.Sprintf("p%d-%d", far, near)},
	}
}

func TestPatchLoops(t *testing.T) {
	spanning := func(m *fake.Machine, column string, bridges ...string) {
		for _, b := range bridges {
			ovsVsctl(m, []string{"set", "bridge", b, column + "=true"})
		}
	}
	for name, c := range map[string]struct {
		m    *fake.Machine
		want string
	}{
		"none":              {joined(3, [2]int{0, 1}), ""},
		"a triangle":        {joined(3, [2]int{0, 1}, [2]int{1, 2}), "br0 - p0-1/p1-0 - br1 - p1-2/p2-1 - br2 - p2-0/p0-2 - br0"},
		"it is there":       {joined(3, [2]int{0, 1}, [2]int{1, 2}, [2]int{0, 2}), "br0 - p0-1/p1-0 - br1 - p1-2/p2-1 - br2 - p2-0/p0-2 - br0"},
		"beside others":     {joined(5, [2]int{0, 3}, [2]int{3, 4}, [2]int{4, 2}, [2]int{1, 2}), "br0 - p0-3/p3-0 - br3 - p3-4/p4-3 - br4 - p4-2/p2-4 - br2"},
		"with STP":          {joined(3, [2]int{0, 1}, [2]int{1, 2}), ""},
		"STP, RSTP there":   {joined(3, [2]int{0, 1}, [2]int{1, 2}), ""},
		"STP on two":        {joined(3, [2]int{0, 1}, [2]int{1, 2}), "br1"},
		"STP on one way":    {joined(4, [2]int{0, 1}, [2]int{1, 2}, [2]int{0, 3}, [2]int{3, 2}), "br3"},
		"a pair that isn't": {joined(3, [2]int{0, 1}, [2]int{1, 2}), ""},
	} {
		switch name {
		case "with STP":
			spanning(c.m, "stp_enable", "br0", "br1", "br2")
		case "STP, RSTP there":
			spanning(c.m, "stp_enable", "br0", "br2")
			spanning(c.m, "rstp_enable", "br1")
		case "STP on two":
			spanning(c.m, "stp_enable", "br0", "br2")
		case "STP on one way":
			spanning(c.m, "stp_enable", "br0", "br1", "br2")
		case "a pair that isn't":
			ovsVsctl(c.m, []string{"set", "interface", "p2-1", "options:peer=nobody"})
		}
		f := check(t, c.m, made(t, "ovs_patch", between(0, 2)))
		says := strings.Join(f.Warnings, "\n")
		if (c.want == "") != (says == "") || !strings.Contains(says, c.want) {
			t.Errorf("%s: the plan warns of %q, not of %q", name, says, c.want)
		}
	}
}

// TestPatchTriangle is what scenario S11 builds, and loses a peer of.
func TestPatchTriangle(t *testing.T) {
	m := joined(3)
	var pairs []step.Step
	for _, p := range [][2]int{{0, 1}, {1, 2}, {2, 0}} {
		s := made(t, "ovs_patch", between(p[0], p[1]))
		apply(t, m, s)
		pairs = append(pairs, s)
	}
	ovsVsctl(m, []string{"del-port", "p2-1"})
	for i, want := range []string{"", "half far.bridge", ""} {
		var paths []string
		for _, d := range check(t, m, pairs[i]).Deltas {
			paths = append(paths, d.Path)
		}
		if got := strings.Join(slices.Sorted(slices.Values(paths)), " "); got != strings.Join(slices.Sorted(strings.FieldsSeq(want)), " ") {
			t.Errorf("pair %d: %q, not %q", i, got, want)
		}
	}
	apply(t, m, pairs[1])
	if f := check(t, m, pairs[1]); f.Changed() {
		t.Errorf("it was not mended: %v", f.Deltas)
	}
}

func TestRefusedPatches(t *testing.T) {
	end := func(bridge, port string) ovs.PatchEnd { return ovs.PatchEnd{Bridge: bridge, Port: port} }
	for want, spec := range map[string]*ovs.PatchSpec{
		"far.bridge": {Near: end("br0", "a"), Far: end("br0", "b")},
		"far.port":   {Near: end("br0", "a"), Far: end("br1", "a")},
		"near.port":  {Near: end("br0", "br1"), Far: end("br1", "b")},
		"near.tag":   {Near: ovs.PatchEnd{Bridge: "br0", Port: "a", Tag: step.Is(4096)}, Far: end("br1", "b")},
		"replaces":   {Near: end("br0", "a"), Far: end("br1", "b"), Replaces: []string{"b"}},
	} {
		problems := spec.Validate()
		if len(problems) != 1 || problems[0].Path != want || problems[0].Hint == "" {
			t.Errorf("%s: %+v", want, problems)
		}
	}
}

func TestPatchThatCannotBe(t *testing.T) {
	m := joined(2)
	ovsVsctl(m, []string{"add-br", "br2", "--", "set", "bridge", "br2", "datapath_type=netdev"})
	ovsVsctl(m, []string{"add-port", "br0", "eth1"})
	nic := between(0, 1)
	nic.Near.Port = "eth1"
	for want, spec := range map[string]ovs.PatchSpec{
		"is of datapath_type system and br2 of netdev": between(0, 2),
		"there is no bridge br7":                       between(0, 7),
		"port eth1 of bridge br0 is a device":          nic,
	} {
		_, err := made(t, "ovs_patch", spec).Check(t.Context(), m.Host().View())
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, step.ErrNotYet) != !strings.Contains(want, "eth1") {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// TestRSTPIsKeptOffPatchPorts: frames of RSTP that cross a pair end ovs-vswitchd. What
// runs all the same is left alone.
func TestRSTPIsKeptOffPatchPorts(t *testing.T) {
	rstp := func(m *fake.Machine, bridges ...string) *fake.Machine {
		for _, b := range bridges {
			ovsVsctl(m, []string{"set", "bridge", b, "rstp_enable=true"})
		}
		return m
	}
	pair, speaks := between(0, 1), ovs.BridgeSpec{Name: "br0", RSTP: step.Is(true)}
	for name, c := range map[string]struct {
		m       *fake.Machine
		step    step.Step
		refused bool
	}{
		"a pair":                    {rstp(joined(2), "br0", "br1"), made(t, "ovs_patch", pair), true},
		"a pair to one":             {rstp(joined(2), "br0"), made(t, "ovs_patch", pair), false},
		"a pair that is there":      {rstp(joined(2, [2]int{0, 1}), "br0", "br1"), made(t, "ovs_patch", pair), false},
		"a bridge that is joined":   {rstp(joined(2, [2]int{0, 1}), "br1"), made(t, "ovs_bridge", speaks), true},
		"one that speaks it so far": {rstp(joined(2, [2]int{0, 1}), "br0", "br1"), made(t, "ovs_bridge", speaks), false},
		"one by itself":             {rstp(joined(2), "br1"), made(t, "ovs_bridge", speaks), false},
	} {
		_, err := c.step.Check(t.Context(), c.m.Host().View())
		if refused := err != nil && strings.Contains(err.Error(), "ovs-vswitchd aborts"); refused != c.refused || err != nil && !refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPatchThatDoesNotWork has a bridge that changes between plan and apply.
func TestPatchThatDoesNotWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it waits for errors that go by
		m := joined(2)
		s := made(t, "ovs_patch", between(0, 1))
		f := check(t, m, s)
		ovsVsctl(m, []string{"set", "bridge", "br1", "datapath_type=netdev"})
		m.WriteFile("/var/log/openvswitch/ovs-vswitchd.log", "2026-11-21T08:00:00.000Z|00001|bridge|WARN|p0-1: its peer is elsewhere\n")
		err := s.Apply(t.Context(), m.Host(), f)
		if err == nil || !strings.Contains(err.Error(), "port p0-1: No usable peer 'p1-0' exists in 'system' datapath") || !strings.Contains(err.Error(), "its peer is elsewhere") {
			t.Errorf("%v does not say why, with the lines of the log", err)
		}
		ovsVsctl(m, []string{"set", "bridge", "br1", "datapath_type=system"})
		if f := check(t, m, s); f.Changed() {
			t.Errorf("the cure leaves %v", f.Deltas)
		}
	})
}

func TestWhatAPatchSevers(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*ovs.PatchSpec)
		want   []string
	}{
		"nothing":        {func(*ovs.PatchSpec) {}, nil},
		"it goes":        {func(s *ovs.PatchSpec) { s.State = step.Absent }, []string{"br1", "eth1"}},
		"a tag":          {func(s *ovs.PatchSpec) { s.Near.Tag = step.Is(5) }, []string{"br1", "eth1"}},
		"another pair":   {func(s *ovs.PatchSpec) { s.Near.Port, s.Far.Port = "x", "y" }, nil},
		"a loop":         {func(s *ovs.PatchSpec) { *s = between(0, 2) }, []string{"br1", "eth1"}},
		"for other ones": {func(s *ovs.PatchSpec) { s.Near.Port, s.Far.Port, s.Replaces = "x", "y", []string{"p0-1", "p1-0"} }, []string{"br1", "eth1"}},
	} {
		m := joined(3, [2]int{0, 1}, [2]int{1, 2})
		ovsVsctl(m, []string{"add-port", "br0", "eth1"})
		ovsVsctl(m, []string{"set", "bridge", "br0", "stp_enable=true"})
		m.SetLink("", "br1", host.LinkChange{AddAddresses: prefixes("10.127.0.2/25")})
		spec := between(0, 1)
		c.change(&spec)
		if name == "another pair" {
			for _, b := range []string{"br1", "br2"} { // a second pair of the two is a loop of its own
				ovsVsctl(m, []string{"set", "bridge", b, "stp_enable=true"})
			}
		}
		f := check(t, m, made(t, "ovs_patch", spec))
		if got := slices.Sorted(slices.Values(f.Cost.Severs)); !slices.Equal(got, c.want) {
			t.Errorf("%s: severs %v, not %v (%v)", name, got, c.want, f.Deltas)
		}
	}
}

func TestPersistedPatch(t *testing.T) {
	m := joined(2)
	spec := between(0, 1)
	spec.Far.Trunks, spec.Persist = []int{301, 300}, step.Is(true)
	apply(t, m, made(t, "ovs_patch", spec))
	for file, want := range map[string]string{
		"p0-1": "# The port p0-1, written by weft, which overwrites changes.\nauto p0-1\nno-auto-down p0-1\niface p0-1 inet manual\n" +
			"    ovs_bridge br0\n    ovs_type OVSPatchPort\n    ovs_patch_peer p1-0\n",
		"p1-0": "# The port p1-0, written by weft, which overwrites changes.\nauto p1-0\nno-auto-down p1-0\niface p1-0 inet manual\n" +
			"    ovs_bridge br1\n    ovs_type OVSPatchPort\n    ovs_patch_peer p0-1\n    ovs_extra set port p1-0 trunks=300,301\n",
	} {
		if got, _ := m.File("/etc/network/interfaces.d/weft-port-" + file); got != want {
			t.Errorf("%s is\n%s", file, got)
		}
	}
}

// TestPatchIsOneWhicheverEndComesFirst: undo and resume find it by its object.
func TestPatchIsOneWhicheverEndComesFirst(t *testing.T) {
	m := joined(2)
	a, b := check(t, m, made(t, "ovs_patch", between(0, 1))), check(t, m, made(t, "ovs_patch", between(1, 0)))
	if a.Object != b.Object || a.Object != "patch p0-1 - p1-0" {
		t.Errorf("%q and %q", a.Object, b.Object)
	}
}
