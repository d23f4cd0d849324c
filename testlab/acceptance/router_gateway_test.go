package acceptance

import (
	"strconv"
	"strings"
	"testing"
)

// TestRouterGateway is scenario S10: switches joined by a router, DHCP, and a gateway
// that another chassis takes over.
func TestRouterGateway(t *testing.T) {
	nb := func(command string) string { return "ovn-nbctl " + command }
	s := scenario{
		inventory: "inventories/router-gateway.hcl", hosts: []string{"h0", "h1", "h2", "outside"}, playbooks: []string{"playbooks/ovn-router-gateway.hcl"}, works: routerWorks,
		memory: []string{"fake_vm."},
		drifts: []drift{
			// With their switches' ports: ovn-controller 23.03 has no flows for a router's port
			// that comes back to one that stayed.
			{"a router's port", "h0", nb("lrp-del lr1-ls2 -- lsp-del ls2-lr1"), 2},
			{"its address", "h0", nb("set Logical_Router_Port lr1-ls1 networks=172.16.1.253/24"), 0},
			{"its Ethernet address", "h0", nb("set Logical_Router_Port lr1-ls1 mac='\"02:00:00:00:00:01\"'"), 0},
			{"advertisements", "h0", nb("remove Logical_Router_Port lr1-ls1 ipv6_ra_configs address_mode"), 0},
			{"a gateway less", "h0", nb("lrp-del-gateway-chassis lr1-ls3 $(ovs-vsctl get open . external_ids:system-id | tr -d '\"')"), 0},
			{"a gateway more", "h0", nb("lrp-set-gateway-chassis lr1-ls3 elsewhere 30"), 0},
			{"ranks", "h0", nb("set Gateway_Chassis $(ovn-nbctl --bare --columns=_uuid find Gateway_Chassis priority=10) priority=99"), 0},
			{"the way out", "h0", nb("lr-route-del lr1 0.0.0.0/0"), 0},
			{"another way out", "h0", nb("set Logical_Router_Static_Route $(ovn-nbctl --bare --columns=_uuid find Logical_Router_Static_Route ip_prefix=0.0.0.0/0) nexthop=172.16.3.9"), 0},
			{"an option of DHCP", "h0", nb("set DHCP_Options $(ovn-nbctl --bare --columns=_uuid find DHCP_Options cidr=172.16.1.0/24) options:lease_time=9"), 0},
			{"no DHCP for a guest", "h0", nb("clear Logical_Switch_Port v0 dhcpv4_options"), 0},
			{"no DHCP at all", "h0", nb("dhcp-options-del $(ovn-nbctl --bare --columns=_uuid find DHCP_Options cidr=172.16.2.0/24)"), 2},
			{"the switch's subnet", "h0", nb("set Logical_Switch ls1 other_config:subnet=172.17.0.0/24"), 0},
			{"the mapping", "h1", "ovs-vsctl set open . external_ids:ovn-bridge-mappings=outNet:br-elsewhere", 0},
			{"the outlet", "h1", "ovs-vsctl del-port eth2", 0},
			{"the port outside", "h0", nb("set Logical_Switch_Port outside options:network_name=other"), 0},
			{"the router", "h0", nb("lr-del lr1 -- lsp-del ls1-lr1 -- lsp-del ls2-lr1 -- lsp-del ls3-lr1"), 8},
		},
	}
	s.run(t)
}

func routerWorks(t *testing.T, s scenario) {
	t.Helper()
	// The gateway is cut off while a guest elsewhere talks to the world outside.
	s.on(t, "h2", "systemd-run -q --unit=flow ip netns exec v0 sh -c 'ping -i 0.1 -c 300 198.51.100.1 > /run/flow'")
	s.on(t, "h2", "sleep 3")
	for _, network := range []string{"underlay", "outside"} {
		must(t, "lab", "cut", "-i", s.inventory, "--network", network, "h1")
	}
	flow := s.on(t, "h2", "while systemctl -q is-active flow; do sleep 0.2; done; cat /run/flow")
	if where := s.on(t, "h0", "ovn-sbctl --bare --columns=hostname list Chassis $(ovn-sbctl --bare --columns=chassis find Port_Binding logical_port=cr-lr1-ls3)"); strings.TrimSpace(where) != "h0" {
		t.Errorf("the way out is on %q", where)
	}
	m := lost.FindStringSubmatch(flow)
	if m == nil {
		t.Fatal(flow)
	}
	got, _ := strconv.Atoi(m[2])
	t.Logf("the gateway was cut off: %d of 300 pings at 10/s answered", got)
	if m[1] != "300" || got < 200 {
		t.Errorf("of 300 pings %d were answered", got)
	}
	must(t, "lab", "mend", "-i", s.inventory, "h1")
	s.unchanged(t) // the first of them has the way again
}
