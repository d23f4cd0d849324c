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

// check finds what differs, and writes nothing.
func (s *session) check(ctx context.Context, c wire.Check) error {
	s.Host.Memo.Forget()
	units := make([]*unit, len(c.Units))
	for i, u := range c.Units {
		units[i] = s.remember(u) // all first: a need is shown at the step that settles it, which may come last
	}
	for i := 0; i < len(units); {
		group := s.abreast(units[i:])
		s.checkAll(ctx, group, units[i:])
		i += len(group)
	}
	return nil
}

// checkAll checks units side by side. The rest are they and what comes after them.
func (s *session) checkAll(ctx context.Context, group, rest []*unit) {
	shut := s.gate.shut() != nil
	seen := make([]looked, len(group))
	atOnce(len(group), func(i int) {
		if x := group[i]; !shut && !s.isProbe(x) && len(x.Unknown) == 0 {
			seen[i] = s.lookAt(ctx, x)
		}
	})
	for i, x := range group {
		switch {
		case s.isProbe(x):
		case shut, seen[i].err != nil && s.gate.shut() != nil:
			s.report(x, wire.UnitEvent{State: wire.Stopped})
		case len(x.Unknown) > 0:
			s.report(x, wire.UnitEvent{State: wire.Waiting, Error: "waits for what another step brings: " + strings.Join(x.Unknown, ", ")})
		default:
			s.report(x, s.checked(ctx, x, seen[i], rest[i:]))
		}
	}
}

// checked is the event of a check.
func (s *session) checked(ctx context.Context, x *unit, seen looked, rest []*unit) wire.UnitEvent {
	f, err, elapsed := seen.finding, seen.err, seen.elapsed
	switch {
	case errors.Is(err, step.ErrNotYet) && s.somethingComes(rest):
		return wire.UnitEvent{State: wire.Waiting, Error: oneLine(err), Elapsed: elapsed}
	case errors.Is(err, step.ErrNotYet):
		return failure(fmt.Errorf("%w, and no step before this one brings it", err), elapsed)
	case err != nil:
		return failure(err, elapsed)
	}
	c := &change{s: s, x: x, found: f, left: s.leftAt(ctx, x)}
	for _, j := range s.journals() {
		c.half = append(c.half, c.halfIn(j)...)
	}
	if err := c.nameGuests(ctx); err != nil {
		return failure(err, elapsed)
	}
	f = c.found
	showLeft(&f, c.left)
	state := wire.Converged
	if f.Changed() {
		state = wire.Planned
	}
	return wire.UnitEvent{State: state, Finding: &f, Elapsed: elapsed}
}

// somethingComes says whether a step before the rest has something to do, so
// that what a check misses may still come.
func (s *session) somethingComes(rest []*unit) bool {
	return slices.ContainsFunc(s.known, func(x *unit) bool {
		switch x.state {
		case wire.Planned, wire.Waiting, wire.Pending, wire.Applying, wire.Failed, wire.Stale:
			return !slices.Contains(rest, x)
		}
		return false
	})
}

func failure(err error, elapsed time.Duration) wire.UnitEvent {
	line, detail := explain(err)
	return wire.UnitEvent{State: wire.Failed, Error: line, Detail: detail, Elapsed: elapsed}
}

func oneLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
