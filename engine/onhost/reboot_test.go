package onhost

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/step"
	"weft/engine/wire"
)

// argumentStep wants an argument of the kernel: tried by the next boot, and kept
// once the machine runs with it.
type argumentStep struct{ Value string }

const (
	permanentFile = "/etc/permanent"
	onceFile      = "/etc/once"
	cmdline       = "/proc/cmdline"
	// leftAlone is an argument that somebody else is to write and to boot.
	leftAlone = "left alone"
)

var needsReboot = step.Need{Verb: step.Reboot, Object: step.Machine}

func readOr(ctx context.Context, v host.View, path string) (string, error) {
	text, err := v.Files.Read(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}

func (s argumentStep) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f := step.Finding{Object: "argument"}
	running, err := v.Kernel.Get(ctx, cmdline)
	if err != nil {
		return f, err
	}
	permanent, err := readOr(ctx, v, permanentFile)
	if err != nil {
		return f, err
	}
	f.Before, _ = json.Marshal(permanent)
	if running != s.Value {
		f.Deltas = append(f.Deltas, step.Change("running", running, s.Value))
		f.Needs = []step.Need{needsReboot}
	}
	if permanent != s.Value {
		f.Deltas = append(f.Deltas, step.Change("permanent", permanent, s.Value))
	}
	return f, nil
}

func (s argumentStep) Apply(ctx context.Context, h host.Host, f step.Finding) error {
	if s.Value == leftAlone {
		return nil
	}
	if len(f.Needs) > 0 {
		return h.Files.Write(ctx, onceFile, []byte(s.Value), host.Attributes{})
	}
	return h.Files.Write(ctx, permanentFile, []byte(s.Value), host.Attributes{})
}

func (s argumentStep) Keep(ctx context.Context, h host.Host, _ step.Finding) error {
	if running, err := h.Kernel.Get(ctx, cmdline); err != nil || running != s.Value {
		return errors.Join(err, fmt.Errorf("it runs with %q: the machine fell back", running))
	}
	return h.Files.Write(ctx, permanentFile, []byte(s.Value), host.Attributes{})
}

func (s argumentStep) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	var before string
	if err := json.Unmarshal(f.Before, &before); err != nil {
		return err
	}
	return errors.Join(h.Files.Remove(ctx, onceFile), h.Files.Write(ctx, permanentFile, []byte(before), host.Attributes{}))
}

func (s argumentStep) Returned(ctx context.Context, v host.View, f step.Finding) (bool, error) {
	running, err := v.Kernel.Get(ctx, cmdline)
	return err == nil && fmt.Sprintf("%q", running) == string(f.Before), err
}

// driverStep is there only once the machine runs with an argument.
type driverStep struct{ step.Step }

func (s driverStep) Check(ctx context.Context, v host.View) (step.Finding, error) {
	if running, err := v.Kernel.Get(ctx, cmdline); err != nil || running != "iommu" {
		return step.Finding{Object: "driver"}, fmt.Errorf("no IOMMU: %w", step.ErrNotYet)
	}
	return s.Step.Check(ctx, v)
}

// bootable is a site that runs with "old", and can boot.
func bootable(t *testing.T) *site {
	s := newSite(t)
	s.config.Table = maps.Clone(s.config.Table)
	s.config.Table["argument"] = step.Kind{Name: "argument", Make: func(u step.Unit) (step.Step, error) {
		return step.Decode[argumentStep](u)
	}}
	s.config.Table["driver"] = step.Kind{Name: "driver", Make: func(step.Unit) (step.Step, error) {
		return driverStep{step.Of("driver", fileKind{}, fileSpec{Path: "/etc/driver", Content: step.Is("vfio")})}, nil
	}}
	s.machine.WriteFile(permanentFile, "old")
	s.machine.SetKernel(cmdline, "old")
	return s
}

// TestARebootHitsGuests: machines that run are named, and not ended without a word.
func TestARebootHitsGuests(t *testing.T) {
	s := bootable(t)
	s.machine.AddLibvirt()
	for _, name := range []string{"g1", "g2"} {
		s.machine.Define(host.VirtualDomain, name, "<domain type='kvm'><name>"+name+"</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>")
	}
	s.machine.Virsh(host.VirtualStart, host.VirtualDomain, "g2")
	c := s.open()
	c.hello("r1")
	u := argument("iommu")
	if f := c.check(u).unit(u.Address).Finding; f == nil || !slices.Equal(f.Cost.Guests, []string{"g2"}) {
		t.Errorf("a plan says %+v", f)
	}
	r := c.apply(u)
	if e := r.unit(u.Address); e.State != wire.Failed || !strings.Contains(e.Error, "g2") {
		t.Errorf("%s: %s", e.State, e.Error)
	}
	s.machine.Virsh(host.VirtualDestroy, host.VirtualDomain, "g2")
	if e := c.apply(u).unit(u.Address); e.State == wire.Failed {
		t.Errorf("nobody runs, and it says %s", e.Error)
	}
	c.bye()
}

// boot is what the machine does when it was told to reboot, or by itself. A
// deadly argument panics, and the next boot is without it.
func (s *site) boot(id string) {
	running, _ := s.machine.File(permanentFile)
	if once, there := s.machine.File(onceFile); there {
		s.machine.Remove(onceFile)
		if once != "deadly" {
			running = once
		}
	}
	s.machine.Reboot(id)
	s.machine.SetKernel(cmdline, running)
}

func argument(value string) step.Unit { return unitOf("argument", "hv", argumentStep{value}) }

func reboot() wire.Request { return wire.Request{Reboot: &wire.Reboot{}} }

// ordered sees that a request ended with a reboot that is wanted, and orders it.
func (s *site) ordered(c *client, r reply, steps ...string) {
	s.t.Helper()
	i := slices.IndexFunc(r.events, func(e wire.Event) bool { return e.Reboot != nil })
	if i < 0 || !slices.Equal(r.events[i].Reboot.Steps, steps) {
		s.t.Fatalf("a reboot for %v is not asked for: %s\n%s", steps, r, explained(r))
	}
	if s.machine.GoingDown() {
		s.t.Fatal("the machine goes down before it is told to")
	}
	if f := c.do(reboot()).failure(); f != "" || !s.machine.GoingDown() {
		s.t.Fatalf("the machine is not told to boot: %q", f)
	}
	_ = c.cut()
}

func (s *site) holdsArgument(running, permanent string) {
	s.t.Helper()
	r, _ := s.machine.KernelValue(cmdline)
	if p, _ := s.machine.File(permanentFile); r != running || p != permanent {
		s.t.Errorf("it runs with %q and keeps %q; want %q and %q", r, p, running, permanent)
	}
}

func TestRebootBringsWhatIsTriedAndKeepsIt(t *testing.T) {
	s := bootable(t)
	c := s.open()
	c.hello("r1")
	want(t, c.apply(argument("new"), file("/etc/a", "x")), "argument.hv applying, argument.hv pending, file.etc/a applying, file.etc/a changed")
	r := c.endPlay()
	s.holdsArgument("old", "old")
	s.ordered(c, r, "argument.hv")
	s.boot("boot-2")
	s.holdsArgument("new", "old")
	c = s.open()
	if h := c.hello("r1").events[0].Hello; h.Boot != "boot-2" {
		t.Errorf("the greeting says boot %q", h.Boot)
	}
	want(t, c.apply(argument("new")), "argument.hv changed")
	want(t, c.endPlay(), "")
	c.bye()
	s.holdsArgument("new", "new")
	c = s.open()
	c.hello("r2")
	want(t, c.check(argument("new")), "argument.hv ok")
	r = c.do(rollback("r1"))
	s.ordered(c, r, "argument.hv")
	s.boot("boot-3")
	c = s.open()
	c.hello("r2")
	want(t, c.do(rollback("r1")), "run r1 undone 0/2")
	c.bye()
	s.holdsArgument("old", "old")
}

func TestAStepThatNeedsTheBootHasItFirst(t *testing.T) {
	s := bootable(t)
	units := []step.Unit{argument("iommu"), unitOf("driver", "nic", struct{}{}), file("/etc/a", "x")}
	c := s.open()
	c.hello("r1")
	want(t, c.check(units...), "argument.hv planned, driver.nic waiting, file.etc/a planned")
	r := c.apply(units...)
	want(t, r, "argument.hv applying, argument.hv pending")
	s.ordered(c, r, "argument.hv")
	s.boot("boot-2")
	c = s.open()
	c.hello("r1")
	want(t, c.apply(units...), "argument.hv changed, driver.nic applying, driver.nic changed, file.etc/a applying, file.etc/a changed")
	want(t, c.endPlay(), "")
	c.bye()
}

func TestADeadlyArgumentFallsBackAndIsTakenBack(t *testing.T) {
	s := bootable(t)
	c := s.open()
	c.hello("r1")
	c.apply(argument("deadly"))
	s.ordered(c, c.endPlay(), "argument.hv")
	s.boot("boot-2")
	c = s.open()
	c.hello("r1")
	r := c.apply(argument("deadly"))
	if e := r.unit("argument.hv"); e.State != wire.Failed || !strings.Contains(e.Error, "fell back") {
		t.Errorf("the step is %s: %s", e.State, e.Error)
	}
	want(t, c.undo(), "argument.hv undone") // and no boot, for it runs as it was found
	c.bye()
	s.holdsArgument("old", "old")
}

func TestOneRebootARun(t *testing.T) {
	s := bootable(t)
	c := s.open()
	c.hello("r1")
	c.apply(argument("new"))
	s.ordered(c, c.endPlay(), "argument.hv")
	s.boot("boot-2")
	c = s.open()
	c.hello("r1")
	c.apply(argument("new"))
	other := argument("another")
	other.Address = "argument.other"
	c.apply(other)
	r := c.endPlay()
	if e := r.unit("argument.other"); e.State != wire.Failed || slices.ContainsFunc(r.events, func(e wire.Event) bool { return e.Reboot != nil }) {
		t.Errorf("after a second one was needed: %s\n%s", r, explained(r))
	}
	_ = c.cut()
}

func TestARebootThatIsLeftToOthers(t *testing.T) {
	for _, p := range []step.RebootPolicy{step.RebootNever, step.RebootStaged} {
		s := bootable(t)
		u := argument("new")
		u.Reboot = p
		c := s.open()
		c.hello("r1")
		want(t, c.apply(u), "argument.hv applying, argument.hv pending")
		r := c.endPlay()
		want(t, r, "need reboot host")
		if !r.events[0].Need.Pending {
			t.Errorf("%s: the need is not said to be pending", p)
		}
		c.bye()
		c = s.open()
		c.hello("r2")
		want(t, c.check(u), "argument.hv planned") // it is not forgotten
		c.bye()
		s.boot("boot-2")
		c = s.open()
		c.hello("r3")
		want(t, c.apply(u), "argument.hv applying, argument.hv changed")
		want(t, c.endPlay(), "")
		c.bye()
		s.holdsArgument("new", "new")
	}
}

// A step that is not to order a boot may have nothing to do before there is one.
func TestAChangeWithoutAnEffectIsLeftToOthers(t *testing.T) {
	s := bootable(t)
	u := argument(leftAlone)
	u.Reboot = step.RebootNever
	c := s.open()
	c.hello("r1")
	want(t, c.apply(u), "argument.hv applying, argument.hv pending")
	want(t, c.endPlay(), "need reboot host")
	c.bye()
	c = s.open()
	c.hello("r2")
	want(t, c.check(u), "argument.hv planned") // it is not forgotten
	if r := c.do(rollback("r1")); slices.ContainsFunc(r.events, func(e wire.Event) bool { return e.Reboot != nil }) {
		t.Errorf("to take nothing back it boots: %s", explained(r))
	}
	c.bye()
	s.holdsArgument("old", "old")
}

// The controller died, and so did the machine, by itself.
func TestANewRunTakesUpATriedChange(t *testing.T) {
	s := bootable(t)
	c := s.open()
	c.hello("r1")
	c.apply(argument("new"))
	_ = c.cut()
	c = s.open()
	c.hello("r2")
	want(t, c.apply(argument("new")), "argument.hv applying, argument.hv pending")
	s.ordered(c, c.endPlay(), "argument.hv")
	s.boot("boot-2")
	c = s.open()
	c.hello("r2")
	want(t, c.apply(argument("new")), "argument.hv changed")
	want(t, c.endPlay(), "")
	c.bye()
	c = s.open()
	c.hello("r3")
	s.ordered(c, c.do(rollback("r1", "r2")), "argument.hv")
	s.boot("boot-3")
	s.holdsArgument("old", "old")
}

// It died once the machine had booted: what the next run takes up wants no boot any
// more, but another to be taken back.
func TestWhatIsTakenUpAfterABootIsBootedBack(t *testing.T) {
	s := bootable(t)
	c := s.open()
	c.hello("r1")
	c.apply(argument("new"))
	s.ordered(c, c.endPlay(), "argument.hv")
	s.boot("boot-2")
	c = s.open()
	c.hello("r2")
	want(t, c.apply(argument("new")), "argument.hv applying, argument.hv changed")
	want(t, c.endPlay(), "")
	c.bye()
	c = s.open()
	c.hello("r3")
	s.ordered(c, c.do(rollback("r1", "r2")), "argument.hv")
	s.boot("boot-3")
	s.holdsArgument("old", "old")
}

func TestNoRebootUnderAGuard(t *testing.T) {
	s := guardedSite(t)
	b := bootable(t)
	s.config.Table = b.config.Table
	s.machine.WriteFile(permanentFile, "old")
	s.machine.SetKernel(cmdline, "old")
	c := s.open()
	c.hello("r1")
	c.apply(guarded60(file("/etc/a", "x")), argument("new"))
	r := c.endPlay()
	if e := r.unit("argument.hv"); e.State != wire.Failed {
		t.Errorf("a reboot under a guard: %s\n%s", r, explained(r))
	}
	c.undo()
	c.bye()
}

// Another build's runner tells of the reboot that its undo needs.
func TestARebootOfAnotherBuildIsHeardOf(t *testing.T) {
	lines := `{"unit":{"address":"argument.hv","state":"undone"}}
{"reboot":{"steps":["argument.hv"],"boot":"b"}}
{"done":{}}
`
	var heard []string
	refused, spoken := passOn(bufio.NewScanner(strings.NewReader(lines)), func(e wire.Event) {
		if e.Reboot != nil {
			heard = append(heard, e.Reboot.Steps...)
		}
	})
	if refused != "" || !spoken || !slices.Equal(heard, []string{"argument.hv"}) {
		t.Errorf("refused %q, spoken %v, heard %v", refused, spoken, heard)
	}
}
