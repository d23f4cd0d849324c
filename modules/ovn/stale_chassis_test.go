package ovn

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	deadName  = "weft-laws-old"
	deadIP    = "192.0.2.77"
	otherDead = "weft-laws-older"
)

func chassisOf(name, hostname, ip string) func(*fake.Machine) {
	return func(m *fake.Machine) { addChassis(m, name, hostname, ip) }
}

// boundTo makes a port that is bound to a chassis.
func boundTo(chassis, port string) func(*fake.Machine) {
	return func(m *fake.Machine) {
		for _, c := range m.Rows(host.Southbound, "Chassis") {
			if row.String(c, "name") != chassis {
				continue
			}
			var tx row.Tx
			tx.Insert("Datapath_Binding", "datapath", ovsdb.Row{"tunnel_key": 7})
			tx.Insert("Port_Binding", "", ovsdb.Row{"logical_port": port, "datapath": row.UUID("datapath"), "tunnel_key": 1, "chassis": row.UUIDs(row.ID(c))})
			m.Transact(host.Southbound, tx.Operations()...)
		}
	}
}

func portsOf(m *fake.Machine, chassis string) []string {
	var out []string
	for _, c := range m.Rows(host.Southbound, "Chassis") {
		for _, p := range m.Rows(host.Southbound, "Port_Binding") {
			if row.String(c, "name") == chassis && row.Ref(p, "chassis") == row.ID(c) {
				out = append(out, row.String(p, "logical_port"))
			}
		}
	}
	return out
}

func liveOnes() map[string]LiveChassis {
	return map[string]LiveChassis{
		"ubuntu2": {SystemID: "weft-laws-new", EncapTypes: []string{"geneve"}, EncapIPs: []string{deadIP}},
		"ubuntu3": {SystemID: "weft-laws-three", EncapTypes: []string{"geneve", "vxlan"}, EncapIPs: []string{"192.0.2.78", "fd00::78"}},
	}
}

func TestLawsStaleChassis(t *testing.T) {
	left := steptest.Hand{
		Name: "left behind",
		Fake: all(chassisOf(deadName, "ubuntu2", deadIP), chassisOf("somebody", "elsewhere", "192.0.2.99"), boundTo(deadName, "vm1")),
		Host: steptest.Run(sbctl, "chassis-add", deadName, "geneve", deadIP, "--", "set", "Chassis", deadName, "hostname=ubuntu2", "external_ids:note=kept", "other_config:is-interconn=false",
			"--", "create", "Chassis_Private", "name="+deadName),
	}
	laws(t, steptest.Subject{
		Kind: staleChassisKind(), Machine: central, Borrows: "a step speaks of all chassis; those that the hands make carry the prefix",
		Found: []steptest.Hand{{Name: "none", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")}, left},
		Cases: []steptest.Case{{
			Name: "reinstalled", Spec: StaleChassisSpec{Chassis: liveOnes()},
			Drift: []steptest.Hand{
				{Name: "chassis.dead." + deadName, Fake: chassisOf(deadName, "again", deadIP), Host: steptest.Run(sbctl, "chassis-add", deadName, "geneve", deadIP)},
				{Name: "chassis.dead." + otherDead, Fake: chassisOf(otherDead, "ubuntu3", "192.0.2.78"), Host: steptest.Run(sbctl, "chassis-add", otherDead, "geneve", "192.0.2.78")},
				{Name: "chassis.dead." + otherDead, Fake: chassisOf(otherDead, "ubuntu3", "fd00:0::78"), Host: steptest.Run(sbctl, "chassis-add", otherDead, "geneve", "fd00:0::78")},
			},
			Spellings: []steptest.Hand{
				{Name: "a chassis of nobody", Fake: chassisOf("weft-laws-far", "far", "192.0.2.80"), Host: steptest.Run(sbctl, "chassis-add", "weft-laws-far", "geneve", "192.0.2.80")},
				{Name: "the chassis of a host", Fake: chassisOf("weft-laws-three", "ubuntu3", "fd00::78"), Host: steptest.Run(sbctl, "chassis-add", "weft-laws-three", "vxlan", "fd00::78")},
			},
		}},
		Touches: steptest.Touches{Queries: slices.Concat(
			sorted("name,hostname,external_ids,other_config", "Chassis"),
			sorted("name,external_ids", "Chassis_Private"),
			sorted("type,ip,options,chassis_name", "Encap"))},
		Clean: slices.Concat(
			steptest.Run(sbctl, "--if-exists", "chassis-del", deadName, "--", "--if-exists", "chassis-del", otherDead),
			steptest.Run(sbctl, "--if-exists", "chassis-del", "weft-laws-far", "--", "--if-exists", "chassis-del", "weft-laws-three"),
			steptest.Run(sbctl, "--if-exists", "destroy", "Chassis_Private", deadName)),
	})
}

// sorted lists a table of the southbound database, whose rows come in any order.
func sorted(columns, table string) []host.Command {
	return steptest.Run("sh", "-c", sbctl+` --format=csv --no-headings --columns="$1" list "$2" | sort`, "sh", columns, table)
}

func TestOnlyTheProvablyDeadGo(t *testing.T) {
	m := central()
	addChassis(m, "weft-laws-three", "ubuntu3", deadIP) // not yet told of its new address
	addChassis(m, "silent", "ubuntu4", "192.0.2.81")
	f := converged(t, m, StaleChassisSpec{Chassis: liveOnes()})
	if f.Changed() || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "silent (host ubuntu4, geneve 192.0.2.81)") || strings.Contains(f.Warnings[0], "three") {
		t.Errorf("%v, warnings %q", f.Deltas, f.Warnings)
	}
	left := liveOnes()
	delete(left, "ubuntu2") // was not reached
	m = central()
	addChassis(m, deadName, "ubuntu2", deadIP)
	if f = converged(t, m, StaleChassisSpec{Chassis: left}); f.Changed() || len(f.Warnings) != 1 {
		t.Errorf("the chassis of a host that was not asked: %v, warnings %q", f.Deltas, f.Warnings)
	}
	if f = converged(t, m, StaleChassisSpec{Chassis: map[string]LiveChassis{}}); f.Changed() {
		t.Errorf("nobody was asked: %v", f.Deltas)
	}
}

// converged is the finding of a run, which leaves nothing to do.
func converged(t *testing.T, m *fake.Machine, spec StaleChassisSpec) step.Finding {
	t.Helper()
	s := made(t, staleChassisKind(), spec)
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	converge(t, s, m)
	return f
}

func TestPortsOfADeadChassis(t *testing.T) {
	m := central()
	all(chassisOf(deadName, "ubuntu2", deadIP), boundTo(deadName, "vm1"))(m)
	s := made(t, staleChassisKind(), StaleChassisSpec{Chassis: liveOnes()})
	f := converged(t, m, StaleChassisSpec{Chassis: liveOnes()})
	if !strings.Contains(f.Cost.Disruption, "vm1") {
		t.Errorf("costs %+v", f.Cost)
	}
	if n := len(m.Rows(host.Southbound, "Chassis")) + len(m.Rows(host.Southbound, "Chassis_Private")) + len(m.Rows(host.Southbound, "Encap")); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	f.Settled = true
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if got := portsOf(m, deadName); !slices.Equal(got, []string{"vm1"}) {
		t.Errorf("bound after undo: %q", got)
	}
}

// TestUndoLeavesTheNewChassis: by the time of an undo the host has registered.
func TestUndoLeavesTheNewChassis(t *testing.T) {
	m := central()
	addChassis(m, deadName, "ubuntu2", deadIP)
	s := made(t, staleChassisKind(), StaleChassisSpec{Chassis: liveOnes()})
	f := converged(t, m, StaleChassisSpec{Chassis: liveOnes()})
	f.Settled = true
	addChassis(m, "weft-laws-new", "ubuntu2", deadIP)
	before := m.Snapshot()
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) || m.Snapshot() != before {
		t.Errorf("undo where the host has registered: %v", err)
	}
}

func TestHostsTakenForOneAnother(t *testing.T) {
	for want, change := range map[string]func(map[string]LiveChassis){
		"chassis.ubuntu3.system_id": func(c map[string]LiveChassis) { c["ubuntu3"] = LiveChassis{SystemID: "weft-laws-new"} },
		"chassis.ubuntu3.encap_ips": func(c map[string]LiveChassis) {
			c["ubuntu3"] = LiveChassis{SystemID: "x", EncapTypes: []string{"geneve"}, EncapIPs: []string{deadIP}}
		},
	} {
		s := StaleChassisSpec{Chassis: liveOnes()}
		change(s.Chassis)
		if p := s.Validate(); len(p) != 1 || p[0].Path != want {
			t.Errorf("%s: %v", want, p)
		}
	}
	if p := (&StaleChassisSpec{Chassis: liveOnes()}).Validate(); len(p) > 0 {
		t.Errorf("a good spec is refused: %v", p)
	}
}
