package machine

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/engine/host/fake"
	"weft/engine/host/trial"
	"weft/engine/step"
)

// drive is one step on a fake machine.
type drive struct {
	t    *testing.T
	m    *fake.Machine
	step step.Step
	f    step.Finding
}

func newDrive(t *testing.T, m *fake.Machine, name string, policy step.RebootPolicy, spec CmdlineSpec) *drive {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	s, err := cmdlineKind().Make(step.Unit{Address: "kernel_cmdline." + name, Kind: "kernel_cmdline", Name: name, Spec: text, Reboot: policy})
	if err != nil {
		t.Fatal(err)
	}
	return &drive{t: t, m: m, step: s}
}

func (d *drive) check() error {
	var err error
	d.f, err = d.step.Check(d.t.Context(), d.m.Host().View())
	return err
}

// apply checks and applies.
func (d *drive) apply() {
	d.t.Helper()
	if err := d.check(); err != nil {
		d.t.Fatal(err)
	}
	if err := d.step.Apply(d.t.Context(), d.m.Host(), d.f); err != nil {
		d.t.Fatal(err)
	}
}

func (d *drive) keep() error {
	return d.step.(step.Keeper).Keep(d.t.Context(), d.m.Host(), d.f)
}

func (d *drive) undo() error { return d.step.Undo(d.t.Context(), d.m.Host(), d.f) }

func (d *drive) converged() {
	d.t.Helper()
	f, err := d.step.Check(d.t.Context(), d.m.Host().View())
	if err != nil || f.Changed() {
		d.t.Errorf("not converged: %+v, %v", f.Deltas, err)
	}
}

func running(m *fake.Machine) string {
	line, _ := m.KernelValue("/proc/cmdline")
	return line
}

// TestDeadly: a machine whose new arguments kill it comes back with the old
// ones by itself, nothing of them is in its configuration, and the step says
// what happened.
func TestDeadly(t *testing.T) {
	m := grubMachine()
	m.Deadly("init=/nonexistent")
	before := m.Snapshot()
	d := newDrive(t, m, "a", step.RebootAuto, CmdlineSpec{Args: []string{"init=/nonexistent"}})
	d.apply()
	if len(d.f.Needs) != 1 || d.f.Needs[0].Verb != step.Reboot || d.f.Cost.Disruption != "reboot" {
		t.Errorf("needs %+v, cost %+v", d.f.Needs, d.f.Cost)
	}
	if text, _ := m.File(lawDefaults); strings.Contains(text, "init=") {
		t.Fatalf("untried arguments are in the configuration: %s", text)
	}
	m.Reboot("7wo")
	if strings.Contains(running(m), "init=") {
		t.Fatalf("the fake survived: %s", running(m))
	}
	if err := d.keep(); err == nil || !strings.Contains(err.Error(), "never came up") {
		t.Errorf("keep says %v", err)
	}
	if err := d.check(); err != nil || len(d.f.Warnings) != 1 || !strings.Contains(d.f.Warnings[0], "tried before: the trial never came up") {
		t.Errorf("a later plan warns of nothing: %q, %v", d.f.Warnings, err)
	}
	if err := d.undo(); err != nil {
		t.Fatal(err)
	}
	if back, err := d.step.(step.Returner).Returned(t.Context(), m.Host().View(), d.f); !back || err != nil {
		t.Errorf("another reboot would be no use: %t, %v", back, err)
	}
	if after := m.Snapshot(); after != before {
		t.Errorf("left behind: %s", after)
	}
}

// TestStagedAndDeadly: another hand boots the trial, so that nobody is there to say
// that it failed; the next apply says so, and does not stage the same again.
func TestStagedAndDeadly(t *testing.T) {
	m := grubMachine()
	m.Deadly("init=/nonexistent")
	d := newDrive(t, m, "a", step.RebootStaged, CmdlineSpec{Args: []string{"init=/nonexistent"}})
	d.apply()
	m.Reboot("7wo")
	if err := d.check(); err != nil {
		t.Fatal(err)
	}
	if err := d.step.Apply(t.Context(), m.Host(), d.f); err == nil || !strings.Contains(err.Error(), "never came up") {
		t.Errorf("apply says %v", err)
	}
	better := newDrive(t, m, "a", step.RebootStaged, CmdlineSpec{Args: []string{"quiet"}})
	better.apply()
	m.Reboot("th1rd")
	if !strings.Contains(running(m), "quiet") {
		t.Errorf("other arguments are not tried: %s", running(m))
	}
}

// TestWhyNotKept: what the trial left behind tells the reasons apart.
func TestWhyNotKept(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(m *fake.Machine, id string)
		want      string
	}{
		"no boot":             {func(*fake.Machine, string) {}, "not booted anew yet"},
		"another boot loader": {func(m *fake.Machine, _ string) { m.SetKernel("/proc/sys/kernel/random/boot_id", "7wo") }, "did not take the trial's entry"},
		"nobody confirmed it": {func(m *fake.Machine, id string) {
			m.WriteFile(trial.Dir+"/booted", `{"id":"`+id+`","boot":"7wo"}`)
			m.WriteFile(trial.Dir+"/ended", `{"id":"`+id+`","boot":"7wo","why":"nobody confirmed it within 5m0s"}`)
			m.Deadly("a=1")
			m.Reboot("7hree")
		}, "came up, but nobody confirmed it within 5m0s"},
		"it crashed": {func(m *fake.Machine, id string) {
			m.WriteFile(trial.Dir+"/booted", `{"id":"`+id+`","boot":"7wo"}`)
			m.Deadly("a=1")
			m.Reboot("7hree")
		}, "before the arguments were kept"},
		"it was forgotten": {func(m *fake.Machine, _ string) { m.Remove(trial.Dir) }, "no trial was ordered"},
	} {
		t.Run(name, func(t *testing.T) {
			m := grubMachine()
			d := newDrive(t, m, "a", step.RebootAuto, CmdlineSpec{Args: []string{"a=1"}})
			d.apply()
			s, err := trial.Load(t.Context(), m.Host().View())
			if err != nil {
				t.Fatal(err)
			}
			c.meanwhile(m, s.ID)
			if err := d.keep(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestTwoSteps: two steps are tried by one boot, and each keeps and takes back
// its own.
func TestTwoSteps(t *testing.T) {
	m := grubMachine()
	before := m.Snapshot()
	a := newDrive(t, m, "a", step.RebootAuto, CmdlineSpec{Args: []string{"a=1"}, Absent: []string{"quiet"}})
	b := newDrive(t, m, "b", step.RebootAuto, CmdlineSpec{Args: []string{"b=1", "b=2"}, Confirm: "20m"})
	a.apply()
	b.apply()
	if unit, _ := m.File(trial.ServiceFile); !strings.Contains(unit, "-confirm 20m0s") {
		t.Errorf("the longer time counts: %s", unit)
	}
	m.Reboot("7wo")
	for _, d := range []*drive{a, b} {
		if err := d.keep(); err != nil {
			t.Fatal(err)
		}
	}
	a.converged()
	b.converged()
	if _, err := trial.Load(t.Context(), m.Host().View()); err == nil {
		t.Error("the trial is still ordered")
	}
	m.Reboot("7hree")
	if want := "BOOT_IMAGE=/boot/vmlinuz-6.1.0-13-amd64 root=UUID=1 ro a=1 b=1 b=2"; running(m) != want {
		t.Errorf("%q, want %q", running(m), want)
	}
	for _, d := range []*drive{b, a} {
		d.f.Settled = true
		if err := d.undo(); err != nil {
			t.Fatal(err)
		}
		if back, err := d.step.(step.Returner).Returned(t.Context(), m.Host().View(), d.f); back || err != nil {
			t.Errorf("it still runs with the arguments: %t, %v", back, err)
		}
	}
	m.Reboot("f0ur")
	if after := m.Snapshot(); after != before {
		t.Errorf("did not come back:\n%s\nwas\n%s", after, before)
	}
}

// TestOneTakenBack: of two that are tried, one may be taken back before the
// boot.
func TestOneTakenBack(t *testing.T) {
	m := grubMachine()
	a := newDrive(t, m, "a", step.RebootAuto, CmdlineSpec{Args: []string{"a=1"}})
	b := newDrive(t, m, "b", step.RebootAuto, CmdlineSpec{Args: []string{"b=1"}})
	a.apply()
	b.apply()
	if err := a.undo(); err != nil {
		t.Fatal(err)
	}
	m.Reboot("7wo")
	if err := b.keep(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(running(m), "a=1") {
		t.Error(running(m))
	}
	b.converged()
}

// TestNoOneShot: where GRUB could not forget its order, the step refuses, or
// says what it does instead.
func TestNoOneShot(t *testing.T) {
	disk := func(line string) func(m *fake.Machine) {
		return func(m *fake.Machine) { m.SetKernel("/proc/self/mountinfo", line+"\n") }
	}
	for name, c := range map[string]struct {
		arrange func(m *fake.Machine)
		want    string
	}{
		"LVM": {func(m *fake.Machine) {
			disk("22 1 253:0 / / rw - ext4 /dev/mapper/vg-root rw")(m)
			m.SetKernel("/sys/dev/block/253:0/dm/uuid", "LVM-abc")
		}, "/boot/grub lies on LVM (/dev/mapper/vg-root)"},
		"RAID": {func(m *fake.Machine) {
			disk("22 1 9:0 / / rw - ext4 /dev/md0 rw")(m)
			m.SetKernel("/sys/dev/block/9:0/md/level", "raid1")
		}, "RAID (/dev/md0, raid1)"},
		"btrfs": {disk("22 1 0:30 /@ / rw - btrfs /dev/sda1 rw"), "lies on btrfs"},
		"a damaged environment": {func(m *fake.Machine) { m.WriteFile("/boot/grub/grubenv", "# GRUB Environment Block\n") },
			"grubenv is damaged: it is 25 bytes long"},
		"no custom.cfg": {func(m *fake.Machine) {
			text, _ := m.File("/boot/grub/grub.cfg")
			m.WriteFile("/boot/grub/grub.cfg", strings.ReplaceAll(text, "custom.cfg", "other.cfg"))
		}, "make /etc/grub.d/41_custom executable"},
	} {
		t.Run(name, func(t *testing.T) {
			m := grubMachine()
			c.arrange(m)
			d := newDrive(t, m, "a", step.RebootAuto, CmdlineSpec{Args: []string{"a=1"}, Trial: "required"})
			if err := d.check(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `trial = "preferred"`) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			d = newDrive(t, m, "a", step.RebootAuto, CmdlineSpec{Args: []string{"a=1"}, Trial: "preferred"})
			d.apply()
			if len(d.f.Warnings) != 1 || !strings.Contains(d.f.Warnings[0], "untried") || !strings.Contains(d.f.Warnings[0], c.want) {
				t.Errorf("warnings %q", d.f.Warnings)
			}
			if _, err := trial.Load(t.Context(), m.Host().View()); err == nil {
				t.Error("a trial was ordered")
			}
			m.Reboot("7wo")
			if err := d.keep(); err != nil {
				t.Error(err)
			}
			d.converged()
		})
	}
}

// TestPolicies: never writes nothing, and staged leaves the boot to others.
func TestPolicies(t *testing.T) {
	m := grubMachine()
	before := m.Snapshot()
	d := newDrive(t, m, "a", step.RebootNever, CmdlineSpec{Args: []string{"a=1"}})
	d.apply()
	if m.Snapshot() != before || len(d.f.Needs) != 1 {
		t.Errorf("never: %+v\n%s", d.f.Needs, m.Snapshot())
	}
	d = newDrive(t, m, "a", step.RebootStaged, CmdlineSpec{Args: []string{"a=1"}})
	d.apply()
	if unit, _ := m.File(trial.ServiceFile); !strings.Contains(unit, "-staged") {
		t.Error(unit)
	}
	m.Reboot("7wo") // another hand
	d.apply()       // the next run
	if len(d.f.Needs) > 0 {
		t.Errorf("what runs needs no reboot: %+v", d.f.Needs)
	}
	d.converged()
	m.Reboot("7hree")
	d.converged()
}

// TestOnlyPermanent: what runs already is written down without a trial, and
// what was written down by another hand is tried all the same.
func TestOnlyPermanent(t *testing.T) {
	m := grubMachine()
	m.SetKernel("/proc/cmdline", running(m)+" a=1")
	d := newDrive(t, m, "a", step.RebootAuto, CmdlineSpec{Args: []string{"a=1"}})
	d.apply()
	if len(d.f.Needs) > 0 || len(d.f.Deltas) != 1 || d.f.Deltas[0].Path != "args.permanent" {
		t.Errorf("%+v", d.f)
	}
	d.converged()

	m = grubMachine()
	edited(map[string]string{lawDefaults: "GRUB_CMDLINE_LINUX_DEFAULT=\"a=1\"\n"})(m)
	d = newDrive(t, m, "a", step.RebootAuto, CmdlineSpec{Args: []string{"a=1"}})
	d.apply()
	if s, err := trial.Load(t.Context(), m.Host().View()); err != nil || len(d.f.Needs) != 1 {
		t.Errorf("not tried: %+v, %v", s, err)
	}
	m.Reboot("7wo")
	if err := d.keep(); err != nil {
		t.Fatal(err)
	}
	d.converged()
	if err := d.undo(); err != nil {
		t.Fatal(err)
	}
	if back, err := d.step.(step.Returner).Returned(t.Context(), m.Host().View(), d.f); !back || err != nil {
		t.Errorf("no boot brings back what no configuration says: %t, %v", back, err)
	}
}

// TestCalm: what the trial's arguments set in the kernel is set back, unless
// another hand did.
func TestCalm(t *testing.T) {
	const panics, lockup = "/proc/sys/kernel/panic", "/proc/sys/kernel/softlockup_panic"
	m := grubMachine()
	m.SetKernel(panics, "0")
	m.SetKernel(lockup, "0")
	d := newDrive(t, m, "a", step.RebootAuto, CmdlineSpec{Args: []string{"a=1"}})
	d.apply()
	m.Reboot("7wo")
	m.SetKernel(panics, "30")
	m.SetKernel(lockup, "7")
	if err := d.keep(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{panics: "0", lockup: "7"} {
		if got, _ := m.KernelValue(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestNotGRUB(t *testing.T) {
	for want, arrange := range map[string]func(m *fake.Machine){
		"not started by GRUB": func(m *fake.Machine) { m.SetKernel("/proc/cmdline", "quiet") },
		"systemd-boot": func(m *fake.Machine) {
			m.Remove("/boot/grub")
			m.WriteFile("/boot/efi/loader/loader.conf", "timeout 3\n")
		},
		"no configuration of GRUB": func(m *fake.Machine) { m.Remove("/boot/grub") },
		"/etc/default/grub:1: GRUB_CMDLINE_LINUX is set to a text with a command": func(m *fake.Machine) {
			m.WriteFile(lawDefaults, "GRUB_CMDLINE_LINUX=\"$(x)\"\n")
		},
		`orders "other" for the next boot already`: func(m *fake.Machine) { run(m, "grub-reboot", "other") },
	} {
		m := grubMachine()
		arrange(m)
		d := newDrive(t, m, "a", step.RebootAuto, CmdlineSpec{Args: []string{"a=1"}})
		if err := d.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestForeignWords: an undo takes away what is its own from among what another
// hand wrote since, and leaves what that hand changed of it.
func TestForeignWords(t *testing.T) {
	for now, want := range map[string]string{
		"GRUB_CMDLINE_LINUX_DEFAULT=\"mine a=1\"\nX=1\n":         "GRUB_CMDLINE_LINUX_DEFAULT=\"mine quiet\"\nX=1\n",
		"GRUB_CMDLINE_LINUX_DEFAULT=\"a=7\"\n":                   "conflict",
		"GRUB_CMDLINE_LINUX_DEFAULT=\"mine quiet\"\n":            "GRUB_CMDLINE_LINUX_DEFAULT=\"mine quiet\"\n",
		"GRUB_CMDLINE_LINUX_DEFAULT=\"a=1\"\n# $(x) in a word\n": "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n# $(x) in a word\n",
		"GRUB_CMDLINE_LINUX_DEFAULT=\"$(x) a=1\"\n":              "conflict",
	} {
		m := grubMachine()
		m.WriteFile(lawDefaults, "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n")
		d := newDrive(t, m, "a", step.RebootAuto, CmdlineSpec{Args: []string{"a=1"}, Absent: []string{"quiet"}})
		d.apply()
		m.Reboot("7wo")
		if err := d.keep(); err != nil {
			t.Fatal(err)
		}
		m.WriteFile(lawDefaults, now)
		d.f.Settled = true
		err := d.undo()
		got, _ := m.File(lawDefaults)
		if errors.Is(err, step.ErrConflict) {
			got = "conflict"
		} else if err != nil {
			t.Error(err)
		}
		if got != want {
			t.Errorf("%q\ngoes back to %q\nwant %q", now, got, want)
		}
	}
}

func TestCmdlineProblems(t *testing.T) {
	for want, spec := range map[string]CmdlineSpec{
		"":            {Args: []string{"dyndbg=file x +p", "memmap=64G$4G", "quiet"}, Absent: []string{"splash"}},
		"args":        {},
		"args more":   {Args: []string{"a b=c"}},
		"args quotes": {Args: []string{`a="b"`}},
		"args root":   {Args: []string{"root=/dev/sda"}},
		"args lines":  {Args: []string{"a=b\nc"}},
		"absent":      {Args: []string{"a-b=1"}, Absent: []string{"a_b"}},
		"confirm":     {Args: []string{"a"}, Confirm: "5s"},
	} {
		problems := spec.Validate()
		var paths []string
		for _, p := range problems {
			paths = append(paths, p.Path)
		}
		if want, _, _ := strings.Cut(want, " "); (want == "") != (len(paths) == 0) || want != "" && !slices.Contains(paths, want) {
			t.Errorf("%+v: %+v, want %q", spec, problems, want)
		}
	}
	if d := (CmdlineSpec{}).confirm(); d != 5*time.Minute {
		t.Error(d)
	}
}
