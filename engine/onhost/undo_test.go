package onhost

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/wire"
)

// failsLater is a machine whose service is up when its restart ends, and fails
// the second time somebody looks.
type failsLater struct {
	host.Units
	machine *fake.Machine
}

func (f failsLater) Unit(ctx context.Context, name string) (host.Unit, error) {
	u, err := f.Units.Unit(ctx, name)
	if u.StartedAt > 1_000_000 {
		f.machine.FailUnit(name)
	}
	return u, err
}

// applied is a site where run r1 changed units.
func applied(t *testing.T, units ...step.Unit) *site {
	s := newSite(t)
	s.machine.WriteFile("/etc/a", "before")
	c := s.open()
	c.hello("r1")
	c.apply(units...)
	c.endPlay()
	c.bye()
	return s
}

func rollback(runs ...string) wire.Request {
	return wire.Request{Rollback: &wire.Rollback{Runs: runs}}
}

func TestRollbackAnyDay(t *testing.T) {
	s := newSite(t)
	s.machine.WriteFile("/etc/a", "before")
	before := s.machine.Snapshot()
	c := s.open()
	c.hello("r1")
	want(t, c.apply(file("/etc/a", "after"), file("/etc/b", "new")),
		"file.etc/a applying, file.etc/a changed, file.etc/b applying, file.etc/b changed")
	c.bye()
	c = s.open()
	c.hello("r2")
	want(t, c.do(wire.Request{Runs: &wire.Runs{}}), "run r1 done 2/0")
	want(t, c.do(rollback("r1")), "file.etc/b undone, file.etc/a undone, run r1 undone 0/2")
	if s.machine.Snapshot() != before {
		t.Error("the machine is not as it was")
	}
	want(t, c.do(rollback("r1")), "run r1 undone 0/2")
	c.bye()
	c = s.open()
	c.hello("r3")
	want(t, c.do(wire.Request{Runs: &wire.Runs{}}), "run r1 undone 0/2")
	want(t, c.do(rollback("nosuch")), "ERROR")
	c.bye()
}

func TestUndoLeavesAnotherHandsChange(t *testing.T) {
	s := applied(t, file("/etc/a", "after"), file("/etc/b", "new"))
	s.machine.WriteFile("/etc/a", "by hand")
	c := s.open()
	c.hello("r2")
	want(t, c.do(rollback("r1")), "file.etc/b undone, file.etc/a conflict, run r1 conflict 0/2")
	c.bye()
	if got, _ := s.machine.File("/etc/a"); got != "by hand" {
		t.Errorf("/etc/a holds %q", got)
	}
}

func TestIrreversible(t *testing.T) {
	s := applied(t, step.Unit{Address: "order.o", Kind: "order", Spec: []byte("{}")}, file("/etc/b", "new"))
	c := s.open()
	c.hello("r2")
	want(t, c.do(rollback("r1")), "file.etc/b undone, order.o stuck, run r1 done 1/1")
	c.bye()
	c = s.open()
	if h := c.hello("r3").events[0].Hello; len(h.Open) != 0 {
		t.Errorf("what can never be undone keeps the run open: %v", h.Open)
	}
	c.bye()
}

func TestStuckIsTriedAgain(t *testing.T) {
	s := applied(t, file("/etc/a", "after"))
	broken := s.config
	refuse := true
	s.config.Host = host.Observe(s.machine.Host(), func(context.Context, host.Effect) error {
		if refuse {
			return context.DeadlineExceeded
		}
		return nil
	})
	c := s.open()
	c.hello("r2")
	want(t, c.do(rollback("r1")), "file.etc/a stuck, run r1 open 1/0")
	c.bye()
	s.config = broken
	c = s.open()
	if h := c.hello("r3").events[0].Hello; len(h.Open) != 1 {
		t.Errorf("open: %v", h.Open)
	}
	want(t, c.do(rollback("r1")), "file.etc/a undone, run r1 undone 0/1")
	c.bye()
	if got, _ := s.machine.File("/etc/a"); got != "before" {
		t.Errorf("/etc/a holds %q", got)
	}
}

func TestTwoRunsOnTopOfEachOther(t *testing.T) {
	s := applied(t, file("/etc/a", "one"), file("/etc/c", "1"))
	c := s.open()
	c.hello("r2")
	c.apply(file("/etc/a", "two"))
	c.bye()
	c = s.open()
	c.hello("r3")
	r := c.do(rollback("r1"))
	want(t, r, "ERROR")
	for _, word := range []string{"r1", "r2", "file /etc/a"} {
		if !strings.Contains(r.failure(), word) {
			t.Errorf("the refusal does not name %s: %s", word, r.failure())
		}
	}
	want(t, c.do(rollback("r2", "r1")),
		"file.etc/a undone, file.etc/c undone, file.etc/a undone, run r2 undone 0/1, run r1 undone 0/2")
	c.bye()
	if got, _ := s.machine.File("/etc/a"); got != "before" {
		t.Errorf("/etc/a holds %q", got)
	}
}

func TestRollbackOfOnePlay(t *testing.T) {
	s := newSite(t)
	c := s.open()
	c.hello("r1")
	c.do(wire.Request{Apply: &wire.Apply{Play: "one", Index: 0, Units: []step.Unit{file("/etc/a", "1")}}})
	c.do(wire.Request{Apply: &wire.Apply{Play: "two", Index: 1, Units: []step.Unit{file("/etc/b", "1")}}})
	c.bye()
	c = s.open()
	c.hello("r2")
	r := c.do(wire.Request{Runs: &wire.Runs{}})
	want(t, r, "run r1 done 2/0")
	if p := r.events[0].Run.Plays; len(p) != 2 || p[1] != (wire.PlayChange{Name: "two", Index: 1, Changed: 1}) {
		t.Errorf("plays: %+v", p)
	}
	want(t, c.do(wire.Request{Rollback: &wire.Rollback{Runs: []string{"r1"}, Play: "two"}}), "file.etc/b undone, run r1 done 1/1")
	want(t, c.do(wire.Request{Rollback: &wire.Rollback{Runs: []string{"r1"}, Play: "one"}}), "file.etc/a undone, run r1 undone 0/2")
	c.bye()
}

// Two runs that made the object another thing go back one by one: what the older wrote is no part of
// what the newer made of it.
func TestRunsThatMadeAnotherThingOfIt(t *testing.T) {
	s := newSite(t)
	s.machine.WriteFile("/etc/a", "before")
	before := s.machine.Snapshot()
	gone := file("/etc/a", "")
	gone.Spec = []byte(`{"path":"/etc/a","state":"absent"}`)
	for i, u := range []step.Unit{file("/etc/a", "one"), gone, file("/etc/a", "two")} {
		c := s.open()
		c.hello(fmt.Sprintf("r%d", i+1))
		c.apply(u)
		c.endPlay()
		c.bye()
	}
	c := s.open()
	c.hello("r4")
	want(t, c.do(rollback("r1", "r2", "r3")), "file.etc/a undone, file.etc/a undone, file.etc/a undone, run r3 undone 0/1, run r2 undone 0/1, run r1 undone 0/1")
	c.bye()
	if d := s.machine.Snapshot(); d != before {
		t.Errorf("the machine is not as it was:\n%s", d)
	}
}

// TestRunsThatRepairedGoTogether is a build, a drift, its repair and another
// build on top, all taken back at once.
func TestRunsThatRepairedGoTogether(t *testing.T) {
	s := newSite(t)
	s.machine.WriteFile("/etc/a", "before")
	before := s.machine.Snapshot()
	run := func(id string, units ...step.Unit) {
		c := s.open()
		c.hello(id)
		c.apply(units...)
		c.endPlay()
		c.bye()
	}
	run("r1", file("/etc/a", "built"), file("/etc/b", "built"))
	s.machine.WriteFile("/etc/a", "drift")
	run("r2", file("/etc/a", "built"), file("/etc/b", "built"))
	s.machine.WriteFile("/etc/b", "more drift")
	run("r3", file("/etc/a", "rebuilt"), file("/etc/b", "built"))

	c := s.open()
	c.hello("r4")
	want(t, c.do(rollback("r1", "r2")), "ERROR")
	all := rollback("r3", "r1", "r2")
	ask := all
	ask.Rollback = &wire.Rollback{Runs: all.Rollback.Runs, Ask: true}
	changed := s.machine.Snapshot()
	want(t, c.do(ask), "")
	if s.machine.Snapshot() != changed {
		t.Error("asking changed the machine")
	}
	want(t, c.do(all), "file.etc/a undone, file.etc/b undone, file.etc/a undone, run r3 undone 0/2, run r2 undone 0/1, run r1 undone 0/2")
	if d := s.machine.Snapshot(); d != before {
		t.Errorf("the machine is not as it was:\n%s", d)
	}
	want(t, c.do(wire.Request{Runs: &wire.Runs{}}), "run r1 undone 0/2, run r2 undone 0/1, run r3 undone 0/2")
	c.bye()
}

// drifted is a site where three runs made a pair of files, the last on top of a drift that no
// delta of it tells.
func drifted(t *testing.T) *site {
	s := newSite(t)
	for i := range 3 {
		if i == 2 {
			s.machine.WriteFile("/etc/b", "by hand")
		}
		content := fmt.Sprint(i)
		c := s.open()
		c.hello("r" + content)
		c.apply(unitOf("pair", "p", pairSpec{step.Is(content), step.Is(content)}))
		c.endPlay()
		c.bye()
	}
	return s
}

func TestRunsOnADriftThatNobodyTold(t *testing.T) {
	before := newSite(t).machine.Snapshot()
	for point := range 11 { // of three undos of two effects each, but for the part that the first one's undo finds; 0 is none
		s := drifted(t)
		if point > 0 {
			disk := killAt(s, point)
			c := s.open()
			c.hello("r3")
			c.do(rollback("r0", "r1", "r2"))
			_ = c.cut()
			revive(s, disk)
		}
		c := s.open()
		c.hello("r4")
		r := c.do(rollback("r0", "r1", "r2"))
		c.bye()
		if d := s.machine.Snapshot(); d != before {
			t.Errorf("killed at point %d, the machine is not as it was after %s:\n%s", point, r, d)
		}
	}
}

// Run by run, and cut in between: what another hand does then is its own.
func TestRunsOnADriftLeaveWhatIsNew(t *testing.T) {
	s := drifted(t)
	c := s.open()
	c.hello("r3")
	all := []string{"r0", "r1", "r2"}
	want(t, c.do(wire.Request{Rollback: &wire.Rollback{Runs: all, Run: "r2"}}), "pair.p undone, run r2 undone 0/1")
	c.bye()
	c = s.open()
	c.hello("r4")
	want(t, c.do(wire.Request{Runs: &wire.Runs{}}), "run r0 done 1/0, run r1 done 1/0, run r2 undone 0/1")
	s.machine.WriteFile("/etc/b", "anew")
	want(t, c.do(rollback(all...)), "pair.p conflict, pair.p conflict, run r2 undone 0/1, run r1 conflict 0/1, run r0 conflict 0/1")
	c.bye()
	if got, _ := s.machine.File("/etc/b"); got != "anew" {
		t.Errorf("/etc/b holds %q", got)
	}
}

// A kind that tells in words of its own what it found may have repaired a drift.
func TestRunsOfAKindWithItsOwnWords(t *testing.T) {
	s := newSite(t)
	before := s.machine.Snapshot()
	for i, spec := range []pairSpec{{A: step.Is("1"), B: step.Is("1")}, {A: step.Is("1")}} {
		c := s.open()
		c.hello(fmt.Sprint("r", i))
		c.apply(unitOf("wordy", "p", spec))
		c.endPlay()
		c.bye()
		s.machine.WriteFile("/etc/a", "drift")
	}
	s.machine.WriteFile("/etc/a", "1")
	c := s.open()
	c.hello("r2")
	r := c.do(rollback("r0", "r1"))
	want(t, r, "wordy.p undone, run r1 undone 0/1, run r0 undone 0/1")
	c.bye()
	if d := s.machine.Snapshot(); d != before {
		t.Errorf("the machine is not as it was after %s:\n%s", r, d)
	}
}

func TestRunsTogetherLeaveAnotherHandsChange(t *testing.T) {
	s := applied(t, file("/etc/a", "after"))
	s.machine.WriteFile("/etc/a", "drift")
	c := s.open()
	c.hello("r2")
	c.apply(file("/etc/a", "after"))
	c.bye()
	s.machine.WriteFile("/etc/a", "by hand")
	c = s.open()
	c.hello("r3")
	want(t, c.do(rollback("r1", "r2")), "file.etc/a conflict, run r2 undone 0/1, run r1 conflict 0/1")
	c.bye()
	if got, _ := s.machine.File("/etc/a"); got != "by hand" {
		t.Errorf("/etc/a holds %q", got)
	}
}

// What another hand changed is left also by the undo that finishes one which
// was killed, wherever that was.
func TestAKilledUndoKeepsAnothersChange(t *testing.T) {
	for point := 1; point <= 4; point++ { // two for each of the two files that go
		s := newSite(t)
		c := s.open()
		c.hello("r1")
		c.apply(files("/etc", map[string]string{"a": "new", "b": "new", "c": "new"}))
		c.bye()
		s.machine.WriteFile("/etc/b", "by hand")
		disk := killAt(s, point)
		c = s.open()
		c.hello("r2")
		c.do(rollback("r1"))
		_ = c.cut()
		revive(s, disk)
		c = s.open()
		c.hello("r3")
		r := c.do(rollback("r1"))
		want(t, r, "files.many conflict, run r1 conflict 0/1")
		c.bye()
		if got, _ := s.machine.File("/etc/b"); got != "by hand" {
			t.Errorf("killed at point %d: another hand's change is lost: %q after %s", point, got, r)
		}
		for _, name := range []string{"/etc/a", "/etc/c"} {
			if _, there := s.machine.File(name); there {
				t.Errorf("killed at point %d: %s is still there", point, name)
			}
		}
	}
}
