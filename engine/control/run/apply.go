package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"weft/engine/language"
	"weft/engine/step"
	"weft/engine/wire"
)

// Apply walks the plays from the first that changes anything, after a Plan. The
// probes of the plays before it run in their place. When ctx ends, every host
// finishes the effect in flight and stops; nothing is undone then.
func (r *Run) Apply(ctx context.Context) {
	defer r.limit(ctx)()
	first := r.firstChange()
	broken := false            // an earlier play had more failures than it may
	gone := map[*member]bool{} // failed, and counted against a play already
	for i, p := range r.program.Plays {
		if ctx.Err() != nil {
			return
		}
		members := slices.DeleteFunc(r.membersOf(p), func(m *member) bool { return gone[m] })
		if broken && !p.Continue {
			r.hold(p, members, "an earlier play failed, and this one does not say continue = true")
			continue
		}
		batches := batch(members, p.Serial)
		if i < first {
			r.proveAll(ctx, members, p)
			broken = slices.ContainsFunc(batches, func(b []*member) bool { return failures(b) > p.MaxFailures }) || broken
		} else {
			through := r.walk(ctx, p, i, batches)
			if !through && r.onFailure(p) == language.RollbackAll && ctx.Err() == nil {
				r.takeAllBack(ctx, i)
				return
			}
			broken = broken || !through
		}
		for _, m := range members {
			gone[m] = m.isOut()
		}
	}
}

// limit begins the time that the apply may take.
func (r *Run) limit(ctx context.Context) (end func()) {
	if r.opts.TimeLimit <= 0 {
		r.limited = ctx
		return func() {}
	}
	r.limited, end = context.WithTimeoutCause(ctx, r.opts.TimeLimit, &TimeLimitError{r.opts.TimeLimit})
	return end
}

// A TimeLimitError says that a run took longer than it may.
type TimeLimitError struct{ Limit time.Duration }

func (e *TimeLimitError) Error() string {
	return fmt.Sprintf("the run's time limit of %s is over, so no further step begins; give it more with --time-limit", e.Limit)
}

// firstChange is the index of the first play that changes anything in scope, or
// did in a session before this one: its needs may be open still.
func (r *Run) firstChange() int {
	changing := map[string]bool{}
	for _, m := range live(r.members) {
		for _, s := range m.planned {
			changing[s.Play] = changing[s.Play] || changes(s)
		}
		for play := range m.did {
			changing[play] = true
		}
	}
	return slices.IndexFunc(r.program.Plays, func(p *language.Play) bool { return changing[p.Name] })
}

// Continued says whether an earlier session of this run changed something on a
// host in scope that still stands.
func (r *Run) Continued() bool {
	return slices.ContainsFunc(live(r.members), func(m *member) bool { return len(m.did) > 0 })
}

// membersOf are the hosts of a play that are in scope, in the play's order.
func (r *Run) membersOf(p *language.Play) []*member {
	var out []*member
	for _, h := range p.Hosts {
		if m := r.byName[h]; m != nil && r.chosen[h] {
			out = append(out, m)
		}
	}
	return out
}

// batch cuts hosts into groups of a size; zero is one group of all. A host that
// failed before keeps its place, and counts in its batch.
func batch(members []*member, size int) [][]*member {
	if size == 0 {
		size = max(len(members), 1)
	}
	return slices.Collect(slices.Chunk(members, size))
}

func failures(members []*member) int {
	n := 0
	for _, m := range members {
		if m.isOut() {
			n++
		}
	}
	return n
}

// live are those that have not failed.
func live(members []*member) []*member {
	return slices.DeleteFunc(slices.Clone(members), (*member).isOut)
}

// walk runs a play batch by batch. It says whether no batch had more failures
// than it may; after one that had, none begins.
func (r *Run) walk(ctx context.Context, p *language.Play, index int, batches [][]*member) bool {
	for i, b := range batches {
		if ctx.Err() != nil {
			return true
		}
		if n := failures(b); n > p.MaxFailures {
			r.hold(p, slices.Concat(batches[i:]...), tooMany(n, p))
			return false
		}
		r.tell(Event{Type: PlayBegan, Play: p.Name, Phase: Applying, Hosts: names(live(b))})
		var failed atomic.Int64
		failed.Store(int64(failures(b)))
		r.forEach(live(b), func(m *member) {
			if ctx.Err() != nil || int(failed.Load()) > p.MaxFailures {
				return // no new host starts once the cap is reached
			}
			m.at, m.fallen = p, &failed
			m.play(ctx, p, index)
		})
		if n := failures(b); n > p.MaxFailures {
			b = slices.DeleteFunc(slices.Clone(b), func(m *member) bool { return m.at == p })
			r.hold(p, slices.Concat(b, slices.Concat(batches[i+1:]...)), tooMany(n, p))
			return false
		}
	}
	return true
}

func tooMany(n int, p *language.Play) string {
	if n == 1 {
		return fmt.Sprintf("1 host failed, and max_failures is %d", p.MaxFailures)
	}
	return fmt.Sprintf("%d hosts failed, and max_failures is %d", n, p.MaxFailures)
}

// hold says on which hosts a play does not begin, and why.
func (r *Run) hold(p *language.Play, members []*member, why string) {
	if members = live(members); len(members) > 0 {
		r.tell(Event{Type: PlayHeld, Play: p.Name, Phase: Applying, Hosts: names(members), Error: why})
	}
}

func names(members []*member) []string {
	out := make([]string, len(members))
	for i, m := range members {
		out[i] = m.host.Name
	}
	return out
}

// play carries a play to one host and takes it back where it fails.
func (m *member) play(ctx context.Context, p *language.Play, index int) {
	m.dirty, m.touched, m.pending, m.mayArm = m.did[p.Name], false, false, 0
	defer m.run.tellDone(m, p.Name, Applying)
	err := m.converge(ctx, p, index)
	if m.dirty {
		m.did[p.Name], m.wrote = true, true
	}
	m.countSkipped()
	if err == nil && !m.isOut() {
		m.confirm(ctx)
	} else {
		m.takeBack(ctx, p, err)
	}
	m.leaveGuard(p)
}

func (m *member) countSkipped() {
	n := 0
	for _, skipped := range m.skipped {
		n += skipped
	}
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	m.count.Skipped = n
}

// converge sends the play's units as far as they are known, and again as
// outputs arrive, and settles the needs at the end. After a connection that
// broke and came back it goes on with what was not heard of.
func (m *member) converge(ctx context.Context, p *language.Play, index int) error {
	for {
		over, err := m.advance(ctx, p, index)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil && over, err != nil && !errors.Is(err, errBack):
			return err
		case m.run.limited.Err() != nil: // what was stopped half-way has been told; here is why
			err = context.Cause(m.run.limited)
			m.fail(Applying, err)
			return err
		case m.isOut():
			return nil
		}
	}
}

// advance is one round of converge. It says whether it was the last.
func (m *member) advance(ctx context.Context, p *language.Play, index int) (over bool, err error) {
	if m.run.limited.Err() != nil {
		return false, nil
	}
	e, err := m.evaluate(p)
	if err != nil {
		m.fail(Applying, err)
		return false, err
	}
	units, waiting := m.ready(e)
	switch {
	case len(units) > 0:
		if err := coverage(units, waiting); err != nil {
			m.fail(Applying, err)
			return false, err
		}
		m.expectGuard(units)
		m.sent = slices.Clone(units)
		return false, m.call(ctx, Applying, p.Name, m.applyRequest(p, index, units))
	case waiting == nil:
		return true, m.endPlay(ctx, p)
	case m.pending: // what it waits for may come with what is settled
		return false, m.endPlay(ctx, p)
	}
	err = fmt.Errorf("%s cannot be known: %s", waiting.Address, m.run.why(p))
	m.fail(Applying, err)
	return false, err
}

// endPlay settles the needs of what the play changed so far. After errBack the
// steps that wait for them are sent again first: another session knows nothing
// of them.
func (m *member) endPlay(ctx context.Context, p *language.Play) error {
	m.pending = false
	if !m.dirty {
		return nil
	}
	return m.call(ctx, Applying, p.Name, wire.Request{EndPlay: &wire.EndPlay{Play: p.Name, AllowDisruption: m.run.opts.AllowDisruption}})
}

// ready are the units that come next and are known, and the first that is not.
func (m *member) ready(e language.Evaluation) (units []step.Unit, waiting *step.Unit) {
	for _, u := range e.Units {
		switch {
		case len(u.Unknown) > 0:
			return units, &u
		case m.counted[u.Address] == nil:
			units = append(units, u)
		}
	}
	return units, nil
}

// why says which host an unknown value was expected of.
func (r *Run) why(p *language.Play) string {
	for _, other := range r.reads[p].Others {
		if m := r.byName[other.Host]; m != nil && m.isOut() {
			return "it reads from " + other.Host + ", which failed or was not reached"
		}
	}
	return "the step that it reads did not give the output"
}

// applyRequest holds the runner to what the operator was shown, up to and
// including the first step that changes anything on its host in the whole run:
// what comes after it, in a later play too, may rightly look different once that
// has happened.
func (m *member) applyRequest(p *language.Play, index int, units []step.Unit) wire.Request {
	planned := map[string]string{}
	for _, u := range units {
		c := m.checked[u.Address]
		if m.touched || m.wrote || c.spec != specDigest(u) || c.answer.Finding == nil {
			break
		}
		planned[u.Address] = c.answer.Finding.Digest()
		if c.answer.State != wire.Converged {
			break
		}
	}
	return wire.Request{Apply: &wire.Apply{
		Play: p.Name, Index: index, Units: units, Planned: planned,
		Guard: m.run.opts.GuardTime, ByHand: m.run.opts.ByHand, AllowDisruption: m.run.opts.AllowDisruption, OnFailure: m.run.onFailure(p),
	}}
}
