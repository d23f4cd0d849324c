package ovn

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/step"
)

// RouterPortSpec is the attributes of an ovn_router_port.
type RouterPortSpec struct {
	Name           string                       `json:"name,omitzero" weft:"label" doc:"Name of the port, which is unique in the database: what options:router-port of the switch's port says."`
	Router         string                       `json:"router" weft:"required" doc:"Name of the logical router that the port is of. A port of another router is moved."`
	MAC            step.Attr[string]            `json:"mac,omitzero" doc:"Ethernet address. Must be given."`
	Networks       []string                     `json:"networks,omitzero" weft:"set" doc:"Addresses with prefix lengths, IPv4 and IPv6: \"172.16.1.254/24\". At least one must be given."`
	GatewayChassis []GatewayChassis             `json:"gateway_chassis,omitzero" weft:"set" doc:"The chassis that packets leave by, the one with the highest priority that lives; [] for none. They watch each other by BFD."`
	HAGroup        step.Attr[string]            `json:"ha_chassis_group,omitzero" doc:"Name of a group (ovn_ha_chassis_group) in the place of gateway_chassis."`
	Peer           step.Attr[string]            `json:"peer,omitzero" doc:"Of a port that leads to another router without a switch between: the port there, which names this one."`
	Enabled        step.Attr[bool]              `json:"enabled,omitzero" doc:"Whether packets pass. OVN's own default is true."`
	Options        map[string]step.Attr[string] `json:"options,omitzero" doc:"Keys of options: gateway_mtu, reside-on-redirect-chassis, redirect-type, …. Keys that are left out stay as they are."`
	Advertisements map[string]step.Attr[string] `json:"ipv6_ra_configs,omitzero" doc:"Keys of ipv6_ra_configs, for router advertisements: address_mode (slaac, dhcpv6_stateful, dhcpv6_stateless), send_periodic, mtu, …. Keys that are left out stay as they are."`
	ExternalIDs    map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	Adopt          bool                         `json:"adopt,omitzero" default:"false" doc:"Whether a port that weft did not make may be managed, moved and removed."`
	State          step.State                   `json:"state,omitzero" default:"present" doc:"Whether the port should be there."`

	Found *rowFound `json:"found,omitzero" weft:"found"`
}

// GatewayChassis is a chassis that a port's packets may leave by.
type GatewayChassis struct {
	Chassis  string `json:"chassis_name" weft:"required" doc:"The chassis' system-id: hosts[\"h0\"].step.ovn_chassis.self.system_id."`
	Priority int    `json:"priority" weft:"required" doc:"0 to 32767; the highest that lives has the port."`
}

func routerPortKind() step.Kind {
	return step.Kind{
		Name:    "ovn_router_port",
		Summary: "A port of a logical router in the northbound database.",
		Doc: `A port reaches a logical switch by a port there (ovn_switch_port of type router with options router-port, and
addresses ["router"]), or another router by its peer.

With gateway_chassis, or a group, the port is a distributed gateway port: what leaves by it leaves by the chassis with
the highest priority that lives, and one of the others takes over within seconds, if it sees any other chassis: one that sees none
takes itself for the one that is cut off, so with two chassis in all nothing takes over. probe_ovn_port of cr-NAME says which has it.

ovn-controller 23.03 has no flows for a port that was removed and comes back while the switch's port for it stayed: where
probe_ping says so, run ` + "`ovn-appctl -t ovn-controller recompute`" + ` on the chassis.

For IPv6 a port of a router has to advertise itself, by address_mode in ipv6_ra_configs: DHCPv6 gives guests an
address and no route.

The port carries the step's owner in external_ids (weft-owner); one of another owner is refused unless adopt = true. A
removal records it with its gateway chassis, and rollback makes it again.`,
		Spec:    RouterPortSpec{},
		Target:  step.SharedNorthbound,
		Abreast: true,
		Example: `step "ovn_router_port" "lr1-public" {
  router          = "lr1"
  mac             = "02:00:00:00:03:fe"
  networks        = ["172.16.3.254/24"]
  gateway_chassis = [{ chassis_name = hosts["h0"].step.ovn_chassis.self.system_id, priority = 20 }]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			return madeRow(u, routerPortRows(), func(r rows[RouterPortSpec]) step.Resource[RouterPortSpec] { return routerPorts{r} })
		},
	}
}

func routerPortRows() *table {
	return &table{
		name: "Logical_Router_Port", title: "logical router port", named: "name", unique: true,
		parents: []relative{{attribute: "router", table: "Logical_Router", column: "ports"}},
		unset:   map[string]any{"enabled": true},
		means:   map[string]func(string) string{"mac": canonical, "networks": canonicalInterface},
		refs:    map[string]relative{"ha_chassis_group": {table: "HA_Chassis_Group", column: "ha_chassis_group"}},
		parts: map[string]part{"gateway_chassis": {table: "Gateway_Chassis", more: func(of string, element ovsdb.Row) ovsdb.Row {
			// As ovn-nbctl lrp-set-gateway-chassis names it.
			return ovsdb.Row{"name": of + "-" + element["chassis_name"].(string), "chassis_name": element["chassis_name"], "priority": element["priority"]}
		}}},
	}
}

// canonicalInterface is the one spelling of an address with a prefix length, whose
// host bits stay.
func canonicalInterface(s string) string {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.String()
	}
	return s
}

// Validate finds what the database would refuse or ovn-northd ignore.
func (s *RouterPortSpec) Validate() []step.Problem {
	problems := slices.Concat(
		validName("name", s.Name), validName("router", s.Router), validKeys("options", s.Options),
		validKeys("ipv6_ra_configs", s.Advertisements), validKeys("external_ids", s.ExternalIDs))
	if !s.State.There() {
		return problems
	}
	add := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	if mac, given := s.MAC.Get(); !given {
		add("mac", "is missing", ethernetHint)
	} else if !ethernet.MatchString(mac) {
		add("mac", fmt.Sprintf("%q is not an Ethernet address", mac), ethernetHint)
	}
	if len(s.Networks) == 0 {
		add("networks", "is missing: a port has at least one address", `write ["172.16.1.254/24"]`)
	}
	six := false
	for _, n := range s.Networks {
		p, err := netip.ParsePrefix(n)
		six = six || err == nil && p.Addr().Is6()
		if err != nil {
			add("networks", fmt.Sprintf("%q is no address with a prefix length", n), `write "172.16.1.254/24"`)
		}
	}
	if mode, given := s.Advertisements["address_mode"].Get(); given {
		if !slices.Contains([]string{"slaac", "dhcpv6_stateful", "dhcpv6_stateless"}, mode) {
			add("ipv6_ra_configs.address_mode", fmt.Sprintf("%q is none of slaac, dhcpv6_stateful, dhcpv6_stateless", mode), "")
		} else if !six {
			add("ipv6_ra_configs", "advertises a router without an IPv6 network", "give one in networks")
		}
	}
	return append(problems, s.gatewayProblems()...)
}

// gatewayProblems finds gateways that ovn-northd could not choose among.
func (s *RouterPortSpec) gatewayProblems() []step.Problem {
	var problems []step.Problem
	seen := map[string]bool{}
	for _, g := range s.GatewayChassis {
		if g.Priority < 0 || g.Priority > 32767 {
			problems = append(problems, step.Problem{Path: "gateway_chassis", Message: fmt.Sprintf("priority %d of %s is not from 0 to 32767", g.Priority, g.Chassis)})
		}
		if g.Chassis == "" || strings.ContainsAny(g.Chassis, " \t\n") {
			problems = append(problems, step.Problem{Path: "gateway_chassis", Message: fmt.Sprintf("%q is no system-id", g.Chassis), Hint: `hosts["h0"].step.ovn_chassis.self.system_id is one`})
		}
		if seen[g.Chassis] {
			problems = append(problems, step.Problem{Path: "gateway_chassis", Message: "names " + g.Chassis + " twice"})
		}
		seen[g.Chassis] = true
	}
	if _, both := s.HAGroup.Get(); both && len(s.GatewayChassis) > 0 {
		problems = append(problems, step.Problem{Path: "ha_chassis_group", Message: "and gateway_chassis say the same in two ways", Hint: "keep one of them"})
	}
	return problems
}

type routerPorts struct{ rows[RouterPortSpec] }

// Advise names what others will notice.
func (routerPorts) Advise(f *step.Finding, have, want RouterPortSpec) {
	if !have.State.There() || !f.Changed() {
		return
	}
	if !want.State.There() {
		f.Cost.Disruption = "what crosses router port " + want.Name + " is cut off"
		return
	}
	for _, d := range f.Deltas {
		switch d.Path {
		case "router", "mac", "networks", "enabled", "peer":
			f.Cost.Disruption = "what crosses router port " + want.Name + " is interrupted"
		case "gateway_chassis", "ha_chassis_group":
			f.Cost.Disruption = "what leaves by router port " + want.Name + " may leave by another chassis"
		}
	}
}
