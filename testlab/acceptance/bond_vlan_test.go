package acceptance

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestBondVLAN is scenario S4: a bond with LACP, and VLANs over it.
func TestBondVLAN(t *testing.T) {
	s := scenario{
		inventory: "inventories/bond-vlan.hcl", hosts: []string{"hyper1", "switch1"},
		playbooks: []string{"playbooks/lab-switch.hcl", "playbooks/ovs-bond-vlan.hcl"}, works: bondWorks,
		memory: []string{"fake_vm.", "ovs_port.access[", "ovs_port.trunk["}, // the guests, and the VLANs of their ports
		drifts: []drift{
			{"mode", "hyper1", "ovs-vsctl set port bond0 bond_mode=active-backup", 0},
			{"LACP", "hyper1", "ovs-vsctl set port bond0 lacp=passive", 0},
			{"LACP timers", "hyper1", "ovs-vsctl remove port bond0 other_config lacp-time", 0},
			{"trunks", "hyper1", "ovs-vsctl set port bond0 trunks=11", 0},
			{"a member more", "hyper1", "ip link add extra type veth peer name extra1; ovs-vsctl -- --id=@i create interface name=extra -- add port bond0 interfaces @i", 0},
			{"a member less", "hyper1", "ovs-vsctl remove port bond0 interfaces $(ovs-vsctl --bare --columns=_uuid find interface name=eth2)", 0},
			{"a member that is down", "hyper1", "ip link set eth1 down", 0},
			{"no bond", "hyper1", "ovs-vsctl del-port bond0", 0},
			{"a guest's VLAN", "hyper1", "ovs-vsctl set port guest300 tag=301", 0},
			{"the fake bridge", "hyper1", "ovs-vsctl set port vlan302 fake_bridge=false", 0},
			{"its tag", "hyper1", "ovs-vsctl set port vlan302 tag=300", 0},
			{"its iface-id", "hyper1", "ovs-vsctl remove interface vlan302 external_ids iface-id", 0},
			{"its address", "hyper1", "ip addr flush dev vlan302", 0},
			{"trunks of the guest", "hyper1", "ovs-vsctl set port trunkguest trunks=301", 0},
		},
	}
	s.run(t)
	if r := weft(t, "plan", s.playbooks[1], "-i", s.inventory, "--var", "lacp=off"); r.exit == 0 || !strings.Contains(r.stderr, "balance-tcp") {
		t.Errorf("a bond that drops everything is not refused: exit %d\n%s%s", r.exit, r.stdout, r.stderr)
	}
}

var lost = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

func bondWorks(t *testing.T, s scenario) {
	t.Helper()
	shown := s.on(t, "hyper1", "ovs-appctl bond/show bond0; ovs-appctl lacp/show bond0")
	for _, want := range []string{"bond_mode: balance-tcp", "lacp_status: negotiated", "lacp_time: fast"} {
		if !strings.Contains(shown, want) {
			t.Errorf("bond0 is without %q:\n%s", want, shown)
		}
	}
	if out := s.on(t, "hyper1", "ovs-vsctl br-to-parent vlan302; ovs-vsctl br-to-vlan vlan302"); out != "ovsbr0\n302\n" {
		t.Errorf("vlan302 is no bridge of VLAN 302: %s", out)
	}
	// Guests of different VLANs never hear each other, on one host or through the switch.
	heard := s.on(t, "hyper1", "ip -n guest300 address add 172.30.1.99/24 dev eth0; for other in 172.30.1.1 172.30.1.10; do ip netns exec guest300 ping -c 2 -i 0.2 -W 1 $other; done; ip -n guest300 address del 172.30.1.99/24 dev eth0")
	if m := lost.FindAllStringSubmatch(heard, -1); len(m) != 2 || m[0][2] != "0" || m[1][2] != "0" {
		t.Errorf("a guest of VLAN 300 hears those of VLAN 301:\n%s", heard)
	}
	for _, leg := range []string{"leg1", "leg2"} {
		s.on(t, "hyper1", "systemd-run -q --unit=flow ip netns exec guest300 sh -c 'ping -i 0.05 -c 200 172.30.0.1 > /run/flow'")
		s.on(t, "hyper1", "sleep 2")
		must(t, "lab", "cut", "-i", s.inventory, "--network", leg, "hyper1")
		s.on(t, "hyper1", "sleep 3")
		if said := weft(t, "apply", "-y", s.playbooks[1], "-i", s.inventory); said.exit == 0 {
			t.Errorf("with %s pulled the bond was proved whole:\n%s", leg, said.stdout)
		} else if nic := "eth" + leg[3:]; !strings.Contains(said.stdout, nic) {
			t.Errorf("the leg that is down is not named:\n%s", said.stdout)
		}
		must(t, "lab", "mend", "-i", s.inventory, "hyper1")
		flow := s.on(t, "hyper1", "while systemctl -q is-active flow; do sleep 0.2; done; cat /run/flow")
		m := lost.FindStringSubmatch(flow)
		if m == nil {
			t.Fatalf("%s", flow)
		}
		sent, _ := strconv.Atoi(m[1])
		got, _ := strconv.Atoi(m[2])
		t.Logf("%s pulled: %d of %d pings answered", leg, got, sent)
		if sent != 200 || got < 160 {
			t.Errorf("with %s pulled %s", leg, fmt.Sprintf("%d of %d pings were answered", got, sent))
		}
		s.unchanged(t) // with both legs proved
	}
}
