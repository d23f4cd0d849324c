package acceptance

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHypervisor takes two bare hosts from first contact to guests on a logical switch, one
// with OVS-DPDK and one without, and back.
func TestHypervisor(t *testing.T) {
	const playbook = "playbooks/hypervisor.hcl"
	s := scenario{inventory: "inventories/hypervisor.hcl", hosts: []string{"hyper1", "hyper2"}, playbooks: []string{playbook}}
	t.Parallel()
	labUp(t, s.inventory)
	guestImage(t, s)
	found := map[string]string{}
	for _, h := range s.hosts {
		found[h] = s.state(t, h)
	}
	s.apply(t, playbook, "--var", "at_a_time=2")
	s.unchanged(t)
	must(t, append([]string{"rollback", "-y", "-i", s.inventory}, s.standing(t)...)...)
	for _, h := range s.hosts {
		if d := cmp.Diff(found[h], s.state(t, h)); d != "" {
			t.Errorf("%s is not as it was found:\n%s", h, d)
		}
	}
}
