package acceptance

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOutsideVLAN is the overlay of scenario S2: a logical switch and a VLAN outside,
// joined by one chassis and then by all of them, in one lab.
func TestOutsideVLAN(t *testing.T) {
	t.Parallel()
	const inventory = "inventories/outside-vlan.hcl"
	hosts := []string{"c0", "n1", "n2", "outside"}
	labUp(t, inventory)
	mapping := drift{"the mapping", "n1", "ovs-vsctl remove open . external_ids ovn-bridge-mappings", 0}
	trunk := drift{"the trunk", "n1", "ovs-vsctl set port eth2 trunks=300", 0}
	for playbook, drifts := range map[string][]drift{
		"playbooks/ovn-l2gateway.hcl": {
			mapping, trunk,
			{"the VLAN", "c0", "ovn-nbctl set Logical_Switch_Port l2gwport tag=300", 0},
			{"the gateway", "c0", "ovn-nbctl set Logical_Switch_Port l2gwport options:l2gateway-chassis=elsewhere", 0},
			{"no gateway", "c0", "ovn-nbctl lsp-del l2gwport", 0},
			{"the bridge", "n1", "ovs-vsctl del-br br-ext", 2},
		},
		"playbooks/ovn-localnet.hcl": {
			mapping, trunk,
			{"the network", "c0", "ovn-nbctl set Logical_Switch_Port physnet301 options:network_name=physnet9", 0},
			{"the type", "c0", "ovn-nbctl set Logical_Switch_Port physnet301 type=localport", 0},
			{"no port", "c0", "ovn-nbctl lsp-del physnet301", 0},
		},
	} {
		t.Run(playbook, func(t *testing.T) {
			s := scenario{inventory: inventory, hosts: hosts, playbooks: []string{playbook}}
			found := map[string]string{}
			for _, h := range hosts {
				found[h] = s.state(t, h)
			}
			if len(s.apply(t, playbook)) == 0 {
				t.Fatal("it changed nothing")
			}
			s.unchanged(t)
			for _, d := range drifts {
				s.on(t, d.host, d.command)
				if steps := s.repair(t); len(steps) != max(d.steps, 1) {
					t.Errorf("%s was repaired by %q, want %d", d.what, steps, max(d.steps, 1))
				}
			}
			must(t, slices.Concat([]string{"rollback", "-y", "-i", inventory}, s.standing(t))...)
			for _, h := range hosts {
				if d := cmp.Diff(found[h], s.state(t, h)); d != "" {
					t.Errorf("%s is not as it was found:\n%s", h, d)
				}
			}
		})
	}
}
