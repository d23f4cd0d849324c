package machine

import (
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/cpus"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// withCPUs is a machine with processors, all of them for interrupts, and some
// for services.
func withCPUs(list, services, mask string) *fake.Machine {
	m := fake.New()
	m.Mkdir("/etc/tmpfiles.d")
	m.SetKernel("/sys/devices/system/cpu/present", list)
	m.SetKernel("/proc/1/status", "Name:\tsystemd\nCpus_allowed_list:\t"+services+"\nMems_allowed:\t1")
	m.SetKernel(irqDefault, mask)
	return m
}

func irqs(name, mask string) steptest.Hand {
	return steptest.Hand{Name: name, Fake: func(m *fake.Machine) { m.SetKernel(irqDefault, mask) }, Host: typed(irqDefault, mask)}
}

// TestCPUIsolationLaws: on a host with two processors, whose services are on the
// first already; what needs a boot is another test's.
func TestCPUIsolationLaws(t *testing.T) {
	file := func(name, path, text string) steptest.Hand {
		return steptest.Hand{Name: name, Fake: wrote(path, text), Host: sequence(steptest.Run("mkdir", "-p", managerDir), typed(path, text))}
	}
	laws(t, steptest.Subject{
		Kind:    cpuIsolationKind(),
		Machine: func() *fake.Machine { return withCPUs("0-1", "0", "3") },
		Policy:  []string{"state"},
		Found: []steptest.Hand{
			{Name: "untouched"},
			both(irqs("set otherwise", "1"), both(file("", managerConf, "[Manager]\nCPUAffinity=1\n"), file("", irqTmpfiles, "w "+irqDefault+" - - - - 2\n"))),
			file("another file", managerDir+"/00-"+steptest.Prefix+".conf", "[Manager]\nLogLevel=info\n"),
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: CPUIsolationSpec{CPUs: "1-1"},
				Drift: []steptest.Hand{
					irqs("cpus", "2"),
					file("cpus", managerConf, "[Manager]\nCPUAffinity=0 1\n"),
					file("cpus", irqTmpfiles, "w "+irqDefault+" - - - - 3\n"),
				},
				Spellings: []steptest.Hand{
					file("services", managerConf, "# x\n[Manager]\n CPUAffinity = 0,0\n"),
					file("interrupts", irqTmpfiles, "w\t"+irqDefault+" - - - - 00000001\n"),
				},
			},
			{Name: "absent", Spec: CPUIsolationSpec{State: step.Absent}, Drift: []steptest.Hand{irqs("cpus", "2"), file("cpus", managerConf, "[Manager]\nCPUAffinity=0\n")}},
		},
		Touches: steptest.Touches{Files: []string{managerDir, irqTmpfiles}, Kernel: []string{irqDefault}},
		Clean: sequence(
			steptest.Run("rm", "-rf", managerDir, irqTmpfiles), typed(irqDefault, "3"),
		),
		Prepare: func(t *testing.T, h host.Host) {
			if _, err := h.Commands.Run(t.Context(), host.Command{Argv: []string{"taskset", "-pc", "0", "1"}}); err != nil {
				t.Fatal(err)
			}
		},
		Borrows: "a host has one set of processors",
	})
}

// TestCPUIsolationNeedsABoot: the services of this boot keep what they have.
func TestCPUIsolationNeedsABoot(t *testing.T) {
	m := withCPUs("0-7", "0-7", "ff")
	m.SetKernel("/sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2,6")
	m.SetKernel("/sys/devices/system/cpu/isolated", "")
	m.SetKernel("/sys/devices/system/cpu/nohz_full", "(null)")
	s := made(t, cpuIsolationKind(), CPUIsolationSpec{CPUs: "2-4,7"})
	f := applied(t, m, s)
	if len(f.Needs) != 1 || f.Needs[0] != (step.Need{Verb: step.Reboot, Object: step.Machine}) {
		t.Errorf("%+v", f.Needs)
	}
	if string(f.Outputs) != `{"mask":"0x9c","host":"0-1,5-6"}` {
		t.Errorf("%s", f.Outputs)
	}
	if len(f.Warnings) != 2 || !strings.Contains(f.Warnings[0], "isolcpus=managed_irq,domain,2-4,7 nohz_full=2-4,7") || !strings.Contains(f.Warnings[1], "processor 2 shares its core with 6") {
		t.Errorf("%q", f.Warnings)
	}
	if after, _ := s.Check(t.Context(), m.Host().View()); len(after.Deltas) != 1 || after.Deltas[0].Path != "cpus.services_now" {
		t.Errorf("%+v", after.Deltas)
	}
	if conf, _ := m.File(managerConf); !strings.Contains(conf, "[Manager]\nCPUAffinity=\nCPUAffinity=0-1,5-6\n") {
		t.Errorf("%q", conf)
	}
	m.SetKernel("/proc/1/status", "Cpus_allowed_list:\t0-1,5-6")
	if after, err := s.Check(t.Context(), m.Host().View()); err != nil || after.Changed() {
		t.Errorf("%+v, %v", after.Deltas, err)
	}
	if mask, _ := m.KernelValue(irqDefault); mask != "63" {
		t.Errorf("mask %s", mask)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Error(err)
	}
}

func TestCPUIsolationRefuses(t *testing.T) {
	late := managerDir + "/zz.conf"
	for says, spec := range map[string]CPUIsolationSpec{
		"the host has processors 0-3, and not 4-5": {CPUs: "1,4-5"},
		"leave it one at least":                    {CPUs: "0-3"},
		late + " sets CPUAffinity too":             {CPUs: "1"},
	} {
		m := withCPUs("0-3", "0-3", "f")
		m.WriteFile(late, "[Manager]\nCPUAffinity=numa\n")
		if _, err := checked(t, cpuIsolationKind(), m, spec); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v", spec, err)
		}
	}
	for want, spec := range map[string]CPUIsolationSpec{"cpus": {CPUs: "5-2"}, "": {CPUs: "0,2-3"}} {
		if got := problem(&spec); got != want {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
}

func FuzzAffinity(f *testing.F) {
	f.Add("[Manager]\nCPUAffinity=\nCPUAffinity=0-3 8,9\n")
	f.Add("CPUAffinity=numa")
	f.Fuzz(func(t *testing.T, text string) {
		list, set, err := affinityIn(text, cpus.Set{1})
		if err == nil && !set && list.String() != "1" {
			t.Errorf("%q without a line is %s", text, list)
		}
	})
}
