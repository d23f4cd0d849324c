package network

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"weft/engine/host/fake"
	"weft/engine/host/ifupdown"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// butPersist are the attributes that the laws of each kind are about.
func butPersist(spec any) []string {
	var out []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(spec)) {
		if name := step.FieldOf(f).Name; name != "persist" {
			out = append(out, name)
		}
	}
	return out
}

func TestKeptLaws(t *testing.T) {
	for _, c := range []struct {
		kind step.Kind
		name string
		own  ifupdown.Purpose
		spec any
	}{
		{netBondKind(), bond, ifupdown.Bond, NetBondSpec{Name: bond, Members: []string{nic}, Mode: step.Is("active-backup"), Miimon: step.Is(100), Persist: step.Is(true)}},
		{netBridgeKind(), bridge, ifupdown.LinuxBridge, NetBridgeSpec{Name: bridge, Members: []string{nic}, STP: step.Is(false), ForwardDelay: step.Is("4s"), MAC: step.Is("02:00:00:00:00:0b"), Persist: step.Is(true)}},
		{netVLANKind(), vlan, ifupdown.VLAN, NetVLANSpec{Name: vlan, Link: nic, ID: 301, Protocol: "802.1Q", MTU: step.Is(1400), Persist: step.Is(true)}},
	} {
		t.Run(c.kind.Name, func(t *testing.T) {
			file := c.own.Path(c.name)
			clean := append(cleanMade(), steptest.Run("rm", "-f", file)...)
			steptest.Laws(t, steptest.Subject{
				Kind: c.kind, Machine: nics, Prepare: needKind(moduleKind(c.kind), nil), Clean: clean, Touches: seenMade(c.name), Policy: butPersist(c.kind.Spec),
				Found: []steptest.Hand{
					{Name: "untouched", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
					edited("an old file", file, "auto "+c.name+"\niface "+c.name+" inet manual\n"),
				},
				Cases: []steptest.Case{{Name: "kept", Spec: c.spec, Drift: []steptest.Hand{edited("persist", file, "iface "+c.name+" inet manual\n")}}},
			})
		})
	}
}

func moduleKind(k step.Kind) string { return strings.TrimPrefix(k.Name, "net_") }

// The same where NetworkManager has the members: it makes the devices.
func TestManagedMadeLaws(t *testing.T) {
	onFake(t)
	plain := []steptest.Hand{{Name: "no profile", Fake: func(*fake.Machine) {}}, profile("a profile", strings.ReplaceAll(handText, "mtu=1400\n", ""))}
	for _, c := range []struct {
		kind step.Kind
		name string
		spec any
	}{
		{netBondKind(), bond, NetBondSpec{Name: bond, Members: []string{nic, other}, Mode: step.Is("active-backup"), Miimon: step.Is(100), Persist: step.Is(true)}},
		{netBridgeKind(), bridge, NetBridgeSpec{Name: bridge, Members: []string{nic}, STP: step.Is(false), Persist: step.Is(true)}},
		{netVLANKind(), vlan, NetVLANSpec{Name: vlan, Link: nic, ID: 301, Protocol: "802.1Q", MTU: step.Is(1400), Persist: step.Is(true)}},
	} {
		t.Run(c.kind.Name, func(t *testing.T) {
			file := profiles + c.name + ".nmconnection"
			steptest.Laws(t, steptest.Subject{
				Kind: c.kind, Machine: managed, Policy: butPersist(c.kind.Spec), Found: plain,
				Cases: []steptest.Case{{Name: "kept", Spec: c.spec, Drift: []steptest.Hand{
					{Name: "persist", Fake: func(m *fake.Machine) { m.Remove(file) }},
				}}},
			})
		})
	}
}

// A bond that joins a bridge is activated anew, and its members after it (S6).
func TestBondJoinsABridge(t *testing.T) {
	m := managed()
	run(t, m, stepOf(t, netBondKind(), NetBondSpec{Name: bond, Members: []string{nic, other}, Mode: step.Is("balance-xor"), Miimon: step.Is(100), Persist: step.Is(true)}))
	s := stepOf(t, netBridgeKind(), NetBridgeSpec{Name: bridge, Members: []string{bond}, STP: step.Is(false), Persist: step.Is(true)})
	f := run(t, m, s)
	for _, want := range [][2]string{{nic, bond}, {other, bond}, {bond, bridge}} {
		if l, _ := m.Link("", want[0]); l.Master != want[1] {
			t.Errorf("%s belongs to %q", want[0], l.Master)
		}
	}
	if text, _ := m.File(profiles + bond + ".nmconnection"); !strings.Contains(text, "master="+bridge+"\nslave-type=bridge\n") {
		t.Errorf("the bond's profile is\n%s", text)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if l, there := m.Link("", bond); !there || l.Master != "" || len(l.Options) == 0 {
		t.Errorf("after undo: %+v", l)
	}
	if _, there := m.Link("", bridge); there {
		t.Error("the bridge is still there")
	}
}

// What a management NIC has goes with it into a bridge or a bond, though
// NetworkManager takes addresses from members.
func TestManagedMove(t *testing.T) {
	for _, c := range []struct {
		kind step.Kind
		spec any
		name string
	}{
		{netBridgeKind(), NetBridgeSpec{Name: bridge, Members: []string{nic}, Persist: step.Is(true)}, bridge},
		{netBondKind(), NetBondSpec{Name: bond, Members: []string{nic}, From: nic, Mode: step.Is("active-backup"), Miimon: step.Is(100), Persist: step.Is(true)}, bond},
	} {
		m := managed()
		found()[0].Fake(m)
		before := m.Snapshot()
		make, move := stepOf(t, c.kind, c.spec), stepOf(t, netAddressKind(), NetAddressSpec{Name: c.name, From: nic, Persist: step.Is(true)})
		first, second := run(t, m, make), run(t, m, move)
		has(t, m, nic)
		has(t, m, c.name, "198.18.0.9/24")
		text, _ := m.File(profiles + c.name + ".nmconnection")
		if !strings.Contains(text, "address1=198.18.0.9/24\n") || !strings.Contains(text, "route1=203.0.113.0/24,198.18.0.254,100\n") || !strings.Contains(text, "dns=198.18.0.53;\n") {
			t.Errorf("the profile of %s is\n%s", c.name, text)
		}
		for _, s := range []step.Step{make, move} {
			if f, err := s.Check(t.Context(), m.Host().View()); err != nil || f.Changed() {
				t.Errorf("a second check: %+v %v", f.Deltas, err)
			}
		}
		if err := errors.Join(move.Undo(t.Context(), m.Host(), second), make.Undo(t.Context(), m.Host(), first)); err != nil {
			t.Fatal(err)
		}
		if after := m.Snapshot(); after != before {
			t.Errorf("undo left\n%s\nnot\n%s", after, before)
		}
	}
}
