package acceptance

import (
	"strings"
	"testing"
)

const patchMesh = "playbooks/ovs-patch-mesh.hcl"

// TestPatchMesh is scenario S11: a triangle of bridges.
func TestPatchMesh(t *testing.T) {
	s := scenario{
		inventory: "inventories/patch-mesh.hcl", hosts: []string{"ubuntu1"}, playbooks: []string{patchMesh}, works: triangleWorks,
		memory: []string{"fake_vm."},
		drifts: []drift{
			{"a peer that is gone", "ubuntu1", "ovs-vsctl del-port patch1-0", 0},
			{"a peer that names another", "ubuntu1", "ovs-vsctl set interface patch2-1 options:peer=patch0-1", 0},
			{"both ends gone", "ubuntu1", "ovs-vsctl del-port patch1-2 -- del-port patch2-1", 0},
			{"a port of another type", "ubuntu1", "ovs-vsctl set interface patch0-2 type=internal", 0},
			{"an end in another bridge", "ubuntu1", "ovs-vsctl del-port patch2-0 -- add-port ovsbr1 patch2-0 -- set interface patch2-0 type=patch options:peer=patch0-2", 0},
			{"no spanning tree", "ubuntu1", "ovs-vsctl set bridge ovsbr1 stp_enable=false", 0},
			{"its times", "ubuntu1", "ovs-vsctl remove bridge ovsbr1 other_config stp-forward-delay", 0},
			{"fail mode", "ubuntu1", "ovs-vsctl set-fail-mode ovsbr2 secure", 0},
			{"a controller", "ubuntu1", "ovs-vsctl set-controller ovsbr0 tcp:127.0.0.1:6653", 0},
			{"a bridge's file", "ubuntu1", "rm $(grep -l ovsbr1 /etc/network/interfaces.d/* | head -1)", 0},
		},
	}
	s.run(t)
}

func triangleWorks(t *testing.T, s scenario) {
	t.Helper()
	// A loop shows by loss: ovs-vswitchd drops a packet that comes by too many patch ports.
	out := s.on(t, "ubuntu1", "for vm in vm0 vm1 vm2; do for to in 10 11 12; do ip netns exec $vm ping -c 2 -i 0.2 -W 2 172.31.0.$to; done; done")
	if strings.Contains(out, "DUP!") || strings.Contains(out, "100% packet loss") {
		t.Errorf("pings are answered twice, or not:\n%s", out)
	}

	// A port that nobody asked for is reported, and removed where that is asked.
	s.on(t, "ubuntu1", "ovs-vsctl add-port ovsbr0 del-controller -- set interface del-controller type=internal")
	if r := weft(t, "plan", patchMesh, "-i", s.inventory); !strings.Contains(r.stdout, "del-controller") {
		t.Errorf("the plan does not report the port del-controller:\n%s", r.stdout)
	}
	if steps := s.apply(t, patchMesh, "--var", "others=remove"); len(steps) != 1 || !strings.HasPrefix(steps[0], "ovs_bridge_ports.") {
		t.Errorf("it was removed by %q", steps)
	}
	if out := s.on(t, "ubuntu1", "ovs-vsctl list-ports ovsbr0"); strings.Contains(out, "del-controller") {
		t.Errorf("it is still there: %s", out)
	}
}
