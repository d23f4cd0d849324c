package onhost

import (
	"context"
	"errors"
	"time"

	"weft/engine/step"
	"weft/engine/wire"
)

// probe runs probes, all of them, whatever the others say.
func (s *session) probe(ctx context.Context, p wire.Probe) error {
	s.Host.Memo.Forget()
	for _, u := range p.Units {
		x := s.remember(u)
		if !s.isProbe(x) {
			continue
		}
		if s.gate.shut() != nil {
			s.report(x, wire.UnitEvent{State: wire.Stopped})
			continue
		}
		s.report(x, s.probeOne(ctx, x))
	}
	return nil
}

func (s *session) probeOne(ctx context.Context, x *unit) wire.UnitEvent {
	began := time.Now()
	if x.made != nil {
		return failure(x.made, 0)
	}
	if x.prober == nil {
		return failure(errors.New("it waits for what another step brings"), 0)
	}
	report, err := guarded(func() (step.Report, error) { return x.prober.Probe(ctx, s.Host.View()) })
	elapsed := time.Since(began)
	var refuted *step.ProbeError
	switch {
	case err == nil:
		return wire.UnitEvent{State: wire.Proved, Report: &report, Elapsed: elapsed}
	case s.gate.shut() != nil:
		return wire.UnitEvent{State: wire.Stopped, Elapsed: elapsed}
	case errors.As(err, &refuted):
		e := failure(err, elapsed)
		e.State = wire.Refuted
		return e
	}
	return failure(err, elapsed)
}

// prove runs a probe in its place within an apply: what came before must be in
// force, so the play's needs are settled first.
func (c *change) prove(ctx context.Context) error {
	ok, err := c.s.settlePlay(ctx, c.play)
	if err != nil {
		return c.fail(err)
	}
	if !ok {
		return c.fail(errors.New("not probed: what came before it is not in force"))
	}
	c.s.Host.Memo.Forget()
	e := c.s.probeOne(ctx, c.x)
	c.s.report(c.x, e)
	if e.State != wire.Proved {
		return errHalted
	}
	return nil
}
