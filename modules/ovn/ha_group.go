package ovn

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// HAChassisGroupSpec is the attributes of an ovn_ha_chassis_group.
type HAChassisGroupSpec struct {
	Name        string                       `json:"name,omitzero" weft:"label" doc:"Name of the group, unique in the database."`
	HAChassis   []HAChassis                  `json:"ha_chassis,omitzero" weft:"set" doc:"All chassis of the group. Left out, another hand may fill it."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	Adopt       bool                         `json:"adopt,omitzero" default:"false" doc:"Whether a group that weft did not make may be managed, and removed."`
	State       step.State                   `json:"state,omitzero" default:"present" doc:"Whether the group should be there. One that a port refers to cannot be removed."`

	Found *rowFound `json:"found,omitzero" weft:"found"`
}

// HAChassis is a chassis of a group.
type HAChassis struct {
	ChassisName string `json:"chassis_name" weft:"required" doc:"Name of the chassis in the southbound database: its system-id, not its hostname."`
	Priority    int    `json:"priority" weft:"required" doc:"The chassis with the highest number that is alive serves, 0 to 32767."`
}

func haChassisGroupKind() step.Kind {
	return step.Kind{
		Name:    "ovn_ha_chassis_group",
		Summary: "Chassis of which one serves a gateway, and the next takes over, in the northbound database.",
		Doc: `A router port or an external switch port that refers to the group is served by the chassis of the
highest priority that is alive. The chassis watch one another by BFD through their tunnels. One that sees no
other chassis at all takes itself for the one that is cut off: with two chassis in all, of whatever
group, nothing takes over.

The group carries the step's owner in external_ids (weft-owner); one of the same name that belongs to
OpenStack Neutron, ovn-kubernetes, another step or nobody is refused unless adopt = true. A chassis
that is not registered is passed over without a word: take its name from the step that gives it.`,
		Spec:    HAChassisGroupSpec{},
		Target:  step.SharedNorthbound,
		Abreast: true,
		Example: `step "ovn_ha_chassis_group" "outside" {
  ha_chassis = [for i, h in role.gateway : {
    chassis_name = hosts[h.name].step.ovn_chassis.self.system_id
    priority     = 100 - i
  }]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			return madeRow(u, haChassisGroupRows(), func(r rows[HAChassisGroupSpec]) step.Resource[HAChassisGroupSpec] { return haChassisGroups{r} })
		},
	}
}

// Validate finds what the database would refuse, and a chassis that is there twice.
func (s *HAChassisGroupSpec) Validate() []step.Problem {
	problems := slices.Concat(validName("name", s.Name), validKeys("external_ids", s.ExternalIDs))
	var chassis []string
	for _, c := range s.HAChassis {
		chassis = append(chassis, c.ChassisName)
		problems = slices.Concat(problems, validName("ha_chassis.chassis_name", c.ChassisName),
			validRange("ha_chassis.priority", step.Is(c.Priority), 0, 32767))
	}
	return append(problems, validOnce("ha_chassis.chassis_name", chassis, nil)...)
}

func haChassisGroupRows() *table {
	return &table{
		name: "HA_Chassis_Group", title: "HA chassis group", named: "name", unique: true,
		parts: map[string]part{"ha_chassis": {table: "HA_Chassis"}},
	}
}

type haChassisGroups struct{ rows[HAChassisGroupSpec] }

func (r haChassisGroups) Read(ctx context.Context, v host.View, want HAChassisGroupSpec) (HAChassisGroupSpec, error) {
	have, err := r.rows.Read(ctx, v, want)
	if err == nil && have.State.There() && !want.State.There() {
		err = unused(ctx, v, have)
	}
	return have, err
}

// unused refuses to remove a group that ports refer to, as the database would.
func unused(ctx context.Context, v host.View, have HAChassisGroupSpec) error {
	var ops []ovsdb.Operation
	tables := []string{"Logical_Router_Port", portTable}
	for _, table := range tables {
		ops = append(ops, row.Select(table, []string{"name"}, row.Includes("ha_chassis_group", row.UUIDs(row.ID(ovsdb.Row(have.Found.Tree.Row))))))
	}
	found, err := selectRows(ctx, v.OVSDB, host.Northbound, ops...)
	if err != nil {
		return err
	}
	for i, rows := range found {
		if len(rows) > 0 {
			return &usedError{spoken(tables[i]), names(rows, "name")}
		}
	}
	return nil
}

// Advise names what others will notice, and who cannot take over.
func (haChassisGroups) Advise(f *step.Finding, have, want HAChassisGroupSpec) {
	if !want.State.There() || want.HAChassis == nil {
		return
	}
	now, then := first(have.HAChassis), first(want.HAChassis)
	if have.State.There() && now.ChassisName != "" && now.ChassisName != then.ChassisName {
		f.Cost.Disruption = fmt.Sprintf("what refers to HA chassis group %s moves from chassis %s to %s", want.Name, now.ChassisName, cmp.Or(then.ChassisName, "none"))
	}
	if len(want.HAChassis) < 2 {
		f.Warnings = append(f.Warnings, "with fewer than two chassis there is nobody to take over")
	}
	priorities := map[int]string{}
	for _, c := range want.HAChassis {
		if other, twice := priorities[c.Priority]; twice {
			f.Warnings = append(f.Warnings, fmt.Sprintf("chassis %s and %s have the same priority: it is not said which of them serves", other, c.ChassisName))
		}
		priorities[c.Priority] = c.ChassisName
	}
}

// first is the chassis that serves while all are alive.
func first(group []HAChassis) HAChassis {
	if len(group) == 0 {
		return HAChassis{}
	}
	return slices.MaxFunc(group, func(a, b HAChassis) int { return cmp.Compare(a.Priority, b.Priority) })
}
