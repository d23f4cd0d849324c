package onhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/onhost/journal"
	"weft/engine/step"
	"weft/engine/wire"
)

// An openNeed is a need that was recorded and not settled, with the records
// that raised it.
type openNeed struct {
	step.Need
	raised []raised
}

type raised struct {
	journal *journal.Journal
	record  *journal.Record
	tried   bool
}

func same(a, b step.Need) bool { return a.Verb == b.Verb && a.Object == b.Object }

// journals are those whose needs this session can settle, the oldest first.
func (s *session) journals() []*journal.Journal {
	return append(slices.Clone(s.left), s.own)
}

// openNeeds returns the open needs of which at least one record is wanted,
// each with all records that raised it: a restart serves them all.
func (s *session) openNeeds(wanted func(step.Need, raised) bool) []openNeed {
	var all []openNeed
	var take []bool
	for _, j := range slices.Concat(s.journals(), s.rolled) {
		for _, rec := range j.Records {
			for _, n := range rec.Needs {
				if !n.Open || len(rec.OpenNeeds()) == 0 {
					continue
				}
				i := slices.IndexFunc(all, func(o openNeed) bool { return same(o.Need, n.Need) })
				if i < 0 {
					i = len(all)
					all, take = append(all, openNeed{Need: n.Need}), append(take, false)
				}
				r := raised{journal: j, record: rec, tried: n.Tried}
				all[i].raised = append(all[i].raised, r)
				take[i] = take[i] || wanted(n.Need, r)
			}
		}
	}
	var chosen []openNeed
	for i, n := range all {
		if take[i] {
			chosen = append(chosen, n)
		}
	}
	return chosen
}

// ofPlay wants the needs that this run's play raised, and those that earlier
// runs left and that a step of this session has shown.
func (s *session) ofPlay(play string) func(step.Need, raised) bool {
	return func(n step.Need, r raised) bool {
		if r.journal == s.own && r.record.Play == play {
			return true
		}
		return s.isLeft(r) && s.shownAt(n, r.record) != nil
	}
}

// named wants the needs of systemd units by their names, with or without
// ".service".
func named(units []string) func(step.Need, raised) bool {
	return func(n step.Need, _ raised) bool {
		return slices.ContainsFunc(units, func(u string) bool {
			return u == n.Object || u+".service" == n.Object && !isReboot(n)
		})
	}
}

func equalTo(want step.Need) func(step.Need, raised) bool {
	return func(n step.Need, _ raised) bool { return same(n, want) }
}

// isLeft says whether a need was there when the session began.
func (s *session) isLeft(r raised) bool {
	return slices.Contains(s.left, r.journal) || r.journal == s.own && r.record.N <= s.ownBefore
}

// shownAt is the step at which a need that was left is shown: the one that
// settles it, else the one that raised it, else none.
func (s *session) shownAt(n step.Need, rec *journal.Record) *unit {
	for _, x := range s.known {
		if x.settles != nil && same(*x.settles, n) {
			return x
		}
	}
	return s.units[rec.Unit.Address]
}

// leftAt returns the needs that are shown at a unit: left by earlier sessions
// and still of use.
func (s *session) leftAt(ctx context.Context, x *unit) []openNeed {
	if len(s.left) == 0 && s.ownBefore == 0 {
		return nil
	}
	needs := s.openNeeds(func(n step.Need, r raised) bool { return s.isLeft(r) && s.shownAt(n, r.record) == x })
	return slices.DeleteFunc(needs, func(n openNeed) bool {
		if isReboot(n.Need) {
			return !slices.ContainsFunc(n.raised, func(r raised) bool { return !s.bootedSince(r.record) })
		}
		u, err := s.Host.Units.Unit(ctx, n.Object)
		return err == nil && s.moot(n, u)
	})
}

// showLeft adds what is still to do of earlier runs to a finding, so that a
// plan shows it and an apply comes here.
func showLeft(f *step.Finding, needs []openNeed) {
	for _, n := range needs {
		f.Deltas = append(slices.Clone(f.Deltas), step.Change(string(n.Verb), nil, n.Object))
		if f.Cost.Disruption == "" {
			f.Cost.Disruption = disruption(n.Need)
		}
	}
}

// moot says whether a need is settled already, or serves nobody: the unit was
// started since, is not there, or is neither running nor meant to.
func (s *session) moot(n openNeed, u host.Unit) bool {
	if u.LoadState == "not-found" || u.LoadState == "masked" {
		return true
	}
	running := u.ActiveState != "inactive" && u.ActiveState != "failed"
	wanted := strings.HasPrefix(u.FileState, "enabled") || u.FileState == "generated"
	if !running {
		// What our own restart broke was meant to run.
		broken := u.ActiveState == "failed" && slices.ContainsFunc(n.raised, func(r raised) bool { return r.tried })
		return !wanted && !broken
	}
	return !slices.ContainsFunc(n.raised, func(r raised) bool { return !s.outlived(r, u) })
}

// outlived says whether a running unit knows the change: it was started after
// it. An undone change that the unit never ran with is none to it either.
func (s *session) outlived(r raised, u host.Unit) bool {
	rec := r.record
	switch rec.State {
	case journal.Undoing, journal.Stuck:
		return false
	case journal.Undone, journal.Conflict:
		if !r.tried && rec.Began.Boot == s.boot && u.StartedAt < rec.Began.Micros {
			return true
		}
	}
	if rec.Applied == (journal.Moment{}) {
		return rec.Began.Boot != s.boot
	}
	return rec.Applied.Boot != s.boot || u.StartedAt > rec.Applied.Micros
}

// restart is a need that was served, and must be seen to hold.
type restart struct {
	openNeed
	after host.Unit
	began time.Time
}

// settle settles needs, once each, and returns the first that failed. It says
// whether anything was really restarted. Where one of them is a reboot that is
// to come, nothing is restarted, and the error is errReboot.
func (s *session) settle(ctx context.Context, needs []openNeed) (restarted bool, err error) {
	var errs []error
	if needs, err = s.bootsFirst(needs); err != nil {
		return false, err
	}
	var pending []restart
	for _, n := range needs {
		r, err := s.serveNeed(ctx, n)
		switch {
		case err != nil:
			errs = append(errs, s.needFailed(ctx, n, err, time.Since(r.began)))
		case r.after.Name != "":
			pending = append(pending, r)
		}
	}
	for _, r := range pending {
		if err := s.holds(ctx, r); err != nil {
			errs = append(errs, s.needFailed(ctx, r.openNeed, err, time.Since(r.began)))
			continue
		}
		if err := s.closeNeed(r.openNeed); err != nil {
			errs = append(errs, err)
			continue
		}
		restarted = true
		s.out.now(wire.Event{Need: &wire.NeedEvent{Need: r.Need, Elapsed: time.Since(r.began)}})
	}
	return restarted, errors.Join(errs...)
}

// serveNeed restarts a unit, unless that is of no use any more. The unit in
// the result is set where it was restarted.
func (s *session) serveNeed(ctx context.Context, n openNeed) (restart, error) {
	r := restart{openNeed: n, began: time.Now()}
	s.Host.Memo.Forget()
	u, err := s.Host.Units.Unit(ctx, n.Object)
	if err != nil {
		return r, err
	}
	if s.moot(n, u) {
		s.logf("%s %s is not needed any more", n.Verb, n.Object)
		return r, s.closeNeed(n)
	}
	h := s.hostFor("need", string(n.Verb), func(e host.Effect) error { return n.raised[0].journal.FollowUp(nil, e) })
	s.changed = true
	if err := h.Units.Do(ctx, host.Restart, n.Object); err != nil {
		return r, err
	}
	r.after, err = s.Host.Units.Unit(ctx, n.Object)
	r.after.Name = n.Object
	return r, err
}

// holds sees whether a unit still runs a moment after its restart.
func (s *session) holds(ctx context.Context, r restart) error {
	if err := sleep(ctx, s.Moment); err != nil {
		return err
	}
	s.Host.Memo.Forget()
	u, err := s.Host.Units.Unit(ctx, r.Object)
	if err != nil {
		return err
	}
	done := u.Type == "oneshot" && u.ActiveState == "inactive"
	if u.ActiveState != "active" && !done || u.MainPID != r.after.MainPID {
		return fmt.Errorf("%s did not stay up after its restart: it is %s (%s); see: journalctl -u %s",
			r.Object, u.ActiveState, u.SubState, r.Object)
	}
	return nil
}

func (s *session) closeNeed(n openNeed) error {
	var closed []*journal.Journal
	for _, r := range n.raised {
		if slices.Contains(closed, r.journal) {
			continue
		}
		closed = append(closed, r.journal)
		if err := r.journal.Settled(n.Need); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) needFailed(ctx context.Context, n openNeed, err error, elapsed time.Duration) error {
	err = s.explained(ctx, n, err)
	line, detail := explain(err)
	if detail != "" {
		line += "\n" + detail
	}
	s.out.now(wire.Event{Need: &wire.NeedEvent{Need: n.Need, Error: line, Elapsed: elapsed}})
	return fmt.Errorf("%s %s: %w", n.Verb, n.Object, err)
}

// explained adds to the failure of a need what the steps that raised it know.
func (s *session) explained(ctx context.Context, n openNeed, err error) error {
	for _, r := range n.raised {
		x := s.units[r.record.Unit.Address]
		if x == nil {
			continue
		}
		if e, ok := x.step.(step.Explainer); ok {
			if said := e.Explain(ctx, s.Host.View(), n.Need); said != "" {
				return fmt.Errorf("%w%s", err, said)
			}
		}
	}
	return err
}

// A waiting step is applied, and will be seen in force once its needs are
// settled.
type waiting struct {
	change *change
	needs  []step.Need
}

// endPlay settles what the play left open, and looks at the steps that waited
// for it.
func (s *session) endPlay(ctx context.Context, e wire.EndPlay) error {
	s.disrupts = e.AllowDisruption
	s.underGuard()
	defer s.stillAgain(ctx)
	_, err := s.settlePlay(ctx, e.Play)
	if errors.Is(err, errReboot) {
		s.sayBoot(ctx)
		return nil
	}
	return journalFailure(err)
}

// settlePlay settles the needs of a play and verifies what waited for them. It
// says whether all is well.
func (s *session) settlePlay(ctx context.Context, play string) (ok bool, err error) {
	if _, err = s.settleOnwards(ctx, s.openNeeds(s.ofPlay(play))); errors.Is(err, errReboot) {
		return false, err
	}
	ok = err == nil
	still := s.waiting[:0:0]
	for _, w := range s.waiting {
		if w.change.play != play {
			still = append(still, w)
			continue
		}
		if ok && s.leftToOthers(w) {
			continue
		}
		if verified := w.change.verifyLate(ctx, w.needs); verified != nil {
			ok, err = false, errors.Join(err, journalFailure(verified))
		}
	}
	s.waiting = still
	return ok, err
}

// sleep waits, unless the request is ended first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
