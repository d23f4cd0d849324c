package acceptance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkConverged compares, in one run, an apply of scenario S1 to hosts
// that need nothing, probes left out, with OpenSSH's `ssh HOST true` to the
// same hosts at once. The ratio is what counts: walls are noisy.
func BenchmarkConverged(b *testing.B) {
	for _, n := range []int{3, 10} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			path := fleetInventory(b, n)
			must(b, "lab", "down", "-i", path)
			b.Cleanup(func() { must(b, "lab", "down", "-i", path) })
			must(b, "lab", "up", "-i", path)
			converged(b, overlay, "-i", path)
			config := filepath.Join(b.TempDir(), "ssh_config")
			if err := os.WriteFile(config, []byte(must(b, "lab", "ssh-config", "-i", path)), 0o600); err != nil {
				b.Fatal(err)
			}
			var ours, theirs []time.Duration
			var cpu time.Duration
			var memory int64
			for b.Loop() {
				begin := time.Now()
				state := quietApply(b, path)
				ours = append(ours, time.Since(begin))
				cpu += state.UserTime() + state.SystemTime()
				memory = max(memory, state.SysUsage().(*syscall.Rusage).Maxrss)
				begin = time.Now()
				sshTrue(b, config, n)
				theirs = append(theirs, time.Since(begin))
			}
			a, s := median(ours), median(theirs)
			b.ReportMetric(float64(a.Microseconds())/1000, "weft-ms")
			b.ReportMetric(float64(s.Microseconds())/1000, "ssh-ms")
			b.ReportMetric(float64(a)/float64(s), "weft/ssh")
			b.ReportMetric(float64(cpu.Microseconds())/1000/float64(len(ours)*n), "cpu-ms/host")
			b.ReportMetric(float64(memory)/1024, "MB")
		})
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// quietApply applies S1 without its probes and wants nothing to be done.
func quietApply(b *testing.B, path string) *os.ProcessState {
	b.Helper()
	cmd := command(context.Background(), b, "apply", "-y", overlay, "-i", path, "--skip-tags", "probe")
	out, err := cmd.CombinedOutput()
	if err != nil || changedAny.Match(out) {
		b.Fatalf("a converged apply: %v\n%s", err, out)
	}
	return cmd.ProcessState
}

// sshTrue runs `ssh HOST true` on all hosts at once.
func sshTrue(b *testing.B, config string, n int) {
	b.Helper()
	var running []*exec.Cmd
	for i := range n {
		cmd := exec.Command("ssh", "-F", config, fmt.Sprintf("ubuntu%d", i+1), "true")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		running = append(running, cmd)
	}
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

// fleetInventory writes an inventory like the lab's with n hosts.
func fleetInventory(b *testing.B, n int) string {
	b.Helper()
	var hosts, names strings.Builder
	for i := range n {
		role := "compute"
		if i == 0 {
			role = "central"
		}
		fmt.Fprintf(&names, "%q, ", fmt.Sprintf("ubuntu%d", i+1))
		fmt.Fprintf(&hosts, `
host "ubuntu%[1]d" {
  address = "10.127.2.%[2]d"
  roles   = [%[3]q]
  vars    = { underlay = "10.127.0.%[2]d" }
  nic "eth0" {
    network = "management"
    address = "10.127.2.%[2]d/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}
`, i+1, i+2, role)
	}
	text := fmt.Sprintf(`site = "bench"
lab "bench" {
  repository = ["openvswitch-switch", "ovn-common", "ovn-central", "ovn-host", "ethtool", "tcpdump"]
  network "management" {
    cidr   = "10.127.2.0/24"
    access = true
  }
  network "underlay" {}
}
group "lab" {
  hosts = [%s]
  vars  = { uplink = "eth1", datapath = "netdev" }
}
%s`, names.String(), hosts.String())
	path := filepath.Join(b.TempDir(), "fleet.hcl")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	return path
}
