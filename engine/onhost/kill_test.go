package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"weft/engine/host"
	"weft/engine/step"
	"weft/engine/wire"
)

var errKilled = errors.New("killed")

// killAt makes the runner stand still as kill -9 leaves it: at one of its
// points, two for each effect, what is on the disk is kept, and nothing more
// happens to the machine. It returns the directory of that disk.
func killAt(s *site, point int) (disk string) {
	disk = s.t.TempDir()
	dead, count := false, 0
	var mu sync.Mutex // steps may be under way at once
	pass := func() error {
		mu.Lock()
		defer mu.Unlock()
		count++
		if count == point {
			dead = true
			if err := os.CopyFS(disk, os.DirFS(s.config.State)); err != nil {
				s.t.Errorf("copy the disk: %v", err)
			}
		}
		if dead {
			return errKilled
		}
		return nil
	}
	s.config.Host = host.Surround(s.machine.Host(), func(_ context.Context, _ host.Effect, act func() error) error {
		if err := pass(); err != nil {
			return err
		}
		if err := act(); err != nil {
			return err
		}
		return pass()
	})
	return disk
}

// revive gives the site a healthy runner and the disk as it was at the kill.
func revive(s *site, disk string) {
	s.config.Host, s.config.State = s.machine.Host(), disk
}

func TestKilledBetweenAnyTwoEffects(t *testing.T) {
	many := files("/etc", map[string]string{"a": "after", "b": "new", "c": "new"})
	units := []step.Unit{many, option("d", "on"), service("d", many)}
	const points = 2 * 5 // three files, the option's file, the restart
	start := func(t *testing.T, point int) (s *site, before string) {
		s = withDaemon(t)
		s.machine.WriteFile("/etc/a", "before")
		before = s.machine.Snapshot()
		disk := killAt(s, point)
		c := s.open()
		c.hello("r1")
		c.apply(units...)
		c.endPlay()
		c.cut()
		revive(s, disk)
		return s, before
	}
	whole, _ := start(t, points+1)
	converged := whole.machine.Snapshot()
	for point := 1; point <= points; point++ {
		t.Run(fmt.Sprintf("%d, apply again, roll back", point), func(t *testing.T) {
			s, before := start(t, point)
			c := s.open()
			c.hello("r2")
			planned := map[string]string{}
			for _, e := range c.check(units...).events {
				if e.Unit != nil && e.Unit.State == wire.Planned {
					planned[e.Unit.Address] = e.Unit.Finding.Digest()
				}
			}
			r := c.do(wire.Request{Apply: &wire.Apply{Play: "p", Units: units, Planned: planned}})
			end := c.endPlay()
			c.bye()
			if s.machine.Snapshot() != converged {
				t.Errorf("did not converge: %s; %s\n%s", r, end, s.machine.Snapshot())
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
		t.Run(fmt.Sprintf("%d, roll back", point), func(t *testing.T) {
			s, before := start(t, point)
			c := s.open()
			c.hello("r2")
			r := c.do(rollback("r1"))
			c.bye()
			if s.machine.Snapshot() != before {
				t.Errorf("not as before: %s\n%s", r, s.machine.Snapshot())
			}
			c = s.open()
			if h := c.hello("r3").events[0].Hello; len(h.Open) != 0 {
				t.Errorf("still open: %v", h.Open)
			}
			c.bye()
		})
	}
}

func TestKilledWithinAnUndo(t *testing.T) {
	many := files("/etc", map[string]string{"a": "after", "b": "new", "c": "new"})
	units := []step.Unit{many, option("d", "on"), service("d", many)}
	const points = 2 * 5
	for point := 1; point <= points; point++ {
		s := withDaemon(t)
		s.machine.WriteFile("/etc/a", "before")
		before := s.machine.Snapshot()
		c := s.open()
		c.hello("r1")
		c.apply(units...)
		c.endPlay()
		c.bye()
		disk := killAt(s, point)
		c = s.open()
		c.hello("r2")
		c.do(rollback("r1"))
		c.cut()
		revive(s, disk)
		c = s.open()
		c.hello("r3")
		r := c.do(rollback("r1"))
		c.bye()
		if s.machine.Snapshot() != before || strings.Contains(r.String(), "conflict") {
			t.Errorf("point %d: not as before: %s\n%s", point, r, s.machine.Snapshot())
		}
		c = s.open()
		if h := c.hello("r4").events[0].Hello; len(h.Open) != 0 {
			t.Errorf("point %d: still open: %v", point, h.Open)
		}
		c.bye()
	}
}

// The half-made state holds one attribute of the dead run's, and the new run
// manages another besides: both must come back.
func TestAdoptionOfADifferentSpec(t *testing.T) {
	s := newSite(t)
	s.machine.WriteFile("/etc/a", "before")
	s.machine.WriteFile("/etc/z", "before")
	before := s.machine.Snapshot()
	disk := killAt(s, 2)
	c := s.open()
	c.hello("r1")
	c.apply(files("/etc", map[string]string{"a": "one", "b": "one"}))
	c.cut()
	revive(s, disk)
	c = s.open()
	c.hello("r2")
	want(t, c.apply(files("/etc", map[string]string{"a": "two", "z": "two"})), "files.many applying, files.many changed")
	c.bye()
	c = s.open()
	c.hello("r3")
	c.do(rollback("r2"))
	c.bye()
	if s.machine.Snapshot() != before {
		t.Errorf("not as before:\n%s", s.machine.Snapshot())
	}
}

// A step may fail and be tried again in the same run.
func TestTriedAgainInTheSameRun(t *testing.T) {
	s := newSite(t)
	s.machine.WriteFile("/etc/a", "before")
	before := s.machine.Snapshot()
	refuse := true
	s.config.Host = host.Observe(s.machine.Host(), func(_ context.Context, e host.Effect) error {
		if refuse && e.Object == "/etc/b" {
			return errKilled
		}
		return nil
	})
	u := files("/etc", map[string]string{"a": "after", "b": "new"})
	c := s.open()
	c.hello("r1")
	want(t, c.apply(u), "files.many applying, files.many failed")
	refuse = false
	want(t, c.apply(u), "files.many applying, files.many changed")
	want(t, c.undo(), "files.many undone")
	c.bye()
	if s.machine.Snapshot() != before {
		t.Errorf("not as before:\n%s", s.machine.Snapshot())
	}
}

// The disk may fill up at each line of an adoption: what the first run found
// is never lost.
func TestAFullDiskWithinAnAdoption(t *testing.T) {
	for n := 1; n <= 5; n++ {
		s := newSite(t)
		s.machine.WriteFile("/etc/a", "before")
		before := s.machine.Snapshot()
		many := files("/etc", map[string]string{"a": "after", "b": "new"})
		disk := killAt(s, 2)
		c := s.open()
		c.hello("r1")
		c.apply(many)
		c.cut()
		revive(s, disk)
		full := &fullFrom{dir: s.config.State, n: n}
		s.config.OpenFile = full.open
		c = s.open()
		c.hello("r2")
		r := c.apply(many)
		c.bye()
		s.config.OpenFile = nil
		c = s.open()
		c.hello("r3")
		u := c.do(rollback("r1", "r2"))
		if u.failure() != "" { // r2 may not have come to its first line
			u = c.do(rollback("r1"))
		}
		c.bye()
		if s.machine.Snapshot() != before {
			t.Errorf("line %d: after %s and %s the machine is\n%s", n, r, u, s.machine.Snapshot())
		}
	}
}

// A half-made change is adopted with its needs, also where this playbook does
// not know the service.
func TestNeedsAreAdopted(t *testing.T) {
	s := withDaemon(t)
	many := files("/etc", map[string]string{"a": "after", "b": "new"})
	disk := killAt(s, 2)
	c := s.open()
	c.hello("r1")
	c.check(many, service("d", many))
	c.apply(many)
	c.cut()
	revive(s, disk)
	c = s.open()
	c.hello("r2")
	want(t, c.apply(many), "files.many applying, files.many changed")
	want(t, c.endPlay(), "need restart d.service")
	c.bye()
}
