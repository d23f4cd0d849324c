package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"weft/engine/language"
	"weft/engine/step"
	"weft/engine/wire"
)

// Apply walks the plays from the first that changes anything, after a Plan. The
// probes of the plays before it run in their place. When ctx ends, every host
// finishes the effect in flight and stops; nothing is undone then.
func (r *Run) Apply(ctx context.Context) {
	gone := map[*member]bool{} // failed, and counted against a play already
	first := r.firstChange()
	broken := false // an earlier play had more failures than it may
	for i, p := range r.program.Plays {
		if ctx.Err() != nil {
			return
		}
		if broken && !p.Continue {
			continue
		}
		members := r.batchable(p, gone)
		listed := members
		members = slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return m.failed })
		failures := len(listed) - len(members)
		switch {
		case failures > p.MaxFailures:
		case i < first:
			failures += r.proveAll(ctx, members, p)
		default:
			failures = r.walk(ctx, p, i, members, failures)
		}
		broken = broken || failures > p.MaxFailures
		for _, m := range listed {
			gone[m] = m.failed
		}
	}
}

// firstChange is the index of the first play that changes anything in scope.
func (r *Run) firstChange() int {
	return slices.IndexFunc(r.program.Plays, func(p *language.Play) bool {
		return slices.ContainsFunc(r.members, func(m *member) bool {
			return slices.ContainsFunc(m.planned, func(s Planned) bool { return s.Play == p.Name && changes(s) })
		})
	})
}

// proveAll runs the probes of plays on hosts and returns how many hosts failed.
func (r *Run) proveAll(ctx context.Context, members []*member, plays ...*language.Play) int {
	var failed atomic.Int64
	r.forEach(members, func(m *member) {
		if m.prove(ctx, plays); m.failed {
			failed.Add(1)
		}
	})
	return int(failed.Load())
}

// batchable are the hosts of a play that have not failed in an earlier one.
func (r *Run) batchable(p *language.Play, gone map[*member]bool) []*member {
	var out []*member
	for _, m := range r.members {
		if slices.Contains(p.Hosts, m.host.Name) && !gone[m] {
			out = append(out, m)
		}
	}
	return out
}

// walk runs a play in batches and returns the number of failures in the batch
// that broke the cap, or in the last one.
func (r *Run) walk(ctx context.Context, p *language.Play, index int, members []*member, failures int) int {
	size := len(members)
	if p.Serial > 0 {
		size = p.Serial
	}
	for len(members) > 0 && ctx.Err() == nil {
		batch := members[:min(size, len(members))]
		members = members[len(batch):]
		r.tell(Event{Type: PlayBegan, Play: p.Name, Phase: Applying, Hosts: names(batch)})
		var failed atomic.Int64
		failed.Store(int64(failures))
		r.forEach(batch, func(m *member) {
			if int(failed.Load()) > p.MaxFailures || ctx.Err() != nil {
				return // no new host starts once the cap is reached
			}
			if !m.play(ctx, p, index) {
				failed.Add(1)
			}
		})
		failures = int(failed.Load())
		if failures > p.MaxFailures {
			return failures
		}
		failures = 0
	}
	return failures
}

func names(members []*member) []string {
	out := make([]string, len(members))
	for i, m := range members {
		out[i] = m.host.Name
	}
	return out
}

// play carries a play to one host and takes it back where it fails. It says
// whether the host is still good.
func (m *member) play(ctx context.Context, p *language.Play, index int) bool {
	err := m.converge(ctx, p, index)
	m.count.Skipped = m.skipped
	if err == nil && !m.failed {
		m.run.tell(Event{Type: HostDone, Host: m.host.Name, Play: p.Name, Phase: Applying})
		return true
	}
	if ctx.Err() != nil {
		return false
	}
	var lost *LostError
	onFailure := p.OnFailure
	if m.run.opts.OnFailure != "" {
		onFailure = m.run.opts.OnFailure
	}
	if !errors.As(err, &lost) && m.wrote && onFailure == language.Rollback {
		m.undo(ctx, p)
	}
	return false
}

// undo takes back what this run did to the host in the play.
func (m *member) undo(ctx context.Context, p *language.Play) {
	before := m.count
	err := m.call(ctx, Undoing, p.Name, wire.Request{UndoPlay: &wire.UndoPlay{Play: p.Name}})
	if err != nil || m.count.Failed > before.Failed {
		return
	}
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	if m.exit == HostFailure {
		m.exit = RolledBack
	}
}

// converge sends the play's units as far as they are known, and again as
// outputs arrive, and settles the needs at the end.
func (m *member) converge(ctx context.Context, p *language.Play, index int) error {
	wrote := m.wrote
	m.wrote = false
	defer func() { m.wrote = m.wrote || wrote }()
	for {
		e, err := m.evaluate(p)
		if err != nil {
			m.fail(Applying, HostFailure, err)
			return err
		}
		units, waiting := m.ready(e)
		if len(units) == 0 && waiting == "" {
			break
		}
		if len(units) == 0 {
			err := fmt.Errorf("%s cannot be known: %s", waiting, m.run.why(p, m))
			m.fail(Applying, HostFailure, err)
			return err
		}
		if err := m.call(ctx, Applying, p.Name, m.applyRequest(p, index, units)); err != nil {
			return err
		}
		if m.failed || ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if !m.wrote {
		return nil
	}
	return m.call(ctx, Applying, p.Name, wire.Request{EndPlay: &wire.EndPlay{Play: p.Name}})
}

// ready are the units that come next and are known, and the address of the
// first that is not.
func (m *member) ready(e language.Evaluation) (units []step.Unit, waiting string) {
	for _, u := range e.Units {
		switch {
		case len(u.Unknown) > 0:
			return units, u.Address
		case !m.done[u.Address]:
			units = append(units, u)
		}
	}
	return units, ""
}

// why says which host an unknown value was expected of.
func (r *Run) why(p *language.Play, m *member) string {
	for _, other := range r.program.Reads(p, m.host.Name).Others {
		for _, o := range slices.Concat(r.members, r.readers) {
			if o.host.Name == other.Host && o.failed {
				return "it reads from " + other.Host + ", which failed or was not reached"
			}
		}
	}
	return "the step that it reads did not give the output"
}

// applyRequest holds the runner to what the operator was shown, up to and
// including the first step that changes anything: what comes after it may
// rightly look different once that has happened.
func (m *member) applyRequest(p *language.Play, index int, units []step.Unit) wire.Request {
	planned := map[string]string{}
	for _, u := range units {
		c := m.checked[u.Address]
		if m.wrote || c.spec != specDigest(u) || c.answer.Finding == nil {
			break
		}
		planned[u.Address] = c.answer.Finding.Digest()
		if c.answer.State != wire.Converged {
			break
		}
	}
	return wire.Request{Apply: &wire.Apply{Play: p.Name, Index: index, Units: units, Planned: planned}}
}

// Prove runs all probes of a converged run and changes nothing.
func (r *Run) Prove(ctx context.Context) {
	live := slices.DeleteFunc(slices.Clone(r.members), func(m *member) bool { return m.failed })
	r.proveAll(ctx, live, r.program.Plays...)
}

// prove runs the host's probes of some plays that have nothing to change.
func (m *member) prove(ctx context.Context, plays []*language.Play) {
	m.count.Skipped = m.skipped
	var probes []step.Unit
	for _, p := range plays {
		if !slices.Contains(p.Hosts, m.host.Name) {
			continue
		}
		e, err := m.evaluate(p)
		if err != nil {
			m.fail(Proving, HostFailure, err)
			return
		}
		for _, u := range e.Units {
			if m.run.isProbe(u) {
				probes = append(probes, u)
			} else {
				m.count.OK++
			}
		}
	}
	if len(probes) > 0 && ctx.Err() == nil {
		_ = m.call(ctx, Proving, "", wire.Request{Probe: &wire.Probe{Units: probes}}) // told already
	}
}
