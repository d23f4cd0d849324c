package acceptance

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weft/engine/control/run"
)

// movedGuest moves a machine to the other hypervisor and back while it is pinged ten
// times a second: it misses no more than a second of it. A move that fails leaves the
// machine and its port where they are.
func movedGuest(t *testing.T, s scenario) {
	const elsewhere = `guests={
		g1 = { host = "hyper2", mac = "52:54:00:16:00:11", address = "172.16.22.11" }
		g2 = { host = "hyper2", mac = "52:54:00:16:00:22", address = "172.16.22.22" }
	}`
	port := portOf(t, s, "hyper1", "52:54:00:16:00:11")
	movedUnderPing(t, s, "hyper2", port, "-e", elsewhere)
	if steps := s.apply(t, attachGuests, "-e", elsewhere); !slices.Equal(steps, []string{`ovn_switch_port.guest["g1"]`}) {
		t.Errorf("where it lives now %q changed, want the note of it on its port alone", steps)
	}

	// libvirt takes no machine whose name another one has.
	s.on(t, "hyper1", "echo '<domain type=\"qemu\"><name>g1</name><memory>1024</memory><os><type>hvm</type></os></domain>' | virsh -q define /dev/stdin")
	r := weft(t, "apply", "-y", migrateGuests, "-i", s.inventory)
	if r.exit == int(run.OK) || !strings.Contains(r.stdout, "the guest goes on at hyper2, where its ports are bound") {
		t.Errorf("a move to where its name is taken ends with %d:\n%s%s", r.exit, r.stdout, r.stderr)
	}
	s.livesAt(t, "hyper2", port)
	s.on(t, "hyper1", "virsh -q undefine g1")

	movedUnderPing(t, s, "hyper1", port)
	s.repair(t)

	// Taken back, it is all where it came from, and nothing of it where it was.
	there := converged(t, migrateGuests, "-i", s.inventory, "-e", elsewhere)
	must(t, "rollback", "-y", "-i", s.inventory, there.Run)
	s.livesAt(t, "hyper1", port)
	if is := s.on(t, "hyper1", "virsh dominfo g1 | sed -n 's/^\\(Persistent\\|Autostart\\): *//p'"); is != "yes\nenable\n" {
		t.Errorf("taken back, it is persistent and starts by itself: %q", is)
	}
	if all := s.on(t, "hyper2", "virsh list --all --name"); strings.Contains(all, "g1") {
		t.Errorf("hyper2 still has a definition:\n%s", all)
	}
}

var answered = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

// movedUnderPing has a machine moved while the observer pings it.
func movedUnderPing(t *testing.T, s scenario, to, port string, args ...string) {
	t.Helper()
	pings := make(chan string)
	go func() {
		pings <- s.on(t, "hyper1", "ip netns exec observer ping -q -i 0.1 -c 150 -W 1 172.16.22.11; true")
	}()
	if steps := s.apply(t, migrateGuests, args...); !slices.Equal(steps, []string{`vm_migrate.guest["g1"]`}) {
		t.Errorf("the move to %s changed %q", to, steps)
	}
	s.livesAt(t, to, port)
	out := <-pings
	m := answered.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("ping says %s", out)
	}
	sent, _ := strconv.Atoi(m[1])
	received, _ := strconv.Atoi(m[2])
	if lost := sent - received; lost > 10 {
		t.Errorf("moved to %s, it missed %d of %d pings at 10 a second", to, lost, sent)
	}
	t.Logf("moved to %s: %d of %d pings answered", to, received, sent)
}

// livesAt holds a machine and its logical port to one hypervisor.
func (s scenario) livesAt(t *testing.T, hypervisor, port string) {
	t.Helper()
	if is := strings.TrimSpace(s.on(t, hypervisor, "virsh domstate g1")); is != "running" {
		t.Errorf("at %s the machine is %q", hypervisor, is)
	}
	chassis := strings.TrimSpace(s.on(t, hypervisor, `ovs-vsctl get open_vswitch . external_ids:system-id | tr -d '"'`))
	requested := strings.TrimSpace(s.on(t, "hyper1", "ovn-nbctl get logical_switch_port "+port+` options:requested-chassis | tr -d '"'`))
	bound := strings.TrimSpace(s.on(t, "hyper1", "ovn-sbctl --bare --columns=name list chassis $(ovn-sbctl --bare --columns=chassis find port_binding logical_port="+port+")"))
	if requested != chassis || bound != chassis {
		t.Errorf("the port of the machine at %s, chassis %s, is asked for at %s and bound at %s", hypervisor, chassis, requested, bound)
	}
}
