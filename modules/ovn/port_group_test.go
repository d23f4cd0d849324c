package ovn

import (
	"errors"
	"fmt"
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

func lawsGroup() handed { return handed{"ovn_port_group", portGroupTable, "weft.laws"} }

// lawsPorts are ports that groups are made of, on switches that no other subject has.
func lawsPorts(m *fake.Machine) {
	addSwitch("weft-laws-c", nil, nil)(m)
	addSwitch("weft-laws-d", nil, nil)(m)
	addPort("weft-laws-c", ovsdb.Row{"name": "weft-laws-p1"})(m)
	addPort("weft-laws-c", ovsdb.Row{"name": "weft-laws-p2"})(m)
	addPort("weft-laws-d", ovsdb.Row{"name": "weft-laws-p3"})(m)
}

func groupCentral() *fake.Machine {
	m := twoSwitches()
	lawsPorts(m)
	return m
}

// lawsPortsCommands make a real host like groupCentral.
func lawsPortsCommands() []host.Command {
	return slices.Concat(lawsSwitches(), steptest.Run(nbctl,
		"--may-exist", "ls-add", "weft-laws-c", "--", "--may-exist", "ls-add", "weft-laws-d", "--",
		"--may-exist", "lsp-add", "weft-laws-c", "weft-laws-p1", "--", "--may-exist", "lsp-add", "weft-laws-c", "weft-laws-p2", "--",
		"--may-exist", "lsp-add", "weft-laws-d", "weft-laws-p3"))
}

// portIDs are the ports of the laws by name.
func portIDs(m *fake.Machine, names ...string) (ids []string) {
	for _, p := range m.Rows(host.Northbound, portTable) {
		for _, name := range names {
			if row.String(p, "name") == name {
				ids = append(ids, row.ID(p))
			}
		}
	}
	return ids
}

// handGroup is a group of the step's with other ports, and ACLs if any.
func handGroup(acls ...ovsdb.Row) func(*fake.Machine) {
	return func(m *fake.Machine) {
		var tx row.Tx
		var names []string
		for i, acl := range acls {
			names = append(names, "acl"+string(rune('a'+i)))
			tx.Insert("ACL", names[i], acl)
		}
		tx.Insert(portGroupTable, "", ovsdb.Row{
			"name": lawsGroup().name, "ports": row.UUIDs(portIDs(m, "weft-laws-p1", "weft-laws-p3")...),
			"acls": row.UUIDs(names...), "external_ids": owned("ovn_port_group", "note", "kept"),
		})
		m.Transact(host.Northbound, tx.Operations()...)
	}
}

func portGroupSubject() steptest.Subject {
	h := lawsGroup()
	ports := func(names ...string) steptest.Hand {
		return steptest.Hand{
			Name: "ports", Host: steptest.Run(append([]string{nbctl, "pg-set-ports", h.name}, names...)...),
			Fake: func(m *fake.Machine) {
				update(host.Northbound, h.table, "name", h.name, ovsdb.Row{"ports": row.UUIDs(portIDs(m, names...)...)})(m)
			},
		}
	}
	byHand := steptest.Run(nbctl, "pg-add", h.name, "weft-laws-p1", "weft-laws-p3", "--", "set", h.table, h.name, ownedText(h.kind, "note", "kept"))
	withACLs := slices.Concat(byHand, steptest.Run(nbctl,
		"--id=@a", "create", "ACL", "direction=to-lport", "priority=1000", "match=ip", "action=drop", `external_ids:weft-owner="weft-laws/ovn_acl.a"`, "--",
		"--id=@b", "create", "ACL", "direction=to-lport", "priority=1001", "match=arp", "action=allow", "name=arp", `external_ids:weft-owner="weft-laws/ovn_acl.b"`, "--",
		"add", h.table, h.name, "acls", "@a", "@b"))
	return steptest.Subject{
		Kind: portGroupKind(), Machine: groupCentral, Borrows: "a name that a match can say has no hyphen", Policy: []string{"adopt"},
		Found: []steptest.Hand{
			{Name: "absent", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
			{Name: "different", Fake: handGroup(), Host: byHand},
			{Name: "with ACLs", Fake: handGroup(
				ovsdb.Row{"priority": 1000, "direction": "to-lport", "match": "ip", "action": "drop", "external_ids": row.Strmap(map[string]string{ownerKey: steptest.Prefix + "/ovn_acl.a"})},
				ovsdb.Row{"priority": 1001, "direction": "to-lport", "match": "arp", "action": "allow", "name": row.Optional("arp"), "external_ids": row.Strmap(map[string]string{ownerKey: steptest.Prefix + "/ovn_acl.b"})},
			), Host: withACLs},
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: PortGroupSpec{Name: h.name, Ports: []string{"weft-laws-p2", "weft-laws-p1"}, ExternalIDs: keys{"by": step.Is("weft")}},
				Drift: []steptest.Hand{
					ports("weft-laws-p3"),
					as("ports", ports("weft-laws-p1", "weft-laws-p2", "weft-laws-p3")),
					h.key("external_ids", "by", "me"),
					h.removed(),
				},
				Spellings: []steptest.Hand{h.key("external_ids", "note", "mine")},
			},
			{
				Name: "emptied", Spec: PortGroupSpec{Name: h.name, Ports: []string{}},
				Drift: []steptest.Hand{ports("weft-laws-p2")},
			},
			{
				Name: "absent", Spec: PortGroupSpec{Name: h.name, State: step.Absent},
				Drift: []steptest.Hand{{Name: "state", Fake: handGroup(), Host: byHand}},
			},
		},
		Touches: steptest.Touches{Queries: slices.Concat(h.shown("name", "ports", "external_ids"), steptest.Run(nbctl, "acl-list", h.name))},
		Clean:   append(h.clean(), lawsPortsCommands()...),
	}
}

func TestLawsPortGroup(t *testing.T) { laws(t, portGroupSubject()) }

func TestPortGroupWaitsForItsPorts(t *testing.T) {
	m := groupCentral()
	_, err := made(t, portGroupKind(), PortGroupSpec{Name: "web", Ports: []string{"weft-laws-p1", "vm9"}}).Check(t.Context(), m.Host().View())
	if !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), `"vm9"`) {
		t.Errorf("a group of a port that is not there: %v", err)
	}
}

// Of many ports the whole table is read at once.
func TestPortGroupOfManyPorts(t *testing.T) {
	m := groupCentral()
	spec := PortGroupSpec{Name: "web"}
	for i := range few + 1 {
		name := fmt.Sprintf("vm%d", i)
		addPort("weft-laws-a", ovsdb.Row{"name": name})(m)
		spec.Ports = append(spec.Ports, name)
	}
	converge(t, made(t, portGroupKind(), spec), m)
	spec.Ports[3] = "vm99"
	if _, err := made(t, portGroupKind(), spec).Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), `"vm99"`) {
		t.Errorf("one of many ports is not there: %v", err)
	}
}

func TestPortGroupWithACLsOfOthersStays(t *testing.T) {
	m := groupCentral()
	handGroup(ovsdb.Row{"priority": 1, "direction": "to-lport", "match": "ip", "action": "drop"})(m)
	s := madeFor(t, portGroupKind(), lawsOwner("ovn_port_group"), "ovn_port_group.a", PortGroupSpec{Name: lawsGroup().name, State: step.Absent})
	if _, err := s.Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), "its acl belongs to no step of weft") {
		t.Errorf("a group with an ACL of another hand may be removed: %v", err)
	}
}

func TestUndoOfAGroupOfAPortThatIsGone(t *testing.T) {
	m := groupCentral()
	handGroup()(m)
	s := madeFor(t, portGroupKind(), lawsOwner("ovn_port_group"), "ovn_port_group.a", PortGroupSpec{Name: lawsGroup().name, Ports: []string{"weft-laws-p2"}})
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	for _, sw := range m.Rows(host.Northbound, "Logical_Switch") {
		var tx row.Tx
		tx.Mutate("Logical_Switch", row.ID(sw), row.RemoveRefs("ports", portIDs(m, "weft-laws-p3")...))
		m.Transact(host.Northbound, tx.Operations()...)
	}
	f.Settled = true
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) {
		t.Errorf("undo to a port that another hand took away: %v", err)
	}
}

func TestPortGroupProblems(t *testing.T) {
	for path, s := range map[string]PortGroupSpec{
		"name":                    {Name: "web-servers"},
		"ports":                   {Name: "web", Ports: []string{"a", "a"}},
		"external_ids.weft-owner": {Name: "web", ExternalIDs: keys{ownerKey: step.Is("me")}},
	} {
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
	good := PortGroupSpec{Name: "web", Ports: []string{"ls1-vm1", "ls1-vm2"}}
	if p := good.Validate(); len(p) > 0 {
		t.Errorf("a good spec is refused: %v", p)
	}
}
