package ovs_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/modules/ovs"
)

// made makes a step of a spec, as the runner does.
func made(t *testing.T, name string, spec any) step.Step {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	s, err := kind(t, name).Make(step.Unit{Address: name + ".x", Kind: name, Name: "x", Spec: b})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func check(t *testing.T, m *fake.Machine, s step.Step) step.Finding {
	t.Helper()
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func apply(t *testing.T, m *fake.Machine, s step.Step) step.Finding {
	t.Helper()
	f := check(t, m, s)
	if err := s.Apply(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestConfigRaisesARestart(t *testing.T) {
	m := machine()
	f := check(t, m, made(t, "ovs_config", ovs.ConfigSpec{OtherConfig: keys("dpdk-init", "true", "dpdk-extra", "--no-pci --no-huge", "max-idle", "5")}))
	want := []step.Need{{Verb: step.RestartUnit, Object: "ovs-vswitchd.service", Reason: "other_config:dpdk-extra"}}
	if !slices.Equal(f.Needs, want) {
		t.Errorf("needs %v", f.Needs)
	}
	if f = check(t, m, made(t, "ovs_config", ovs.ConfigSpec{OtherConfig: keys("max-idle", "5")})); len(f.Needs) > 0 {
		t.Errorf("max-idle needs %v", f.Needs)
	}
}

func TestSwitchThatDoesNotConfigure(t *testing.T) {
	m := machine()
	m.Systemctl(host.Stop, "ovs-vswitchd.service")
	s := made(t, "ovs_bridge", ovs.BridgeSpec{Name: "br0"})
	err := s.Apply(t.Context(), m.Host(), check(t, m, s))
	if err == nil || !strings.Contains(err.Error(), "ovs-vswitchd.service is inactive") || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	f := check(t, m, s)
	if len(f.Deltas) != 1 || f.Deltas[0].Path != "error" {
		t.Errorf("a bridge that nobody configured is found as %v", f.Deltas)
	}
}

// TestUndoOfADeadSwitch: nobody configures what is taken back, and nobody is waited
// for.
func TestUndoOfADeadSwitch(t *testing.T) {
	m := machine()
	s := made(t, "ovs_config", ovs.ConfigSpec{OtherConfig: keys("max-idle", "5")})
	f := apply(t, m, s)
	m.FailUnit("ovs-vswitchd.service")
	if err := s.Undo(t.Context(), m.Host(), f); err == nil || !strings.Contains(err.Error(), "ovs-vswitchd.service is failed") || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Errorf("once more: %v", err)
	}
	if root := m.Rows(host.OpenVSwitch, "Open_vSwitch")[0]; row.Map(root, "other_config")["max-idle"] != "" {
		t.Error("the key is still there")
	}
}

func TestPortThatCannotBeMade(t *testing.T) {
	m := withBridge()
	s := made(t, "ovs_port", ovs.PortSpec{Name: "eth9", Bridge: homeName})
	err := s.Apply(t.Context(), m.Host(), check(t, m, s))
	if err == nil || !strings.Contains(err.Error(), "No such device") || !strings.Contains(err.Error(), "bridge|WARN|could not open network device eth9") {
		t.Errorf("%v does not say why, with the lines of the log", err)
	}
	if f := check(t, m, s); len(f.Deltas) == 0 || f.Deltas[0].Path != "state" {
		t.Errorf("the port was left: %v", f.Deltas)
	}
}

func TestPatchPortsPairUp(t *testing.T) {
	m := withBridge()
	patch := func(name, bridge, peer string) step.Step {
		return made(t, "ovs_port", ovs.PortSpec{Name: name, Bridge: bridge, Type: step.Is("patch"), Options: keys("peer", peer)})
	}
	one, two := patch("patch0", homeName, "patch1"), patch("patch1", otherName, "patch0")
	apply(t, m, one)
	if f := check(t, m, one); f.Changed() || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "patch1 is not there yet") {
		t.Errorf("%v, warnings %q", f.Deltas, f.Warnings)
	}
	apply(t, m, two)
	for _, s := range []step.Step{one, two} {
		if f := check(t, m, s); f.Changed() || len(f.Warnings) > 0 {
			t.Errorf("%v, warnings %q", f.Deltas, f.Warnings)
		}
	}
}

func TestSeveredLinks(t *testing.T) {
	m := withBridge()
	m.SetLink("", "eth1", host.LinkChange{AddAddresses: prefixes("10.127.0.3/25")})
	nic := made(t, "ovs_port", ovs.PortSpec{Name: "eth1", Bridge: homeName})
	if f := check(t, m, nic); !slices.Equal(f.Cost.Severs, []string{"eth1"}) {
		t.Errorf("a NIC with an address joins a bridge and severs %v", f.Cost.Severs)
	}
	apply(t, m, nic)
	if f := check(t, m, nic); len(f.Cost.Severs) > 0 {
		t.Errorf("nothing to do, and severs %v", f.Cost.Severs)
	}
	gone := made(t, "ovs_bridge", ovs.BridgeSpec{Name: homeName, State: step.Absent})
	if f := check(t, m, gone); !slices.Equal(f.Cost.Severs, []string{"eth1"}) || f.Cost.Disruption == "" {
		t.Errorf("removal of its bridge costs %+v", f.Cost)
	}
}

// TestRemovalComesBackWhole removes a bridge that another hand gave what no
// attribute speaks of.
func TestRemovalComesBackWhole(t *testing.T) {
	m := withBridge()
	ovsVsctl(m, []string{"add-port", homeName, "p1", "--", "set", "interface", "p1", "type=internal"})
	ovsVsctl(m, []string{"set-controller", homeName, "tcp:127.0.0.1:6653"})
	mirror(m)
	m.SetLink("", "p1", host.LinkChange{AddAddresses: prefixes("10.97.0.1/24")})
	before := m.Snapshot()
	s := made(t, "ovs_bridge", ovs.BridgeSpec{Name: homeName, State: step.Absent})
	f := apply(t, m, s)
	if f = journalled(t, f); len(m.Rows(host.OpenVSwitch, "Mirror")) != 0 {
		t.Error("the mirror outlived its bridge")
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if after := m.Snapshot(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func mirror(m *fake.Machine) {
	var tx row.Tx
	tx.Insert("Mirror", "m", ovsdb.Row{"name": "span", "output_port": row.UUID(find(m, "Port", "p1")), "select_all": true})
	tx.Mutate("Bridge", find(m, "Bridge", homeName), row.AddRefs("mirrors", "m"))
	m.Transact(host.OpenVSwitch, tx.Operations()...)
}

// journalled is a finding as another process reads it.
func journalled(t *testing.T, f step.Finding) step.Finding {
	t.Helper()
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var out step.Finding
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSpellingsOfTheDefaultDatapath(t *testing.T) {
	m := machine()
	ovsVsctl(m, []string{"add-br", "br0"})
	if f := check(t, m, made(t, "ovs_bridge", ovs.BridgeSpec{Name: "br0", DatapathType: step.Is("system")})); f.Changed() {
		t.Errorf("an empty datapath_type is not system: %v", f.Deltas)
	}
}

func TestRefusedSpecs(t *testing.T) {
	for want, spec := range map[string]step.Validator{
		"hwaddr":                     &ovs.BridgeSpec{Name: "br0", Hwaddr: step.Is("01:00:00:00:00:01")},
		"name":                       &ovs.BridgeSpec{Name: "a-name-that-is-too-long"},
		"addresses":                  &ovs.BridgeSpec{Name: "br0", Addresses: []string{"192.0.2.1"}},
		"up":                         &ovs.BridgeSpec{Name: "br0", Addresses: []string{"192.0.2.1/24"}, Up: step.Is(false)},
		"mtu":                        &ovs.BridgeSpec{Name: "br0", MTU: step.Is(9)},
		"rstp_enable":                &ovs.BridgeSpec{Name: "br0", STP: step.Is(true), RSTP: step.Is(true)},
		"external_ids.x":             &ovs.BridgeSpec{Name: "br0", Persist: step.Is(true), ExternalIDs: keys("x", "$(reboot)")},
		"tag":                        &ovs.PortSpec{Name: "p", Bridge: "br0", Tag: step.Is(5), VLANMode: step.Is("trunk")},
		"trunks":                     &ovs.PortSpec{Name: "p", Bridge: "br0", Trunks: []int{4096}},
		"fake_bridge":                &ovs.PortSpec{Name: "p", Bridge: "br0", Type: step.Is("internal"), FakeBridge: step.Is(true)},
		"options.peer":               &ovs.PortSpec{Name: "p", Bridge: "br0", Type: step.Is("patch")},
		"port_external_ids.iface-id": &ovs.PortSpec{Name: "p", Bridge: "br0", PortExternalIDs: keys("iface-id", "x")},
		"options.key":                &ovs.PortSpec{Name: "p", Bridge: "br0", Persist: step.Is(true), Options: keys("key", "a b")},
		"bfd.x":                      &ovs.PortSpec{Name: "p", Bridge: "br0", Persist: step.Is(true), BFD: keys("x", "`id`")},
	} {
		problems := spec.Validate()
		if len(problems) != 1 || problems[0].Path != want || problems[0].Message == "" {
			t.Errorf("%s: %v", want, problems)
		}
	}
}
