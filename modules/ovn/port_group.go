package ovn

import (
	"fmt"
	"slices"

	"weft/engine/step"
)

// PortGroupSpec is the attributes of an ovn_port_group.
type PortGroupSpec struct {
	Name        string                       `json:"name,omitzero" weft:"label" doc:"Name of the group, unique in the database: letters, digits, dots and underscores. Matches say it as @NAME."`
	Ports       []string                     `json:"ports,omitzero" weft:"set" doc:"Names of all logical switch ports of the group, of any switches. Left out, another hand may fill the group."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	Adopt       bool                         `json:"adopt,omitzero" default:"false" doc:"Whether a group that weft did not make may be managed, and removed."`
	State       step.State                   `json:"state,omitzero" default:"present" doc:"Whether the group should be there. Removing it removes its ACLs too; ACLs that weft did not make are refused."`

	Found *rowFound `json:"found,omitzero" weft:"found"`
}

func portGroupKind() step.Kind {
	return step.Kind{
		Name:    "ovn_port_group",
		Summary: "A named group of logical switch ports that ACLs apply to, in the northbound database.",
		Doc: `An ACL of the group holds on every switch that has a port of it, and matches the group's ports as
@NAME: "outport == @web && tcp.dst == 443". ovn-northd makes two address sets of the ports' addresses,
which matches say as $NAME_ip4 and $NAME_ip6.

A group carries the step's owner in external_ids (weft-owner); one of the same name that belongs to
OpenStack Neutron, ovn-kubernetes, another step or nobody is refused unless adopt = true. A port that
goes leaves its groups by itself.

A removal records the group with its ACLs, and rollback makes all of them again.`,
		Spec:   PortGroupSpec{},
		Target: step.SharedNorthbound,
		Example: `step "ovn_port_group" "web" {
  ports = ["ls1-vm1", "ls1-vm2"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			return madeRow(u, portGroupRows(), func(r rows[PortGroupSpec]) step.Resource[PortGroupSpec] { return portGroups{r} })
		},
	}
}

// Validate finds what a match could not say, and what is there twice.
func (s *PortGroupSpec) Validate() []step.Problem {
	problems := slices.Concat(
		validSymbol("name", s.Name), validOnce("ports", s.Ports, nil), validKeys("external_ids", s.ExternalIDs))
	for _, port := range s.Ports {
		problems = append(problems, validName("ports", port)...)
	}
	return problems
}

const portGroupTable = "Port_Group"

func portGroupRows() *table {
	return &table{
		name: portGroupTable, title: "port group", named: "name", unique: true, inUse: "acls",
		refs: map[string]relative{"ports": {table: portTable, column: "ports"}},
	}
}

type portGroups struct{ rows[PortGroupSpec] }

// Advise names what others will notice.
func (portGroups) Advise(f *step.Finding, have, want PortGroupSpec) {
	if have.State.There() && !want.State.There() {
		f.Cost.Disruption = fmt.Sprintf("ACLs that name @%s match nothing from then on", want.Name)
		if n := len(have.Found.Tree.Below); n > 0 {
			f.Cost.Disruption = fmt.Sprintf("%d ACLs go with port group %s", n, want.Name)
		}
	}
}
