package machine

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"weft/engine/step"
)

// CmdlineSpec is the spec of kind kernel_cmdline.
type CmdlineSpec struct {
	Args    []string `json:"args,omitzero" doc:"Arguments in their order, each \"name\" or \"name=value\"; a name may come several times (hugepagesz=1G, hugepages=16, hugepagesz=2M, hugepages=512). They replace every argument of these names. Others stay."`
	Absent  []string `json:"absent,omitzero" weft:"set" doc:"Arguments that must not be there: \"name\" whatever its value, or \"name=value\"."`
	Confirm string   `json:"confirm" default:"5m" doc:"For how long the machine, once it is up with new arguments (or has had two minutes to come up), waits for weft to come back before it boots the old ones."`
	Trial   string   `json:"trial" weft:"enum=required|preferred" default:"required" doc:"What becomes of a machine whose boot loader cannot try an entry once: required refuses, preferred makes the arguments permanent untried, and the plan says so."`
}

var (
	parameterName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	printable     = regexp.MustCompile(`^[ -~]*$`)
)

// written are the parameters that others write: the boot loader, and trials.
var written = map[string]string{
	"BOOT_IMAGE": "the boot loader writes it",
	"initrd":     "the boot loader writes it",
	"root":       "grub-mkconfig writes it for the file system that is mounted",
	"ro":         "grub-mkconfig writes it always; rw after it has the last word",
	"weft.trial": "weft writes it",
}

// Validate finds arguments that no kernel or boot loader would take as they
// are meant.
func (s *CmdlineSpec) Validate() []step.Problem {
	var problems []step.Problem
	refuse := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	for path, list := range map[string][]string{"args": s.Args, "absent": s.Absent} {
		for _, text := range list {
			name, value, _ := strings.Cut(text, "=")
			switch {
			case !parameterName.MatchString(name):
				refuse(path, fmt.Sprintf("%q is not an argument of the kernel", text), `write each as "name" or "name=value", in a list`)
			case !printable.MatchString(value):
				refuse(path, fmt.Sprintf("%q has a character that no boot loader hands on", text), "")
			case strings.ContainsAny(value, `"'\`):
				refuse(path, fmt.Sprintf("the value of %s has a quote or a backslash", name), "leave quotes out: weft writes them where a value has blanks")
			case written[argument(text).key()] != "":
				refuse(path, fmt.Sprintf("%s is not to be managed: %s", name, written[argument(text).key()]), "")
			}
		}
	}
	r := s.request()
	for _, a := range r.Absent {
		if !strings.Contains(string(a), "=") && r.inArgs(a) {
			refuse("absent", fmt.Sprintf("%s is in args, too", a), "args replaces every argument of its names already")
		}
	}
	if len(s.Args)+len(s.Absent) == 0 {
		refuse("args", "is missing", "name arguments in args, or in absent")
	}
	if d, err := time.ParseDuration(s.Confirm); s.Confirm != "" && (err != nil || d < time.Minute || d > time.Hour) {
		refuse("confirm", fmt.Sprintf("%q is no time between a minute and an hour", s.Confirm), `write it as "5m"`)
	}
	return problems
}

// request is what the spec asks of a command line.
func (s CmdlineSpec) request() request {
	var r request
	for _, a := range s.Args {
		r.Args = append(r.Args, argument(a))
	}
	for _, a := range s.Absent {
		r.Absent = append(r.Absent, argument(a))
	}
	return r
}

// confirm is how long the trial waits.
func (s CmdlineSpec) confirm() time.Duration {
	d, err := time.ParseDuration(s.Confirm)
	if err != nil {
		return 5 * time.Minute // left out; Validate refuses what is no time
	}
	return d
}

func cmdlineKind() step.Kind {
	return step.Kind{
		Name:    "kernel_cmdline",
		Summary: "Arguments of the kernel, tried by one boot before they are made permanent.",
		Doc: `Arguments are in force once they are in /proc/cmdline, in their order, and last where the boot loader's configuration has them,
for the kernel that runs and for those that are installed later; all of that is looked at. The kernel takes - and _ in names for the same. What
follows -- belongs to init and stays.

New arguments cannot brick the machine. First only an entry of its own is written, which GRUB boots once (grub-reboot); the configuration stays as it is.
That entry carries panic=30, softlockup_panic=1, systemd.watchdog_sec=60, rd.shell=0 and rd.emergency=reboot, so that a kernel that panics, an initramfs
that finds no root, or a systemd that hangs ends in a boot of the old arguments; where the machine has a hardware watchdog, a kernel that hangs does too. Once the system is up, weft-trial.service waits for weft to come
back, and boots the old arguments after confirm. Only a machine that weft has reached again, with the arguments in /proc/cmdline, gets them into its
configuration; what had to fall back fails the step, which says how far the trial came, and the run is taken back. With reboot = "staged" on
the play whoever boots the machine next boots the trial, which is content with a machine that is up with sshd; the next run makes the arguments permanent.
With reboot = "never" nothing is written.

GRUB must be able to write its environment block, else it would boot the trial again and again. It cannot where /boot/grub lies on LVM, RAID, btrfs or ZFS. Such a
machine is refused, unless trial = "preferred" has the arguments made permanent untried.

Debian and Ubuntu: the arguments are added to GRUB_CMDLINE_LINUX_DEFAULT where it is set last, in /etc/default/grub or /etc/default/grub.d, so that recovery entries stay without them; those they replace are removed there and
from GRUB_CMDLINE_LINUX, and update-grub runs. Only plain assignments are edited; else the file and the line are named. Red Hat: entries of the Boot Loader Specification
(and kernelopts, and /etc/kernel/cmdline), GRUB_CMDLINE_LINUX, and grub2-mkconfig where there are no such entries; this family is tested by its files alone, not on a machine. systemd-boot is refused.`,
		Spec: CmdlineSpec{},
		Example: `step "kernel_cmdline" "dpdk" {
  args = ["default_hugepagesz=1G", "hugepagesz=1G", "hugepages=16", "intel_iommu=on", "iommu=pt"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[CmdlineSpec](u)
			if err != nil {
				return nil, err
			}
			if len(u.Secret) > 0 {
				return nil, fmt.Errorf("%s: %s is sensitive, and everybody on the machine reads /proc/cmdline", u.Address, u.Secret[0])
			}
			r := spec.request()
			return cmdline{
				address: u.Address, request: r, policy: u.Reboot, confirm: spec.confirm(), preferred: spec.Trial == "preferred",
				object: "kernel arguments " + strings.Join(r.keys(), " "),
			}, nil
		},
	}
}

// shownArgs are arguments for people and for a plan; nil where there are none.
func shownArgs(args []argument) any {
	if len(args) == 0 {
		return nil
	}
	return slices.Clone(args)
}
