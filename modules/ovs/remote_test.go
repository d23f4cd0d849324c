package ovs_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/modules/ovs"
)

func TestManagerThatCannotListen(t *testing.T) {
	m := machine()
	ctx, cancel := contextOf(t)
	defer cancel()
	s := made(t, "ovs_config", ovs.ConfigSpec{Managers: []ovs.Remote{{Target: "ptcp:6640:192.0.2.77"}}})
	err := s.Apply(ctx, m.Host(), check(t, m, s))
	if err == nil || !strings.Contains(err.Error(), `nothing listens at "ptcp:6640:192.0.2.77"`) {
		t.Errorf("%v", err)
	}
	f := check(t, m, s)
	if len(f.Deltas) != 1 || f.Deltas[0].Path != "managers.listening" {
		t.Errorf("a manager at an address that the host does not have is found as %v", f.Deltas)
	}
	m.SetLink("", "eth1", host.LinkChange{AddAddresses: prefixes("192.0.2.77/24")})
	m.SettleDatabases()
	if f := check(t, m, s); f.Changed() {
		t.Errorf("it listens, and still there is %v", f.Deltas)
	}
}

// TestControllerKeepsItsOtherColumns changes one column of a controller that
// another hand gave a rate limit.
func TestControllerKeepsItsOtherColumns(t *testing.T) {
	m := withBridge()
	ovsVsctl(m, []string{"set-controller", homeName, "tcp:192.0.2.1:6653", "--", "set", "controller", homeName, "external_ids:by=hand"})
	before := m.Snapshot()
	s := made(t, "ovs_bridge", ovs.BridgeSpec{Name: homeName, Controllers: []ovs.Remote{{Target: "tcp:192.0.2.1:6653", MaxBackoff: step.Is(5000)}}})
	f := apply(t, m, s)
	rows := m.Rows(host.OpenVSwitch, "Controller")
	if n, _ := row.Int(rows[0], "max_backoff"); len(rows) != 1 || n != 5000 || row.Map(rows[0], "external_ids")["by"] != "hand" {
		t.Errorf("controllers %v", rows)
	}
	if err := s.Undo(t.Context(), m.Host(), journalled(t, f)); err != nil || m.Snapshot() != before {
		t.Errorf("undo: %v, left\n%s", err, m.Snapshot())
	}
}

func TestWarningsOfRemotes(t *testing.T) {
	m := withBridge()
	s := made(t, "ovs_bridge", ovs.BridgeSpec{Name: homeName, Controllers: []ovs.Remote{{Target: "tcp:192.0.2.1:6653"}, {Target: "ptcp:6653"}}})
	apply(t, m, s)
	for _, c := range m.Rows(host.OpenVSwitch, "Controller") {
		m.Transact(host.OpenVSwitch, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: "Controller", Where: []ovsdb.Condition{row.IsRow(row.ID(c))},
			Row: ovsdb.Row{"status": row.Strmap(map[string]string{"last_error": "Connection refused"})}})
	}
	warnings := check(t, m, s).Warnings
	want := []string{"ptcp:6653 listens on all addresses", "tcp:192.0.2.1:6653 is not connected: Connection refused"}
	if len(warnings) != 2 || !strings.HasPrefix(warnings[0], want[0]) || warnings[1] != want[1] {
		t.Errorf("warnings %q", warnings)
	}
}

func TestRefusedRemotes(t *testing.T) {
	for target, wrong := range map[string]bool{
		"tcp:192.0.2.1:6653": false, "ptcp:6640:192.0.2.1": false, "ptcp:": false, "ssl:[fd00::1]:6653": false, "unix:/run/c.sock": false, "tcp:controller.example:6653": false,
		"192.0.2.1:6653": true, "tcp:": true, "ptcp:192.0.2.1:6640": true, "": true, "tcp:192.0.2.1 6653": true, "udp:192.0.2.1:1": true,
	} {
		spec := ovs.ConfigSpec{Managers: []ovs.Remote{{Target: target}}}
		problems := spec.Validate()
		if (len(problems) > 0) != wrong || wrong && problems[0].Path != "managers" {
			t.Errorf("%q: %v", target, problems)
		}
	}
	twice := ovs.BridgeSpec{Name: "br0", Controllers: []ovs.Remote{{Target: "ptcp:6653"}, {Target: "ptcp:6653"}}}
	shell := ovs.BridgeSpec{Name: "br0", Persist: step.Is(true), Controllers: []ovs.Remote{{Target: "tcp:[fd00::1]:6653"}}}
	slow := ovs.BridgeSpec{Name: "br0", Controllers: []ovs.Remote{{Target: "ptcp:6653", MaxBackoff: step.Is(1)}}}
	for _, s := range []ovs.BridgeSpec{twice, shell, slow} {
		if p := s.Validate(); !slices.ContainsFunc(p, func(p step.Problem) bool { return p.Path == "controllers" }) {
			t.Errorf("%v: %v", s.Controllers, p)
		}
	}
}
