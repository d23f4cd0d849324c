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
	for i, x := range units {
		if s.isProbe(x) {
			continue
		}
		if s.gate.shut() != nil {
			s.report(x, wire.UnitEvent{State: wire.Stopped})
			continue
		}
		s.report(x, s.checkOne(ctx, x, units[i:]))
	}
	return nil
}

// checkOne checks a unit. The rest is the unit and what comes after it.
func (s *session) checkOne(ctx context.Context, x *unit, rest []*unit) wire.UnitEvent {
	began := time.Now()
	if len(x.Unknown) > 0 {
		return wire.UnitEvent{State: wire.Waiting, Error: "waits for what another step brings: " + strings.Join(x.Unknown, ", ")}
	}
	f, err := s.look(ctx, x)
	elapsed := time.Since(began)
	switch {
	case errors.Is(err, step.ErrNotYet) && s.somethingComes(rest):
		return wire.UnitEvent{State: wire.Waiting, Error: oneLine(err), Elapsed: elapsed}
	case errors.Is(err, step.ErrNotYet):
		return failure(fmt.Errorf("%w, and no step before this one brings it", err), elapsed)
	case err != nil:
		return failure(err, elapsed)
	}
	showLeft(&f, s.leftAt(ctx, x))
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
