package onhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"weft/engine/host"
	"weft/engine/onhost/journal"
	"weft/engine/step"
	"weft/engine/wire"
)

// errHalted ends an apply whose unit failed; the unit's event said why.
var errHalted = errors.New("a unit failed")

// journalFailure keeps of an error only what breaks a whole request off.
func journalFailure(err error) error {
	var w *journal.WriteError
	if errors.As(err, &w) {
		return w
	}
	return nil
}

// apply converges units in order, up to the first that fails.
func (s *session) apply(ctx context.Context, a wire.Apply) error {
	s.Host.Memo.Forget()
	s.disrupts = a.AllowDisruption
	s.underGuard()
	defer s.stillAgain(ctx)
	units := make([]*unit, len(a.Units))
	for i, u := range a.Units {
		units[i] = s.remember(u) // all first: a change raises the needs of steps that come later
	}
	for len(units) > 0 {
		if s.gate.shut() != nil {
			s.stopped(units)
			return nil
		}
		var changes []*change
		for _, x := range s.abreast(units) {
			changes = append(changes, s.newChange(x, a))
		}
		n, err := s.convergeAll(ctx, changes, a.Planned)
		units = units[n:]
		if errors.Is(err, errReboot) {
			s.sayBoot(ctx)
			return nil
		}
		if err != nil {
			if s.gate.shut() != nil {
				s.stopped(units)
			}
			return journalFailure(err)
		}
	}
	return nil
}

// newChange is a unit at the beginning of its way.
func (s *session) newChange(x *unit, a wire.Apply) *change {
	return &change{s: s, x: x, play: a.Play, index: a.Index, began: time.Now(), guard: a.Guard, byHand: a.ByHand, disrupts: a.AllowDisruption, onFailure: a.OnFailure}
}

func (s *session) stopped(units []*unit) {
	for _, x := range units {
		s.report(x, wire.UnitEvent{State: wire.Stopped})
	}
}

// A change is one unit on its way through an apply.
type change struct {
	s     *session
	x     *unit
	play  string
	index int
	began time.Time

	// What the apply says of guards.
	guard     time.Duration
	byHand    bool
	disrupts  bool // changes that hit guests are allowed
	onFailure string

	over func() bool // whether its time is

	found  step.Finding    // of the first check
	left   []openNeed      // of earlier runs, shown at this unit
	half   []half          // changes of dead runs to the same object
	record *journal.Record // nil until something is to be written
}

// converge takes the unit through its life. Where it fails it says so, and
// returns an error.
func (c *change) converge(ctx context.Context, planned map[string]string) error {
	ctx, cancel := limited(ctx, c.x.Unit)
	defer cancel()
	c.over = func() bool { return errors.As(context.Cause(ctx), new(*limitError)) }
	if rec := c.s.tried(c.x); rec != nil {
		return c.keep(ctx, rec)
	}
	if len(c.x.AfterNeeds) > 0 {
		if _, err := c.s.settleOnwards(ctx, c.s.openNeeds(named(c.x.AfterNeeds))); err != nil {
			return c.fail(fmt.Errorf("what must come before this step failed: %w", err))
		}
	}
	if c.s.isProbe(c.x) {
		return c.prove(ctx)
	}
	if err := c.find(ctx); err != nil {
		return c.fail(err)
	}
	if c.found.Changed() && c.stale(planned) {
		c.s.report(c.x, wire.UnitEvent{State: wire.Stale, Finding: &c.found, Elapsed: time.Since(c.began),
			Error: "the host is not as it was when the plan was made; plan again"})
		return errHalted
	}
	if err := c.allowed(); err != nil {
		return c.fail(err)
	}
	if !c.found.Changed() {
		return c.finish(ctx)
	}
	if err := c.write(ctx); err != nil {
		return c.fail(err)
	}
	return c.verify(ctx)
}

// find checks. What an earlier step brought may take a moment to
// be there, or wait for a need.
func (c *change) find(ctx context.Context) error {
	f, err := c.s.look(ctx, c.x)
	if errors.Is(err, step.ErrNotYet) && (c.s.changed || c.s.ownBefore > 0) {
		if _, settled := c.s.settleOnwards(ctx, c.s.openNeeds(c.s.ofPlay(c.play))); settled != nil {
			return errors.Join(err, settled)
		}
		f, err = c.lookUntil(ctx, func(_ step.Finding, err error) bool { return !errors.Is(err, step.ErrNotYet) })
	}
	if err != nil {
		return err
	}
	c.found = f
	c.left = c.s.leftAt(ctx, c.x)
	if c.half, err = c.halfMade(ctx); err != nil {
		return err
	}
	return c.nameGuests(ctx)
}

// lookUntil checks until the answer will do, or patience is over.
func (c *change) lookUntil(ctx context.Context, enough func(step.Finding, error) bool) (step.Finding, error) {
	deadline := time.Now().Add(c.s.Patience)
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		c.s.Host.Memo.Forget()
		f, err := c.s.look(ctx, c.x)
		if enough(f, err) || time.Now().After(deadline) {
			return f, err
		}
		if err := sleep(ctx, pause); err != nil {
			return f, err
		}
	}
}

// stale says whether the finding is another than the one that was shown: as
// it was shown, without secrets. A restart that was left by an earlier run may
// have been shown with it.
func (c *change) stale(planned map[string]string) bool {
	want, known := planned[c.x.Address]
	if !known || c.s.out.cleanFinding(c.found).Digest() == want {
		return false
	}
	shown := c.found
	showLeft(&shown, c.left)
	return c.s.out.cleanFinding(shown).Digest() != want
}

// write puts the change on record and makes it.
func (c *change) write(ctx context.Context) error {
	if err := c.cover(ctx); err != nil {
		return err
	}
	needs, came := c.needs(), c.rebootCame()
	if err := c.putOnRecord(needs); err != nil {
		return err
	}
	for _, n := range needs {
		if isReboot(n) && came {
			if err := c.s.own.SettledOf(c.record, n); err != nil {
				return err
			}
		}
	}
	c.s.report(c.x, wire.UnitEvent{State: wire.Applying})
	h := c.s.hostFor("apply", c.x.Kind, func(e host.Effect) error { return c.s.own.Effect(c.record, e) })
	h.Told = c.s.telling(c.x.Address)
	c.s.changed = true
	h = c.s.importsFor(c.x, h)
	_, err := guarded(func() (any, error) { return nil, c.x.step.Apply(ctx, h, c.found) })
	if err != nil {
		return err
	}
	return c.settleOwn(ctx)
}

// settleOwn settles the need that this step settles in its place.
func (c *change) settleOwn(ctx context.Context) error {
	if c.x.settles == nil {
		return nil
	}
	_, err := c.s.settle(ctx, c.s.openNeeds(equalTo(*c.x.settles)))
	return err
}

// needs are what the change raises: its own, those of the steps that it
// triggers, and those of the half-made changes that it takes over.
func (c *change) needs() []step.Need {
	var all []step.Need
	add := func(n step.Need) {
		if n.Reason == "" {
			n.Reason = c.x.Address
		}
		if !slices.ContainsFunc(all, func(o step.Need) bool { return same(o, n) }) {
			all = append(all, n)
		}
	}
	for _, n := range c.found.Needs {
		add(n)
	}
	for _, x := range c.s.settlers {
		if x.settles != nil && x != c.x && slices.Contains(x.Triggers, c.x.Address) {
			n := *x.settles
			n.Reason = c.x.Address
			add(n)
		}
	}
	for _, h := range c.half {
		for _, n := range h.record.Needs {
			if n.Open || isReboot(n.Need) {
				add(n.Need)
			}
		}
	}
	return all
}

// served are the restarts that half-made changes raised and that came since: there
// is nothing left to do for them, unless the change is taken back.
func (c *change) served(needs []step.Need) []step.Need {
	var all []step.Need
	for _, h := range c.half {
		for _, n := range h.record.Needs {
			known := func(o step.Need) bool { return same(o, n.Need) }
			if !n.Open && !isReboot(n.Need) && !slices.ContainsFunc(needs, known) && !slices.ContainsFunc(all, known) {
				all = append(all, n.Need)
			}
		}
	}
	return all
}

// rebootCame says whether the machine has booted for the half-made changes that
// this one takes over, and needs to for nothing else: then it is to boot anew only
// where the change is taken back.
func (c *change) rebootCame() bool {
	if slices.ContainsFunc(c.found.Needs, isReboot) {
		return false
	}
	return !slices.ContainsFunc(c.half, func(h half) bool {
		return slices.ContainsFunc(h.record.OpenNeeds(), isReboot) && !c.s.bootedSince(h.record)
	})
}

// putOnRecord writes the change down, with what was found before any dead run
// began on it.
func (c *change) putOnRecord(needs []step.Need) error {
	f, served := c.found, c.served(needs)
	var adopts []journal.Ref
	for _, h := range slices.Backward(c.half) { // the oldest last: what it found wins
		f.Before = overlay(f, h.record.Finding)
		adopts = append(adopts, journal.Ref{Run: h.journal.Header.Run, Record: h.record.N})
	}
	rec, err := c.s.own.Record(c.recordOf(f, slices.Concat(needs, served), adopts))
	if err != nil {
		return err
	}
	c.record = rec
	if err := c.handOver(); err != nil {
		return err
	}
	for _, n := range served {
		if err := c.s.own.SettledOf(rec, n); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) recordOf(f step.Finding, needs []step.Need, adopts []journal.Ref) journal.Change {
	return journal.Change{Play: c.play, Index: c.index, Unit: c.x.Unit, Finding: f, Needs: needs, Adopts: adopts, At: c.s.moment()}
}
