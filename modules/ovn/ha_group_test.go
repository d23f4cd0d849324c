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

func lawsHA() handed { return handed{"ovn_ha_chassis_group", "HA_Chassis_Group", steptest.Prefix} }

// handHA is a group of the step's with a chassis that another hand put in.
func handHA(m *fake.Machine) {
	var tx row.Tx
	tx.Insert("HA_Chassis", "old", ovsdb.Row{"chassis_name": "weft-laws-old", "priority": 9, "external_ids": row.Strmap(map[string]string{"note": "kept"})})
	tx.Insert("HA_Chassis", "both", ovsdb.Row{"chassis_name": "weft-laws-1", "priority": 20, "external_ids": row.Strmap(map[string]string{"note": "kept"})})
	tx.Insert("HA_Chassis_Group", "", ovsdb.Row{"name": steptest.Prefix, "ha_chassis": row.UUIDs("old", "both"), "external_ids": owned("ovn_ha_chassis_group", "note", "kept")})
	m.Transact(host.Northbound, tx.Operations()...)
}

// member adds a chassis to the group, or gives one another priority, as
// ovn-nbctl ha-chassis-group-add-chassis does.
func member(chassis string, priority int, text string) steptest.Hand {
	return steptest.Hand{
		Name: "ha_chassis", Host: steptest.Run(nbctl, "ha-chassis-group-add-chassis", steptest.Prefix, chassis, text),
		Fake: func(m *fake.Machine) {
			var tx row.Tx
			for _, c := range m.Rows(host.Northbound, "HA_Chassis") {
				if row.String(c, "chassis_name") == chassis {
					tx.Update("HA_Chassis", row.ID(c), ovsdb.Row{"priority": priority})
				}
			}
			if tx.Empty() {
				tx.Insert("HA_Chassis", "made", ovsdb.Row{"chassis_name": chassis, "priority": priority})
				for _, g := range m.Rows(host.Northbound, "HA_Chassis_Group") {
					if row.String(g, "name") == steptest.Prefix {
						tx.Mutate("HA_Chassis_Group", row.ID(g), row.AddRefs("ha_chassis", "made"))
					}
				}
			}
			m.Transact(host.Northbound, tx.Operations()...)
		},
	}
}

func haSubject() steptest.Subject {
	h := lawsHA()
	byHand := slices.Concat(
		steptest.Run(nbctl, "ha-chassis-group-add", h.name, "--", "ha-chassis-group-add-chassis", h.name, "weft-laws-old", "9", "--",
			"ha-chassis-group-add-chassis", h.name, "weft-laws-1", "20", "--", "set", h.table, h.name, ownedText(h.kind, "note", "kept")),
		steptest.Run("sh", "-ec", `for c in $(ovn-nbctl --bare --columns=_uuid find HA_Chassis chassis_name=weft-laws-old chassis_name=weft-laws-1); do ovn-nbctl set HA_Chassis $c external_ids:note=kept; done`))
	gone := h.removed()
	gone.Host = steptest.Run(nbctl, "ha-chassis-group-del", h.name)
	out := steptest.Hand{
		Name: "ha_chassis", Host: steptest.Run(nbctl, "clear", h.table, h.name, "ha_chassis"),
		Fake: update(host.Northbound, h.table, "name", h.name, ovsdb.Row{"ha_chassis": row.UUIDs()}),
	}
	return steptest.Subject{
		Kind: haChassisGroupKind(), Machine: central, Policy: []string{"adopt"},
		Found: []steptest.Hand{
			{Name: "absent", Fake: addRow(h.table, ovsdb.Row{"name": "other"}), Host: steptest.Run("true")},
			{Name: "different", Fake: handHA, Host: byHand},
		},
		Cases: []steptest.Case{
			{
				Name: "whole",
				Spec: HAChassisGroupSpec{HAChassis: []HAChassis{{"weft-laws-1", 20}, {"weft-laws-2", 10}}, ExternalIDs: keys{"by": step.Is("weft")}},
				Drift: []steptest.Hand{
					member("weft-laws-3", 30, "30"), member("weft-laws-2", 40, "40"), out,
					h.key("external_ids", "by", "me"), gone,
				},
				Spellings: []steptest.Hand{h.key("external_ids", "note", "mine")},
			},
			{Name: "emptied", Spec: HAChassisGroupSpec{HAChassis: []HAChassis{}}, Drift: []steptest.Hand{member("weft-laws-3", 30, "30")}},
			{Name: "absent", Spec: HAChassisGroupSpec{State: step.Absent}, Drift: []steptest.Hand{{Name: "state", Fake: handHA, Host: byHand}}},
		},
		Touches: steptest.Touches{Queries: slices.Concat(h.shown("name", "external_ids"),
			steptest.Run("sh", "-c", `ovn-nbctl --format=csv --no-headings --columns=chassis_name,priority,external_ids list HA_Chassis | grep ^weft-laws | sort`))},
		Clean: steptest.Run(nbctl, "--if-exists", "destroy", h.table, h.name),
	}
}

func TestLawsHAChassisGroup(t *testing.T) { laws(t, haSubject()) }

func TestHAChassisGroupInUseStays(t *testing.T) {
	m := central()
	handHA(m)
	absent := madeFor(t, haChassisGroupKind(), lawsOwner("ovn_ha_chassis_group"), "ovn_ha_chassis_group.a", HAChassisGroupSpec{Name: steptest.Prefix, State: step.Absent})
	f, err := absent.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	var tx row.Tx
	group := row.ID(m.Rows(host.Northbound, "HA_Chassis_Group")[0])
	tx.Insert("Logical_Router_Port", "port", ovsdb.Row{"name": "lr1-ls3", "mac": "02:00:00:00:00:01", "networks": row.Set("172.16.3.254/24"), "ha_chassis_group": row.UUIDs(group)})
	tx.Insert("Logical_Router", "", ovsdb.Row{"name": "lr1", "ports": row.UUIDs("port")})
	m.Transact(host.Northbound, tx.Operations()...)
	if err := absent.Apply(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) {
		t.Errorf("a group was removed that a router port came to refer to: %v", err)
	}
	if _, err := absent.Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), "logical router port lr1-ls3") {
		t.Errorf("the check says %v", err)
	}
}

// UUIDs of a real database come in any order.
func TestPartsHaveOneOrder(t *testing.T) {
	of := func(chassis ...string) []HAChassis {
		var below []tree
		for _, name := range chassis {
			below = append(below, tree{Table: "HA_Chassis", Column: "ha_chassis", Row: row.Record{"chassis_name": name, "priority": 1}})
		}
		var have HAChassisGroupSpec
		takeParts(fieldsOf(&have), "ha_chassis", below)
		return have.HAChassis
	}
	if a, b := of("c1", "c2", "c3"), of("c3", "c1", "c2"); !slices.Equal(a, b) {
		t.Errorf("%v and %v", a, b)
	}
}

func TestHAChassisGroupAdvice(t *testing.T) {
	for _, c := range []struct {
		want              []HAChassis
		disrupts, warning string
	}{
		{[]HAChassis{{"weft-laws-1", 20}, {"weft-laws-2", 10}}, "", ""},
		{[]HAChassis{{"weft-laws-1", 20}, {"weft-laws-2", 30}}, "from chassis weft-laws-1 to weft-laws-2", ""},
		{[]HAChassis{}, "from chassis weft-laws-1 to none", "nobody to take over"},
		{[]HAChassis{{"weft-laws-1", 20}, {"weft-laws-2", 20}}, "", "weft-laws-1 and weft-laws-2 have the same priority"},
		{nil, "", ""},
	} {
		m := central()
		handHA(m)
		s := madeFor(t, haChassisGroupKind(), lawsOwner("ovn_ha_chassis_group"), "ovn_ha_chassis_group.a", HAChassisGroupSpec{Name: steptest.Prefix, HAChassis: c.want})
		f, err := s.Check(t.Context(), m.Host().View())
		w := strings.Join(f.Warnings, "")
		if err != nil || (f.Cost.Disruption == "") != (c.disrupts == "") || !strings.Contains(f.Cost.Disruption, c.disrupts) || (w == "") != (c.warning == "") || !strings.Contains(w, c.warning) {
			t.Errorf("%v: %q, %q, %v", c.want, f.Cost.Disruption, w, err)
		}
	}
}

func TestHAChassisGroupProblems(t *testing.T) {
	for path, s := range map[string]HAChassisGroupSpec{
		"name":                    {Name: "a b"},
		"ha_chassis.chassis_name": {Name: "a", HAChassis: []HAChassis{{"c1", 1}, {"c1", 2}}},
		"ha_chassis.priority":     {Name: "a", HAChassis: []HAChassis{{"c1", 32768}}},
		"external_ids.weft-owner": {Name: "a", ExternalIDs: keys{ownerKey: step.Is("me")}},
	} {
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
	good := HAChassisGroupSpec{Name: "outside", HAChassis: []HAChassis{{"c1", 2}, {"c2", 1}}}
	if p := good.Validate(); len(p) > 0 {
		t.Errorf("a good spec is refused: %v", p)
	}
}
