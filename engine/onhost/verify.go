package onhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"weft/engine/step"
	"weft/engine/wire"
)

// verify looks whether the change is in force.
func (c *change) verify(ctx context.Context) error {
	c.s.Host.Memo.Forget()
	f, err := c.s.look(ctx, c.x)
	covered := c.covered(f)
	switch {
	case len(covered) > 0 && (f.Changed() && err == nil || errors.Is(err, step.ErrNotYet)):
		return c.pend(f, covered)
	case err != nil:
		return c.fail(afterwards(err))
	case f.Changed():
		return c.fail(differs(f))
	}
	if err := c.stays(ctx); err != nil {
		return c.fail(err)
	}
	return c.done(f)
}

// covered are the open needs of the change itself, which may explain why it is
// not in force yet. Those that it raised for others explain nothing. A change that
// leaves all to a boot that nobody orders has needs without an effect.
func (c *change) covered(now step.Finding) []step.Need {
	var open []step.Need
	for _, n := range c.record.Needs {
		if n.Open && slices.ContainsFunc(slices.Concat(c.found.Needs, now.Needs), func(o step.Need) bool { return same(o, n.Need) }) {
			open = append(open, n.Need)
		}
	}
	return open
}

// pend leaves the change until its needs are settled.
func (c *change) pend(f step.Finding, needs []step.Need) error {
	if c.record != nil {
		if err := c.s.own.Pending(c.record, c.s.moment()); err != nil {
			return c.fail(err)
		}
	}
	c.s.waiting = append(c.s.waiting, waiting{change: c, needs: needs})
	c.s.report(c.x, wire.UnitEvent{State: wire.Pending, Finding: c.outcome(f), Elapsed: time.Since(c.began)})
	return nil
}

// verifyLate looks at a change whose needs were settled, or should have been.
func (c *change) verifyLate(ctx context.Context, needs []step.Need) error {
	for _, n := range needs {
		if len(c.s.openNeeds(equalTo(n))) > 0 {
			return c.fail(fmt.Errorf("it is not in force: %s %s did not succeed", n.Verb, n.Object))
		}
	}
	f, err := c.lookUntil(ctx, func(f step.Finding, err error) bool { return err == nil && !f.Changed() })
	if err != nil {
		return c.fail(fmt.Errorf("after its needs were settled: %w", err))
	}
	if f.Changed() {
		return c.fail(differs(f))
	}
	return c.done(f)
}

// done says that the change is in force.
func (c *change) done(f step.Finding) error {
	if c.record != nil {
		if err := c.s.own.Verified(c.record, c.s.moment()); err != nil {
			return c.fail(err)
		}
	}
	c.s.report(c.x, c.changed(f))
	return nil
}

// changed is the event of a change that is in force.
func (c *change) changed(f step.Finding) wire.UnitEvent {
	return wire.UnitEvent{State: wire.Changed, Finding: c.outcome(f), Elapsed: time.Since(c.began)}
}

// afterwards is the error of a check after the apply.
func afterwards(err error) error { return fmt.Errorf("after it was applied: %w", err) }

// outcome is what was changed, with the outputs of now.
func (c *change) outcome(now step.Finding) *step.Finding {
	f := c.found
	f.Outputs, f.Warnings = now.Outputs, now.Warnings
	return &f
}

// stays sees that a service which was changed still runs a moment later: the
// check must hold once more when the unit is a moment old.
func (c *change) stays(ctx context.Context) error {
	if c.x.settles == nil {
		return nil
	}
	u, err := c.s.Host.Units.Unit(ctx, c.x.settles.Object)
	if err != nil {
		return err
	}
	if u.ActiveState == "active" {
		age := time.Duration(c.s.Monotonic()-u.StartedAt) * time.Microsecond
		if age < 0 || age >= c.s.Moment {
			return nil
		}
		if err := sleep(ctx, c.s.Moment-age); err != nil {
			return err
		}
	}
	c.s.Host.Memo.Forget()
	f, err := c.s.look(ctx, c.x)
	if err == nil && f.Changed() {
		err = fmt.Errorf("it did not stay up: %w", differs(f))
	}
	return err
}

// fail says why the unit failed. Its record stays half made. A reboot that must
// come first is no failure.
func (c *change) fail(err error) error {
	if errors.Is(err, errReboot) {
		return err
	}
	if c.over != nil && c.over() {
		err = fmt.Errorf("%w: %w", &limitError{c.x.Limit}, err)
	}
	begun := c.record != nil && c.record.InForce()
	if c.record != nil {
		if noted := c.s.own.Failed(c.record, oneLine(err)); noted != nil {
			err = errors.Join(err, noted)
		}
	}
	e := failure(err, time.Since(c.began))
	if shut := c.s.gate.shut(); shut != nil {
		e.State = wire.Stopped
		if begun {
			e.State = wire.Failed
			if errors.Is(err, context.Canceled) { // says where it was, and not why
				e.Error = oneLine(shut)
			}
			e.Error = "stopped half-way: " + e.Error
		}
	}
	c.s.report(c.x, e)
	return errors.Join(errHalted, err)
}

// differs is the error of a change that is not in force.
func differs(f step.Finding) error {
	var all []string
	for _, d := range f.Deltas {
		switch {
		case d.Secret:
			all = append(all, d.Path+" is another")
		default:
			all = append(all, fmt.Sprintf("%s is %s, not %s", d.Path, side(d.From), side(d.To)))
		}
	}
	return errors.New("after it was applied it still differs: " + strings.Join(all, "; "))
}

func side(raw []byte) string {
	if raw == nil {
		return "absent"
	}
	return string(raw)
}
