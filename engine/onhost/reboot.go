package onhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/host/trial"
	"weft/engine/onhost/journal"
	"weft/engine/step"
	"weft/engine/wire"
)

// errReboot ends a request where the machine must boot anew before anything
// else. It is no failure: the same request comes again after it.
var errReboot = errors.New("the machine must boot anew first")

// mostBoots is how often one run boots a machine, and how often it does so to
// take its changes back.
const mostBoots = 1

func isReboot(n step.Need) bool { return n.Verb == step.Reboot }

// bootedSince says whether the machine has booted since the change was recorded,
// or, of one that was taken back, since then.
func (s *session) bootedSince(rec *journal.Record) bool {
	since := rec.Began
	if rec.State == journal.Undone || rec.State == journal.Conflict {
		since = rec.Applied
	}
	return since.Boot != "" && s.boot != "" && since.Boot != s.boot
}

// bootsFirst takes the reboots out of needs. Those that have come since are
// settled, those that nobody wants stay open and are told of, and for the others
// the error is errReboot.
func (s *session) bootsFirst(needs []openNeed) (others []openNeed, err error) {
	for _, n := range needs {
		if !isReboot(n.Need) {
			others = append(others, n)
			continue
		}
		var waiting []raised
		for _, r := range n.raised {
			if !s.bootedSince(r.record) {
				waiting = append(waiting, r)
			} else if err := r.journal.SettledOf(r.record, n.Need); err != nil {
				return nil, err
			}
		}
		if err := s.wantBoot(waiting, n.Need); err != nil {
			return nil, err
		}
	}
	return others, nil
}

// wantBoot notes a reboot that is wanted, or says why there is to be none.
func (s *session) wantBoot(by []raised, n step.Need) error {
	wanted := slices.DeleteFunc(slices.Clone(by), func(r raised) bool {
		p := s.rebootPolicy(n, r)
		return p == step.RebootNever || p == step.RebootStaged
	})
	switch {
	case len(by) == 0:
		return nil
	case len(wanted) == 0:
		if !s.toldPending {
			s.toldPending = true
			n.Reason = by[0].record.Unit.Address
			s.out.now(wire.Event{Need: &wire.NeedEvent{Need: n, Pending: true}})
		}
		return nil
	case s.armed != nil:
		return fmt.Errorf("%s needs a reboot, and a boot has the guard over play %s take it back: put what needs a reboot into a play of its own",
			wanted[0].record.Unit.Address, s.armed.Play)
	}
	for _, r := range wanted {
		if j := s.bootsIn(r); j.Boots(direction(r.record)) >= mostBoots {
			return fmt.Errorf("%s needs the machine to boot once more, and run %s has booted it already; a run does so once: see what the first reboot did not bring, then apply again",
				r.record.Unit.Address, j.Header.Run)
		}
	}
	s.boots = wanted
	return errReboot
}

// leftToOthers says whether a step waits for a reboot that weft does not order.
func (s *session) leftToOthers(w waiting) bool {
	return slices.ContainsFunc(w.needs, isReboot) && len(s.openNeeds(equalTo(step.Need{Verb: step.Reboot, Object: step.Machine}))) > 0
}

// rebootPolicy is what the playbook says of a reboot: that of now, also where an
// earlier run left it.
func (s *session) rebootPolicy(n step.Need, r raised) step.RebootPolicy {
	if s.isLeft(r) {
		if x := s.shownAt(n, r.record); x != nil {
			return x.Reboot
		}
	}
	return r.record.Unit.Reboot
}

// bootsIn is the journal that notes a reboot: what an earlier run left is this
// one's to serve.
func (s *session) bootsIn(r raised) *journal.Journal {
	if slices.Contains(s.left, r.journal) {
		return s.own
	}
	return r.journal
}

// direction is what a record needs a reboot for.
func direction(rec *journal.Record) journal.Direction {
	switch rec.State {
	case journal.Undoing, journal.Undone, journal.Conflict, journal.Stuck:
		return journal.Back
	}
	return journal.Onwards
}

// sayBoot ends a request with the reboot that it came to.
func (s *session) sayBoot(ctx context.Context) {
	e := &wire.RebootEvent{Boot: s.boot, Steps: slices.Clone(s.bootsOthers)}
	if t, err := trial.Load(ctx, s.Host.View()); err == nil {
		e.Trial = t.Lasts()
	}
	for _, r := range s.boots {
		e.Steps = append(e.Steps, r.record.Unit.Address)
	}
	slices.Sort(e.Steps)
	e.Steps = slices.Compact(e.Steps)
	s.out.now(wire.Event{Reboot: e})
}

// reboot gives the order.
func (s *session) reboot(ctx context.Context) error {
	if !s.wantsBoot() {
		return errors.New("a reboot that no step needs")
	}
	if err := s.noteBoots(); err != nil {
		return err
	}
	announced := func(host.Effect) error { return nil }
	if len(s.boots) > 0 {
		first := s.bootsIn(s.boots[0])
		announced = func(e host.Effect) error { return first.FollowUp(nil, e) }
	}
	h := s.hostFor("need", string(step.Reboot), announced)
	if err := h.Units.Do(ctx, host.Reboot, ""); err != nil {
		return fmt.Errorf("boot the machine anew: %w", err)
	}
	s.forgetBoots()
	return nil
}

func (s *session) wantsBoot() bool { return len(s.boots)+len(s.bootsOthers) > 0 }

func (s *session) forgetBoots() { s.boots, s.bootsOthers = nil, nil }

// noteBoots has the journals know that the machine is to boot. Another build's
// runner has noted its own.
func (s *session) noteBoots() error {
	for _, r := range s.boots {
		if err := s.bootsIn(r).Booting(direction(r.record), s.moment()); err != nil {
			return err
		}
	}
	return nil
}

// isUp says whether the machine has come to the end of its boot. One without
// systemd has no end to see.
func (s *session) isUp(ctx context.Context) (bool, error) {
	u, err := s.Host.Units.Unit(ctx, "default.target")
	if errors.Is(err, host.ErrNotReady) {
		return true, nil
	}
	return u.ActiveState == "active" || err == nil && u.LoadState == "not-found", err
}

// awaitUp waits until the machine is up.
func (s *session) awaitUp(ctx context.Context) error {
	deadline := time.Now().Add(s.BootTime)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		up, err := s.isUp(ctx)
		if up {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(err, fmt.Errorf("the machine has booted and its default target is not reached after %s; see: systemctl list-jobs, systemctl --failed", s.BootTime))
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// tried is the change of this run that a unit made before the machine booted
// anew for it; nil where there is none.
func (s *session) tried(x *unit) *journal.Record {
	all := s.own.Of(x.Address)
	if len(all) == 0 {
		return nil
	}
	rec := all[len(all)-1]
	needed := slices.ContainsFunc(rec.Needs, func(n journal.Need) bool { return isReboot(n.Need) })
	if needed && rec.State == journal.Pending && s.bootedSince(rec) && string(rec.Unit.Spec) == string(x.Spec) {
		return rec
	}
	return nil
}

// keep makes permanent what was tried, now that the machine runs with it, and
// sees that it is in force.
func (c *change) keep(ctx context.Context, rec *journal.Record) error {
	c.record, c.found = rec, rec.Finding
	if err := c.s.awaitUp(ctx); err != nil {
		return c.fail(err)
	}
	if k, ok := c.x.step.(step.Keeper); ok {
		h := c.s.hostFor("apply", c.x.Kind, func(e host.Effect) error { return c.s.own.Effect(rec, e) })
		c.s.changed = true
		if _, err := guarded(func() (any, error) { return nil, k.Keep(ctx, h, rec.Finding) }); err != nil {
			return c.fail(fmt.Errorf("the machine has booted, and: %w", err))
		}
	}
	wanted := func(_ step.Need, r raised) bool { return r.record == rec }
	if _, err := c.s.settle(ctx, c.s.openNeeds(wanted)); err != nil {
		return c.fail(err)
	}
	return c.verifyLate(ctx, nil)
}

// backAsFound closes the need of an undone change for a reboot where the machine
// runs as it was found without one.
func (s *session) backAsFound(ctx context.Context, j *journal.Journal, rec *journal.Record, f step.Finding) error {
	for _, n := range rec.OpenNeeds() {
		if !isReboot(n) {
			continue
		}
		back, err := s.returned(ctx, rec, f)
		if err != nil {
			s.logf("whether the machine runs as it was found: %v", err)
		}
		if back {
			return j.SettledOf(rec, n)
		}
	}
	return nil
}

func (s *session) returned(ctx context.Context, rec *journal.Record, f step.Finding) (bool, error) {
	x := &unit{Unit: rec.Unit}
	if err := s.construct(x); err != nil {
		return false, err
	}
	if r, ok := x.step.(step.Returner); ok {
		s.Host.Memo.Forget()
		return guarded(func() (bool, error) { return r.Returned(ctx, s.Host.View(), f) })
	}
	return rec.Began.Boot == s.boot, nil
}

// bootedMeanwhile closes what is left of reboots that have come, of changes that
// were seen in force.
func (s *session) bootedMeanwhile(j *journal.Journal) error {
	for _, rec := range j.Records {
		for _, n := range rec.OpenNeeds() {
			if isReboot(n) && !rec.HalfMade() && s.bootedSince(rec) {
				if err := j.SettledOf(rec, n); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// disruption is what settling a need costs.
func disruption(n step.Need) string {
	if isReboot(n) {
		return "reboots the host"
	}
	return "restarts " + strings.TrimSuffix(n.Object, ".service")
}
