package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/onhost/journal"
	"weft/engine/step"
	"weft/engine/wire"
)

// undoPlay takes back what this run did in a play.
func (s *session) undoPlay(ctx context.Context, u wire.UndoPlay) error {
	s.waiting = slices.DeleteFunc(s.waiting, func(w waiting) bool { return w.change.play == u.Play })
	return s.takeBack(ctx, s.own, func(r *journal.Record) bool { return r.Play == u.Play })
}

// takeBack undoes records of a journal in reverse, then settles the needs that
// this raised. It returns an error only where the journal cannot be written.
func (s *session) takeBack(ctx context.Context, j *journal.Journal, wanted func(*journal.Record) bool) error {
	var undone []*journal.Record
	for _, rec := range slices.Backward(j.Records) {
		if !wanted(rec) || !rec.InForce() {
			continue
		}
		if s.gate.shut() != nil {
			s.tell(rec, wire.UnitEvent{State: wire.Stopped})
			continue
		}
		undone = append(undone, rec)
		if err := s.undoOne(ctx, j, rec); err != nil {
			return err
		}
	}
	_, err := s.settle(ctx, s.openNeeds(func(_ step.Need, r raised) bool { return slices.Contains(undone, r.record) }))
	return journalFailure(err)
}

// tell says where an undo stands. The address may be of a step that this
// session never saw.
func (s *session) tell(rec *journal.Record, e wire.UnitEvent) {
	e.Address = rec.Unit.Address
	if x := s.units[e.Address]; x != nil {
		x.state = e.State
	}
	s.out.now(wire.Event{Unit: &e})
}

// undoOne takes one change back and notes how that went.
func (s *session) undoOne(ctx context.Context, j *journal.Journal, rec *journal.Record) error {
	began := time.Now()
	s.Host.Memo.Forget()
	f := rec.Finding
	f.Settled = rec.Settled()
	if err := j.Undoing(rec); err != nil {
		s.tell(rec, stuck(err, began))
		return err
	}
	err := s.undoStep(ctx, j, rec, f)
	switch {
	case err == nil:
		err = j.Undone(rec, s.moment())
		s.tell(rec, wire.UnitEvent{State: wire.Undone, Elapsed: time.Since(began)})
	case s.gate.shut() != nil:
		s.tell(rec, stuck(fmt.Errorf("stopped half-way, undo it again: %w", err), began))
		return nil
	case journalFailure(err) != nil:
		s.tell(rec, stuck(err, began))
	case onlyConflict(err):
		e := stuck(err, began)
		e.State = wire.Conflict
		s.tell(rec, e)
		err = j.Conflict(rec, s.moment(), oneLine(err))
	case errors.Is(err, step.ErrIrreversible):
		s.tell(rec, stuck(err, began))
		err = j.Final(rec, oneLine(err))
	default:
		s.tell(rec, stuck(err, began))
		err = j.Stuck(rec, oneLine(err))
	}
	return err
}

func (s *session) undoStep(ctx context.Context, j *journal.Journal, rec *journal.Record, f step.Finding) error {
	s.out.scrub.Add(secretValues(rec.Unit)...)
	x := &unit{Unit: rec.Unit}
	if err := s.construct(x); err != nil {
		return err
	}
	if x.step == nil {
		return fmt.Errorf("%s is a probe, and changed nothing", rec.Unit.Kind)
	}
	h := s.hostFor(func(e host.Effect) error { return j.FollowUp(rec, e) })
	s.changed = true
	_, err := guarded(func() (any, error) { return nil, x.step.Undo(ctx, h, f) })
	return err
}

func stuck(err error, began time.Time) wire.UnitEvent {
	e := failure(err, time.Since(began))
	e.State = wire.Stuck
	return e
}

// onlyConflict says whether an error is about another hand's changes and
// nothing else: errors that are joined to a conflict are failures.
func onlyConflict(err error) bool {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(many.Unwrap(), func(e error) bool { return !onlyConflict(e) })
	}
	if err == step.ErrConflict { //nolint:errorlint // the chain is walked here
		return true
	}
	inner := errors.Unwrap(err)
	return inner != nil && onlyConflict(inner)
}

// rollback takes whole runs back, the last first. A run that cannot be is
// named in the error; the others are taken back nevertheless.
func (s *session) rollback(ctx context.Context, r wire.Rollback) error {
	runs := slices.Clone(r.Runs)
	slices.Sort(runs)
	runs = slices.Compact(runs)
	var refused []string
	for _, run := range slices.Backward(runs) {
		j, err := s.journalOf(run)
		if err == nil {
			err = s.covered(j, runs, r.Play)
		}
		if err == nil {
			err = s.rollbackRun(ctx, j, r.Play)
		}
		if err != nil {
			if journalFailure(err) != nil {
				return err
			}
			refused = append(refused, err.Error())
			continue
		}
		s.out.now(wire.Event{Run: runEvent(j)})
	}
	if len(refused) > 0 {
		return errors.New(strings.Join(refused, "; "))
	}
	return nil
}

func (s *session) rollbackRun(ctx context.Context, j *journal.Journal, play string) error {
	if j.Runner != s.Digest && slices.ContainsFunc(j.Records, (*journal.Record).InForce) {
		return s.rollbackForeign(ctx, j, play)
	}
	return s.takeBack(ctx, j, inPlay(play))
}

func inPlay(play string) func(*journal.Record) bool {
	return func(r *journal.Record) bool { return play == "" || r.Play == play }
}

// journalOf returns the one journal of a run in this session.
func (s *session) journalOf(run string) (*journal.Journal, error) {
	for _, j := range slices.Concat(s.journals(), s.rolled) {
		if j.Header.Run == run && (j != s.own || len(j.Records) > 0) {
			return j, nil
		}
	}
	j, err := s.store.Load(run)
	if err != nil {
		return nil, err
	}
	s.rolled = append(s.rolled, j)
	return j, nil
}

// covered refuses the rollback of a run where a later one, which stays,
// changed the same object.
func (s *session) covered(j *journal.Journal, leaving []string, play string) error {
	objects := map[string]bool{}
	for _, rec := range j.Records {
		if rec.InForce() && inPlay(play)(rec) {
			objects[rec.Finding.Object] = true
		}
	}
	names, err := s.store.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if name <= j.Header.Run || slices.Contains(leaving, name) {
			continue
		}
		later, err := s.peek(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, rec := range later.Records {
			if rec.InForce() && objects[rec.Finding.Object] {
				return fmt.Errorf("run %s is not rolled back: the later run %s of %s changed %s too; roll that back first, or both in one",
					j.Header.Run, name, later.Owner, rec.Finding.Object)
			}
		}
	}
	return nil
}

// peek is a run's journal to read: the session's own view of it where it has
// one.
func (s *session) peek(run string) (*journal.Journal, error) {
	for _, j := range slices.Concat(s.journals(), s.rolled) {
		if j.Header.Run == run {
			return j, nil
		}
	}
	return s.store.Load(run)
}
