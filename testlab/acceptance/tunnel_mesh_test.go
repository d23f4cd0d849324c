package acceptance

import (
	"strconv"
	"strings"
	"testing"
)

const tunnelMesh = "playbooks/ovs-tunnel-mesh.hcl"

// TestTunnelMesh is a network over three hosts by tunnels, with policing, quality of
// service and mirrors.
func TestTunnelMesh(t *testing.T) {
	s := scenario{
		inventory: "inventories/tunnel-mesh.hcl", hosts: []string{"compute1", "compute2", "compute3"}, playbooks: []string{tunnelMesh}, works: meshWorks,
		memory: []string{"fake_vm.", "ovs_port.guest", "ovs_qos.guest", "ovs_mirror.guest"}, // the guests, and what is said of their ports
		drifts: []drift{
			{"the other end", "compute1", "ovs-vsctl set interface vx-compute2 options:remote_ip=192.0.2.9", 0},
			{"this end", "compute1", "ovs-vsctl remove interface vx-compute2 options local_ip", 0},
			{"the virtual network", "compute1", "ovs-vsctl set interface vx-compute2 options:key=5002", 0},
			{"the encapsulation", "compute2", "ovs-vsctl set interface vx-compute3 type=geneve", 0},
			{"no BFD", "compute2", "ovs-vsctl set interface vx-compute3 bfd:enable=false", 0},
			{"frames go round", "compute2", "ovs-vsctl set port vx-compute3 protected=false", 0},
			{"no tunnel", "compute3", "ovs-vsctl del-port vx-compute1", 0},
			{"a tunnel's file", "compute3", "rm /etc/network/interfaces.d/weft-port-vx-compute1", 0},
			{"the rate", "compute1", "ovs-vsctl set interface guest ingress_policing_rate=1", 0},
			{"the burst", "compute1", "ovs-vsctl set interface guest ingress_policing_burst=0", 0},
			{"no quality of service", "compute2", "ovs-vsctl clear port guest qos", 0},
			{"its type", "compute2", "ovs-vsctl set qos $(ovs-vsctl get port guest qos) type=linux-sfq", 0},
			{"no mirror", "compute3", "ovs-vsctl clear bridge br-tun mirrors", 0},
			{"half of a mirror", "compute3", "ovs-vsctl clear mirror guest select_src_port", 0},
			{"a mirror of all", "compute3", "ovs-vsctl set mirror guest select_all=true", 0},
			{"the underlay's address", "compute1", "ip addr flush dev br-phy", 0},
		},
	}
	s.run(t)
}

func meshWorks(t *testing.T, s scenario) {
	t.Helper()
	// A broadcast reaches each guest once, and does not come back.
	for _, h := range s.hosts[1:] {
		s.on(t, h, "systemd-run -q --unit=hears ip netns exec guest sh -c 'a=$(cat /sys/class/net/eth0/statistics/rx_packets); sleep 3; echo $(($(cat /sys/class/net/eth0/statistics/rx_packets) - a)) > /run/hears'")
	}
	s.on(t, "compute1", "ip netns exec guest ping -b -c 5 -i 0.2 -W 1 172.31.1.255 || true") // nobody answers a broadcast
	for _, h := range s.hosts[1:] {
		heard := strings.TrimSpace(s.on(t, h, "while systemctl -q is-active hears; do sleep 0.1; done; cat /run/hears"))
		if n, err := strconv.Atoi(heard); err != nil || n < 5 || n > 50 {
			t.Errorf("the guest of %s heard %q frames, of five that were sent to all", h, heard)
		}
	}
	// One host's NIC with a smaller MTU (of a veth, that leaves four bytes for a VLAN):
	// each other names the pair, and the size.
	s.on(t, "compute2", "ip link set eth1 mtu 1400")
	said := weft(t, "apply", "-y", tunnelMesh, "-i", s.inventory, "--tags", "underlay")
	for _, want := range []string{
		"compute1 (192.0.2.1) → compute2 (192.0.2.2): packets of 140",
		"compute3 (192.0.2.3) → compute2 (192.0.2.2): packets of 140",
	} {
		if !strings.Contains(said.stdout, want) || said.exit == 0 {
			t.Errorf("it is not said that %q: exit %d\n%s", want, said.exit, said.stdout)
		}
	}
	s.on(t, "compute2", "ip link set eth1 mtu 1500")
	// One that is cut off: BFD sees it, and each other names it.
	must(t, "lab", "cut", "-i", s.inventory, "--network", "underlay", "compute3")
	said = weft(t, "apply", "-y", tunnelMesh, "-i", s.inventory, "--tags", "underlay", "--limit", "compute1")
	if want := "compute1 (192.0.2.1) → compute3 (192.0.2.3): its tunnel vx-compute3 is down, says BFD"; said.exit == 0 || !strings.Contains(said.stdout, want) || strings.Contains(said.stdout, "→ compute2") {
		t.Errorf("it is not said that %q: exit %d\n%s", want, said.exit, said.stdout)
	}
	must(t, "lab", "mend", "-i", s.inventory, "compute3")
	s.unchanged(t)
}
