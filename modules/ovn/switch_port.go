package ovn

import (
	"context"
	"fmt"
	"slices"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// SwitchPortSpec is the attributes of an ovn_switch_port.
type SwitchPortSpec struct {
	Name         string                       `json:"name,omitzero" weft:"label" doc:"Name of the port, which is unique in the database: what an interface's iface-id says."`
	Switch       string                       `json:"switch" weft:"required" doc:"Name of the logical switch that the port is on. A port on another switch is moved."`
	Type         step.Attr[string]            `json:"type,omitzero" doc:"Type of ovn-nb(5): empty for a VIF, router, localnet, localport, l2gateway, vtep, external, virtual, remote."`
	Addresses    []string                     `json:"addresses,omitzero" weft:"set" doc:"Elements like \"02:ac:10:ff:00:11 172.16.255.11\", \"02:ac:10:ff:00:11 dynamic\", dynamic, unknown, router."`
	PortSecurity []string                     `json:"port_security,omitzero" weft:"set" doc:"Ethernet addresses, each with the IP addresses or networks that may be used with it. Empty: no port security."`
	Options      map[string]step.Attr[string] `json:"options,omitzero" doc:"Keys of options: network_name, l2gateway-chassis, requested-chassis, …. Keys that are left out stay as they are."`
	ParentName   step.Attr[string]            `json:"parent_name,omitzero" doc:"Of a container inside a VM: name of the VM's port."`
	Tag          step.Attr[int]               `json:"tag,omitzero" doc:"VLAN of a localnet or l2gateway port, 1 to 4095."`
	TagRequest   step.Attr[int]               `json:"tag_request,omitzero" doc:"Of a container inside a VM: VLAN of its traffic, 1 to 4095; 0 lets ovn-northd choose."`
	Enabled      step.Attr[bool]              `json:"enabled,omitzero" doc:"Whether packets pass. OVN's own default is true."`
	DHCPv4       step.Attr[string]            `json:"dhcpv4_options,omitzero" doc:"Name of the ovn_dhcp_options that a guest is answered by."`
	DHCPv6       step.Attr[string]            `json:"dhcpv6_options,omitzero" doc:"Name of the ovn_dhcp_options of an IPv6 network."`
	HAGroup      step.Attr[string]            `json:"ha_chassis_group,omitzero" doc:"Of type external: name of the ovn_ha_chassis_group, one chassis of which answers for the port."`
	ExternalIDs  map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	Adopt        bool                         `json:"adopt,omitzero" default:"false" doc:"Whether a port that weft did not make may be managed, moved and removed."`
	State        step.State                   `json:"state,omitzero" default:"present" doc:"Whether the port should be there."`

	Found *rowFound `json:"found,omitzero" weft:"found"`
}

const portTable = "Logical_Switch_Port"

func switchPortKind() step.Kind {
	return step.Kind{
		Name:    "ovn_switch_port",
		Summary: "A port of a logical switch in the northbound database.",
		Doc: `The port carries the step's owner in external_ids (weft-owner). A port of the same name that
belongs to OpenStack Neutron, ovn-kubernetes, another step or nobody is refused unless adopt = true.

A port is bound where an OVS interface has its name as external_ids:iface-id; probe_ovn_port waits
for it. What a host's iface-id says must be this name exactly.

A removal records the port whole, and rollback makes it again on its switch in one transaction.`,
		Spec:    SwitchPortSpec{},
		Target:  step.SharedNorthbound,
		Abreast: true,
		Example: `step "ovn_switch_port" "ls1-vm1" {
  switch        = "ls1"
  addresses     = ["02:ac:10:ff:00:11 172.16.255.11"]
  port_security = ["02:ac:10:ff:00:11 172.16.255.11"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			return madeRow(u, portRows(), func(r rows[SwitchPortSpec]) step.Resource[SwitchPortSpec] { return ports{r} })
		},
	}
}

// Validate finds what the database would refuse or ovn-northd ignore.
func (s *SwitchPortSpec) Validate() []step.Problem {
	problems := slices.Concat(
		validName("name", s.Name), validName("switch", s.Switch),
		validAddresses("addresses", s.Addresses), validPortSecurity("port_security", s.PortSecurity),
		validKeys("options", s.Options), validKeys("external_ids", s.ExternalIDs),
		validRange("tag", s.Tag, 1, 4095), validRange("tag_request", s.TagRequest, 0, 4095))
	if s.Name == "none" {
		problems = append(problems, step.Problem{Path: "name", Message: `"none" is a word of OVN's own: such a port comes up, and what is sent to it is dropped`})
	}
	types := []string{"", "router", "localnet", "localport", "l2gateway", "vtep", "external", "virtual", "remote"}
	if kind, ok := s.Type.Get(); ok && !slices.Contains(types, kind) {
		problems = append(problems, step.Problem{Path: "type", Message: fmt.Sprintf("%q is no type of port", kind), Hint: "ovn-nb(5) has: \"\" for a VIF, router, localnet, localport, l2gateway, vtep, external, virtual, remote"})
	}
	required := map[string][]string{"l2gateway": {"network_name", "l2gateway-chassis"}, "localnet": {"network_name"}, "router": {"router-port"}}
	for _, option := range required[s.Type.Or("")] {
		if a, there := s.Options[option]; s.State.There() && (!there || a.Absent()) {
			problems = append(problems, step.Problem{Path: "options", Message: fmt.Sprintf("a port of type %s needs options:%s", s.Type.Or(""), option)})
		}
	}
	return problems
}

func portRows() *table {
	return &table{
		name: portTable, title: "logical switch port", named: "name", unique: true,
		parents: []relative{{attribute: "switch", table: "Logical_Switch", column: "ports"}},
		unset:   map[string]any{"enabled": true},
		always:  []string{"type"},
		means:   map[string]func(string) string{"addresses": canonical, "port_security": canonical},
		refs: map[string]relative{
			"dhcpv4_options":   {table: "DHCP_Options", column: "dhcpv4_options", labelled: true},
			"dhcpv6_options":   {table: "DHCP_Options", column: "dhcpv6_options", labelled: true},
			"ha_chassis_group": {table: "HA_Chassis_Group", column: "ha_chassis_group"},
		},
		holders: []relative{{table: "Port_Group", column: "ports"}},
	}
}

// ports are logical switch ports, some of which carry those of containers.
type ports struct{ rows[SwitchPortSpec] }

func (r ports) Read(ctx context.Context, v host.View, want SwitchPortSpec) (SwitchPortSpec, error) {
	have, err := r.rows.Read(ctx, v, want)
	if err == nil && have.State.There() && !want.State.There() {
		err = noneInside(ctx, v, want.Name)
	}
	return have, err
}

func (r ports) Write(ctx context.Context, h host.Host, have, want SwitchPortSpec) error {
	if have.State.There() && !want.State.There() {
		if err := noneInside(ctx, h.View(), have.Name); err != nil {
			return err
		}
	}
	return r.rows.Write(ctx, h, have, want)
}

// noneInside refuses to remove a port that carries the ports of containers.
func noneInside(ctx context.Context, v host.View, name string) error {
	found, err := selectRows(ctx, v.OVSDB, host.Northbound, row.Select(portTable, []string{"name"}, row.Is("parent_name", name)))
	if err != nil || len(found[0]) == 0 {
		return err
	}
	return &usedError{spoken(portTable), names(found[0], "name")}
}
