package ovn

import (
	"errors"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const nbctl = "ovn-nbctl"

// lawsOwner is the owner that the laws give every step of a kind.
func lawsOwner(kind string) string {
	return steptest.Prefix + "/" + kind + "." + steptest.Prefix
}

// addSwitch makes a switch as another hand, or an earlier run, does.
func addSwitch(name string, ids, config map[string]string) func(*fake.Machine) {
	return func(m *fake.Machine) {
		var tx row.Tx
		tx.Insert("Logical_Switch", "", ovsdb.Row{"name": name, "external_ids": row.Strmap(ids), "other_config": row.Strmap(config)})
		m.Transact(host.Northbound, tx.Operations()...)
	}
}

// addPort puts a port on a switch that is there.
func addPort(ls string, port ovsdb.Row) func(*fake.Machine) {
	return func(m *fake.Machine) {
		for _, s := range m.Rows(host.Northbound, "Logical_Switch") {
			if row.String(s, "name") == ls {
				var tx row.Tx
				tx.Insert("Logical_Switch_Port", "port", port)
				tx.Mutate("Logical_Switch", row.ID(s), row.AddRefs("ports", "port"))
				m.Transact(host.Northbound, tx.Operations()...)
			}
		}
	}
}

func all(hands ...func(*fake.Machine)) func(*fake.Machine) {
	return func(m *fake.Machine) {
		for _, h := range hands {
			h(m)
		}
	}
}

// fullSwitch is a switch of the step's with a port of another step's, an ACL
// and columns that no step manages.
func fullSwitch(m *fake.Machine) {
	all(
		addSwitch("weft-laws", map[string]string{ownerKey: lawsOwner("ovn_switch"), "note": "kept"}, map[string]string{"subnet": "10.0.0.0/24"}),
		addPort("weft-laws", ovsdb.Row{
			"name": "weft-laws-p1", "addresses": row.Set("unknown", "02:00:00:00:00:01 10.0.0.5"), "tag": row.Optional(7),
			"external_ids": row.Strmap(map[string]string{ownerKey: steptest.Prefix + "/ovn_switch_port.p1"}),
		}),
	)(m)
	for _, s := range m.Rows(host.Northbound, "Logical_Switch") {
		var tx row.Tx
		tx.Insert("ACL", "acl", ovsdb.Row{"priority": 1000, "direction": "to-lport", "match": "ip", "action": "drop"})
		tx.Insert("DNS", "dns", ovsdb.Row{"records": row.Strmap(map[string]string{"vm1": "10.0.0.5"})})
		tx.Mutate("Logical_Switch", row.ID(s), row.AddRefs("acls", "acl"), row.AddRefs("dns_records", "dns"))
		m.Transact(host.Northbound, tx.Operations()...)
	}
}

func switchSubject() steptest.Subject {
	set := func(column, key, value string) func(*fake.Machine) {
		return setKey(host.Northbound, "Logical_Switch", "name", "weft-laws", column, key, value)
	}
	remove := steptest.Hand{Name: "state", Fake: func(m *fake.Machine) {
		m.Transact(host.Northbound, ovsdb.Operation{Op: ovsdb.OperationDelete, Table: "Logical_Switch", Where: []ovsdb.Condition{row.Is("name", "weft-laws")}})
	}, Host: steptest.Run(nbctl, "ls-del", "weft-laws")}
	return steptest.Subject{
		Kind:    switchKind(),
		Machine: central,
		Policy:  []string{"adopt"},
		Found: []steptest.Hand{
			{Name: "absent", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
			{
				Name: "different",
				Fake: addSwitch("weft-laws", map[string]string{ownerKey: lawsOwner("ovn_switch"), "role": "old"}, map[string]string{"subnet": "10.9.0.0/24", "mcast_snoop": "true"}),
				Host: steptest.Run(nbctl, "ls-add", "weft-laws", "--", "set", "Logical_Switch", "weft-laws",
					`external_ids:weft-owner="`+lawsOwner("ovn_switch")+`"`, "external_ids:role=old", `other_config:subnet="10.9.0.0/24"`, "other_config:mcast_snoop=true"),
			},
			{Name: "full", Fake: fullSwitch},
		},
		Cases: []steptest.Case{
			{
				Name: "whole",
				Spec: SwitchSpec{
					OtherConfig: keys{"subnet": step.Is("172.16.255.0/24"), "mcast_snoop": step.None[string]()},
					ExternalIDs: keys{"role": step.Is("overlay")},
				},
				Drift: []steptest.Hand{
					{Name: "other_config.subnet", Fake: set("other_config", "subnet", "10.1.0.0/16"), Host: steptest.Run(nbctl, "set", "Logical_Switch", "weft-laws", `other_config:subnet="10.1.0.0/16"`)},
					{Name: "other_config.mcast_snoop", Fake: set("other_config", "mcast_snoop", "true"), Host: steptest.Run(nbctl, "set", "Logical_Switch", "weft-laws", "other_config:mcast_snoop=true")},
					{Name: "external_ids.role", Fake: set("external_ids", "role", ""), Host: steptest.Run(nbctl, "remove", "Logical_Switch", "weft-laws", "external_ids", "role")},
					remove,
				},
				Spellings: []steptest.Hand{
					{Name: "keys of another hand", Fake: set("external_ids", "note", "by hand"), Host: steptest.Run(nbctl, "set", "Logical_Switch", "weft-laws", `external_ids:note="by hand"`)},
				},
			},
			{
				Name: "absent", Spec: SwitchSpec{State: step.Absent},
				Drift: []steptest.Hand{{
					Name: "state", Fake: addSwitch("weft-laws", map[string]string{ownerKey: lawsOwner("ovn_switch")}, nil),
					Host: steptest.Run(nbctl, "ls-add", "weft-laws", "--", "set", "Logical_Switch", "weft-laws", `external_ids:weft-owner="`+lawsOwner("ovn_switch")+`"`),
				}},
			},
		},
		Touches: steptest.Touches{Queries: nbTables("Logical_Switch", "name", "other_config", "external_ids")},
		Clean:   steptest.Run(nbctl, "--if-exists", "ls-del", "weft-laws"),
	}
}

// nbTables is what a snapshot of a real northbound database compares: the rows
// of the laws, since the order of others changes with their UUIDs.
func nbTables(table string, columns ...string) []host.Command {
	return steptest.Run(nbctl, "--format=csv", "--no-headings", "--columns="+strings.Join(columns, ","), "find", table, "name="+steptest.Prefix)
}

func TestLawsSwitch(t *testing.T) { laws(t, switchSubject()) }

func TestSwitchOfAnotherOwnerIsRefused(t *testing.T) {
	for name, ids := range map[string]map[string]string{
		"OpenStack Neutron":                {"neutron:network_name": "net1"},
		"ovn-kubernetes":                   {"k8s.ovn.org/network": "x"},
		`the weft step "lab/ovn_switch.b"`: {ownerKey: "lab/ovn_switch.b"},
		"no step of weft":                  nil,
	} {
		for _, state := range []step.State{step.Present, step.Absent} {
			m := central()
			addSwitch("ls1", ids, nil)(m)
			before := m.Snapshot()
			_, err := made(t, switchKind(), SwitchSpec{Name: "ls1", State: state}).Check(t.Context(), m.Host().View())
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "adopt = true") {
				t.Errorf("%s, %s: %v", name, state, err)
			}
			adopt := made(t, switchKind(), SwitchSpec{Name: "ls1", State: state, Adopt: true})
			f, err := adopt.Check(t.Context(), m.Host().View())
			if err != nil || !f.Changed() {
				t.Fatalf("%s, %s, adopted: %v, %v", name, state, f.Deltas, err)
			}
			if err := adopt.Apply(t.Context(), m.Host(), f); err != nil {
				t.Fatal(err)
			}
			f.Settled = true
			if err := adopt.Undo(t.Context(), m.Host(), f); err != nil {
				t.Fatal(err)
			}
			if after := m.Snapshot(); after != before {
				t.Errorf("%s, %s: undo of an adoption left\n%s", name, state, after)
			}
		}
	}
}

func TestSwitchWithPortsOfOthersStays(t *testing.T) {
	m := central()
	fullSwitch(m)
	addPort("weft-laws", ovsdb.Row{"name": "by-hand"})(m)
	s := madeFor(t, switchKind(), lawsOwner("ovn_switch"), "ovn_switch."+steptest.Prefix, SwitchSpec{Name: "weft-laws", State: step.Absent})
	if _, err := s.Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), "by-hand") {
		t.Errorf("a switch with a port of another hand may be removed: %v", err)
	}
}

func TestUndoOfASwitchInUseIsAConflict(t *testing.T) {
	m := central()
	s := made(t, switchKind(), SwitchSpec{Name: "ls1"})
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	addPort("ls1", ovsdb.Row{"name": "p1", "external_ids": row.Strmap(map[string]string{ownerKey: "lab/ovn_switch_port.p1"})})(m)
	f.Settled = true
	before := m.Snapshot()
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) {
		t.Errorf("undo returned %v, not a conflict", err)
	}
	if m.Snapshot() != before {
		t.Error("undo took a switch away that is in use")
	}
}

func TestTwoSwitchesOfOneNameAreLeftAlone(t *testing.T) {
	m := central()
	addSwitch("ls1", nil, nil)(m)
	addSwitch("ls1", nil, nil)(m)
	_, err := made(t, switchKind(), SwitchSpec{Name: "ls1", Adopt: true}).Check(t.Context(), m.Host().View())
	if err == nil || !strings.Contains(err.Error(), "2 rows of Logical_Switch") {
		t.Errorf("got %v", err)
	}
}

func TestNorthboundChangeAsksForAGeneration(t *testing.T) {
	m := central()
	s := made(t, switchKind(), SwitchSpec{Name: "ls1"})
	for want := 1; want <= 2; want++ {
		f, err := s.Check(t.Context(), m.Host().View())
		if err != nil {
			t.Fatal(err)
		}
		if want == 1 {
			err = s.Apply(t.Context(), m.Host(), f)
		} else {
			err = s.Undo(t.Context(), m.Host(), step.Finding{Object: f.Object, Before: []byte(`{"name":"ls1","state":"absent","found":{}}`), Want: f.Want})
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := row.Int(m.Rows(host.Northbound, "NB_Global")[0], "nb_cfg"); got != want {
			t.Errorf("nb_cfg is %d after %d changes", got, want)
		}
	}
}
