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
	round := r.everyone()
	for len(round) > 0 && ctx.Err() == nil {
		r.forEach(round, func(m *member) { m.check(ctx, facts) })
		for _, m := range round {
			m.loseFailed()
		}
		round = slices.DeleteFunc(r.everyone(), func(m *member) bool {
			return m.isOut() || !m.waits || m.seen == r.known.now()
		})
	}
	for _, m := range r.members {
		m.summarise()
	}
}

// loseFailed has others know that a host whose check failed says no more than it did:
// none of its plays begins.
func (m *member) loseFailed() {
	for _, c := range m.checked {
		if c.answer.State == wire.Failed {
			m.run.known.lose(m.host.Name)
		}
	}
}

// factsWanted are the hosts whose facts some expression reads.
func (r *Run) factsWanted() map[string]bool {
	wanted := map[string]bool{}
	for _, p := range r.program.Plays {
		for _, other := range r.reads[p].Others {
			wanted[other.Host] = wanted[other.Host] || other.Facts
		}
		if !r.reads[p].Facts {
			continue
		}
		for _, h := range p.Hosts {
			wanted[h] = true
		}
	}
	return wanted
}

// check evaluates the host's units and sends those that were never checked
// with these attributes. The first time it connects as well, in the same round
// trip where no facts are needed.
func (m *member) check(ctx context.Context, facts map[string]bool) {
	defer m.run.tellDone(m, "", Planning)
	if m.session == nil && facts[m.host.Name] && m.connect(ctx, true) != nil {
		return // told already, as all errors of a conversation
	}
	units, err := m.unchecked()
	if err != nil {
		m.fail(Planning, err)
		return
	}
	request := wire.Request{Check: &wire.Check{Units: units}}
	switch {
	case m.session == nil:
		_ = m.connect(ctx, m.surveyed != nil, request)
	case len(units) > 0:
		_ = m.call(ctx, Planning, "", request)
	}
}

// unchecked evaluates the host's plays and returns the units that were never
// checked with these attributes.
func (m *member) unchecked() ([]step.Unit, error) {
	m.seen, m.waits = m.run.known.now(), false
	m.planned = m.planned[:0]
	if m.surveyed != nil {
		m.surveyed.Units = nil
	}
	var units []step.Unit
	for _, p := range m.plays {
		e, err := m.evaluate(p)
		if err != nil {
			return nil, err
		}
		if m.surveyed != nil {
			m.surveyed.Units = append(m.surveyed.Units, e.Units...)
		}
		for _, u := range e.Units {
			planned := m.plan(p, u)
			m.planned = append(m.planned, planned)
			if m.news(u, planned.Spec) {
				units = append(units, u)
			}
		}
		for _, u := range e.Aside {
			if m.news(u, specDigest(u)) {
				units = append(units, u)
			}
		}
	}
	return units, nil
}

// news says whether a unit is one that a runner can look at, and did not yet
// look at with these attributes.
func (m *member) news(u step.Unit, digest string) bool {
	m.waits = m.waits || len(u.Unknown) > 0
	if !sendable(u) || m.checked[u.Address].spec == digest {
		return false
	}
	m.checked[u.Address] = checkedUnit{spec: digest}
	return true
}

// plan is what is known of a step before it is checked.
func (m *member) plan(p *language.Play, u step.Unit) Planned {
	out := Planned{Play: p.Name, Address: u.Address, Spec: specDigest(u), Undecided: !sendable(u), Probe: m.run.isProbe(u)}
	if len(u.Unknown) > 0 {
		out.State = wire.Waiting
		out.Reason = strings.Join(u.Unknown, ", ") + " waits for the output of another step"
	}
	return out
}

// summarise adds the answers of the checks to what was evaluated last.
func (m *member) summarise() {
	if m.isOut() {
		m.planned = nil
		return
	}
	for i := range m.planned {
		m.answered(&m.planned[i])
	}
}

// answered adds what a check said of a step.
func (m *member) answered(p *Planned) {
	answer := m.checked[p.Address].answer
	p.Finding = answer.Finding
	switch {
	case p.Probe:
		p.State = wire.Waiting
	case answer.State == wire.Failed:
		p.State, p.Reason = answer.State, answer.Error
		m.out(HostFailure)
		m.run.mu.Lock()
		m.countIn(p.Address, &m.count.Failed)
		m.run.mu.Unlock()
	case p.Undecided: // no runner was asked, so nobody has told of it
		m.run.tell(Event{Type: UnitMoved, Host: m.host.Name, Play: p.Play, Phase: Planning,
			Unit: &wire.UnitEvent{Address: p.Address, State: p.State, Error: p.Reason}})
	case p.State == "":
		p.State, p.Reason = answer.State, answer.Error
	}
}

// sendable says whether a unit is a step that a runner can look at: its `when`
// and `for_each` are known.
func sendable(u step.Unit) bool {
	return !slices.Contains(u.Unknown, language.UnknownWhen) && !slices.Contains(u.Unknown, language.UnknownEach)
}
