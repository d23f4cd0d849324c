package ovn

import (
	"fmt"
	"net/netip"
	"slices"

	"weft/engine/step"
)

// NATSpec is the attributes of an ovn_nat.
type NATSpec struct {
	Name        string                       `json:"name,omitzero" weft:"label" doc:"What messages call the rule, which has no name in OVN."`
	Router      string                       `json:"router" weft:"required" doc:"Name of the logical router."`
	Type        string                       `json:"type" weft:"required,enum=snat|dnat|dnat_and_snat" doc:"snat for many behind one address, dnat for one that is reached from outside, dnat_and_snat for a floating IP."`
	ExternalIP  string                       `json:"external_ip" weft:"required" doc:"Address outside."`
	LogicalIP   string                       `json:"logical_ip" weft:"required" doc:"Address inside; of snat a network as well."`
	ExternalMAC step.Attr[string]            `json:"external_mac,omitzero" doc:"With logical_port: Ethernet address of a floating IP that the chassis of its guest answers for, without a way round by the gateway."`
	LogicalPort step.Attr[string]            `json:"logical_port,omitzero" doc:"Logical switch port of the guest, see external_mac."`
	PortRange   step.Attr[string]            `json:"external_port_range,omitzero" doc:"Ports that addresses are translated to: \"1024-65535\"; absent leaves it to the chassis."`
	GatewayPort step.Attr[string]            `json:"gateway_port,omitzero" doc:"Name of the router's port that the rule is for, where several have gateway chassis."`
	Allowed     step.Attr[string]            `json:"allowed_ext_ips,omitzero" doc:"Name of an ovn_address_set: only to and from these is translated."`
	Exempted    step.Attr[string]            `json:"exempted_ext_ips,omitzero" doc:"Name of an ovn_address_set: to and from these is not translated."`
	Options     map[string]step.Attr[string] `json:"options,omitzero" doc:"Keys of options: stateless, add_route. Keys that are left out stay as they are."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	Adopt       bool                         `json:"adopt,omitzero" default:"false" doc:"Whether the same rule may be managed, and removed, where weft did not make it."`
	State       step.State                   `json:"state,omitzero" default:"present" doc:"Whether the rule should be there."`

	Found *rowFound `json:"found,omitzero" weft:"found"`
}

func natKind() step.Kind {
	return step.Kind{
		Name:    "ovn_nat",
		Summary: "A rule of network address translation of a logical router.",
		Doc: `Translation happens where the router has a place for it: at a port with gateway chassis, or on the chassis of a
gateway router. A router with neither ignores the rule; probe_ping from a guest says whether it works.

The rule is found by its owner in external_ids (weft-owner), so that each of its attributes may change. A rule
with the same type and addresses that this step did not make is refused unless adopt = true.`,
		Spec:   NATSpec{},
		Target: step.SharedNorthbound,
		Example: `step "ovn_nat" "guests" {
  router      = "lr1"
  type        = "snat"
  external_ip = "172.16.3.254"
  logical_ip  = "172.16.1.0/24"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			return madeRow(u, natRows(), func(r rows[NATSpec]) step.Resource[NATSpec] { return nats{r} })
		},
	}
}

func natRows() *table {
	return &table{
		name: "NAT", title: "NAT rule", natural: []string{"type", "external_ip", "logical_ip"},
		parents: []relative{{attribute: "router", table: "Logical_Router", column: "nat"}},
		always:  []string{"external_port_range"},
		means:   map[string]func(string) string{"external_ip": canonical, "logical_ip": canonical, "external_mac": canonical},
		refs: map[string]relative{
			"gateway_port":     {table: "Logical_Router_Port", column: "gateway_port"},
			"allowed_ext_ips":  {table: "Address_Set", column: "allowed_ext_ips"},
			"exempted_ext_ips": {table: "Address_Set", column: "exempted_ext_ips"},
		},
	}
}

// Validate finds what ovn-northd would ignore.
func (s *NATSpec) Validate() []step.Problem {
	problems := slices.Concat(validName("name", s.Name), validName("router", s.Router), validKeys("options", s.Options), validKeys("external_ids", s.ExternalIDs))
	add := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	outside, err := netip.ParseAddr(s.ExternalIP)
	if err != nil {
		add("external_ip", fmt.Sprintf("%q is not an IP address", s.ExternalIP), "without a prefix length")
	}
	inside, single := netip.ParseAddr(s.LogicalIP)
	if single != nil {
		p, err := netip.ParsePrefix(s.LogicalIP)
		switch inside = p.Addr(); {
		case err != nil:
			add("logical_ip", fmt.Sprintf("%q is neither an IP address nor a network", s.LogicalIP), `write "172.16.1.0/24"`)
		case s.Type != "snat":
			add("logical_ip", "of "+s.Type+" is one address, not a network", "")
		case p != p.Masked():
			add("logical_ip", s.LogicalIP+" has bits beyond its prefix", "write "+p.Masked().String())
		}
	}
	if outside.IsValid() && inside.IsValid() && outside.Is4() != inside.Is4() {
		add("logical_ip", "is not of the family of external_ip", "")
	}
	mac, withMAC := s.ExternalMAC.Get()
	_, withPort := s.LogicalPort.Get()
	switch {
	case withMAC != withPort:
		add("external_mac", "and logical_port go together", "a floating IP that is answered for on its guest's chassis has both")
	case withMAC && s.Type != "dnat_and_snat":
		add("external_mac", "is for dnat_and_snat alone", "")
	case withMAC && !ethernet.MatchString(mac):
		add("external_mac", fmt.Sprintf("%q is not an Ethernet address", mac), ethernetHint)
	}
	_, allowed := s.Allowed.Get()
	if _, exempted := s.Exempted.Get(); allowed && exempted {
		add("exempted_ext_ips", "and allowed_ext_ips exclude each other", "ovn-northd takes only one of them")
	}
	return problems
}

type nats struct{ rows[NATSpec] }

// Advise names what others will notice.
func (nats) Advise(f *step.Finding, have, want NATSpec) {
	if have.State.There() && f.Changed() {
		f.Cost.Disruption = "connections that NAT rule " + want.Name + " translates break"
	}
}
