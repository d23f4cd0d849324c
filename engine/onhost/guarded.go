package onhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"weft/engine/onhost/guard"
	"weft/engine/wire"
)

// guardTime is for how long a guard is armed where nobody says.
const guardTime = 60 * time.Second

// An undo that nobody listens to keeps the lease for itself, but not for ever.
const undoTime = 15 * time.Minute

func (s *session) guards() guard.Store { return guard.Store{Dir: s.State + "/guard"} }

// errNoBoot says that nothing can be told of a deadline: to take it for over
// would take back what may still be confirmed. Who is told to end as it begins
// has it, too.
var errNoBoot = errors.New("no boot id could be read from /proc/sys/kernel/random, so it is unknown whether a guard's time is over; try again")

// bootMoment is now on the clock of deadlines.
func (s *session) bootMoment() guard.Moment { return guard.Moment{Boot: s.boot, Micros: s.Boottime()} }

// beginWhole has the request under way go on though the session be cut, and
// though its controller is not heard, for as long as the lease is kept here.
func (s *session) beginWhole(limit time.Duration) {
	if s.endWhole != nil {
		return
	}
	s.gate.beginWhole()
	stop := s.keepBeating(limit)
	s.endWhole = func() {
		stop()
		s.gate.endWhole()
		s.endWhole = nil
	}
}

// underGuard is called where a request begins that may move what stands under a
// guard of this run.
func (s *session) underGuard() {
	if s.forgetDecided(); s.armed == nil {
		return
	}
	s.beginWhole(guardTime + s.armed.Time)
	if err := s.guards().Moving(); err != nil {
		s.logf("guard: %v", err)
	}
}

// forgetDecided sees that the guard of this run was decided without this
// session: it was committed over another connection, or has expired.
func (s *session) forgetDecided() {
	if s.armed == nil {
		return
	}
	a, _, err := s.guards().Standing()
	if errors.Is(err, guard.ErrNone) || err == nil && a.Run != s.armed.Run {
		s.armed = nil
	}
}

// stillAgain is called where that request has come to its end. A guard that
// nothing came under is not kept.
func (s *session) stillAgain(ctx context.Context) {
	if s.forgetDecided(); s.armed == nil || s.gate.shut() != nil {
		return
	}
	if err := s.disarm(ctx, s.armed.Run); err != nil {
		s.logf("guard: %v", err)
	}
	if s.armed == nil {
		return
	}
	if err := s.guards().Still(s.bootMoment()); err != nil {
		s.logf("guard: %v", err) // it cannot be committed then, and goes back
	}
}

// cover arms a guard where the change asks for one, or may cut the way that this
// session came.
func (c *change) cover(ctx context.Context) error {
	t, why := c.x.Guard, ""
	if t == 0 && len(c.found.Cost.Severs) == 0 {
		return nil
	}
	if t == 0 {
		carries, err := c.s.carriers(ctx)
		if err != nil {
			return fmt.Errorf("find what carries this session: %w", err)
		}
		i := slices.IndexFunc(c.found.Cost.Severs, func(l string) bool { return carries[l] })
		if i < 0 {
			return nil
		}
		t, why = cmp.Or(c.guard, guardTime), c.found.Cost.Severs[i]+" carries this session"
	}
	a := guard.Armed{
		Run: c.s.own.Header.Run, Owner: c.s.own.Owner, Play: c.play, Step: c.x.Address, Why: why, ByHand: c.byHand,
		Runner: c.s.Digest, Scope: scopeOf(c.onFailure), From: len(c.s.own.Records) + 1, Time: t,
	}
	if err := c.s.arm(ctx, a); err != nil {
		return fmt.Errorf("the change is guarded, and the guard cannot be armed, so nothing was changed: %w", err)
	}
	return nil
}

func scopeOf(onFailure string) guard.Scope {
	switch onFailure {
	case "stop":
		return guard.From
	case "rollback_run":
		return guard.Run
	}
	return guard.Play
}

// arm puts a guard up and sees it stand, or gives the one that stands more time.
func (s *session) arm(ctx context.Context, a guard.Armed) error {
	if a.At = s.bootMoment(); a.At.Boot == "" {
		return errNoBoot
	}
	if stands, err := s.standsFor(a); err != nil || stands {
		return err
	}
	if _, err := s.Host.Units.Unit(ctx, guardUnit); err != nil {
		return fmt.Errorf("a guard is a service of systemd: %w", err)
	}
	if err := s.gate.shut(); err != nil {
		return err
	}
	if err := s.putUp(ctx, a); err != nil {
		return errors.Join(err, s.standDown(ctx, stopWatcher))
	}
	s.armed = &a
	s.beginWhole(guardTime + a.Time)
	e := a.Event(wire.GuardArmed)
	e.Left = a.Time
	s.logf("guard armed for %s over play %s", a.Time, a.Play)
	select {
	case <-s.beaten:
	default:
	}
	s.out.now(wire.Event{Guard: e})
	return s.awaitBeat(ctx)
}

// standsFor says whether a guard of this session stands over a's play already,
// and sees that it lasts long enough for it. The error says what else is in the
// way of a.
func (s *session) standsFor(a guard.Armed) (bool, error) {
	standing, deadline, err := s.guards().Standing()
	switch {
	case err == nil && (standing.Run != a.Run || s.armed != nil && standing.Play != a.Play):
		return false, fmt.Errorf("one over play %[1]s of run %[2]s is not decided yet; `weft commit %[2]s` keeps what stands under it", standing.Play, standing.Run)
	case err == nil && s.armed != nil:
		if deadline.Micros < a.At.Micros+a.Time.Microseconds() {
			err = s.guards().Extend(a.At, a.Time)
		}
		return true, err
	case err != nil && !errors.Is(err, guard.ErrNone):
		return false, err
	}
	s.armed = nil // it was decided over another connection
	expired, err := s.guards().Expired()
	switch {
	case err == nil:
		return false, fmt.Errorf("that of run %s expired, and what stood under it is being taken back; begin again when that is done", expired.Run)
	case !errors.Is(err, guard.ErrNone):
		return false, err
	}
	return false, nil
}

// awaitBeat gives the controller the time to hear of the guard, which it answers
// with a heartbeat: what comes next may cut the way that word of it takes.
func (s *session) awaitBeat(ctx context.Context) error {
	enough := time.NewTimer(s.Patience / 5)
	defer enough.Stop()
	select {
	case <-s.beaten:
	case <-enough.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// disarm ends a guard of a change that was taken back by order.
func (s *session) disarm(ctx context.Context, run string) error {
	a, _, err := s.guards().Standing()
	if errors.Is(err, guard.ErrNone) || err == nil && a.Run != run {
		return nil
	}
	if err != nil {
		return err
	}
	j := s.own
	if a.Run != j.Header.Run {
		if j, err = s.journalOf(a.Run); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(j.Records, func(r record) bool { return inScope(a)(r) && stands(r) }) {
		return nil // something is still there to be guarded
	}
	if err := s.guards().Commit(); errors.Is(err, guard.ErrNone) {
		return nil // it expired this moment, and finds nothing to do
	} else if err != nil {
		return err
	}
	s.armed = nil
	err = s.standDown(ctx, stopWatcher)
	s.out.now(wire.Event{Guard: a.Event(wire.GuardReleased)})
	return err
}
