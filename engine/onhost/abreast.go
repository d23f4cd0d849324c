package onhost

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"weft/engine/host"
	"weft/engine/onhost/journal"
	"weft/engine/step"
	"weft/engine/wire"
)

// width is how many steps of one for_each are under way at once. Their questions and
// their syncs overlap; more would gain nothing.
const width = 64

// abreast are the first of the units that may be under way at once: steps of one
// for_each whose kind says so. Each is at least the first alone.
func (s *session) abreast(units []*unit) []*unit {
	n := 1
	for first := units[0]; n < min(width, len(units)); n++ {
		if x := units[n]; !s.plain(first) || !s.plain(x) || x.Kind != first.Kind || x.Name != first.Name {
			break
		}
	}
	return units[:n]
}

// plain says whether nothing of a unit depends on what becomes of others.
func (s *session) plain(x *unit) bool {
	return s.Table[x.Kind].Abreast && x.made == nil && x.step != nil && x.settles == nil && len(x.Unknown) == 0 &&
		len(x.Triggers) == 0 && len(x.AfterNeeds) == 0 && x.Guard == 0 && x.Limit == 0 &&
		!slices.ContainsFunc(s.journals(), func(j *journal.Journal) bool { return slices.ContainsFunc(j.Of(x.Address), (*journal.Record).HalfMade) })
}

// looked is what a check said.
type looked struct {
	finding step.Finding
	err     error
	elapsed time.Duration
}

func (s *session) lookAt(ctx context.Context, x *unit) looked {
	began := time.Now()
	f, err := s.look(ctx, x)
	return looked{f, err, time.Since(began)}
}

// lookAll checks steps at the same time.
func (s *session) lookAll(ctx context.Context, changes []*change) []looked {
	seen := make([]looked, len(changes))
	atOnce(len(changes), func(i int) { seen[i] = s.lookAt(ctx, changes[i].x) })
	return seen
}

// atOnce calls act with each number below n, and waits.
func atOnce(n int, act func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { act(i) })
	}
	all.Wait()
}

// convergeAll takes steps through their lives side by side, up to the first of which a
// check has more to say than a difference or none: that one goes its way alone. It returns
// how many it is done with. All that were begun come to their end also where one of them
// fails.
func (s *session) convergeAll(ctx context.Context, changes []*change, planned map[string]string) (int, error) {
	if len(changes) == 1 {
		return 1, changes[0].converge(ctx, planned)
	}
	var differ []*change
	n := 0
	for i, seen := range s.lookAll(ctx, changes) {
		c := changes[i]
		twice := func(o *change) bool { return o.found.Object == seen.finding.Object }
		if seen.err != nil || !c.alone(ctx, seen.finding, planned) || slices.ContainsFunc(differ, twice) {
			break
		}
		n++
		if c.found.Changed() {
			differ = append(differ, c)
		} else if err := c.finish(ctx); err != nil {
			return n, err
		}
	}
	if n == 0 {
		return 1, changes[0].converge(ctx, planned)
	}
	return n, s.writeAll(ctx, differ)
}

// alone takes what a check found, and says whether it is all that there is to
// it: nothing is left of other runs, and nothing but the change itself is to come.
func (c *change) alone(ctx context.Context, f step.Finding, planned map[string]string) bool {
	c.found = f
	c.left = c.s.leftAt(ctx, c.x)
	half := slices.ContainsFunc(c.s.journals(), func(j *journal.Journal) bool { return len(c.halfIn(j)) > 0 })
	return !half && len(c.left) == 0 && len(c.needs()) == 0 && len(f.Cost.Severs) == 0 && len(f.Cost.Guests) == 0 && c.s.tried(c.x) == nil && !c.stale(planned)
}

// writeAll puts changes on record, makes them, and sees them in force.
func (s *session) writeAll(ctx context.Context, changes []*change) error {
	if len(changes) == 0 {
		return nil
	}
	if err := s.recordAll(changes); err != nil {
		err = changes[0].fail(err)
		if s.gate.shut() != nil {
			for _, c := range changes[1:] {
				s.stopped([]*unit{c.x})
			}
		}
		return err
	}
	said := announcements{journal: s.own}
	failed := make([]error, len(changes))
	s.changed = true
	atOnce(len(changes), func(i int) {
		c := changes[i]
		h := s.hostFor("apply", c.x.Kind, func(e host.Effect) error { return said.say(c.record, e) })
		_, failed[i] = guarded(func() (any, error) { return nil, c.x.step.Apply(ctx, h, c.found) })
	})
	return s.verifyAll(ctx, changes, failed)
}

func (s *session) recordAll(changes []*change) error {
	all := make([]journal.Change, len(changes))
	for i, c := range changes {
		all[i] = c.recordOf(c.found, nil, nil)
	}
	recs, err := s.own.RecordAll(all)
	if err != nil {
		return err
	}
	for i, c := range changes {
		c.record = recs[i]
		s.note(c.x, wire.UnitEvent{State: wire.Applying})
	}
	s.out.send()
	return nil
}

// lastLook is how long changes are looked at that a stop came upon: they are made, and what
// is not seen in force is half-made work to any later undo.
const lastLook = time.Second

// verifyAll looks whether changes are in force. Failed are the errors of those that are
// not.
func (s *session) verifyAll(ctx context.Context, changes []*change, failed []error) error {
	s.Host.Memo.Forget()
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), lastLook)
		defer cancel()
	}
	var good []*change
	var recs []*journal.Record
	var after []looked
	for i, seen := range s.lookAll(ctx, changes) {
		switch f := seen.finding; {
		case failed[i] != nil:
		case seen.err != nil:
			failed[i] = afterwards(seen.err)
		case f.Changed():
			failed[i] = differs(f)
		default:
			good, recs, after = append(good, changes[i]), append(recs, changes[i].record), append(after, seen)
		}
	}
	var err error
	if len(recs) > 0 {
		err = s.own.VerifiedAll(recs, s.moment())
	}
	unwritten := err
	for i, c := range good {
		if unwritten != nil {
			err = errors.Join(err, c.fail(unwritten))
			continue
		}
		s.note(c.x, c.changed(after[i].finding))
	}
	s.out.send()
	for i, c := range changes {
		if failed[i] != nil {
			err = errors.Join(err, c.fail(failed[i]))
		}
	}
	return err
}

// announcements brings the effects of changes that are under way at once to the journal. Those
// that come while others are synced are synced together.
type announcements struct {
	journal *journal.Journal
	writing sync.Mutex // one sync at a time

	mu      sync.Mutex
	waiting []*announcement
}

// errUnannounced is of effects that a panic kept from the journal.
var errUnannounced = errors.New("it was not announced")

type announcement struct {
	journal.Announced
	over bool
	err  error
}

// say returns when the effect is on the disk.
func (a *announcements) say(rec *journal.Record, e host.Effect) error {
	mine := &announcement{Announced: journal.Announced{Record: rec, Effect: e}}
	a.mu.Lock()
	a.waiting = append(a.waiting, mine)
	a.mu.Unlock()

	a.writing.Lock()
	defer a.writing.Unlock()
	if mine.over {
		return mine.err
	}
	a.mu.Lock()
	batch := a.waiting
	a.waiting = nil
	a.mu.Unlock()
	all := make([]journal.Announced, len(batch))
	for i, one := range batch {
		all[i] = one.Announced
		one.over, one.err = true, errUnannounced // unless it is below
	}
	err := a.journal.EffectAll(all)
	for _, one := range batch {
		one.err = err
	}
	return err
}
