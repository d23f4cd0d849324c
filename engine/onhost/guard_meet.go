package onhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"weft/engine/onhost/guard"
	"weft/engine/onhost/journal"
	"weft/engine/onhost/lease"
	"weft/engine/wire"
)

// takeHost takes the lease, unless a guard of another run holds the host: until
// that is decided nothing is built on what may go.
func (s *session) takeHost(ctx context.Context, answer *wire.HelloEvent) error {
	began, told := time.Now(), false
	for {
		left := max(s.hello.LockTimeout-time.Since(began), 0)
		if err := s.takeLease(ctx, left, answer); err != nil || s.held == nil {
			return err
		}
		holder := s.guardHolder()
		if holder == nil {
			return nil
		}
		if err := s.held.Release(); err != nil {
			return err
		}
		s.gate.hold(nil)
		s.held, answer.TookOver = nil, nil
		if left == 0 {
			s.busy, answer.Holder = holder, holder
			return nil
		}
		if !told {
			told = true
			s.out.now(wire.Event{Wait: &wire.WaitEvent{Holder: *holder}})
		}
		for s.guardHolder() != nil && time.Since(began) < s.hello.LockTimeout {
			if err := sleep(ctx, 50*time.Millisecond); err != nil {
				return err
			}
		}
	}
}

// guardHolder is the guard of another run that is undecided and has time left,
// as the lease that it is.
func (s *session) guardHolder() *wire.Lease {
	a, deadline, err := s.guards().Standing()
	now := s.bootMoment()
	if err != nil || deadline.Passed(now) || a.Run == s.hello.Run || slices.Contains(s.hello.TakesBack, a.Run) || s.guards().Watcher() == 0 {
		return nil
	}
	at := time.Now().UTC()
	ago := time.Duration(now.Micros-a.At.Micros) * time.Microsecond
	left := time.Duration(deadline.Micros-now.Micros) * time.Microsecond
	return &wire.Lease{Run: a.Run, Owner: a.Owner + ", whose guard nobody has confirmed yet", Since: at.Add(-ago), Expires: at.Add(left)}
}

// meetGuard sees what stands or is left of a guard. A session that may change
// the host first takes back what expired and nobody took back.
func (s *session) meetGuard(ctx context.Context, answer *wire.HelloEvent) error {
	g := s.guards()
	if !g.Used() {
		return nil
	}
	if s.boot == "" {
		return errNoBoot
	}
	a, deadline, err := g.Standing()
	standing := err == nil
	if err != nil && !errors.Is(err, guard.ErrNone) {
		return fmt.Errorf("read the guard: %w", err)
	}
	if standing && s.held != nil && g.Watcher() == 0 {
		// Who armed it was killed before the guard was seen to stand, and so
		// before anything was changed under it.
		standing = false
		if err := s.standDown(ctx, stopWatcher); err != nil {
			return err
		}
	}
	now := s.bootMoment()
	if standing && (!deadline.Passed(now) || s.held == nil) {
		e := a.Event(wire.GuardArmed)
		if !deadline.Passed(now) {
			e.Left = time.Duration(deadline.Micros-now.Micros) * time.Microsecond
		}
		answer.Guard = e
		if s.held != nil && a.Run == s.hello.Run {
			s.armed = &a
		}
		return nil
	}
	if s.held != nil {
		if err := s.clearGuard(ctx, standing); err != nil {
			return err
		}
	}
	answer.Guard, err = g.Reported()
	s.toTell = s.held != nil && answer.Guard != nil
	if expired, none := g.Expired(); answer.Guard == nil && none == nil {
		answer.Guard = expired.Event(wire.GuardExpired) // its change is being taken back just now
	}
	return err
}

// clearGuard takes back what expired, and removes what a kill left.
func (s *session) clearGuard(ctx context.Context, standing bool) error {
	g := s.guards()
	if standing {
		if err := g.Expire(); err != nil && !errors.Is(err, guard.ErrNone) {
			return err
		}
	}
	a, err := g.Expired()
	switch {
	case errors.Is(err, guard.ErrNone):
		return s.standDown(ctx, stopWatcher)
	case err != nil:
		return fmt.Errorf("read the guard: %w", err)
	}
	s.logf("the guard of run %s expired; taking it back", a.Run)
	report := s.takeBackGuarded(ctx, a)
	if err := g.Report(report); err != nil {
		return err
	}
	if report.State == wire.GuardExpired {
		return fmt.Errorf("a guard of run %s expired, and what stood under it is not taken back: %s; repair that and begin again, or, to keep what is there, remove %s",
			a.Run, report.Error, g.Mark())
	}
	return s.standDown(ctx, stopWatcher)
}

// toldOfGuard forgets the report that the greeting told.
func (s *session) toldOfGuard() {
	if !s.toTell {
		return
	}
	if err := s.guards().Told(); err != nil {
		s.logf("guard: %v", err)
	}
}

// alreadyChanged are the steps that earlier sessions of this run changed.
func (s *session) alreadyChanged() []wire.Place {
	var all []wire.Place
	seen := map[wire.Place]bool{}
	for _, rec := range s.own.Records[:s.ownBefore] {
		at := wire.Place{Play: rec.Play, Address: rec.Unit.Address}
		if rec.InForce() && !seen[at] {
			seen[at] = true
			all = append(all, at)
		}
	}
	return all
}

// underWay says whether a runner of a run is at something right now.
func (s *session) underWay(run string) bool {
	holder := lease.Current(s.Runtime)
	_, still := s.guards().StillSince()
	return !still && holder != nil && holder.Run == run
}

// commit decides that what stands under a guard stays.
func (s *session) commit(ctx context.Context, c wire.Commit) error {
	a, err := s.standingOf(c.Run)
	if err != nil {
		return err
	}
	still, yes := s.guards().StillSince()
	switch {
	case s.underWay(c.Run):
		return fmt.Errorf("run %s is still at work under the guard; commit it when that is done", c.Run)
	case !yes:
		return fmt.Errorf("run %s was cut in the middle of what the guard is about: `weft resume %s` goes on, else it is taken back", c.Run, c.Run)
	case still.Boot != s.boot || still.Micros > s.began:
		return errors.New("this connection is older than the last change under the guard; only a new one shows that the host can be reached")
	}
	j, err := s.store.Load(c.Run)
	if err != nil {
		return err
	}
	for _, rec := range j.Records {
		pending := rec.State == journal.Pending && len(rec.OpenNeeds()) > 0
		if inScope(a)(rec) && rec.HalfMade() && !pending {
			return fmt.Errorf("%s of run %s is half made; `weft resume %s` goes on, else it is taken back", rec.Unit.Address, c.Run, c.Run)
		}
	}
	unlock, err := s.guards().Lock(ctx) // until all is removed, so that no other guard comes in between
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.guards().Commit(); errors.Is(err, guard.ErrNone) {
		return fmt.Errorf("too late: the guard of run %s expired this moment, and its change is being taken back", c.Run)
	} else if err != nil {
		return err
	}
	err = s.clear(ctx, stopWatcher)
	s.out.now(wire.Event{Guard: a.Event(wire.GuardCommitted)})
	return err
}

// extend gives a guard more time, from now.
func (s *session) extend(e wire.Extend) error {
	if e.Time <= 0 {
		return fmt.Errorf("a guard is extended to some time from now, not to %s", e.Time)
	}
	a, err := s.standingOf(e.Run)
	if err != nil {
		return err
	}
	if s.began <= a.At.Micros {
		return errors.New("this connection is older than the guard; only a new one shows that the host can be reached")
	}
	if err := s.guards().Extend(s.bootMoment(), e.Time); err != nil {
		return err
	}
	told := a.Event(wire.GuardArmed)
	told.Time, told.Left = e.Time, e.Time
	s.out.now(wire.Event{Guard: told})
	return nil
}

// standingOf is the guard of a run, while it has time left.
func (s *session) standingOf(run string) (guard.Armed, error) {
	a, deadline, err := s.guards().Standing()
	if errors.Is(err, guard.ErrNone) {
		report, reported := s.guards().Reported()
		if reported == nil && report != nil && report.Run == run {
			return a, fmt.Errorf("too late: the guard of run %s expired, and its change was taken back", run)
		}
		return a, fmt.Errorf("no guard of run %s stands on this host", run)
	}
	switch {
	case err != nil:
		return a, err
	case a.Run != run:
		return a, fmt.Errorf("the guard on this host is of run %s, not of %s", a.Run, run)
	case deadline.Passed(s.bootMoment()):
		return a, fmt.Errorf("too late: the guard of run %s has expired, and its change is being taken back", run)
	}
	return a, nil
}
