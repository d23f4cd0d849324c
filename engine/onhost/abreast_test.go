package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/onhost/journal"
	"weft/engine/step"
	"weft/engine/wire"
)

// keys are steps of one for_each, each with a file of its own.
func keys(names ...string) []step.Unit {
	var all []step.Unit
	for _, name := range names {
		u := unitOf("abreast", "files", fileSpec{Path: "/etc/" + name, Content: step.Is("new")})
		u.Address += fmt.Sprintf("[%q]", name)
		all = append(all, u)
	}
	return all
}

// meeting has the effects of a site wait until as many have begun, so that they are seen
// to be under way at once.
func meeting(s *site, many int) (most func() int) {
	var mu sync.Mutex
	begun, all := 0, make(chan struct{})
	s.config.Host = host.Surround(s.machine.Host(), func(_ context.Context, _ host.Effect, act func() error) error {
		mu.Lock()
		if begun++; begun == many {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
		case <-time.After(10 * time.Second):
		}
		return act()
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return begun
	}
}

func TestKeysOfOneForEachAreUnderWayAtOnce(t *testing.T) {
	s := newSite(t)
	s.machine.WriteFile("/etc/b", "new") // nothing to do
	before := s.machine.Snapshot()
	met := meeting(s, 3)
	units := keys("a", "b", "c", "d")
	began := time.Now()
	c := s.open()
	c.hello("r1")
	r := c.apply(units...)
	c.endPlay()
	c.bye()
	wantStates(t, r, map[string]wire.UnitState{"a": wire.Changed, "b": wire.Converged, "c": wire.Changed, "d": wire.Changed})
	if met() != 3 || time.Since(began) > 9*time.Second {
		t.Errorf("%d effects began before one ended", met())
	}
	text, err := os.ReadFile(filepath.Join(s.config.State, "runs/r1/journal"))
	if err != nil || strings.Count(string(text), "\n"+`{"line":"together"`) < 2 {
		t.Errorf("the journal has a line for each record and each verification: %v\n%s", err, text)
	}
	s.config.Host = s.machine.Host()
	c = s.open()
	c.hello("r2")
	c.do(rollback("r1"))
	c.bye()
	if s.machine.Snapshot() != before {
		t.Errorf("not as before:\n%s", s.machine.Snapshot())
	}
}

// wantStates compares where the keys of a reply stand; those that are not named are not in it.
func wantStates(t *testing.T, r reply, want map[string]wire.UnitState) {
	t.Helper()
	for _, name := range []string{"a", "b", "c", "d"} {
		if got := r.unit(fmt.Sprintf("abreast.files[%q]", name)).State; got != want[name] {
			t.Errorf("%s is %q, not %q:\n%s", name, got, want[name], r)
		}
	}
}

// All that were begun come to their end where one fails, and nothing is begun behind them.
func TestAKeyThatFailsEndsTheApply(t *testing.T) {
	s := newSite(t)
	refused := errors.New("no room")
	s.config.Host = host.Surround(s.machine.Host(), func(_ context.Context, e host.Effect, act func() error) error {
		if e.Object == "/etc/b" {
			return refused
		}
		return act()
	})
	before := s.machine.Snapshot()
	c := s.open()
	c.hello("r1")
	r := c.apply(append(keys("a", "b", "c"), file("/etc/z", "later"))...)
	wantStates(t, r, map[string]wire.UnitState{"a": wire.Changed, "b": wire.Failed, "c": wire.Changed})
	if got := r.unit("abreast.files[\"b\"]").Error; got != "write file /etc/b: no room" {
		t.Errorf("it failed for %q", got)
	}
	if strings.Contains(r.String(), "etc/z") {
		t.Errorf("what comes after a failure is begun:\n%s", r)
	}
	c.do(wire.Request{UndoPlay: &wire.UndoPlay{Play: "p"}})
	c.bye()
	if s.machine.Snapshot() != before {
		t.Errorf("not as before:\n%s", s.machine.Snapshot())
	}
}

// A key that needs what another of its keys brings is begun after it.
func TestAKeyThatWaitsForAnother(t *testing.T) {
	s := newSite(t)
	units := keys("a", "b", "d/deep")
	units[1] = unitOf("abreast", "files", fileSpec{Path: "/d/b", Content: step.Is("new")})
	c := s.open()
	c.hello("r1")
	r := c.apply(units...)
	c.bye()
	if got := r.unit("abreast.files[\"a\"]").State; got != wire.Changed {
		t.Errorf("what comes before one that cannot begin is %s:\n%s", got, r)
	}
	if got := r.unit("abreast.files").State; got != wire.Failed || r.unit("abreast.files[\"d/deep\"]").State != "" {
		t.Errorf("one that cannot begin is %s, and what comes after it is begun:\n%s", got, r)
	}
}

func TestKeysKilledBetweenAnyTwoEffects(t *testing.T) {
	units := keys("a", "b", "c")
	whole := newSite(t)
	c := whole.open()
	c.hello("r1")
	c.apply(units...)
	c.bye()
	converged := whole.machine.Snapshot()
	for point := 1; point <= 6; point++ {
		t.Run(fmt.Sprint(point), func(t *testing.T) {
			s := newSite(t)
			s.machine.WriteFile("/etc/a", "before")
			before := s.machine.Snapshot()
			disk := killAt(s, point)
			c := s.open()
			c.hello("r1")
			c.apply(units...)
			c.cut()
			revive(s, disk)

			c = s.open()
			c.hello("r2")
			r := c.apply(units...)
			c.endPlay()
			c.bye()
			if strings.Contains(r.String(), "failed") || s.machine.Snapshot() != converged {
				t.Errorf("did not converge: %s\n%s", r, s.machine.Snapshot())
			}
			c = s.open()
			if h := c.hello("r3").events[0].Hello; len(h.Open) != 0 {
				t.Errorf("still open: %v", h.Open)
			}
			r = c.do(rollback("r1", "r2"))
			c.bye()
			if s.machine.Snapshot() != before {
				t.Errorf("not as before: %s\n%s", r, s.machine.Snapshot())
			}
		})
	}
}

// A slowDisk is a journal's file whose next sync is held.
type slowDisk struct {
	journal.File
	syncs int
	held  func()
}

func (d *slowDisk) Sync() error {
	d.syncs++
	if d.held != nil {
		d.held()
	}
	return d.File.Sync()
}

func TestEffectsThatWaitAreSyncedTogether(t *testing.T) {
	d := &slowDisk{}
	store := journal.Store{Dir: t.TempDir(), OpenFile: func(path string) (journal.File, error) {
		f, err := journal.OpenFile(path)
		if filepath.Base(path) != "journal" {
			return f, err
		}
		d.File = f
		return d, err
	}}
	j, err := store.Run(journal.Header{Run: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	recs, err := j.RecordAll(make([]journal.Change, 8))
	if err != nil {
		t.Fatal(err)
	}
	said := announcements{journal: j}
	first := d.syncs
	d.held = func() { // until all others wait
		d.held = nil
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
			said.mu.Lock()
			n := len(said.waiting)
			said.mu.Unlock()
			if n == len(recs)-1 {
				return
			}
		}
	}
	atOnce(len(recs), func(i int) {
		if err := said.say(recs[i], host.Effect{Door: "files", Verb: "write"}); err != nil {
			t.Error(err)
		}
	})
	if d.syncs != first+2 {
		t.Errorf("%d syncs for what was announced during one", d.syncs-first)
	}
	for _, rec := range recs {
		if !rec.InForce() {
			t.Errorf("record %d is not announced", rec.N)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStoppedAmongKeys(t *testing.T) {
	s := newSite(t)
	begun, stopped := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.config.Host = host.Surround(s.machine.Host(), func(_ context.Context, _ host.Effect, act func() error) error {
		once.Do(func() { close(begun) })
		<-stopped
		return act()
	})
	many := make([]string, 3*width)
	for i := range many {
		many[i] = fmt.Sprintf("f%02d", i)
	}
	c := s.open()
	c.hello("r1")
	id := c.send(wire.Request{Apply: &wire.Apply{Play: "p", Units: keys(many...)}})
	<-begun
	c.send(wire.Request{Stop: &wire.Stop{}})
	c.send(wire.Request{Heartbeat: &wire.Heartbeat{}})
	c.until(func(e wire.Event) bool { return e.Pulse != nil }) // the stop is heard
	close(stopped)
	r := c.wait(id)
	c.bye()
	counts := map[wire.UnitState]int{}
	for _, name := range many {
		counts[r.unit(fmt.Sprintf("abreast.files[%q]", name)).State]++
	}
	if counts[wire.Changed] == 0 || counts[wire.Changed] > width || counts[wire.Stopped]+counts[wire.Changed] != len(many) {
		t.Errorf("of %d steps %v", len(many), counts)
	}
}
