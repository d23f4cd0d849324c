package acceptance

import (
	"os"
	"strings"
	"testing"
)

// TestNetworkManagerBond is scenario S6: NetworkManager's bond, VLAN and bridges, on
// a kernel that has them. `make networkmanager` runs it: it boots virtual machines for a
// quarter of an hour.
func TestNetworkManagerBond(t *testing.T) {
	if os.Getenv("WEFT_NETWORKMANAGER") == "" {
		t.Skip("boots virtual machines for a quarter of an hour; make networkmanager runs it")
	}
	s := scenario{
		inventory: "inventories/nm-bond.hcl", hosts: []string{"hyper1", "switch1"},
		playbooks: []string{"playbooks/lab-switch.hcl", "playbooks/nm-bond-vlan-bridge.hcl"}, works: profilesWork,
		drifts: []drift{
			{"an option of the bond", "hyper1", "ip link set bond0 type bond xmit_hash_policy layer2", 0},
			{"an address", "hyper1", "ip addr del 172.30.1.60/24 dev br301", 0},
			{"a profile's key", "hyper1", "sed -i s/stp=false/stp=true/ /etc/NetworkManager/system-connections/br1.nmconnection; nmcli connection reload", 0},
			{"a profile", "hyper1", "rm /etc/NetworkManager/system-connections/bond0.301.nmconnection", 2},
		},
	}
	s.run(t)
}

func profilesWork(t *testing.T, s scenario) {
	t.Helper()
	active := s.on(t, "hyper1", "nmcli -t -f NAME,DEVICE,STATE connection show; nmcli -t -f DEVICE,STATE device")
	for _, device := range []string{"br0", "br1", "br301", "bond0", "bond0.301", "eth1", "eth2", "eth3"} {
		if !strings.Contains(active, device+":"+device+":activated") || !strings.Contains(active, "\n"+device+":connected\n") {
			t.Errorf("NetworkManager does not have %s active by its profile:\n%s", device, active)
		}
	}
	members := s.on(t, "hyper1", `for m in eth1 eth2 eth3 bond0 bond0.301; do echo $m $(basename $(readlink /sys/class/net/$m/master)); done; cat /sys/class/net/bond0/bonding/mode`)
	if want := "eth1 bond0\neth2 bond0\neth3 br1\nbond0 br0\nbond0.301 br301\n802.3ad 4\n"; members != want {
		t.Errorf("members are\n%s, want\n%s", members, want)
	}
	// Each bridge learnt the gateway of its own VLAN behind its own member.
	for bridge, gateway := range map[string]string{"br0": "172.30.0.1", "br301": "172.30.1.1"} {
		learnt := s.on(t, "hyper1", "ping -c 1 -W 2 "+gateway+" >/dev/null; mac=$(ip -4 neigh show "+gateway+" dev "+bridge+` | awk '{print $3}'); bridge fdb show br `+bridge+` | grep "^$mac"`)
		if member := map[string]string{"br0": "dev bond0 ", "br301": "dev bond0.301 "}[bridge]; !strings.Contains(learnt, member) {
			t.Errorf("%s learnt the gateway's address elsewhere: %s", bridge, learnt)
		}
	}
}
