package ovn

import (
	"fmt"
	"net/netip"
	"slices"

	"weft/engine/step"
)

// StaticRouteSpec is the attributes of an ovn_static_route.
type StaticRouteSpec struct {
	Name        string                       `json:"name,omitzero" weft:"label" doc:"What messages call the route, which has no name in OVN."`
	Router      string                       `json:"router" weft:"required" doc:"Name of the logical router."`
	Prefix      string                       `json:"ip_prefix" weft:"required" doc:"Network that it leads to: 0.0.0.0/0 is the default route, ::/0 that of IPv6."`
	NextHop     string                       `json:"nexthop" weft:"required" doc:"Address of the next router, or discard."`
	OutputPort  step.Attr[string]            `json:"output_port,omitzero" doc:"Name of the router's port that packets leave by; absent has it found by the next hop."`
	Policy      step.Attr[string]            `json:"policy,omitzero" weft:"enum=dst-ip|src-ip" doc:"Whether the destination is meant, which is the default, or the source."`
	RouteTable  step.Attr[string]            `json:"route_table,omitzero" doc:"Table that the route is in, for ports with options:route_table; absent is the main one."`
	Options     map[string]step.Attr[string] `json:"options,omitzero" doc:"Keys of options: ecmp_symmetric_reply, …. Keys that are left out stay as they are."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	Adopt       bool                         `json:"adopt,omitzero" default:"false" doc:"Whether the same route may be managed, and removed, where weft did not make it."`
	State       step.State                   `json:"state,omitzero" default:"present" doc:"Whether the route should be there."`

	Found *rowFound `json:"found,omitzero" weft:"found"`
}

func staticRouteKind() step.Kind {
	return step.Kind{
		Name:    "ovn_static_route",
		Summary: "A static route of a logical router.",
		Doc: `Several routes to one network with other next hops share the traffic (ECMP).

The route is found by its owner in external_ids (weft-owner), so that each of its attributes may change. A route
to the same network by the same next hop that this step did not make is refused unless adopt = true.`,
		Spec:   StaticRouteSpec{},
		Target: step.SharedNorthbound,
		Example: `step "ovn_static_route" "default" {
  router    = "lr1"
  ip_prefix = "0.0.0.0/0"
  nexthop   = "172.16.3.253"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			return madeRow(u, staticRouteRows(), func(r rows[StaticRouteSpec]) step.Resource[StaticRouteSpec] { return staticRoutes{r} })
		},
	}
}

func staticRouteRows() *table {
	return &table{
		name: "Logical_Router_Static_Route", title: "static route", natural: []string{"ip_prefix", "nexthop"},
		parents: []relative{{attribute: "router", table: "Logical_Router", column: "static_routes"}},
		unset:   map[string]any{"policy": "dst-ip"},
		always:  []string{"route_table"},
		means:   map[string]func(string) string{"ip_prefix": canonicalRoute, "nexthop": canonical},
	}
}

// canonicalRoute is the one spelling of a route's destination; one address may stand
// for a network of one.
func canonicalRoute(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()).String()
	}
	return canonical(s)
}

// Validate finds what ovn-northd would ignore.
func (s *StaticRouteSpec) Validate() []step.Problem {
	problems := slices.Concat(validName("name", s.Name), validName("router", s.Router), validKeys("options", s.Options), validKeys("external_ids", s.ExternalIDs))
	add := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	p, err := netip.ParsePrefix(canonicalRoute(s.Prefix))
	switch {
	case err != nil:
		add("ip_prefix", fmt.Sprintf("%q is no network", s.Prefix), `write "0.0.0.0/0" for the default route`)
	case p != p.Masked():
		add("ip_prefix", s.Prefix+" has bits beyond its prefix", "write "+p.Masked().String())
	}
	if s.NextHop == "discard" {
		return problems
	}
	// A next hop of the other family may carry a route (RFC 5549); ovn-northd takes it.
	if !validAddress(s.NextHop) {
		add("nexthop", fmt.Sprintf("%q is not an IP address", s.NextHop), "or discard")
	}
	return problems
}

type staticRoutes struct{ rows[StaticRouteSpec] }

// Advise names what others will notice.
func (staticRoutes) Advise(f *step.Finding, have, want StaticRouteSpec) {
	if have.State.There() && f.Changed() {
		f.Cost.Disruption = "packets to " + want.Prefix + " take another way"
	}
}
