package machine

import (
	"context"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/trial"
	"weft/engine/step/steptest"
)

const (
	lawDefaults = "/etc/default/grub"
	cloudFile   = "/etc/default/grub.d/50-cloudimg-settings.cfg"
	zz          = "/etc/default/grub.d/zz.cfg"
	grubHeader  = "# If you change this file, run 'update-grub' afterwards.\nGRUB_DEFAULT=0\n"
)

func grubMachine() *fake.Machine {
	m := fake.New()
	m.InstallGRUB()
	return m
}

// configured edits the defaults as an administrator does, who then runs
// update-grub and boots.
func configured(files map[string]string) func(m *fake.Machine) {
	return func(m *fake.Machine) {
		edited(files)(m)
		m.Reboot("0ther000-0000-4000-8000-000000000000")
	}
}

// edited does not boot.
func edited(files map[string]string) func(m *fake.Machine) {
	return func(m *fake.Machine) {
		for name, text := range files {
			m.WriteFile(name, text)
		}
		run(m, "update-grub")
	}
}

// forgetTrial leaves of a killed run what it had made permanent.
func forgetTrial(m *fake.Machine) {
	for _, name := range []string{trial.Dir, trial.ServiceFile} {
		m.Remove(name)
	}
	for _, target := range []string{"sysinit", "emergency", "rescue"} {
		m.Remove("/etc/systemd/system/" + target + ".target.wants")
	}
	if text, ok := m.File("/boot/grub/custom.cfg"); ok {
		rest, _, alone := withoutBlock(text)
		m.WriteFile("/boot/grub/custom.cfg", rest)
		if alone {
			m.Remove("/boot/grub/custom.cfg")
		}
	}
	if _, ok := m.File("/boot/grub/grubenv"); ok {
		run(m, "grub-editenv", "/boot/grub/grubenv", "unset", "next_entry")
	}
	run(m, "update-grub")
	line, _ := m.KernelValue("/proc/cmdline")
	kept, _ := trial.Strip(strings.Fields(line))
	m.SetKernel("/proc/cmdline", strings.Join(kept, " "))
}

func run(m *fake.Machine, argv ...string) {
	if _, err := m.Host().Commands.Run(context.Background(), host.Command{Argv: argv}); err != nil {
		panic(err)
	}
}

func TestCmdlineLaws(t *testing.T) {
	pages := []string{"default_hugepagesz=1G", "hugepagesz=1G", "hugepages=16", "hugepagesz=2M", "hugepages=512", "intel_iommu=on"}
	steptest.Laws(t, steptest.Subject{
		Kind:    cmdlineKind(),
		Machine: grubMachine,
		Policy:  []string{"confirm", "trial"},
		Forget:  forgetTrial,
		Found: []steptest.Hand{
			{Name: "untouched"},
			{Name: "other values", Fake: configured(map[string]string{
				lawDefaults: grubHeader + "GRUB_CMDLINE_LINUX_DEFAULT='quiet splash'\nGRUB_CMDLINE_LINUX=\"hugepages=4 console=ttyS0 intel-iommu=off\"\n",
			})},
			{Name: "a cloud image", Fake: configured(map[string]string{
				lawDefaults:                     grubHeader + "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet hugepages=1\"\nGRUB_CMDLINE_LINUX=\"\"\n",
				cloudFile:                       "GRUB_CMDLINE_LINUX_DEFAULT=\"console=tty1 hugepagesz=2M\"\n",
				"/etc/default/grub.d/kdump.cfg": "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=384M\"\n",
			})},
			{Name: "no variable, no environment block, a custom.cfg", Fake: func(m *fake.Machine) {
				configured(map[string]string{lawDefaults: "GRUB_DEFAULT=0"})(m)
				m.Remove("/boot/grub/grubenv")
				m.WriteFile("/boot/grub/custom.cfg", "# mine, without an end of line")
			}},
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: CmdlineSpec{Args: pages, Absent: []string{"quiet", "console=ttyS0"}, Confirm: "2m", Trial: "required"},
				Drift: []steptest.Hand{
					{Name: "args", Fake: configured(map[string]string{zz: "GRUB_CMDLINE_LINUX_DEFAULT=\"hugepages=3\"\n"})},
					{Name: "args", Fake: edited(map[string]string{zz: "GRUB_CMDLINE_LINUX_DEFAULT=\"hugepages=3\"\n"})},
					{Name: "absent", Fake: edited(map[string]string{lawDefaults: "GRUB_CMDLINE_LINUX=quiet\nGRUB_CMDLINE_LINUX_DEFAULT=\"" + strings.Join(pages, " ") + "\"\n"})},
				},
				Spellings: []steptest.Hand{
					{Name: "dashes, in the other variable", Fake: configured(map[string]string{
						cloudFile:                       "",
						"/etc/default/grub.d/kdump.cfg": "",
						lawDefaults:                     "GRUB_CMDLINE_LINUX='" + strings.ReplaceAll(strings.Join(pages, "  "), "_", "-") + "'\n",
					})},
				},
			},
			{Name: "quoted", Spec: CmdlineSpec{Args: []string{"dyndbg=file drivers/vfio/* +p"}}},
			{Name: "removed", Spec: CmdlineSpec{Absent: []string{"hugepages", "quiet"}}},
		},
	})
}
