package ovn

import (
	"fmt"
	"slices"

	"weft/engine/step"
)

// RouterSpec is the attributes of an ovn_router.
type RouterSpec struct {
	Name        string                       `json:"name,omitzero" weft:"label" doc:"Name of the logical router."`
	Enabled     step.Attr[bool]              `json:"enabled,omitzero" doc:"Whether the router forwards. OVN's own default is true."`
	Options     map[string]step.Attr[string] `json:"options,omitzero" doc:"Keys of options (ovn-nb(5)): chassis makes it a gateway router, on the chassis of that system-id; dynamic_neigh_routers, always_learn_from_arp_request, …. Keys that are left out stay as they are."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	Adopt       bool                         `json:"adopt,omitzero" default:"false" doc:"Whether a router that weft did not make may be managed, and removed."`
	State       step.State                   `json:"state,omitzero" default:"present" doc:"Whether the router should be there. Removing it removes its ports, routes and NAT rules too; ports that weft did not make are refused."`

	Found *rowFound `json:"found,omitzero" weft:"found"`
}

func routerKind() step.Kind {
	return step.Kind{
		Name:    "ovn_router",
		Summary: "A logical router in the northbound database.",
		Doc: `Its ports are ovn_router_port, each with a port of type router on a logical switch. A router is
distributed: every chassis does the first hop by itself. What leaves by a port with gateway chassis leaves by one of
these; what has a state that one place must keep (NAT of many, load balancing) wants such a port, or options:chassis,
which makes the whole router one of that chassis.

The router carries the step's owner in external_ids (weft-owner). One of the same name that belongs to OpenStack
Neutron, ovn-kubernetes, another step or nobody is refused unless adopt = true. Names of routers are not unique in
OVN: where two have the name, the step fails and touches neither.

A removal records the router with all that lives with it, and rollback makes it again in one transaction.`,
		Spec:   RouterSpec{},
		Target: step.SharedNorthbound,
		Example: `step "ovn_router" "lr1" {
  options = { always_learn_from_arp_request = "false" }
}`,
		Make: func(u step.Unit) (step.Step, error) {
			return madeRow(u, routerRows(), func(r rows[RouterSpec]) step.Resource[RouterSpec] { return routers{r} })
		},
	}
}

func routerRows() *table {
	return &table{
		name: "Logical_Router", title: "logical router", named: "name", inUse: "ports",
		unset: map[string]any{"enabled": true},
	}
}

// Validate finds what the database would refuse.
func (s *RouterSpec) Validate() []step.Problem {
	return slices.Concat(validName("name", s.Name), validKeys("options", s.Options), validKeys("external_ids", s.ExternalIDs))
}

type routers struct{ rows[RouterSpec] }

// Advise names what others will notice.
func (routers) Advise(f *step.Finding, have, want RouterSpec) {
	if !have.State.There() || !f.Changed() {
		return
	}
	if !want.State.There() {
		f.Cost.Disruption = fmt.Sprintf("%d ports, routes, policies and NAT rules go with logical router %s", len(have.Found.Tree.Below), want.Name)
	}
	for _, d := range f.Deltas {
		switch d.Path {
		case "options.chassis":
			f.Cost.Disruption = "what logical router " + want.Name + " forwards goes by another chassis, and connections through its NAT break"
		case "enabled":
			f.Cost.Disruption = "logical router " + want.Name + " begins or ends to forward"
		}
	}
}
