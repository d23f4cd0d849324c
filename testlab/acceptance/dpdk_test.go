package acceptance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/engine/control/run"
)

const dpdkHypervisor = "playbooks/ovs-dpdk-hypervisor.hcl"

// TestDPDK is scenario S3 as far as a host without a kernel of its own goes: OVS-DPDK
// over virtual devices, an LACP bond of them between two hypervisors, and guests on
// vhost-user ports. The probes of the playbook ping each guest from each host, and
// want each port polled, its counters above zero and the guests' addresses behind it.
func TestDPDK(t *testing.T) {
	s := scenario{inventory: "inventories/ovs-dpdk.hcl", hosts: []string{"hyper1", "hyper2"}, playbooks: []string{dpdkHypervisor}}
	t.Parallel()
	labUp(t, s.inventory)
	guestImage(t, s)
	found := map[string]string{}
	for _, h := range s.hosts {
		found[h] = s.state(t, h)
	}
	s.apply(t, dpdkHypervisor, "--var", "at_a_time=2")
	s.unchanged(t)
	for _, d := range []drift{
		{"another mask", "hyper1", "ovs-vsctl set open . other_config:pmd-cpu-mask=0x3", 0},
		{"a port that is gone", "hyper2", "ovs-vsctl del-port vh-g2", 0},
		{"the choice of ovs-vswitchd", "hyper1", "update-alternatives --auto ovs-vswitchd", 0},
		{"sockets of another owner", "hyper1", "chown root /var/lib/vhost-user", 0},
	} {
		t.Run(d.what, func(t *testing.T) {
			s.on(t, d.host, d.command)
			if steps := s.repair(t); len(steps) != 1 {
				t.Errorf("it was repaired by %q, want one", steps)
			}
		})
	}
	t.Run("a port that is dead", func(t *testing.T) { s.deadPort(t) })
	t.Run("disruption", func(t *testing.T) { s.disruption(t) })
	t.Run("a start that fails", func(t *testing.T) { s.noDPDK(t) })
	t.Run("restart", func(t *testing.T) {
		s.on(t, "hyper1", "systemctl restart ovs-vswitchd")
		s.unchanged(t)
	})
	t.Run("cold boot", func(t *testing.T) {
		must(t, "lab", "cold-boot", "-i", s.inventory)
		s.unchanged(t)
	})
	t.Run("rollback", func(t *testing.T) {
		must(t, append([]string{"rollback", "-y", "-i", s.inventory}, s.standing(t)...)...)
		for _, h := range s.hosts {
			if d := cmp.Diff(found[h], s.state(t, h)); d != "" {
				t.Errorf("%s is not as it was found:\n%s", h, d)
			}
		}
	})
}

// deadPort asks for a port whose device is not there: it is gone again, and what
// DPDK said of it is told.
func (s scenario) deadPort(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dead.hcl")
	save(t, file, `play "dead" {
  hosts = [for h in role.hypervisor : h if h.name == "hyper1"]
  step "ovs_port" "dead0" {
    bridge  = "ovsbr0"
    type    = "dpdk"
    options = { dpdk-devargs = "0000:77:00.0" }
  }
}
`)
	r := weft(t, "apply", "-y", file, "-i", s.inventory)
	for _, want := range []string{"Error attaching device '0000:77:00.0' to DPDK", "EAL: Cannot find device (0000:77:00.0)"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("nobody said %q:\n%s", want, r.stdout)
		}
	}
	if ports := s.on(t, "hyper1", "ovs-vsctl list-ports ovsbr0"); r.exit != int(run.RolledBack) || strings.Contains(ports, "dead0") {
		t.Errorf("it ends with %d, and the bridge has the ports %s", r.exit, ports)
	}
}

// changed is the inventory with other words in it.
func (s scenario) changed(t *testing.T, old, with string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root(t), s.inventory))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "inventory.hcl")
	save(t, file, strings.ReplaceAll(string(b), old, with))
	return file
}

// disruption changes what restarts ovs-vswitchd under a guest that runs.
func (s scenario) disruption(t *testing.T) {
	t.Helper()
	more := s.changed(t, "-m 1024", "-m 1040")
	before := s.on(t, "hyper1", "pidof ovs-vswitchd")
	r := weft(t, "apply", "-y", dpdkHypervisor, "-i", more, "-l", "hyper1")
	if !strings.Contains(r.stderr, "hyper1: ovs_config.self/dpdk hits g1") || r.exit != int(run.Usage) || s.on(t, "hyper1", "pidof ovs-vswitchd") != before {
		t.Errorf("it ends with %d:\n%s%s", r.exit, r.stdout, r.stderr)
	}
	r = weft(t, "apply", "-y", dpdkHypervisor, "-i", more, "-l", "hyper1", "--allow-disruption")
	if steps := changedStep.FindAllString(r.stdout, -1); r.exit != 0 || !slices.ContainsFunc(steps, func(l string) bool { return strings.HasPrefix(l, "hyper1") }) {
		t.Errorf("allowed, it ends with %d and %q:\n%s", r.exit, steps, r.stdout)
	}
	if args := s.on(t, "hyper1", "grep 'EAL ARGS' /var/log/openvswitch/ovs-vswitchd.log | tail -n 1"); !strings.Contains(args, "-m 1040") {
		t.Errorf("ovs-vswitchd runs with %s", args)
	}
	s.apply(t, dpdkHypervisor, "--allow-disruption")
}

// noDPDK wants memory that is not there, which is told before the restart, and
// options with which DPDK does not start, which is told after it and taken back.
func (s scenario) noDPDK(t *testing.T) {
	t.Helper()
	short := s.changed(t, "--no-huge --legacy-mem -m 1024", "--socket-mem 1048576")
	if r := weft(t, "plan", dpdkHypervisor, "-i", short, "-l", "hyper1"); !strings.Contains(r.stdout, "node 0: wanted 1048576 MB") {
		t.Errorf("the plan does not say what is missing:\n%s%s", r.stdout, r.stderr)
	}
	wrong := s.changed(t, "--legacy-mem -m 1024", "--no-such-option")
	r := weft(t, "apply", "-y", dpdkHypervisor, "-i", wrong, "-l", "hyper1", "--allow-disruption")
	if !strings.Contains(r.stdout, "ovs-vswitchd says") || r.exit != int(run.RolledBack) {
		t.Errorf("it ends with %d:\n%s%s", r.exit, r.stdout, r.stderr)
	}
	if is := strings.TrimSpace(s.on(t, "hyper1", "ovs-vsctl get open . dpdk_initialized")); is != "true" {
		t.Errorf("taken back, dpdk_initialized is %s", is)
	}
}

func save(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
