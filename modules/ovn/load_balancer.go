package ovn

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
	"weft/engine/step"
)

// LoadBalancerSpec is the attributes of an ovn_load_balancer.
type LoadBalancerSpec struct {
	Name            string                       `json:"name,omitzero" weft:"label" doc:"Name of the load balancer."`
	VIPs            map[string]step.Attr[string] `json:"vips,omitzero" doc:"Endpoints by virtual addresses: \"10.0.0.10:80\" = \"172.16.1.11:8080,172.16.2.11:8080\", or all of them without ports; \"[fd00::10]:80\" of IPv6. Virtual addresses that are left out stay as they are; absent removes one."`
	Protocol        step.Attr[string]            `json:"protocol,omitzero" weft:"enum=tcp|udp|sctp" doc:"Protocol of the ports; OVN's own default is tcp."`
	SelectionFields []string                     `json:"selection_fields,omitzero" weft:"set" doc:"Header fields that choose the endpoint: eth_src, eth_dst, ip_src, ip_dst, tp_src, tp_dst. Empty: a hash of the datapath's own, which is faster."`
	HealthCheck     []HealthCheck                `json:"health_check,omitzero" weft:"set" doc:"All health checks; endpoints that fail get no new connections. Each endpoint needs its ip_port_mappings."`
	IPPortMappings  map[string]step.Attr[string] `json:"ip_port_mappings,omitzero" doc:"Of endpoints that are checked: logical port, and the source of the checks, \"172.16.1.11\" = \"ls1-vm1:172.16.1.2\"; with brackets around IPv6. Endpoints that are left out stay as they are."`
	Options         map[string]step.Attr[string] `json:"options,omitzero" doc:"Keys of options: reject, hairpin_snat_ip, skip_snat, add_route, neighbor_responder, affinity_timeout, …. Keys that are left out stay as they are."`
	Switches        []string                     `json:"switches,omitzero" weft:"set" doc:"Names of all logical switches that have the load balancer. Left out, another hand may say them."`
	Routers         []string                     `json:"routers,omitzero" weft:"set" doc:"Names of all logical routers that have the load balancer. Left out, another hand may say them."`
	ExternalIDs     map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	Adopt           bool                         `json:"adopt,omitzero" default:"false" doc:"Whether a load balancer that weft did not make may be managed, and removed."`
	State           step.State                   `json:"state,omitzero" default:"present" doc:"Whether the load balancer should be there."`

	Found *rowFound `json:"found,omitzero" weft:"found"`
}

// HealthCheck is a check of the endpoints of one virtual address.
type HealthCheck struct {
	VIP     string            `json:"vip" weft:"required" doc:"The virtual address with its port, as vips says it."`
	Options map[string]string `json:"options,omitempty" doc:"All options: interval and timeout in seconds, success_count, failure_count."`
}

func loadBalancerKind() step.Kind {
	return step.Kind{
		Name:    "ovn_load_balancer",
		Summary: "Virtual addresses whose connections OVN spreads over endpoints, in the northbound database.",
		Doc: `A load balancer does nothing until a logical switch or router has it. On a switch it serves the
connections of the switch's guests, and a virtual address must not lie in the switch's own subnet; on a
router it serves those that the router's gateway chassis sees.

It carries the step's owner in external_ids (weft-owner); one of the same name that belongs to
OpenStack Neutron, ovn-kubernetes, another step or nobody is refused unless adopt = true. Names of load
balancers are not unique in OVN: where two have the name, the step fails and touches neither.

ovn-northd passes over a virtual address that it does not understand or whose endpoints it cannot
use, of another address family, without a port or with a space in between. The step refuses them.

A removal records the load balancer with its health checks, switches and routers, and rollback makes
all of it again. Load balancer groups (Load_Balancer_Group) it does not know, and does not bring back.`,
		Spec:   LoadBalancerSpec{},
		Target: step.SharedNorthbound,
		Example: `step "ovn_load_balancer" "web" {
  vips             = { "10.0.0.10:80" = "172.16.1.11:8080,172.16.2.11:8080" }
  switches         = ["ls1", "ls2"]
  ip_port_mappings = { "172.16.1.11" = "ls1-vm1:172.16.1.2", "172.16.2.11" = "ls2-vm1:172.16.2.2" }
  health_check     = [{ vip = "10.0.0.10:80", options = { interval = "5" } }]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			return madeRow(u, loadBalancerRows(), func(r rows[LoadBalancerSpec]) step.Resource[LoadBalancerSpec] { return loadBalancers{r} })
		},
	}
}

func loadBalancerRows() *table {
	return &table{
		name: "Load_Balancer", title: "load balancer", named: "name",
		unset: map[string]any{"protocol": "tcp"},
		means: map[string]func(string) string{"vips": canonicalEndpoints},
		holders: []relative{
			{attribute: "switches", table: "Logical_Switch", column: "load_balancer"},
			{attribute: "routers", table: "Logical_Router", column: "load_balancer"},
		},
		parts: map[string]part{"health_check": {table: "Load_Balancer_Health_Check"}},
	}
}

type loadBalancers struct{ rows[LoadBalancerSpec] }

// Advise names what others will notice, and what has no effect.
func (loadBalancers) Advise(f *step.Finding, have, want LoadBalancerSpec) {
	if have.State.There() {
		f.Cost.Disruption = strings.Join(gone(f.Deltas, have, want), "; ")
	}
	if !want.State.There() {
		return
	}
	if want.Switches != nil && want.Routers != nil && len(want.Switches)+len(want.Routers) == 0 {
		f.Warnings = append(f.Warnings, "no logical switch or router has it: nobody reaches it")
	}
	for _, endpoint := range want.unchecked() {
		f.Warnings = append(f.Warnings, fmt.Sprintf("endpoint %s is taken for healthy: it has no ip_port_mappings", endpoint))
	}
}

// gone is what clients cannot reach any more.
func gone(deltas []step.Delta, have, want LoadBalancerSpec) (lost []string) {
	for _, d := range deltas {
		vip, ofVIPs := strings.CutPrefix(d.Path, "vips.")
		switch {
		case d.Path == "state":
			vips := slices.Sorted(maps.Keys(row.Map(ovsdb.Row(have.Found.Tree.Row), "vips")))
			lost = append(lost, "nobody answers at "+strings.Join(vips, ", "))
		case ofVIPs && d.To == nil:
			lost = append(lost, "nobody answers at "+vip)
		case d.Path == "switches":
			lost = append(lost, losing("logical switch", have.Switches, want.Switches)...)
		case d.Path == "routers":
			lost = append(lost, losing("logical router", have.Routers, want.Routers)...)
		}
	}
	return lost
}

func losing(what string, have, want []string) (lost []string) {
	for _, name := range have {
		if !slices.Contains(want, name) {
			lost = append(lost, fmt.Sprintf("%s %s loses the load balancer", what, name))
		}
	}
	return lost
}

// unchecked are the endpoints of virtual addresses with a health check that nothing
// says how to check.
func (s *LoadBalancerSpec) unchecked() []string {
	var out []string
	for _, check := range s.HealthCheck {
		for _, text := range endpointsOf(s.VIPs[check.VIP].Or("")) {
			e, err := addressAndPort(text)
			if err != nil || s.mapped(e.Addr().String()) || s.mapped("["+e.Addr().String()+"]") {
				continue
			}
			out = append(out, text)
		}
	}
	return out
}

func (s *LoadBalancerSpec) mapped(endpoint string) bool {
	a, named := s.IPPortMappings[endpoint]
	return named && !a.Absent()
}
