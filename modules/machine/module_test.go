package machine

import (
	"context"
	"errors"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// The module that the laws walk: harmless, with parameters of every sort, and
// in every kernel of a distribution.
const (
	lawModule    = "nbd"
	lawParameter = "nbds_max" // read-only while it is loaded
	loadConf     = "/etc/modules-load.d/weft-nbd.conf"
	optionConf   = "/etc/modprobe.d/weft-nbd.conf"
	otherConf    = "/etc/modprobe.d/00-" + steptest.Prefix + ".conf"
)

func withModules() *fake.Machine {
	m := fake.New()
	m.InstallModules("6.1.0-18-amd64",
		fake.Module{Name: "nbd", Dir: "kernel/drivers/block", Parameters: map[string]string{"nbds_max": "16"}},
		fake.Module{Name: "irqbypass", Dir: "kernel/virt/lib"},
		fake.Module{Name: "vfio", Dir: "kernel/drivers/vfio", Parameters: map[string]string{"enable_unsafe_noiommu_mode": "N"}, Writable: []string{"enable_unsafe_noiommu_mode"}},
		fake.Module{Name: "vfio_iommu_type1", Dir: "kernel/drivers/vfio", Needs: []string{"vfio"}, Parameters: map[string]string{"allow_unsafe_interrupts": "N", "disable_hugepages": "N"}, Writable: []string{"allow_unsafe_interrupts"}},
		fake.Module{Name: "vfio-pci", Dir: "kernel/drivers/vfio/pci", Needs: []string{"vfio", "irqbypass"}, Parameters: map[string]string{"ids": ""}},
		fake.Module{Name: "e1000e", Dir: "kernel/drivers/net/ethernet/intel/e1000e", Parameters: map[string]string{"copybreak": "256"}},
		fake.Module{Name: "kvm", Dir: "kernel/arch/x86/kvm", Builtin: true, Parameters: map[string]string{"ignore_msrs": "N"}},
	)
	return m
}

func modprobed(name string) func(m *fake.Machine) {
	return func(m *fake.Machine) { m.LoadModule(name) }
}

// program runs a program of the fake as another hand does.
func program(argv ...string) func(m *fake.Machine) {
	return func(m *fake.Machine) {
		if _, err := m.Host().Commands.Run(context.Background(), host.Command{Argv: argv}); err != nil {
			panic(err)
		}
	}
}

func TestKernelModuleLaws(t *testing.T) {
	one := map[string]step.Attr[string]{lawParameter: step.Is("1")}
	rmmod := steptest.Hand{Name: "state", Fake: program("rmmod", lawModule), Host: steptest.Run("rmmod", lawModule)}
	unnamed := steptest.Hand{Name: "state", Fake: func(m *fake.Machine) { m.Remove(loadConf) }, Host: steptest.Run("rm", "-f", loadConf)}
	load := steptest.Hand{Name: "state", Fake: modprobed(lawModule), Host: steptest.Run("modprobe", lawModule)}
	laws(t, steptest.Subject{
		Kind:    kernelModuleKind(),
		Machine: withModules,
		Found: []steptest.Hand{
			{Name: "not loaded"},
			{
				Name: "loaded with options",
				Fake: together(wrote(optionConf, "# by hand\noptions nbd \\\n nbds_max=2\n"), modprobed(lawModule)),
				Host: sequence(typed(optionConf, "# by hand\noptions nbd \\\n nbds_max=2\n"), steptest.Run("modprobe", lawModule)),
			},
			{
				Name: "set elsewhere",
				Fake: together(wrote(otherConf, "options nbd nbds_max=3"), wrote(loadConf, "nbd\nirqbypass\n"), modprobed(lawModule)),
				Host: sequence(typed(otherConf, "options nbd nbds_max=3"), typed(loadConf, "nbd\nirqbypass\n"), steptest.Run("modprobe", lawModule)),
			},
			{
				Name: "blacklisted",
				Fake: wrote(optionConf, "blacklist nbd\ninstall nbd /bin/true\n"),
				Host: typed(optionConf, "blacklist nbd\ninstall nbd /bin/true\n"),
			},
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: KernelModuleSpec{Name: lawModule, Options: one, Blacklisted: step.Is(false)},
				Drift: []steptest.Hand{
					rmmod, unnamed,
					{Name: "options", Fake: wrote(optionConf, "options nbd nbds_max=7\n"), Host: typed(optionConf, "options nbd nbds_max=7\n")},
					{
						Name: "options",
						Fake: together(wrote(optionConf, "options nbd nbds_max=7\n"), program("rmmod", lawModule), modprobed(lawModule), wrote(optionConf, "options nbd nbds_max=1\n")),
						Host: sequence(typed(optionConf, "options nbd nbds_max=7\n"), steptest.Run("rmmod", lawModule), steptest.Run("modprobe", lawModule), typed(optionConf, "options nbd nbds_max=1\n")),
					},
					{
						Name: "blacklisted",
						Fake: wrote(optionConf, "options nbd nbds_max=1\nblacklist nbd\ninstall nbd /bin/false\n"),
						Host: typed(optionConf, "options nbd nbds_max=1\nblacklist nbd\ninstall nbd /bin/false\n"),
					},
				},
				Spellings: []steptest.Hand{
					{Name: "continued", Fake: wrote(optionConf, "# x\noptions   nbd \\\n\tnbds_max=1"), Host: typed(optionConf, "# x\noptions   nbd \\\n\tnbds_max=1")},
					{Name: "named elsewhere", Fake: together(func(m *fake.Machine) { m.Remove(loadConf) }, wrote("/etc/modules", "nbd\n")), Host: nil},
				},
			},
			{Name: "loaded alone", Spec: KernelModuleSpec{Name: lawModule, Blacklisted: step.Is(false)}},
			{
				Name: "absent", Spec: KernelModuleSpec{Name: lawModule, State: step.Absent, Blacklisted: step.Is(true)},
				Drift: []steptest.Hand{
					{Name: "blacklisted", Fake: func(m *fake.Machine) { m.Remove(optionConf) }, Host: steptest.Run("rm", "-f", optionConf)},
				},
			},
			{Name: "not loaded", Spec: KernelModuleSpec{Name: lawModule, State: step.Absent, Blacklisted: step.Is(false)}, Drift: []steptest.Hand{load}},
		},
		Touches: steptest.Touches{
			Files:   []string{loadConf, optionConf, otherConf},
			Queries: []host.Command{{Argv: []string{"find", "/sys/module/nbd", "-maxdepth", "1"}}},
			Kernel:  []string{"/sys/module/nbd/parameters/nbds_max", "/sys/module/nbd/initstate"},
		},
		Clean:   sequence(steptest.Run("rm", "-f", loadConf, optionConf, otherConf), steptest.Run("rmmod", lawModule)),
		Borrows: "a module has the name that it has",
	})
}

func TestKernelModuleRefuses(t *testing.T) {
	unsafe := map[string]step.Attr[string]{"allow_unsafe_interrupts": step.Is("1")}
	for _, tt := range []struct {
		name    string
		arrange func(m *fake.Machine)
		spec    KernelModuleSpec
		says    string
		notYet  bool
	}{
		{name: "no such parameter", spec: KernelModuleSpec{Name: "vfio", Options: unsafe}, says: "it has no parameter allow_unsafe_interrupts, and the kernel would take no notice of it; it has enable_unsafe_noiommu_mode"},
		{name: "built in", spec: KernelModuleSpec{Name: "kvm", Options: map[string]step.Attr[string]{"ignore_msrs": step.Is("1")}}, says: "give kvm.ignore_msrs=1 in a kernel_cmdline step"},
		{name: "built in, absent", spec: KernelModuleSpec{Name: "kvm", State: step.Absent}, says: "built into this kernel"},
		{name: "no file", spec: KernelModuleSpec{Name: "openvswitch"}, says: "linux-modules-extra-6.1.0-18-amd64", notYet: true},
		{
			name: "upgraded", arrange: func(m *fake.Machine) { m.SetKernel("/proc/sys/kernel/osrelease", "6.1.0-9-amd64") },
			spec: KernelModuleSpec{Name: "vfio"}, says: "the kernel was upgraded and the host not booted since", notYet: true,
		},
		{
			name: "held", arrange: modprobed("vfio-pci"),
			spec: KernelModuleSpec{Name: "vfio", State: step.Absent}, says: "in use by the modules vfio_pci", notYet: true,
		},
		{
			name: "used", arrange: together(modprobed("vfio-pci"), func(m *fake.Machine) { m.UseModule("vfio-pci", 2) }),
			spec: KernelModuleSpec{Name: "vfio_pci", State: step.Absent}, says: "in use by 2 users", notYet: true,
		},
		{name: "named by hand", arrange: wrote("/etc/modules", "vfio-pci\n"), spec: KernelModuleSpec{Name: "vfio-pci", State: step.Absent}, says: "/etc/modules has it loaded at boot"},
		{name: "blacklisted by hand", arrange: wrote("/etc/modprobe.d/x.conf", "blacklist vfio_pci\n"), spec: KernelModuleSpec{Name: "vfio-pci"}, says: "/etc/modprobe.d/x.conf keeps it from being loaded"},
		{
			name: "set by hand, later", arrange: wrote("/etc/modprobe.d/zz.conf", "options vfio_iommu_type1 allow_unsafe_interrupts=0\n"),
			spec: KernelModuleSpec{Name: "vfio_iommu_type1", Options: unsafe}, says: "/etc/modprobe.d/zz.conf sets the option allow_unsafe_interrupts=0 and has the last word",
		},
		{
			name: "by the kernel", arrange: func(m *fake.Machine) { m.SetKernel("/proc/cmdline", "quiet modprobe.blacklist=x,vfio-pci") },
			spec: KernelModuleSpec{Name: "vfio-pci"}, says: "started with modprobe.blacklist=x,vfio-pci",
		},
	} {
		m := withModules()
		if tt.arrange != nil {
			tt.arrange(m)
		}
		_, err := checked(t, kernelModuleKind(), m, tt.spec)
		if err == nil || !strings.Contains(err.Error(), tt.says) || errors.Is(err, step.ErrNotYet) != tt.notYet {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for want, spec := range map[string]KernelModuleSpec{
		"name":        {Name: "vfio.ko"},
		"options":     {Name: "vfio", Options: map[string]step.Attr[string]{"a b": step.Is("1")}},
		"options.a":   {Name: "vfio", Options: map[string]step.Attr[string]{"a": step.Is("1\noptions x")}},
		"blacklisted": {Name: "vfio", Blacklisted: step.Is(true)},
		"":            {Name: "vfio-pci", Options: map[string]step.Attr[string]{"ids": step.Is("10ec:8168")}},
	} {
		if got := problem(&spec); got != want {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
}

// TestKernelModuleInPlace: a parameter that may be written is, whoever uses the
// module, and undo writes it back.
func TestKernelModuleInPlace(t *testing.T) {
	m := withModules()
	m.LoadModule("vfio_iommu_type1")
	m.UseModule("vfio_iommu_type1", 1)
	before := m.Snapshot()
	s := made(t, kernelModuleKind(), KernelModuleSpec{Name: "vfio_iommu_type1", Options: map[string]step.Attr[string]{"allow-unsafe-interrupts": step.Is("1")}})
	f := applied(t, m, s)
	if v, _ := m.KernelValue("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"); v != "Y" || len(f.Needs) > 0 {
		t.Errorf("%q, %+v", v, f.Needs)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil || m.Snapshot() != before {
		t.Errorf("%v\n%s", err, m.Snapshot())
	}
}

// TestKernelModuleAfterBoot: what is in use has its options after a boot, and
// its old ones after another.
func TestKernelModuleAfterBoot(t *testing.T) {
	m := withModules()
	m.LoadModule("vfio_iommu_type1")
	m.UseModule("vfio_iommu_type1", 1)
	s := made(t, kernelModuleKind(), KernelModuleSpec{Name: "vfio_iommu_type1", Options: map[string]step.Attr[string]{"disable_hugepages": step.Is("y")}})
	f := applied(t, m, s)
	if len(f.Needs) != 1 || f.Needs[0].Verb != step.Reboot || f.Needs[0].Object != step.Machine {
		t.Fatalf("needs %+v", f.Needs)
	}
	m.Reboot("boot-2")
	if after, err := s.Check(t.Context(), m.Host().View()); err != nil || after.Changed() {
		t.Fatalf("%+v, %v", after.Deltas, err)
	}
	m.UseModule("vfio_iommu_type1", 1)
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	m.Reboot("boot-3")
	m.LoadModule("vfio_iommu_type1")
	if v, _ := m.KernelValue("/sys/module/vfio_iommu_type1/parameters/disable_hugepages"); v != "N" {
		t.Errorf("%q", v)
	}
}

// TestKernelModuleTakesItsNeedsAlong: undo unloads what came with a module.
func TestKernelModuleTakesItsNeedsAlong(t *testing.T) {
	for _, hand := range []func(m *fake.Machine){func(*fake.Machine) {}, modprobed("irqbypass"), modprobed("vfio_iommu_type1")} {
		m := withModules()
		hand(m)
		before := m.Snapshot()
		s := made(t, kernelModuleKind(), KernelModuleSpec{Name: "vfio-pci"})
		f := applied(t, m, s)
		if err := s.Undo(t.Context(), m.Host(), f); err != nil || m.Snapshot() != before {
			t.Errorf("%v\n%s", err, m.Snapshot())
		}
	}
}

// TestKernelModuleOfALink: what takes links down says which.
func TestKernelModuleOfALink(t *testing.T) {
	m := withModules()
	m.LoadModule("e1000e")
	m.LinkKernel("/sys/class/net/ens3/device/driver/module", "../../../../module/e1000e")
	for _, spec := range []KernelModuleSpec{
		{Name: "e1000e", State: step.Absent},
		{Name: "e1000e", Options: map[string]step.Attr[string]{"copybreak": step.Is("0")}},
	} {
		f, err := checked(t, kernelModuleKind(), m, spec)
		if err != nil || len(f.Cost.Severs) != 1 || f.Cost.Severs[0] != "ens3" || f.Cost.Disruption == "" {
			t.Errorf("%+v, %v", f.Cost, err)
		}
		if spec.State.There() && (len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "update-initramfs")) {
			t.Errorf("%q", f.Warnings)
		}
	}
}

func FuzzModprobe(f *testing.F) {
	f.Add("options vfio_iommu_type1 allow_unsafe_interrupts=1 x=\"a b\"\nblacklist vfio-pci\n", "1")
	f.Add("options x \\\n a=1\\\n", "")
	f.Fuzz(func(t *testing.T, text, value string) {
		const module = "vfio_iommu_type1"
		spec := KernelModuleSpec{Name: module, Options: map[string]step.Attr[string]{"k": step.Is(value)}}
		if problem(&spec) != "" {
			return
		}
		rules := rulesIn(text, module)
		for key := range rules.options {
			if !moduleShape.MatchString(key) || strings.ContainsAny(rules.options[key], "\\\t\v\f\r\u0085\u00a0") {
				return
			}
		}
		rules.options["k"] = strings.Join(strings.Fields(value), " ")
		p := rulesPortion(module)
		set := p.settled(step.Is(text), step.Attr[string]{}, rules.lines(module))
		if got := rulesIn(set.Or(""), module); !got.equal(rules) {
			t.Errorf("%+v became %+v in %q", rules, got, set.Or(""))
		}
		if left := rulesIn(p.with(set.Or(""), step.None[string]()), module); len(left.options) > 0 || left.blacklist || left.barred {
			t.Errorf("%+v is left", left)
		}
	})
}

func FuzzOptions(f *testing.F) {
	f.Add(`a=1 b="x y" c`)
	f.Fuzz(func(t *testing.T, text string) {
		for key := range parseOptions(text) {
			if key == "" || strings.Contains(key, "-") {
				t.Errorf("%q has a parameter %q", text, key)
			}
		}
	})
}
