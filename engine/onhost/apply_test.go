package onhost

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/wire"
)

func TestCheckThenApplyThenNothing(t *testing.T) {
	s := newSite(t)
	s.machine.WriteFile("/etc/b", "right")
	a, b := file("/etc/a", "one"), file("/etc/b", "right")
	before := s.machine.Snapshot()
	c := s.open()
	want(t, c.hello("r1"), "")
	want(t, c.check(a, b), "file.etc/a planned, file.etc/b ok")
	if s.machine.Snapshot() != before {
		t.Error("a check changed the machine")
	}
	mustNotExist(t, filepath.Join(s.config.State, "runs"))
	r := c.apply(a, b)
	want(t, r, "file.etc/a applying, file.etc/a changed, file.etc/b ok")
	if f := r.unit("file.etc/a").Finding; f == nil || string(f.Outputs) != `{"path":"/etc/a"}` || f.Before != nil || f.Want != nil {
		t.Errorf("the finding of a change is %+v", f)
	}
	want(t, c.endPlay(), "")
	c.bye()
	if got, _ := s.machine.File("/etc/a"); got != "one" {
		t.Errorf("/etc/a holds %q", got)
	}
	mustNotExist(t, filepath.Join(s.config.State, "open", "r1"))
	mustNotExist(t, filepath.Join(s.config.Runtime, "lease"))

	c = s.open()
	c.hello("r2")
	want(t, c.check(a, b), "file.etc/a ok, file.etc/b ok")
	want(t, c.apply(a, b), "file.etc/a ok, file.etc/b ok")
	c.bye()
	mustNotExist(t, filepath.Join(s.config.State, "runs", "r2"))
}

func TestUnknownAndNotYet(t *testing.T) {
	s := newSite(t)
	inner := file("/etc/new/x", "1")
	c := s.open()
	c.hello("r1")
	want(t, c.check(inner), "file.etc/new/x failed")
	if e := c.check(inner).unit("file.etc/new/x").Error; !strings.Contains(e, "no step before this one brings it") {
		t.Errorf("said %q", e)
	}
	want(t, c.check(file("/etc/a", "1"), inner), "file.etc/a planned, file.etc/new/x waiting")
	unknown := step.Unit{Address: "file.u", Kind: "file", Unknown: []string{"content"}}
	want(t, c.check(unknown), "file.u waiting")
	want(t, c.check(step.Unit{Address: "x.y", Kind: "x", Spec: []byte("{}")}), "x.y failed")
	c.bye()
}

func TestApplyEndsAtTheFirstFailure(t *testing.T) {
	s := newSite(t)
	s.machine.Program("breaks", func(*fake.Machine, host.Command) host.Result {
		return host.Result{Exit: 3, Stderr: []byte("first\nsecond")}
	})
	tool := step.Unit{Address: "tool.t", Kind: "tool", Name: "breaks", Spec: []byte("{}")}
	c := s.open()
	c.hello("r1")
	r := c.apply(file("/etc/a", "1"), tool, file("/etc/b", "1"))
	want(t, r, "file.etc/a applying, file.etc/a changed, tool.t applying, tool.t failed")
	e := r.unit("tool.t")
	if e.Error != "the tool: breaks: exit status 3: second" || e.Detail != "first\nsecond" {
		t.Errorf("said %q, and %q", e.Error, e.Detail)
	}
	want(t, c.undo(), "tool.t undone, file.etc/a undone")
	c.bye()
	if _, there := s.machine.File("/etc/a"); there {
		t.Error("/etc/a is still there")
	}
}

func TestAPanicIsTheUnitsFailure(t *testing.T) {
	s := newSite(t)
	c := s.open()
	c.hello("r1")
	r := c.check(step.Unit{Address: "panic.p", Kind: "panic", Spec: []byte("{}")}, file("/etc/a", "1"))
	want(t, r, "panic.p failed, file.etc/a planned")
	e := r.unit("panic.p")
	if !strings.Contains(e.Error, "bug in weft") || !strings.Contains(e.Detail, "panicStep") {
		t.Errorf("said %q, and %q", e.Error, e.Detail)
	}
	c.bye()
}

func TestStale(t *testing.T) {
	s := newSite(t)
	a := file("/etc/a", "1")
	c := s.open()
	c.hello("r1")
	shown := c.check(a).unit("file.etc/a").Finding.Digest()
	s.machine.WriteFile("/etc/a", "by hand")
	before := s.machine.Snapshot()
	apply := wire.Request{Apply: &wire.Apply{Play: "p", Units: []step.Unit{a}, Planned: map[string]string{a.Address: shown}}}
	want(t, c.do(apply), "file.etc/a stale")
	if s.machine.Snapshot() != before {
		t.Error("a stale step changed the machine")
	}
	s.machine.Remove("/etc/a")
	want(t, c.do(apply), "file.etc/a applying, file.etc/a changed")
	want(t, c.do(apply), "file.etc/a ok")
	c.bye()
}

// TestDisruption: what hits guests that run is made only where it is allowed, and
// taken back in any case.
func TestDisruption(t *testing.T) {
	s := newSite(t)
	c := s.open()
	c.hello("r1")
	u := step.Unit{Address: "disrupts.a", Kind: "disrupts", Name: "a", Spec: []byte("{}")}
	before := s.machine.Snapshot()
	apply := wire.Apply{Play: "p", Units: []step.Unit{u}}
	r := c.do(wire.Request{Apply: &apply})
	want(t, r, "disrupts.a failed")
	if e := r.unit(u.Address).Error; !strings.Contains(e, "g1, g2: an outage") || !strings.Contains(e, "--allow-disruption") || s.machine.Snapshot() != before {
		t.Errorf("it says %q, or has changed the machine", e)
	}
	apply.AllowDisruption = true
	want(t, c.do(wire.Request{Apply: &apply}), "disrupts.a applying, disrupts.a changed")
	want(t, c.do(wire.Request{UndoPlay: &wire.UndoPlay{Play: "p"}}), "disrupts.a undone")
	c.bye()
}

func TestProbes(t *testing.T) {
	s := newSite(t)
	c := s.open()
	c.hello("r1")
	want(t, c.check(probe("/etc/a"), file("/etc/a", "1")), "file.etc/a planned")
	want(t, c.do(wire.Request{Probe: &wire.Probe{Units: []step.Unit{probe("/etc/a"), probe("/etc")}}}),
		"probe_file./etc/a refuted, probe_file./etc proved")
	want(t, c.apply(probe("/etc/a"), file("/etc/a", "1")), "probe_file./etc/a refuted")
	want(t, c.apply(file("/etc/a", "1"), probe("/etc/a")), "file.etc/a applying, file.etc/a changed, probe_file./etc/a proved")
	c.bye()
}

func TestLookMayNotChange(t *testing.T) {
	s := newSite(t)
	c := s.open()
	c.do(wire.Request{Hello: &wire.Hello{Run: "r1", Intent: wire.Look}})
	want(t, c.check(file("/etc/a", "1")), "file.etc/a planned")
	want(t, c.apply(file("/etc/a", "1")), "ERROR")
	mustNotExist(t, filepath.Join(s.config.Runtime, "lock"))
	c.bye()
}

func TestASessionBeginsWithHello(t *testing.T) {
	s := newSite(t)
	c := s.open()
	want(t, c.check(), "ERROR")
	want(t, c.do(wire.Request{Hello: &wire.Hello{Run: "../../etc", Intent: wire.Change}}), "ERROR")
	want(t, c.hello("r1"), "")
	want(t, c.hello("r1"), "ERROR")
	if err := c.cut(); !errors.Is(err, ErrCut) {
		t.Errorf("a cut session ended with %v", err)
	}
	mustNotExist(t, filepath.Join(s.config.Runtime, "lease"))
}

func TestExec(t *testing.T) {
	s := newSite(t)
	s.machine.Program("says", func(*fake.Machine, host.Command) host.Result {
		return host.Result{Exit: 2, Stdout: []byte("out"), Stderr: []byte("err")}
	})
	c := s.open()
	c.do(wire.Request{Hello: &wire.Hello{Run: "r1", Intent: wire.Look}})
	r := c.do(wire.Request{Exec: &wire.Exec{Argv: []string{"says"}}})
	if e := r.events[0].Exec; e == nil || e.Exit != 2 || string(e.Stdout) != "out" || string(e.Stderr) != "err" {
		t.Errorf("got %+v", r.events[0])
	}
	want(t, c.do(wire.Request{Exec: &wire.Exec{Argv: []string{"nosuch"}}}), "ERROR")
	c.bye()
}
