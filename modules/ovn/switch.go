package ovn

import (
	"slices"

	"weft/engine/step"
)

// SwitchSpec is the attributes of an ovn_switch.
type SwitchSpec struct {
	Name        string                       `json:"name,omitzero" weft:"label" doc:"Name of the logical switch."`
	OtherConfig map[string]step.Attr[string] `json:"other_config,omitzero" doc:"Keys of other_config (ovn-nb(5)): subnet, ipv6_prefix, mcast_snoop, …. Keys that are left out stay as they are."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	Adopt       bool                         `json:"adopt,omitzero" default:"false" doc:"Whether a switch that weft did not make may be managed, and removed."`
	State       step.State                   `json:"state,omitzero" default:"present" doc:"Whether the switch should be there. Removing it removes its ports, ACLs and QoS rules too; ports that weft did not make are refused."`

	Found *rowFound `json:"found,omitzero" weft:"found"`
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
			return madeRow(u, switchRows(), func(r rows[SwitchSpec]) step.Resource[SwitchSpec] { return switches{r} })
		},
	}
}

// Validate finds what the database would refuse.
func (s *SwitchSpec) Validate() []step.Problem {
	return slices.Concat(
		validName("name", s.Name), validKeys("other_config", s.OtherConfig),
		validKeys("external_ids", s.ExternalIDs))
}

func switchRows() *table {
	return &table{name: "Logical_Switch", title: "logical switch", named: "name", inUse: "ports"}
}

type switches struct{ rows[SwitchSpec] }
