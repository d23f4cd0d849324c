package ovs_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
	"weft/modules/ovs"
)

// mirrorPorts are the ports that mirrors select and fill.
var mirrorPorts = [...]string{steptest.Prefix + "-a", steptest.Prefix + "-b", steptest.Prefix + "-c"}

func withPorts() *fake.Machine {
	m := withBridge()
	addMirrorPorts(m)
	return m
}

func addMirrorPorts(m *fake.Machine) {
	for _, p := range mirrorPorts {
		ovsVsctl(m, []string{"add-port", homeName, p, "--", "set", "interface", p, "type=internal"})
	}
}

// mirrorNeeds is what a real host must have before the walk; the fake has it.
func mirrorNeeds() []steptest.Hand {
	hands := needs()
	for _, p := range mirrorPorts {
		hands = append(hands, steptest.Hand{Fake: func(*fake.Machine) {}, Host: vsctl("", "--may-exist", "add-port", homeName, p, "--", "set", "interface", p, "type=internal").Host})
	}
	return hands
}

// createMirror is another hand with a mirror of its own, on the bridge of the
// laws. Columns that refer to ports are given by their names.
func createMirror(name string, ports map[string]string, columns ovsdb.Row, words ...string) steptest.Hand {
	argv := []string{"ovs-vsctl", "--timeout=10"}
	r := ovsdb.Row{"name": portName}
	for _, column := range slices.Sorted(maps.Keys(ports)) {
		argv = append(argv, "--id=@"+column, "get", "port", ports[column], "--")
		words = append(words, column+"=@"+column)
	}
	argv = append(argv, append([]string{"--id=@m", "create", "mirror", "name=" + portName}, words...)...)
	return steptest.Hand{
		Name: name,
		Fake: func(m *fake.Machine) {
			var tx row.Tx
			for column, v := range columns {
				r[column] = v
			}
			for column, port := range ports {
				r[column] = row.UUIDs(find(m, "Port", port))
			}
			tx.Insert("Mirror", "m", r)
			tx.Mutate("Bridge", find(m, "Bridge", homeName), row.AddRefs("mirrors", "m"))
			m.Transact(host.OpenVSwitch, tx.Operations()...)
		},
		Host: []host.Command{{Argv: append(argv, "--", "add", "bridge", homeName, "mirrors", "@m")}},
	}
}

// mirrorRef is another hand that points a column of the mirror at a port.
func mirrorRef(column, port string) steptest.Hand {
	return steptest.Hand{
		Name: column,
		Fake: func(m *fake.Machine) {
			var tx row.Tx
			tx.Update("Mirror", find(m, "Mirror", portName), ovsdb.Row{column: row.UUIDs(find(m, "Port", port))})
			m.Transact(host.OpenVSwitch, tx.Operations()...)
		},
		Host: steptest.Run("ovs-vsctl", "--timeout=10", "--id=@p", "get", "port", port, "--", "set", "mirror", portName, column+"=@p"),
	}
}

func mirrorSubject(t *testing.T) steptest.Subject {
	byHand := createMirror("different", map[string]string{"select_src_port": mirrorPorts[1], "output_port": mirrorPorts[0]},
		ovsdb.Row{"select_vlan": row.Set(9), "external_ids": row.Strmap(map[string]string{"hand": "1"}), "snaplen": row.Optional(100)},
		"select_vlan=9", "external_ids:hand=1", "snaplen=100")
	byHandToVLAN := createMirror("to a VLAN", nil, ovsdb.Row{"select_all": true, "output_vlan": row.Optional(5)}, "select_all=true", "output_vlan=5")
	gone := steptest.Hand{
		Name: "state",
		Fake: func(m *fake.Machine) { ovsVsctl(m, []string{"clear", "bridge", homeName, "mirrors"}) },
		Host: steptest.Run("ovs-vsctl", "--timeout=10", "clear", "bridge", homeName, "mirrors"),
	}
	set := func(name string, args ...string) steptest.Hand {
		return vsctl(name, append([]string{"set", "mirror", portName}, args...)...)
	}
	return steptest.Subject{
		Kind: kind(t, "ovs_mirror"), Machine: withPorts,
		Policy: []string{"bridge"}, // it says which mirror is meant
		Found:  []steptest.Hand{steps("absent", mirrorNeeds()...), steps("different", append(mirrorNeeds(), byHand)...), steps("to a VLAN", append(mirrorNeeds(), byHandToVLAN)...)},
		Cases: []steptest.Case{
			{
				Name: "to a port",
				Spec: ovs.MirrorSpec{
					Bridge: homeName, SelectSrc: []string{mirrorPorts[0]}, SelectDst: []string{mirrorPorts[1], mirrorPorts[0]}, SelectVLAN: []int{301, 300},
					OutputPort: step.Is(mirrorPorts[2]), Snaplen: step.Is(128), ExternalIDs: keys("weft-laws", "1"),
				},
				Drift: []steptest.Hand{
					gone, set("select_all", "select_all=true"),
					mirrorRef("select_src_port", mirrorPorts[1]), mirrorRef("select_dst_port", mirrorPorts[1]), mirrorRef("output_port", mirrorPorts[1]),
					vsctl("select_src_port", "clear", "mirror", portName, "select_src_port"),
					set("select_vlan", "select_vlan=300"), vsctl("select_vlan", "clear", "mirror", portName, "select_vlan"),
					set("snaplen", "snaplen=64"), vsctl("snaplen", "clear", "mirror", portName, "snaplen"),
					set("external_ids.weft-laws", "external_ids:weft-laws=2"),
					set("output_vlan", "output_vlan=7"),
				},
				Spellings: []steptest.Hand{set("another order", "select_vlan=301,300"), set("a key of another hand", "external_ids:note=mine")},
			},
			{
				Name: "to a VLAN",
				Spec: ovs.MirrorSpec{Bridge: homeName, SelectAll: step.Is(true), OutputVLAN: step.Is(900), Snaplen: step.None[int]()},
				Drift: []steptest.Hand{
					set("select_all", "select_all=false"), set("output_vlan", "output_vlan=901"), set("select_vlan", "select_vlan=0"),
					mirrorRef("select_src_port", mirrorPorts[1]), set("snaplen", "snaplen=64"),
				},
			},
			{Name: "absent", Spec: ovs.MirrorSpec{Bridge: homeName, State: step.Absent}, Drift: []steptest.Hand{steps("state", byHandToVLAN)}},
		},
		Touches: steptest.Touches{Queries: slices.Concat(
			query("Mirror", portName, "name,select_all,select_vlan,output_vlan,snaplen,external_ids"),
			steptest.Run("ovs-vsctl", "list-ports", homeName))},
		Clean: append(steptest.Run("ovs-vsctl", "--if-exists", "del-br", homeName, "--", "--if-exists", "del-br", otherName),
			steptest.Run("ip", "link", "del", uplinkName)...),
	}
}

func TestMirrorLaws(t *testing.T) { laws(t, mirrorSubject(t)) }

func TestMirrorWaitsForItsPorts(t *testing.T) {
	m := withBridge()
	for _, c := range []struct {
		spec ovs.MirrorSpec
		want string
	}{
		{ovs.MirrorSpec{Name: "span", Bridge: "br9", SelectAll: step.Is(true), OutputVLAN: step.Is(5)}, "no bridge br9"},
		{ovs.MirrorSpec{Name: "span", Bridge: homeName, SelectAll: step.Is(true), OutputPort: step.Is("tap9")}, "no port tap9 on bridge " + homeName},
		{ovs.MirrorSpec{Name: "span", Bridge: homeName, SelectSrc: []string{otherName}, OutputVLAN: step.Is(5)}, "no port " + otherName},
	} {
		_, err := made(t, "ovs_mirror", c.spec).Check(t.Context(), m.Host().View())
		if !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, not %q", err, c.want)
		}
	}
	f := check(t, m, made(t, "ovs_mirror", ovs.MirrorSpec{Name: "span", Bridge: "br9", State: step.Absent}))
	if f.Changed() {
		t.Errorf("a mirror of a bridge that is not there is absent: %v", f.Deltas)
	}
}

func TestOutputOfAMirrorIsCutOff(t *testing.T) {
	m := managed()
	for output, want := range map[string][]string{
		"eth1": {"br-far", "eth1", "mgmt0", "trunk0"}, "mgmt0": {"mgmt0"}, "idle0": nil,
	} {
		f := check(t, m, made(t, "ovs_mirror", ovs.MirrorSpec{Name: "span", Bridge: homeName, SelectAll: step.Is(true), OutputPort: step.Is(output)}))
		if got := slices.Sorted(slices.Values(f.Cost.Severs)); !slices.Equal(got, want) {
			t.Errorf("%s: severs %v, not %v", output, got, want)
		}
	}
}

// TestPortComesBackIntoItsMirrors removes a port that mirrors refer to: the
// database forgets that by itself, undo does not.
func TestPortComesBackIntoItsMirrors(t *testing.T) {
	m := withPorts()
	createMirror("", map[string]string{"select_src_port": mirrorPorts[0], "output_port": mirrorPorts[2]}, nil).Fake(m)
	before := m.Snapshot()
	for _, p := range []string{mirrorPorts[0], mirrorPorts[2]} {
		s := made(t, "ovs_port", ovs.PortSpec{Name: p, Bridge: homeName, State: step.Absent})
		f := journalled(t, apply(t, m, s))
		if m.Snapshot() == before {
			t.Fatal("nothing was removed")
		}
		if err := s.Undo(t.Context(), m.Host(), f); err != nil {
			t.Fatal(err)
		}
		if after := m.Snapshot(); after != before {
			t.Errorf("%s: before:\n%s\nafter:\n%s", p, before, after)
		}
	}
	// Where the mirror has another output by then, or is gone, the port comes
	// back alone.
	s := made(t, "ovs_port", ovs.PortSpec{Name: mirrorPorts[2], Bridge: homeName, State: step.Absent})
	f := journalled(t, apply(t, m, s))
	mirrorRef("output_port", mirrorPorts[1]).Fake(m)
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Error(err)
	}
	if out := row.Refs(m.Rows(host.OpenVSwitch, "Mirror")[0], "output_port"); !slices.Equal(out, []string{find(m, "Port", mirrorPorts[1])}) {
		t.Error("undo took the output that another hand chose")
	}
}

func TestRefusedMirrors(t *testing.T) {
	good := ovs.MirrorSpec{Name: "span", Bridge: "br0", SelectSrc: []string{"eth1"}, OutputPort: step.Is("tap0")}
	if p := good.Validate(); len(p) > 0 {
		t.Errorf("a good mirror is refused: %v", p)
	}
	for want, change := range map[string]func(*ovs.MirrorSpec){
		"select_all":         func(s *ovs.MirrorSpec) { s.SelectSrc = nil },
		"output_port:none":   func(s *ovs.MirrorSpec) { s.OutputPort = step.None[string]() },
		"output_port:both":   func(s *ovs.MirrorSpec) { s.OutputVLAN = step.Is(5) },
		"output_port:itself": func(s *ovs.MirrorSpec) { s.OutputPort = step.Is("eth1") },
		"output_vlan":        func(s *ovs.MirrorSpec) { s.OutputPort, s.OutputVLAN = step.None[string](), step.Is(0) },
		"select_vlan":        func(s *ovs.MirrorSpec) { s.SelectVLAN = []int{4096} },
		"snaplen":            func(s *ovs.MirrorSpec) { s.Snaplen = step.Is(13) },
		"bridge":             func(s *ovs.MirrorSpec) { s.Bridge = "a b" },
		"name":               func(s *ovs.MirrorSpec) { s.Name = "" },
	} {
		s := good
		change(&s)
		path, _, _ := strings.Cut(want, ":")
		if p := s.Validate(); len(p) != 1 || p[0].Path != path || p[0].Message == "" {
			t.Errorf("%s: %v", want, p)
		}
	}
}
