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
	s.lineage = lineage{}
	s.beginWhole(undoTime)
	s.forgetBoots()
	err := s.takeBack(ctx, s.own, func(r *journal.Record) bool { return r.Play == u.Play })
	if s.wantsBoot() {
		s.sayBoot(ctx)
	}
	return errors.Join(err, s.disarm(ctx, s.own.Header.Run))
}

// takeBack undoes records of a journal in reverse, then settles the needs that
// this raised. What cannot be seen undone before its needs are settled, or
// before something else is out of the way, is undone again after that. It returns an error only where the journal cannot
// be written.
func (s *session) takeBack(ctx context.Context, j *journal.Journal, wanted func(*journal.Record) bool) error {
	s.tookBack = true
	var undone, late []*journal.Record
	for _, rec := range slices.Backward(j.Records) {
		switch {
		case !wanted(rec) || s.lineage.absorbed[rec]:
			continue
		case !rec.InForce():
			undone = append(undone, rec) // needs of an undo that was killed before their time
			continue
		}
		if s.gate.shut() != nil {
			s.tell(rec, wire.UnitEvent{State: wire.Stopped})
			continue
		}
		undone = append(undone, s.lineage.all(rec)...)
		u := s.undoOne(ctx, j, rec)
		if u.failed() && !errors.Is(u.err, step.ErrConflict) && s.gate.shut() == nil {
			// Its outcome may be unknown: once more, before what it stands on goes.
			u = s.undoOne(ctx, j, rec)
		}
		if u.failed() && len(rec.Finding.Needs) > 0 || onlyConflict(u.err) && s.inTheWay(rec) {
			late = append(late, rec)
			continue
		}
		if err := s.conclude(ctx, j, rec, u); err != nil {
			return err
		}
	}
	if err := s.settleUndone(ctx, undone); err != nil {
		return err
	}
	if len(s.boots) > 0 {
		return nil // they are tried again after the reboot
	}
	for _, rec := range late {
		if err := s.conclude(ctx, j, rec, s.undoOne(ctx, j, rec)); err != nil {
			return err
		}
	}
	return s.settleUndone(ctx, undone)
}

// settleUndone settles the needs of records that were taken back. What fails
// was said, and stays open; the error is the journal's.
func (s *session) settleUndone(ctx context.Context, undone []*journal.Record) error {
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

// An attempt is one try to take a change back.
type attempt struct {
	began time.Time
	err   error
}

// failed says whether another try may do better.
func (a attempt) failed() bool {
	return a.err != nil && !onlyConflict(a.err) && !errors.Is(a.err, step.ErrIrreversible) && journalFailure(a.err) == nil
}

// undoOne tries to take one change back.
func (s *session) undoOne(ctx context.Context, j *journal.Journal, rec *journal.Record) attempt {
	a := attempt{began: time.Now()}
	s.Host.Memo.Forget()
	f := s.lineage.finding(rec)
	if a.err = s.lineage.begin(j, rec); a.err == nil {
		a.err = s.undoStep(ctx, j, rec, f)
	}
	return a
}

// conclude says how an undo went, and notes it.
func (s *session) conclude(ctx context.Context, j *journal.Journal, rec *journal.Record, a attempt) error {
	e := wire.UnitEvent{State: wire.Undone, Elapsed: time.Since(a.began)}
	if a.err != nil {
		e = failure(a.err, time.Since(a.began))
		e.State = wire.Stuck
	}
	foreign := onlyConflict(a.err) && s.gate.shut() == nil
	if foreign && s.inTheWay(rec) {
		foreign = false
		e.Error = "it is undone once what else could not be taken back is: " + e.Error
	}
	var noted error
	if a.err == nil || foreign {
		noted = s.lineage.close(rec, s.moment())
	}
	switch {
	case noted != nil:
	case a.err == nil:
		if noted = j.Undone(rec, s.moment()); noted == nil {
			noted = s.backAsFound(ctx, j, rec, s.lineage.finding(rec))
		}
	case s.gate.shut() != nil:
		e.Error = "stopped half-way, undo it again: " + e.Error
	case journalFailure(a.err) != nil:
		noted = journalFailure(a.err)
	case foreign:
		e.State = wire.Conflict
		noted = j.Conflict(rec, s.moment(), e.Error)
	case errors.Is(a.err, step.ErrIrreversible):
		noted = j.Final(rec, e.Error)
	default:
		noted = j.Stuck(rec, e.Error)
	}
	s.tell(rec, e)
	return noted
}

// inTheWay says whether another change could not be taken back so far: what
// looks like another hand's work to an older change may be that one, unless
// the older one's undo wrote something and left the rest.
func (s *session) inTheWay(rec *journal.Record) bool {
	if rec.UndoBegan {
		return false
	}
	ours := s.lineage.all(rec)
	for _, j := range slices.Concat(s.journals(), s.rolled) {
		for _, other := range j.Records {
			if (other.State == journal.Stuck || other.State == journal.Undoing) && !slices.Contains(ours, other) {
				return true
			}
		}
	}
	return false
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
	h := s.hostFor("undo", rec.Unit.Kind, func(e host.Effect) error { return s.lineage.announce(j, rec, e) })
	h.Told = s.telling(rec.Unit.Address)
	f.Sort = func(foreign, own []string) error { return j.Sorted(rec, foreign, own) }
	s.changed = true
	ctx, cancel := limited(ctx, rec.Unit)
	defer cancel()
	_, err := guarded(func() (any, error) { return nil, x.step.Undo(ctx, h, f) })
	if over := new(limitError); err != nil && errors.As(context.Cause(ctx), &over) {
		err = fmt.Errorf("%w: %w", over, err)
	}
	return err
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
	runs, refused := s.leaving(r.Runs)
	s.lineage = newLineage(runs, s.Digest)
	s.forgetBoots()
	if !r.Ask {
		s.beginWhole(undoTime)
	}
	var done []*journal.Journal
	for _, j := range slices.Backward(runs) {
		if r.Run != "" && r.Run != j.Header.Run {
			continue
		}
		err := s.covered(j, r.Runs, r.Play)
		if err == nil && !r.Ask {
			err = s.rollbackRun(ctx, j, r.Play)
		}
		if err != nil {
			if journalFailure(err) != nil {
				return err
			}
			refused = append(refused, err.Error())
			continue
		}
		done = append(done, j)
	}
	if s.wantsBoot() {
		s.sayBoot(ctx)
	}
	for _, j := range done { // last: one that went with an older run is gone only now
		if r.Ask {
			continue
		}
		s.out.now(wire.Event{Run: runEvent(j)})
		if err := s.disarm(ctx, j.Header.Run); err != nil {
			refused = append(refused, err.Error())
		}
	}
	if len(refused) > 0 {
		return errors.New(strings.Join(refused, "; "))
	}
	return nil
}

// leaving are the journals of runs, the oldest first, and what cannot be read.
func (s *session) leaving(names []string) (runs []*journal.Journal, refused []string) {
	names = slices.Clone(names)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		j, err := s.journalOf(name)
		if err != nil {
			refused = append(refused, err.Error())
			continue
		}
		runs = append(runs, j)
	}
	slices.SortStableFunc(runs, func(a, b *journal.Journal) int { return a.Began.Compare(b.Began) })
	return runs, refused
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
		if name == j.Header.Run || slices.Contains(leaving, name) {
			continue
		}
		later, err := s.peek(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !later.Began.After(j.Began) { // names come from controllers, whose clocks may differ
			continue
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
