package run

import (
	"context"
	"fmt"
	"slices"

	"weft/engine/language"
	"weft/engine/step"
	"weft/engine/wire"
)

// Prove runs all probes of a converged run and changes nothing.
func (r *Run) Prove(ctx context.Context) {
	r.proveAll(ctx, r.members, r.program.Plays...)
}

// proveAll runs the probes of plays on the hosts that are still good.
func (r *Run) proveAll(ctx context.Context, members []*member, plays ...*language.Play) {
	r.forEach(live(members), func(m *member) {
		defer r.tellDone(m, "", Proving)
		m.prove(ctx, plays)
		m.countSkipped()
	})
}

// prove runs the host's probes of some plays that have nothing to change.
func (m *member) prove(ctx context.Context, plays []*language.Play) {
	var probes []step.Unit
	for _, p := range m.plays {
		if !slices.Contains(plays, p) || !m.settled(p) {
			continue
		}
		e, err := m.evaluate(p)
		if err != nil {
			m.fail(Proving, err)
			return
		}
		for _, u := range e.Units {
			switch {
			case !m.run.isProbe(u):
			case len(u.Unknown) > 0:
				m.fail(Proving, fmt.Errorf("%s cannot be known: %s", u.Address, m.run.why(p)))
				return
			default:
				probes = append(probes, u)
			}
		}
	}
	if len(probes) > 0 && ctx.Err() == nil {
		_ = m.call(ctx, Proving, "", wire.Request{Probe: &wire.Probe{Units: probes}}) // told already
	}
}

// settled counts the steps of a play that the plan found as they should be. It
// says whether there are probes besides.
func (m *member) settled(p *language.Play) (probes bool) {
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	for _, s := range m.planned {
		switch {
		case s.Play != p.Name:
		case s.Probe:
			probes = true
		default:
			m.countIn(s.Address, &m.count.OK)
		}
	}
	return probes
}
