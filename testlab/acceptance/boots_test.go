package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weft/engine/control/run"
)

const bootsLab = "testlab/acceptance/testdata/boots.hcl"

// A boot is one that goes wrong, or that another hand makes.
type boot struct {
	name string
	// happens does it on a machine, which is afterwards to be as it was found:
	// its /etc, its boot menu and its command line.
	happens func(h labHost)
}

// boots are dealt out to the machines in turn.
var boots = []boot{
	{"the network card has no driver", func(h labHost) {
		h.fallsBack(`args = ["module_blacklist=virtio_net"]`, "nobody confirmed it within 2m0s")
	}},
	{"nobody can log in", func(h labHost) {
		h.fallsBack(`args = ["systemd.unit=emergency.target"]`, "ended in an emergency shell")
	}},
	{"the initramfs finds no root", func(h labHost) {
		h.fallsBack(`args = ["module_blacklist=virtio_blk"]`, "")
	}},
	{"it hangs where the hardware watchdog sees it", hangs},
	{"it hangs before anything watches it, and its power is cut", hangsEarly},
	{"the trial's kernel cannot be loaded", cannotBeLoaded},
	{"another hand boots what was staged", staged},
	{"what was staged kills it", stagedPanics},
	{"weft may not boot it", never},
	{"another kernel is installed between the trial and what follows", kernelUpdated},
	{"processors are isolated, with a page of 1 GiB", isolated},
	{"there are fewer pages than wanted", shortfall},
	{"a module that is in use gets options", moduleInUse},
}

// TestBoots has two machines go through every way in which a boot with new kernel
// arguments can go wrong. It takes half an hour: `make boots`.
func TestBoots(t *testing.T) {
	if os.Getenv("WEFT_BOOTS") == "" {
		t.Skip("takes half an hour; `make boots` runs it")
	}
	labUp(t, bootsLab)
	for lane, host := range []string{"bios", "uefi"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			for i := lane; i < len(boots); i += 2 {
				t.Run(boots[i].name, func(t *testing.T) {
					h := labHost{t, bootsLab, host}
					found := h.sees(bareServer)
					boots[i].happens(h)
					if d := cmp.Diff(found, h.sees(bareServer)); d != "" {
						t.Errorf("it is not as it was:\n%s", d)
					}
				})
			}
		})
	}
}

// cmdlineStep is a step that waits for two minutes only.
func cmdlineStep(attributes string) string {
	return fmt.Sprintf("step \"kernel_cmdline\" \"tried\" {\n%s\nconfirm = \"2m\"\n}", attributes)
}

// says fails where one of the texts is not in what weft said.
func (h labHost) says(said string, texts ...string) {
	h.t.Helper()
	for _, want := range texts {
		if !strings.Contains(said, want) {
			h.t.Errorf("it is not said that %q:\n%s", want, said)
		}
	}
	h.t.Log(said)
}

// fallsBack tries arguments that the machine does not come up with.
func (h labHost) fallsBack(attributes, why string) {
	h.t.Helper()
	h.says(h.apply(h.play(cmdlineStep(attributes)), int(run.RolledBack)), "undone   kernel_cmdline.tried", why)
}

// hangs has something take all processors for itself: the kernel lives, and
// nothing else.
func hangs(h labHost) {
	const unit = `[Unit]
After=multi-user.target
[Service]
CPUSchedulingPolicy=fifo
CPUSchedulingPriority=99
ExecStartPre=/bin/sh -c "echo -1 > /proc/sys/kernel/sched_rt_runtime_us"
ExecStart=/bin/sh -c "for i in 0 1 2 3; do (while :; do :; done) & done; wait"
`
	h.sees(fmt.Sprintf("cat > /run/hang.service <<'EOF'\n%s\nEOF\ncp /run/hang.service /usr/local/lib/systemd/system/ 2>/dev/null || { mkdir -p /usr/local/lib/systemd/system && cp /run/hang.service /usr/local/lib/systemd/system/; }", unit))
	h.fallsBack(`args = ["systemd.wants=hang.service"]`, "")
	h.sees("rm /usr/local/lib/systemd/system/hang.service")
}

// hangsEarly has a first process that waits for words at the console.
func hangsEarly(h labHost) {
	cut := make(chan error, 1)
	go func() { cut <- h.cutPowerAt("Run /bin/cat as init process") }()
	h.fallsBack(`args = ["rdinit=/bin/cat"]`, "never came up")
	if err := <-cut; err != nil {
		h.t.Error(err)
	}
}

// cutPowerAt cuts the machine's power once its console has said something.
func (h labHost) cutPowerAt(text string) error {
	console := filepath.Join("/var/lib/weft-lab/boots/hosts", h.host, "console.log")
	before, err := os.ReadFile(console)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(8 * time.Minute); time.Now().Before(deadline); time.Sleep(time.Second) {
		now, err := os.ReadFile(console)
		if err == nil && len(now) > len(before) && strings.Contains(string(now[len(before):]), text) {
			must(h.t, "lab", "power-cycle", "-i", h.inventory, h.host)
			return nil
		}
	}
	return fmt.Errorf("the console of %s never said %q", h.host, text)
}

const harmless = `args = ["weft_test=1", "weft_other=a,b"]`

// cannotBeLoaded names another file in the trial's entry.
func cannotBeLoaded(h labHost) {
	playbook := h.play(cmdlineStep(harmless))
	h.says(h.apply(playbook, 0, "--reboot", "staged"), "pending")
	h.sees(`sed -i '/weft-trial/,/^}/s,/boot/vmlinuz-,/boot/gone-,' /boot/grub/custom.cfg && grep -q /boot/gone- /boot/grub/custom.cfg`)
	h.reboot()
	h.says(h.apply(playbook, int(run.RolledBack), "--reboot", "staged"), "never came up", "undone")
}

func staged(h labHost) {
	playbook := h.play(cmdlineStep(harmless))
	h.says(h.apply(playbook, 0, "--reboot", "staged"), "pending")
	h.reboot()
	r := h.apply(playbook, 0, "--reboot", "staged")
	h.says(r, "kernel_cmdline.tried")
	if r := h.apply(playbook, 0); changedAny.MatchString(r) {
		h.t.Errorf("something is left to do:\n%s", r)
	}
	h.reboot()
	h.runsWith("weft_test=1 weft_other=a,b")
	h.rollback()
	h.reboot() // which is left to others, that way too
}

// runsWith fails where the arguments are not in force.
func (h labHost) runsWith(arguments string) {
	h.t.Helper()
	if now := h.sees("cat /proc/cmdline"); !strings.Contains(now, arguments) {
		h.t.Errorf("it runs with %s", now)
	}
}

func stagedPanics(h labHost) {
	playbook := h.play(cmdlineStep(`args = ["rdinit=/nonexistent"]`))
	h.says(h.apply(playbook, 0, "--reboot", "staged"), "pending")
	h.reboot()
	h.says(h.apply(playbook, int(run.RolledBack), "--reboot", "staged"), "never came up", "undone")
}

func never(h labHost) {
	found := h.sees(bareServer)
	playbook := h.play(cmdlineStep(harmless))
	h.says(h.apply(playbook, 0, "--reboot", "never"), "pending")
	if d := cmp.Diff(found, h.sees(bareServer)); d != "" {
		h.t.Errorf("something was written:\n%s", d)
	}
	h.says(h.apply(playbook, 0), "reboots")
	h.runsWith("weft_test=1 weft_other=a,b")
	h.rollback()
}

// kernelUpdated installs a kernel while the trial is staged, and looks at what it
// boots with.
func kernelUpdated(h labHost) {
	playbook := h.play(cmdlineStep(harmless))
	h.says(h.apply(playbook, 0, "--reboot", "staged"), "pending")
	h.sees("DEBIAN_FRONTEND=noninteractive apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends linux-image-cloud-amd64")
	h.reboot()
	h.runsWith("weft_test=1 weft_other=a,b")
	h.apply(playbook, 0)
	for _, kernel := range strings.Fields(h.sees("ls /boot/vmlinuz-*")) {
		version := strings.TrimPrefix(kernel, "/boot/vmlinuz-")
		h.sees(fmt.Sprintf(`grub-reboot "$(awk -F"'" '/submenu/ {s=$2} /menuentry.*%s/ && !/recovery/ && s {print s ">" $2; exit}' /boot/grub/grub.cfg)"`, version))
		h.reboot()
		h.runsWith("weft_test=1 weft_other=a,b")
		if now := strings.TrimSpace(h.sees("uname -r")); now != version {
			h.t.Errorf("it runs kernel %s, not %s", now, version)
		}
		if r := h.apply(playbook, 0); changedAny.MatchString(r) {
			h.t.Errorf("with kernel %s something is left to do:\n%s", version, r)
		}
	}
	h.rollback()
	h.sees("DEBIAN_FRONTEND=noninteractive apt-get -qq purge -y 'linux-image*cloud*'")
	h.reboot()
}

const isolation = `step "kernel_cmdline" "tried" {
  args = ["default_hugepagesz=1G", "hugepagesz=1G", "hugepages=1", "isolcpus=managed_irq,domain,1", "nohz_full=1", "rcu_nocbs=1"]
}
step "cpu_isolation" "dpdk" { cpus = "1" }
step "hugepages" "reserved" {
  size        = "1G"
  pages       = %d
  persistent  = false
  after_needs = ["host"]
}
`

func isolated(h labHost) {
	playbook := h.play(fmt.Sprintf(isolation, 1))
	if r := h.apply(playbook, 0); strings.Count(r, "  reboots  ") != 1 {
		h.t.Errorf("it was not rebooted once:\n%s", r)
	}
	const isolated = `cat /sys/devices/system/cpu/isolated /sys/devices/system/cpu/nohz_full /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages /proc/irq/default_smp_affinity; grep Cpus_allowed_list /proc/1/status`
	for range 2 {
		if got, want := h.sees(isolated), "1\n1\n1\n1\nCpus_allowed_list:\t0\n"; got != want {
			h.t.Errorf("got %q, want %q", got, want)
		}
		h.reboot()
	}
	if r := h.apply(playbook, 0); changedAny.MatchString(r) {
		h.t.Errorf("something is left to do:\n%s", r)
	}
	h.rollback()
}

// shortfall wants more pages than there are whole GiB for: the arguments were kept by
// then, and are taken back by another boot.
func shortfall(h labHost) {
	r := h.apply(h.play(fmt.Sprintf(isolation, 3)), int(run.RolledBack))
	h.says(r, "wanted 3 pages of 1G, got", "undone   kernel_cmdline.tried")
	if n := strings.Count(r, "  reboots  "); n != 2 {
		h.t.Errorf("it was rebooted %d times:\n%s", n, r)
	}
}

// moduleInUse gives options to a module that cannot be loaded anew, for something
// uses it: they come with a boot.
func moduleInUse(h labHost) {
	h.sees("modprobe loop && truncate -s 1M /root/image && losetup /dev/loop0 /root/image")
	playbook := h.play(`step "kernel_module" "loop" { options = { max_part = "7" } }`)
	if r := h.apply(playbook, 0); strings.Count(r, "  reboots  ") != 1 {
		h.t.Errorf("it was not rebooted once:\n%s", r)
	}
	if now := h.sees("cat /sys/module/loop/parameters/max_part"); now != "7\n" {
		h.t.Errorf("the option is %s", now)
	}
	if r := h.apply(playbook, 0); changedAny.MatchString(r) {
		h.t.Errorf("something is left to do:\n%s", r)
	}
	h.rollback()
	h.sees("rm /root/image")
}
