package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weft/engine/control/run"
)

const (
	hypervisor    = "playbooks/hypervisor-kernel.hcl"
	hypervisorLab = "inventories/hypervisor-vm.hcl"
)

// deadly is an argument with which the kernel panics: its first process is not there.
const deadly = `
play "deadly" {
  hosts = role.hypervisor
  step "kernel_cmdline" "deadly" { args = ["rdinit=/nonexistent"] }
}
`

// server is what scenario S3 changes on a machine below its packages: as people
// would look at it.
const server = `tr ' ' '\n' < /proc/cmdline | grep -Ev '^(weft[.]trial|panic|softlockup_panic|systemd[.]watchdog_sec|rd[.])' ; \
grep -h . /sys/devices/system/node/node*/hugepages/hugepages-2048kB/nr_hugepages; \
for d in 0000:02:00.0 0000:03:00.0; do basename $(readlink /sys/bus/pci/devices/$d/driver); done; \
grep -E '^vfio(_pci|_iommu_type1) ' /proc/modules | cut -d' ' -f1; grep huge /proc/mounts`

// bareServer is what an undo brings back beside that: files, and links by their
// names.
const bareServer = server + `; ls /sys/class/net; \
find /etc /boot/grub/*.cfg -type f -exec md5sum {} + | sort -k 2; ls -d /var/lib/weft/trial /boot/grub/custom.cfg 2>/dev/null; true`

// TestKernel makes a bare virtual machine ready for DPDK below the packages, and
// tries to kill it.
func TestKernel(t *testing.T) {
	labUp(t, hypervisorLab)
	h := hyper{t}
	found := h.sees(bareServer)

	if r := h.apply(hypervisor, 0); strings.Count(r, "  reboots  ") != 1 {
		t.Fatalf("it was not rebooted once:\n%s", r)
	}
	ready := h.sees(server)
	for _, want := range []string{"hugepages=256", "intel_iommu=on", "vfio-pci", "vfio_pci", "pagesize=2M"} {
		if !strings.Contains(ready, want) {
			t.Errorf("the machine lacks %s:\n%s", want, ready)
		}
	}
	must(t, "lab", "reboot", "-i", hypervisorLab, "hyper1")
	if d := cmp.Diff(ready, h.sees(server)); d != "" {
		t.Errorf("another boot brings something else:\n%s", d)
	}
	if r := h.apply(hypervisor, 0); changedAny.MatchString(r) {
		t.Errorf("applied again, something changed:\n%s", r)
	}
	h.rollback()
	if d := cmp.Diff(found, h.sees(bareServer)); d != "" {
		t.Errorf("after the rollback it is not as it was found:\n%s", d)
	}

	t.Run("a deadly argument", func(t *testing.T) {
		h := hyper{t}
		playbook := filepath.Join(t.TempDir(), "deadly.hcl")
		if err := os.WriteFile(playbook, []byte(deadly), 0o644); err != nil {
			t.Fatal(err)
		}
		r := h.apply(playbook, int(run.RolledBack))
		for _, want := range []string{"none of these arguments", "undone   kernel_cmdline.deadly"} {
			if !strings.Contains(r, want) {
				t.Errorf("it is not said that %q:\n%s", want, r)
			}
		}
		if strings.Count(r, "  reboots  ") != 1 {
			t.Errorf("weft rebooted it more than once:\n%s", r)
		}
		if d := cmp.Diff(found, h.sees(bareServer)); d != "" {
			t.Errorf("it is not as it was:\n%s", d)
		}
	})

	t.Run("the controller is killed during the reboot", func(t *testing.T) {
		h := hyper{t}
		id := h.killedWhileAway()
		r := weft(t, "resume", "-y", id)
		if r.exit != 0 || strings.Contains(r.stdout, "  reboots  ") {
			t.Fatalf("resume: exit %d\n%s%s", r.exit, r.stdout, r.stderr)
		}
		if d := cmp.Diff(ready, h.sees(server)); d != "" {
			t.Errorf("the machine is not what the playbook says:\n%s", d)
		}
		if r := h.apply(hypervisor, 0); changedAny.MatchString(r) {
			t.Errorf("after the resume something is left to do:\n%s", r)
		}
	})
}

// hyper is the lab's virtual machine.
type hyper struct{ t *testing.T }

// sees runs a shell command there, by another hand than weft.
func (h hyper) sees(command string) string {
	h.t.Helper()
	return must(h.t, "lab", "ssh", "-i", hypervisorLab, "hyper1", "--", command)
}

func (h hyper) apply(playbook string, exit int) string {
	h.t.Helper()
	r := weft(h.t, "apply", "-y", playbook, "-i", hypervisorLab)
	if r.exit != exit {
		h.t.Fatalf("apply %s: exit %d, want %d\n%s%s", playbook, r.exit, exit, r.stdout, r.stderr)
	}
	return r.stdout
}

// rollback takes back all that stands.
func (h hyper) rollback() {
	h.t.Helper()
	var ids []string
	for line := range strings.Lines(must(h.t, "runs", "-i", hypervisorLab)) {
		if id := runID.FindString(line); id != "" && strings.Contains(line, "  done  ") {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		h.t.Fatal("the host knows of no run")
	}
	must(h.t, append([]string{"rollback", "-y", "-i", hypervisorLab}, ids...)...)
}

// killedWhileAway applies until the machine is away, kills weft, and returns the
// run's name.
func (h hyper) killedWhileAway() string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := command(ctx, h.t, "apply", "-y", "-o", "json", hypervisor, "-i", hypervisorLab)
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	var said bytes.Buffer
	buffer := make([]byte, 4096)
	for !bytes.Contains(said.Bytes(), []byte(`"rebooting"`)) {
		n, err := out.Read(buffer)
		said.Write(buffer[:n])
		if err != nil {
			h.t.Fatalf("it ended before the machine was away: %v\n%s", err, said.String())
		}
	}
	// Only a machine that is on its way cannot have been kept.
	for boot := h.bootID(); boot != "" && ctx.Err() == nil; boot = h.bootID() {
		continue
	}
	if err := cmd.Process.Kill(); err != nil {
		h.t.Fatal(err)
	}
	_ = cmd.Wait()
	id := runID.FindString(said.String())
	if id == "" {
		h.t.Fatal(fmt.Errorf("no run is named in %s", said.String()))
	}
	return id
}

// bootID is that of the machine now; empty where it does not answer.
func (h hyper) bootID() string {
	h.t.Helper()
	r := weft(h.t, "lab", "ssh", "-i", hypervisorLab, "hyper1", "--", "timeout 5 cat /proc/sys/kernel/random/boot_id")
	if r.exit != 0 {
		return ""
	}
	return strings.TrimSpace(r.stdout)
}
