package ovn

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// SwitchSpec is the attributes of an ovn_switch.
type SwitchSpec struct {
	Name        string                       `json:"name,omitzero" weft:"label" doc:"Name of the logical switch."`
	OtherConfig map[string]step.Attr[string] `json:"other_config,omitzero" doc:"Keys of other_config (ovn-nb(5)): subnet, ipv6_prefix, mcast_snoop, …. Keys that are left out stay as they are."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	Adopt       bool                         `json:"adopt,omitzero" default:"false" doc:"Whether a switch that weft did not make may be managed, and removed."`
	State       step.State                   `json:"state,omitzero" default:"present" doc:"Whether the switch should be there. Removing it removes its ports, ACLs and QoS rules too; ports that weft did not make are refused."`

	Found *switchFound `json:"found,omitzero" weft:"found"`
}

// switchFound is a switch as it was read; its fields are empty where there was
// none.
type switchFound struct {
	Row      row.Record   `json:"row,omitzero"`
	Children []childFound `json:"children,omitzero"` // of a switch that is to be removed
}

// childFound is a row that lives only as long as the switch refers to it.
type childFound struct {
	Table  string     `json:"table"`
	Column string     `json:"column"` // of the switch
	Row    row.Record `json:"row"`
}

// childTables are the tables by the columns of Logical_Switch that own their
// rows.
func childTables() map[string]string {
	return map[string]string{
		"ports": "Logical_Switch_Port", "acls": "ACL", "qos_rules": "QoS",
		"forwarding_groups": "Forwarding_Group",
	}
}

func switchKind() step.Kind {
	return step.Kind{
		Name:    "ovn_switch",
		Summary: "A logical switch in the northbound database.",
		Doc: `The switch carries the step's owner in external_ids (weft-owner). A switch of the same name
that belongs to OpenStack Neutron, ovn-kubernetes, another step or nobody is refused unless
adopt = true.

Names of logical switches are not unique in OVN. Where two switches have the name, the step fails
and touches neither.

A removal records the switch with its ports, ACLs and QoS rules, and rollback makes all of them
again in one transaction. What was made by rollback has new UUIDs.`,
		Spec:   SwitchSpec{},
		Target: step.SharedNorthbound,
		Example: `step "ovn_switch" "ls1" {
  other_config = { subnet = "172.16.255.0/24" }
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[SwitchSpec](u)
			if err != nil {
				return nil, err
			}
			o := ownerOf(u)
			want.ExternalIDs = withKey(want.ExternalIDs, ownerKey, o.tag)
			return step.Of("logical switch "+want.Name, switches{o}, want), nil
		},
	}
}

// Validate finds what the database would refuse.
func (s *SwitchSpec) Validate() []step.Problem {
	return slices.Concat(
		validName("name", s.Name), validKeys("other_config", s.OtherConfig),
		validKeys("external_ids", s.ExternalIDs))
}

type switches struct{ owner owner }

func (r switches) Read(ctx context.Context, v host.View, want SwitchSpec) (SwitchSpec, error) {
	have := SwitchSpec{Name: want.Name, Adopt: want.Adopt, State: step.Absent, Found: &switchFound{}}
	found, err := selectRows(ctx, v.OVSDB, host.Northbound, row.Select("Logical_Switch", nil, row.Is("name", want.Name)))
	if err != nil {
		return have, err
	}
	rows := found[0]
	if len(rows) > 1 {
		return have, fmt.Errorf("%d logical switches are named %q; see `ovn-nbctl ls-list`, and rename or remove all but one", len(rows), want.Name)
	}
	if len(rows) == 0 {
		return have, nil
	}
	if err := r.owner.admit("logical switch "+want.Name, rows[0], want.Adopt); err != nil {
		return have, err
	}
	have.State, have.Found.Row = step.Present, row.Record(rows[0])
	otherConfig, externalIDs := row.Map(rows[0], "other_config"), row.Map(rows[0], "external_ids")
	have.OtherConfig, have.ExternalIDs = keysLike(want.OtherConfig, otherConfig), keysLike(want.ExternalIDs, externalIDs)
	if want.State.There() {
		return have, nil
	}
	have.Found.Children, err = r.children(ctx, v, rows[0])
	return have, err
}

// children are all rows that go with the switch. A port that weft did not make
// is in use by somebody else.
func (r switches) children(ctx context.Context, v host.View, ls ovsdb.Row) ([]childFound, error) {
	var out []childFound
	tables := childTables()
	for _, column := range slices.Sorted(maps.Keys(tables)) {
		rows, err := rowsByID(ctx, v.OVSDB, host.Northbound, tables[column], row.Refs(ls, column))
		if err != nil {
			return nil, err
		}
		for _, child := range rows {
			if column == "ports" && !r.owner.ours(child) {
				return nil, fmt.Errorf("its port %s belongs to %s: remove the port first",
					row.String(child, "name"), whose(row.Map(child, "external_ids")))
			}
			out = append(out, childFound{Table: tables[column], Column: column, Row: row.Record(child)})
		}
	}
	return out, nil
}

func (switches) Diff(have, want SwitchSpec) []step.Delta { return step.Compare(have, want) }

func (r switches) Write(ctx context.Context, h host.Host, have, want SwitchSpec) error {
	var tx row.Tx
	switch {
	case !want.State.There() && !have.State.There():
		return nil
	case !want.State.There():
		if err := remove(&tx, have, want); err != nil {
			return err
		}
	case !have.State.There():
		tx.GuardNone("Logical_Switch", row.Is("name", want.Name))
		insertSwitch(&tx, want)
	default:
		ls := ovsdb.Row(have.Found.Row)
		mutations := append(
			row.SetKeys("other_config", changedKeys(have.OtherConfig, want.OtherConfig)),
			row.SetKeys("external_ids", changedKeys(have.ExternalIDs, want.ExternalIDs))...)
		if len(mutations) == 0 {
			return nil
		}
		tx.Guard("Logical_Switch", ls, "name", "other_config", "external_ids")
		tx.Mutate("Logical_Switch", row.ID(ls), mutations...)
	}
	return commit(ctx, h, &tx)
}

// remove deletes the switch. A state to go back to (want.Found is set) never
// had children: what is on the switch now came later and is not ours to take.
func remove(tx *row.Tx, have, want SwitchSpec) error {
	ls := ovsdb.Row(have.Found.Row)
	columns := []string{"name", "external_ids", "other_config"}
	var inUse []string
	tables := childTables()
	for _, column := range slices.Sorted(maps.Keys(tables)) {
		if _, known := ls[column]; known {
			columns = append(columns, column)
		}
		if n := len(row.Refs(ls, column)); n > 0 {
			inUse = append(inUse, fmt.Sprintf("%d in %s", n, column))
		}
	}
	if want.Found != nil && len(inUse) > 0 {
		return fmt.Errorf("logical switch %s is in use (%s): %w", have.Name, strings.Join(inUse, ", "), step.ErrConflict)
	}
	tx.Guard("Logical_Switch", ls, columns...)
	tx.Delete("Logical_Switch", row.ID(ls))
	return nil
}

// insertSwitch makes the switch: of a record where there is one, else of the
// attributes.
func insertSwitch(tx *row.Tx, want SwitchSpec) {
	ls := ovsdb.Row{"name": want.Name}
	if want.Found != nil && want.Found.Row != nil {
		ls = want.Found.Row.Insertable()
		refs := map[string][]string{}
		for i, child := range want.Found.Children {
			name := fmt.Sprintf("child%d", i)
			tx.Insert(child.Table, name, child.Row.Insertable("up"))
			refs[child.Column] = append(refs[child.Column], name)
		}
		for column := range childTables() {
			delete(ls, column)
			if len(refs[column]) > 0 {
				ls[column] = row.UUIDs(refs[column]...)
			}
		}
	}
	set := func(column string, k keys) {
		merged := row.Map(ls, column)
		maps.Copy(merged, values(k))
		ls[column] = row.Strmap(merged)
	}
	set("other_config", want.OtherConfig)
	set("external_ids", want.ExternalIDs)
	tx.Insert("Logical_Switch", "", ls)
}
