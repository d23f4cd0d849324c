package acceptance

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/engine/control/run"
)

const (
	hypervisor    = "playbooks/hypervisor-kernel.hcl"
	hypervisorLab = "inventories/hypervisor-vm.hcl"
)

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

// TestKernel makes bare virtual machines ready for DPDK below the packages, and
// tries to kill one: one boots by a BIOS, the other by UEFI.
func TestKernel(t *testing.T) {
	t.Parallel()
	labUp(t, hypervisorLab)
	t.Run("BIOS", func(t *testing.T) {
		t.Parallel()
		h := labHost{t, hypervisorLab, "hyper1"}
		found := h.sees(bareServer)
		if r := h.apply(hypervisor, 0); strings.Count(r, "  reboots  ") != 1 {
			t.Fatalf("it was not rebooted once:\n%s", r)
		}
		ready := h.ready()
		h.reboot()
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
	})
	t.Run("UEFI", func(t *testing.T) {
		t.Parallel()
		h := labHost{t, hypervisorLab, "hyper2"}
		if firmware := h.sees("ls -d /sys/firmware/efi"); firmware != "/sys/firmware/efi\n" {
			t.Fatalf("it was not booted by UEFI: %s", firmware)
		}
		h.panics()
		h.isLeftAlone()
		h.rollback()
	})
}

// ready is the machine as the playbook wants it.
func (h labHost) ready() string {
	h.t.Helper()
	ready := h.sees(server)
	for _, want := range []string{"hugepages=256", "intel_iommu=on", "vfio-pci", "vfio_pci", "pagesize=2M"} {
		if !strings.Contains(ready, want) {
			h.t.Errorf("the machine lacks %s:\n%s", want, ready)
		}
	}
	return ready
}

// panics tries an argument with which the kernel panics: its first process is not
// there.
func (h labHost) panics() {
	h.t.Helper()
	found := h.sees(bareServer)
	r := h.apply(h.play(`step "kernel_cmdline" "deadly" { args = ["rdinit=/nonexistent"] }`), int(run.RolledBack))
	for _, want := range []string{"none of these arguments", "undone   kernel_cmdline.deadly"} {
		if !strings.Contains(r, want) {
			h.t.Errorf("it is not said that %q:\n%s", want, r)
		}
	}
	if strings.Count(r, "  reboots  ") != 1 {
		h.t.Errorf("weft rebooted it more than once:\n%s", r)
	}
	if d := cmp.Diff(found, h.sees(bareServer)); d != "" {
		h.t.Errorf("it is not as it was:\n%s", d)
	}
}

// isLeftAlone kills weft while the machine is away, and goes on.
func (h labHost) isLeftAlone() {
	h.t.Helper()
	id := h.killedWhileAway()
	r := weft(h.t, "resume", "-y", id)
	if r.exit != 0 || strings.Contains(r.stdout, "  reboots  ") {
		h.t.Fatalf("resume: exit %d\n%s%s", r.exit, r.stdout, r.stderr)
	}
	h.ready()
	if r := h.apply(hypervisor, 0); changedAny.MatchString(r) {
		h.t.Errorf("after the resume something is left to do:\n%s", r)
	}
}
