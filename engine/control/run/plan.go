package run

import (
	"context"
	"slices"
	"strings"

	"weft/engine/language"
	"weft/engine/step"
	"weft/engine/wire"
)

// Plan checks every step of every host and changes nothing. It goes round
// until no host learns anything new from another's outputs. Afterwards
// [Run.Planned], [Run.Changes] and [Run.Failures] tell what was found.
func (r *Run) Plan(ctx context.Context) {
	r.begin()
	facts := r.factsWanted()
	round := slices.Concat(r.members, r.readers)
	for len(round) > 0 && ctx.Err() == nil {
		r.forEach(round, func(m *member) { m.check(ctx, facts) })
		round = slices.DeleteFunc(slices.Concat(r.members, r.readers), func(m *member) bool {
			return m.failed || !m.waits || m.seen == r.known.now()
		})
	}
	for _, m := range r.members {
		m.summarise()
	}
}

// factsWanted are the hosts whose facts some expression reads.
func (r *Run) factsWanted() map[string]bool {
	wanted := map[string]bool{}
	for _, m := range slices.Concat(r.members, r.readers) {
		for _, p := range r.playsOf(m) {
			reads := r.program.Reads(p, m.host.Name)
			if reads.Facts {
				wanted[m.host.Name] = true
			}
			for _, other := range reads.Others {
				if other.Facts {
					wanted[other.Host] = true
				}
			}
		}
	}
	return wanted
}

// check evaluates the host's units and sends those that were never checked
// with these attributes. The first time it connects as well, in the same round
// trip where no facts are needed.
func (m *member) check(ctx context.Context, facts map[string]bool) {
	if m.session == nil && facts[m.host.Name] {
		if m.connect(ctx, true) != nil {
			return
		}
	}
	m.seen = m.run.known.now()
	var units []step.Unit
	m.waits, m.skipped = false, 0
	for _, p := range m.run.playsOf(m) {
		e, err := m.evaluate(p)
		if err != nil {
			m.fail(Planning, HostFailure, err)
			return
		}
		m.skipped += len(e.Skipped)
		for _, u := range e.Units {
			m.waits = m.waits || len(u.Unknown) > 0
			if !sendable(u) {
				continue
			}
			if d := specDigest(u); m.checked[u.Address].spec != d {
				m.checked[u.Address] = checkedUnit{spec: d}
				units = append(units, u)
			}
		}
	}
	request := wire.Request{Check: &wire.Check{Units: units}}
	switch {
	case m.session == nil:
		_ = m.connect(ctx, false, request) // told already
	case len(units) > 0:
		_ = m.call(ctx, Planning, "", request)
	}
}

// summarise puts the answers of the checks in the order of the plays.
func (m *member) summarise() {
	m.planned = nil
	if m.failed {
		return
	}
	for _, p := range m.run.playsOf(m) {
		e, err := m.evaluate(p)
		if err != nil {
			m.fail(Planning, HostFailure, err)
			return
		}
		for _, u := range e.Units {
			m.planned = append(m.planned, m.plannedUnit(p, u))
		}
	}
	for _, p := range m.planned {
		if p.State == wire.Failed {
			m.run.mu.Lock()
			m.failed, m.exit = true, Worst(m.exit, HostFailure)
			m.count.Failed++
			m.run.mu.Unlock()
		}
	}
}

func (m *member) plannedUnit(p *language.Play, u step.Unit) Planned {
	c := m.checked[u.Address]
	out := Planned{
		Play: p.Name, Address: u.Address, State: c.answer.State,
		Finding: c.answer.Finding, Reason: c.answer.Error, Spec: specDigest(u), Undecided: !sendable(u),
	}
	switch {
	case m.run.isProbe(u):
		out.Probe, out.State = true, wire.Waiting
	case len(u.Unknown) > 0 && out.State != wire.Failed:
		out.State = wire.Waiting
		out.Reason = strings.Join(u.Unknown, ", ") + " waits for the output of another step"
	}
	return out
}
