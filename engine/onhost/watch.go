package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/onhost/guard"
	"weft/engine/onhost/journal"
	"weft/engine/wire"
)

// How a guard behaves when it expires.
const (
	watchPause = 200 * time.Millisecond // between two looks at the deadline
	lastChance = 3 * time.Second        // for the run's own runner to end
	respite    = time.Minute            // between two tries, in which others may have the lease
	undoTries  = 2 * time.Minute        // for what an undo needs to be there: a database that starts
	settleTime = time.Minute            // for the network of a boot to be up, well or not
)

type record = *journal.Record

// inScope wants the records that an expired guard takes back.
func inScope(a guard.Armed) func(record) bool {
	return func(r record) bool {
		switch a.Scope {
		case guard.Run:
			return true
		case guard.Play:
			return r.Play == a.Play
		}
		return r.N >= a.From
	}
}

// stands says whether the machine carries something of a change that can be
// taken back.
func stands(r record) bool { return r.InForce() && r.State != journal.Final }

// Guard waits until the guard of this host is decided, and takes back what
// stands under it where nobody confirms in time: at the deadline, or at once
// where the host was booted since. It is what the service weft-guard runs. The
// error says that the guard itself could not do its work; what it could not take
// back stays expired, and the next run that comes begins with it.
//
// Where ctx ends it waits no longer, and finishes the effect in flight. The
// error wraps [ErrUndecided] where something is left for a guard to do.
func Guard(ctx context.Context, c Config) error {
	s := newSession(c, &ear{})
	err := s.guard(ctx)
	if ctx.Err() == nil {
		return err
	}
	_, _, standing := s.guards().Standing()
	_, expired := s.guards().Expired()
	if errors.Is(standing, guard.ErrNone) && errors.Is(expired, guard.ErrNone) {
		return nil
	}
	return ErrUndecided
}

// ErrUndecided says that a guard was told to end before it had done its work. It
// is a failure, so that systemd starts the service again where that was no order
// of its own but a kill(1) by hand.
var ErrUndecided = errors.New("the guard was told to end before it was decided")

func (s *session) guard(ctx context.Context) error {
	release := context.AfterFunc(ctx, func() { s.gate.cut(context.Cause(ctx)) })
	defer release()
	free, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	s.gate.begin(1, cancel)
	s.readBoot(free)
	if s.boot == "" {
		return errNoBoot
	}
	a, err := s.watch(ctx)
	switch {
	case errors.Is(err, guard.ErrNone):
		return s.standDown(free, amWatcher)
	case err != nil:
		return err
	}
	if a.At.Boot != s.boot {
		s.awaitNetwork(free)
	}
	s.hello = &wire.Hello{Run: a.Run, Owner: "the guard of run " + a.Run + " (" + a.Owner + ")", Intent: wire.Change, LockTimeout: time.Hour}
	s.chance = lastChance
	err = errors.Join(s.expire(free), s.release())
	if errors.Is(err, errNotBack) {
		_ = sleep(ctx, respite) // for a run that comes and does better; then systemd starts the guard again
	}
	return err
}

// errNotBack ends a guard whose change could not be taken back.
var errNotBack = errors.New("what stood under the guard is not taken back")

// watch waits until the guard has expired. The error wraps [guard.ErrNone]
// where there is nothing to wait for any more.
func (s *session) watch(ctx context.Context) (guard.Armed, error) {
	g := s.guards()
	for watched := false; ; {
		a, deadline, err := g.Standing()
		if errors.Is(err, guard.ErrNone) {
			return g.Expired() // by a kill of this process, or by a run that came
		}
		if err != nil {
			return a, err
		}
		now := s.bootMoment()
		if deadline.Passed(now) {
			if err := g.Expire(); err != nil && !errors.Is(err, guard.ErrNone) {
				return a, err
			}
			return g.Expired()
		}
		if !watched {
			watched = true
			if err := g.Watched(os.Getpid()); err != nil {
				return a, err
			}
		}
		left := time.Duration(deadline.Micros-now.Micros) * time.Microsecond
		if err := sleep(ctx, min(left, watchPause)); err != nil {
			return a, err
		}
	}
}

// expire ends the run that did not confirm, and takes its change back.
func (s *session) expire(ctx context.Context) error {
	if err := s.takeLease(ctx, time.Hour, &wire.HelloEvent{}); err != nil {
		return err
	}
	if s.held == nil {
		return s.mayNotChange()
	}
	defer s.keepBeating(undoTime)()
	g := s.guards()
	a, err := g.Expired()
	if errors.Is(err, guard.ErrNone) {
		return nil // the run that had the lease has seen to it
	}
	if err != nil {
		return err
	}
	if err := s.readJournals(); err != nil {
		return err
	}
	var report wire.GuardEvent
	deadline := time.Now().Add(undoTries)
	for pause := time.Second; ; pause = min(2*pause, 10*time.Second) {
		report = s.takeBackGuarded(ctx, a)
		if report.State == wire.GuardUndone || time.Now().After(deadline) || s.gate.shut() != nil {
			break
		}
		if err := g.Report(report); err != nil {
			s.logf("guard: %v", err)
		}
		if err := sleep(ctx, pause); err != nil {
			break
		}
	}
	s.logf("run %s was not confirmed: %d taken back %s", a.Run, report.Undone, report.Error)
	if err := g.Report(report); err != nil {
		s.logf("guard: %v", err) // a full disk tells nobody, but all is back
	}
	if report.State == wire.GuardExpired {
		return fmt.Errorf("%w: %s", errNotBack, report.Error)
	}
	return s.standDown(ctx, amWatcher)
}

// takeBackGuarded takes back what stood under a guard that expired, and says
// how it went. This session has the lease.
func (s *session) takeBackGuarded(ctx context.Context, a guard.Armed) wire.GuardEvent {
	report := *a.Event(wire.GuardUndone)
	heard := &ear{}
	before := s.out
	s.out = &mouth{w: heard, scrub: before.scrub, broken: func(error) {}}
	defer func() { s.out = before }()
	j, err := s.journalOf(a.Run)
	stood := map[record]bool{}
	for _, rec := range recordsOf(j) {
		stood[rec] = inScope(a)(rec) && stands(rec)
	}
	switch {
	case err == nil:
		s.lineage = lineage{}
		err = s.takeBackArmed(ctx, a, j)
	case errors.Is(err, fs.ErrNotExist):
		err = nil // the run was killed before its first change was on record
	}
	if flushed := s.out.flush(); err == nil {
		err = flushed
	}
	left := 0
	for _, rec := range recordsOf(j) {
		switch {
		case !stood[rec]:
		case stands(rec):
			left++
		case rec.State != journal.Final:
			report.Undone++
		}
	}
	if err != nil {
		heard.errors = append(heard.errors, err.Error())
	}
	report.Error = strings.Join(heard.errors, "; ")
	if left > 0 || err != nil && j == nil {
		report.State = wire.GuardExpired
	}
	return report
}

func recordsOf(j *journal.Journal) []record {
	if j == nil {
		return nil
	}
	return j.Records
}

func (s *session) takeBackArmed(ctx context.Context, a guard.Armed, j *journal.Journal) error {
	if a.Runner == s.Digest {
		return s.takeBack(ctx, j, inScope(a))
	}
	play := a.Play
	if a.Scope == guard.Run {
		play = ""
	}
	return s.rollbackForeign(ctx, j, play)
}

// An ear hears what went wrong, for the report of a guard.
type ear struct{ errors []string }

// Write hears events.
func (e *ear) Write(events ...wire.Event) error {
	for _, v := range events {
		switch {
		case v.Unit != nil && v.Unit.Error != "" && (v.Unit.State == wire.Stuck || v.Unit.State == wire.Conflict):
			e.errors = append(e.errors, v.Unit.Address+": "+v.Unit.Error)
		case v.Need != nil && v.Need.Error != "":
			e.errors = append(e.errors, fmt.Sprintf("%s %s: %s", v.Need.Need.Verb, v.Need.Need.Object, v.Need.Error))
		}
	}
	return nil
}

// awaitNetwork waits until what brings the network up at boot has done so, or
// has failed: taking back a change while it is being made would leave half of
// both.
func (s *session) awaitNetwork(ctx context.Context) {
	units := []string{
		"ovsdb-server.service", "ovs-vswitchd.service", "openvswitch-switch.service", "openvswitch.service",
		"networking.service", "network.service", "NetworkManager.service", "systemd-networkd.service",
	}
	deadline := time.Now().Add(settleTime)
	for time.Now().Before(deadline) {
		s.Host.Memo.Forget()
		if !slices.ContainsFunc(units, func(name string) bool { return s.comes(ctx, name) }) {
			return
		}
		if err := sleep(ctx, watchPause); err != nil {
			return
		}
	}
}

// comes says whether a unit is on its way up, or will be started by this boot.
func (s *session) comes(ctx context.Context, name string) bool {
	u, err := s.Host.Units.Unit(ctx, name)
	if err != nil || u.LoadState != "loaded" {
		return err != nil && errors.Is(err, host.ErrNotReady)
	}
	wanted := strings.HasPrefix(u.FileState, "enabled")
	return u.ActiveState == "activating" || wanted && u.ActiveState == "inactive" && u.StartedAt == 0
}
