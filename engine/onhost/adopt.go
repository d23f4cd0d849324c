package onhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"weft/engine/onhost/journal"
	"weft/engine/step"
	"weft/engine/wire"
)

// A half is a change that a dead run left half made.
type half struct {
	journal *journal.Journal
	record  *journal.Record
}

// halfMade finds half-made changes to the object of c, the oldest first. What
// the machine holds now is not what was found before them, so c takes over
// what they found. A change of another build is taken back by that build's own
// runner instead: only it can read what it found.
func (c *change) halfMade(ctx context.Context) ([]half, error) {
	for _, j := range c.s.left {
		if j.Runner == c.s.Digest || len(c.halfIn(j)) == 0 {
			continue
		}
		if err := c.s.undoForeignHalf(ctx, j); err != nil {
			return nil, fmt.Errorf("run %s left %s half made: %w", j.Header.Run, c.found.Object, err)
		}
		c.s.Host.Memo.Forget()
		f, err := c.s.look(ctx, c.x)
		if err != nil {
			return nil, err
		}
		c.found = f
	}
	var all []half
	for _, j := range c.s.journals() {
		all = append(all, c.halfIn(j)...)
	}
	return all, nil
}

func (c *change) halfIn(j *journal.Journal) []half {
	var all []half
	for _, rec := range j.About(c.found.Object) {
		live := j == c.s.own && rec.Unit.Address != c.x.Address // another step of this run, still at it
		if rec.HalfMade() && !live && rec.Unit.Kind == c.x.Kind {
			all = append(all, half{journal: j, record: rec})
		}
	}
	return all
}

// handOver closes the records whose before-image c holds now. It comes after
// the new record is on the disk: between the two both are open, and the next
// run adopts both.
func (c *change) handOver() error {
	for _, h := range c.half {
		if err := h.journal.Adopted(h.record, c.s.own.Header.Run); err != nil {
			return err
		}
		c.s.waiting = slices.DeleteFunc(c.s.waiting, func(w waiting) bool { return w.change.record == h.record })
	}
	return nil
}

// overlay returns what was found before an older change and a newer one to the
// same object: what the older found, and of what it did not manage, what the
// newer did. What the newer found of the rest is the older's own work, also
// where the older found nothing.
func overlay(newer, older step.Finding) json.RawMessage {
	n, b := fields(newer.Before), fields(older.Before)
	if n == nil || b == nil || string(b["state"]) == `"absent"` || bytes.Equal(newer.Want, older.Want) {
		return older.Before
	}
	delete(n, "state")
	return encode(beneath(n, b, fields(older.Want)))
}

// beneath returns b with those fields of n that b does not have and that are
// not managed.
func beneath(n, b, managed map[string]json.RawMessage) map[string]json.RawMessage {
	merged := maps.Clone(b)
	for k, v := range n {
		wanted, isManaged := managed[k]
		x, y, inner := fields(v), fields(b[k]), fields(wanted)
		_, there := b[k]
		switch {
		case x != nil && y != nil && inner != nil:
			merged[k] = encode(beneath(x, y, inner))
		case !there && !isManaged:
			merged[k] = v
		}
	}
	return merged
}

// wanted returns what holds after two changes to an object: what the newer
// wanted, and of what it did not manage, what the older did.
func wanted(newer, older json.RawMessage) json.RawMessage {
	n, o := fields(newer), fields(older)
	if n == nil || o == nil || string(n["state"]) == `"absent"` {
		return newer
	}
	delete(o, "state")
	return encode(beneath(o, n, n))
}

// fields are those of an object; nil for what is none.
func fields(raw json.RawMessage) map[string]json.RawMessage {
	var f map[string]json.RawMessage
	if json.Unmarshal(raw, &f) != nil {
		return nil
	}
	return f
}

func encode(f map[string]json.RawMessage) json.RawMessage {
	out, err := json.Marshal(f)
	if err != nil {
		panic("onhost: a merged state that is no JSON: " + err.Error())
	}
	return out
}

// finish ends the way of a unit that has nothing to write. Three things may be
// left of earlier steps and runs: a half-made change that is whole by now, a
// need that this step settles, and a need that is shown here because no step
// settles it.
func (c *change) finish(ctx context.Context) error {
	if len(c.half) > 0 {
		if err := c.putOnRecord(c.needs()); err != nil {
			return c.fail(err)
		}
		if err := c.s.own.Verified(c.record, c.s.moment()); err != nil {
			return c.fail(err)
		}
	}
	if c.x.settles != nil {
		n := *c.x.settles
		restarted, err := c.s.settle(ctx, c.s.openNeeds(equalTo(n)))
		if err != nil {
			return c.fail(err)
		}
		if restarted {
			showLeft(&c.found, []openNeed{{Need: n}})
			return c.verifyLate(ctx, nil)
		}
	} else if len(c.left) > 0 {
		showLeft(&c.found, c.left)
		var needs []step.Need
		for _, n := range c.left {
			needs = append(needs, n.Need)
		}
		return c.pend(c.found, needs)
	}
	c.s.report(c.x, wire.UnitEvent{State: wire.Converged, Finding: &c.found, Elapsed: time.Since(c.began)})
	return nil
}

// undoForeignHalf has the runner that wrote a journal take back what it left
// half made, and reads the journal again.
func (s *session) undoForeignHalf(ctx context.Context, j *journal.Journal) error {
	run := j.Header.Run
	if err := j.Close(); err != nil {
		return err
	}
	var stuck string
	err := s.foreign(ctx, j, Order{Run: run, Half: true}, func(e wire.Event) {
		if e.Unit != nil && e.Unit.State == wire.Stuck {
			stuck = e.Unit.Error
		}
	})
	if err == nil && stuck != "" {
		err = errors.New("it could not be taken back: " + stuck)
	}
	again, loaded := s.store.Load(run)
	if loaded != nil {
		return errors.Join(err, loaded)
	}
	*j = *again
	return err
}
