package acceptance

import (
	"strings"
	"testing"

	"weft/engine/control/run"
)

// TestSystemKinds has a service of its own user behind a firewall, from nothing and over a
// boot; a firewall that would shut weft out is taken back by the host itself; and all
// of it is taken back.
func TestSystemKinds(t *testing.T) {
	t.Parallel()
	const lab, playbook = "testlab/acceptance/testdata/system.hcl", "testlab/acceptance/testdata/system-kinds.hcl"
	labUp(t, lab)
	h := labHost{t, lab, "sys1"}
	h.sees("echo weft > /etc/issue.net")
	const state = "id keeper 2>&1; getent group keepers; ls /srv /etc/nftables.d 2>&1; cat /etc/systemd/journald.conf; ls /etc/systemd/system /etc/systemd/system/multi-user.target.wants; true"
	before := h.sees(state)
	if n := changed(converged(t, playbook, "-i", lab)); n != 10 {
		t.Errorf("%d steps changed", n)
	}
	works := func() string {
		return h.sees("nft list table inet weft_mgmt | grep -c -e 'dport 22 accept' -e 'dport 6642 accept' -e drop; ps -o user=,nice= -C sleep; cat /srv/keeper/hosts; grep ^Storage /etc/systemd/journald.conf")
	}
	const want = "3\nkeeper     5\nweft\nStorage=volatile\n"
	if got := works(); got != want {
		t.Errorf("it is\n%s", got)
	}
	h.reboot()
	if got := works(); got != want {
		t.Errorf("after a boot it is\n%s", got)
	}
	if n := changed(converged(t, playbook, "-i", lab)); n != 0 {
		t.Errorf("after a boot %d steps changed", n)
	}

	if r := weft(t, "apply", "-y", playbook, "-i", lab, "-e", "services=[]", "--guard-time", "10s"); r.exit == int(run.OK) || !strings.Contains(r.stdout, "took 1 step of the play firewall back by itself") {
		t.Errorf("a firewall without ssh: exit %d\n%s", r.exit, r.stdout)
	}
	if got := works(); got != want {
		t.Errorf("after the guard it is\n%s", got)
	}
	h.rollback()
	if after := h.sees(state); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
}
