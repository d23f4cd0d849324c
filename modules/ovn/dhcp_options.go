package ovn

import (
	"fmt"
	"net/netip"
	"slices"

	"weft/engine/step"
)

// DHCPOptionsSpec is the attributes of an ovn_dhcp_options.
type DHCPOptionsSpec struct {
	Name        string                       `json:"name,omitzero" weft:"label" doc:"What ovn_switch_port calls them: external_ids has it (weft-name), since they have no name in OVN."`
	CIDR        string                       `json:"cidr" weft:"required" doc:"Network of the addresses, IPv4 or IPv6; it says whether DHCPv4 or DHCPv6 is meant."`
	Options     map[string]step.Attr[string] `json:"options,omitzero" doc:"Options by the names of ovn-nb(5). DHCPv4 must have server_id, server_mac and lease_time (seconds), and usually router and dns_server; DHCPv6 must have server_id, an Ethernet address. Keys that are left out stay as they are."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	State       step.State                   `json:"state,omitzero" default:"present" doc:"Whether they should be there. The ports that had them get no answer any more."`

	Found *rowFound `json:"found,omitzero" weft:"found"`
}

func dhcpOptionsKind() step.Kind {
	return step.Kind{
		Name:    "ovn_dhcp_options",
		Summary: "What OVN answers to a guest that asks for an address by DHCP or DHCPv6.",
		Doc: `ovn-controller answers by itself, on the guest's own chassis; there is no server. A port names its options by
dhcpv4_options and dhcpv6_options, and the address is the port's own: of its addresses, or one that OVN chooses where these
say dynamic and the switch has a subnet (other_config subnet, ipv6_prefix). probe_dhcp asks for a lease as a guest does.

For IPv6 the router must advertise itself too, see ovn_router_port.

They are found by their owner in external_ids (weft-owner). A removal records which ports had them, and rollback gives them back.`,
		Spec:   DHCPOptionsSpec{},
		Target: step.SharedNorthbound,
		Example: `step "ovn_dhcp_options" "ls1-v4" {
  cidr = "172.16.1.0/24"
  options = {
    server_id  = "172.16.1.254"
    server_mac = "02:00:00:00:01:fe"
    lease_time = "3600"
    router     = "172.16.1.254"
    dns_server = "{172.16.1.254, 9.9.9.9}"
  }
}`,
		Make: func(u step.Unit) (step.Step, error) {
			return madeRow(u, dhcpRows(), func(r rows[DHCPOptionsSpec]) step.Resource[DHCPOptionsSpec] { return dhcpOptions{r} })
		},
	}
}

func dhcpRows() *table {
	return &table{
		name: "DHCP_Options", title: "DHCP options", labelled: true,
		means:   map[string]func(string) string{"cidr": canonical},
		holders: []relative{{table: portTable, column: "dhcpv4_options"}, {table: portTable, column: "dhcpv6_options"}},
	}
}

// Validate finds what ovn-northd would ignore.
func (s *DHCPOptionsSpec) Validate() []step.Problem {
	problems := slices.Concat(validName("name", s.Name), validKeys("options", s.Options), validKeys("external_ids", s.ExternalIDs))
	add := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	p, err := netip.ParsePrefix(s.CIDR)
	switch {
	case err != nil:
		add("cidr", fmt.Sprintf("%q is no network", s.CIDR), `write "172.16.1.0/24"`)
		return problems
	case p != p.Masked():
		add("cidr", s.CIDR+" has bits beyond its prefix", "write "+p.Masked().String())
	}
	if !s.State.There() {
		return problems
	}
	must := []string{"server_id", "server_mac", "lease_time"}
	macs := []string{"server_mac"}
	if p.Addr().Is6() {
		must, macs = []string{"server_id"}, []string{"server_id"}
	}
	for _, option := range must {
		if s.Options[option].Or("") == "" {
			add("options", "is without "+option+", and OVN would not answer", "")
		}
	}
	for _, option := range macs {
		if mac := s.Options[option].Or(""); mac != "" && !ethernet.MatchString(mac) {
			add("options."+option, fmt.Sprintf("%q is not an Ethernet address", mac), ethernetHint)
		}
	}
	if id := s.Options["server_id"].Or(""); p.Addr().Is4() && id != "" && !validAddress(id) {
		add("options.server_id", fmt.Sprintf("%q is not an IP address", id), "that of the router's port, usually")
	}
	return problems
}

type dhcpOptions struct{ rows[DHCPOptionsSpec] }

// Advise names what others will notice.
func (dhcpOptions) Advise(f *step.Finding, have, want DHCPOptionsSpec) {
	if n := len(have.Found.Holders); have.State.There() && !want.State.There() && n > 0 {
		f.Cost.Disruption = fmt.Sprintf("%d ports get no answer to DHCP any more", n)
	}
}
