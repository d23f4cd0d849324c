package acceptance

import (
	"strings"
	"testing"
)

// TestOverlayOnVirtualMachines is scenario S1 where the chassis are virtual
// machines: the same playbook, on the datapath of their own kernels.
func TestOverlayOnVirtualMachines(t *testing.T) {
	t.Parallel()
	const inventory = "inventories/lab-vm.hcl"
	labUp(t, inventory)
	if first := converged(t, overlay, "-i", inventory); changed(first) == 0 {
		t.Fatal("the first apply changed nothing")
	}
	if n := changed(converged(t, overlay, "-i", inventory)); n != 0 {
		t.Errorf("applied again, %d steps changed", n)
	}
	for host, peer := range map[string]string{"ubuntu2": "10.127.0.4", "ubuntu3": "10.127.0.3"} {
		datapath := must(t, "lab", "ssh", "-i", inventory, host, "--", "ovs-appctl dpif/show; lsmod")
		for _, want := range []string{"system@ovs-system", "remote_ip=" + peer, "\ngeneve ", "\nopenvswitch "} {
			if !strings.Contains(datapath, want) {
				t.Errorf("%s: the datapath and modules lack %q:\n%s", host, want, datapath)
			}
		}
	}
	must(t, "lab", "reboot", "-i", inventory, "ubuntu2")
	converged(t, overlay, "-i", inventory) // the fake VMs are made anew
}
