package steptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/step"
)

// walk is laws 1, 2, 3 and 5 for one case from one found state.
func (tr *trial) walk(ctx context.Context) []Violation {
	return tr.guard(func() error {
		p, err := tr.ground(ctx, tr.from)
		if err != nil {
			return err
		}
		found, err := p.snapshot(ctx)
		if err != nil {
			return err
		}
		f, effects, err := tr.converge(ctx, p, "first run")
		if err != nil {
			return err
		}
		if (f.Cost.Irreversible != "") && !tr.c.Irreversible {
			tr.fail(3, "the finding says it cannot be undone (%s), the case does not", f.Cost.Irreversible)
		}
		if err := tr.second(ctx, p); err != nil {
			return err
		}
		tr.undone(ctx, p, f, 3, found, "after the apply")
		if f.Cost.Irreversible == "" {
			tr.undone(ctx, p, f, 3, found, "undone a second time")
		}
		if len(tr.broken) > 0 {
			return errStop // the rest would only say it again
		}
		for _, k := range sample(len(effects)) {
			for _, how := range []cut{{at: k + 1}, {at: k + 1, only: true}} {
				if how.only && onRealHost() {
					continue // a real host is slow, and this is about the module's own flow
				}
				if err := tr.killed(ctx, how, effects[k], found); err != nil {
					return err
				}
			}
		}
		if f.Changed() && f.Cost.Irreversible == "" {
			return tr.killedUndo(ctx, found)
		}
		return nil
	})
}

// second is a run that must not write.
func (tr *trial) second(ctx context.Context, p place) error {
	before, err := p.snapshot(ctx)
	if err != nil {
		return err
	}
	if _, effects, err := tr.converge(ctx, p, "second run"); err != nil {
		return err
	} else if len(effects) > 0 {
		tr.fail(2, "the second apply did %s", effects[0])
	}
	after, err := p.snapshot(ctx)
	if err == nil && before != after {
		tr.fail(2, "the second apply changed the machine:\n%s", difference(before, after))
	}
	return err
}

// halfway returns a place where the step was cut.
func (tr *trial) halfway(ctx context.Context, how cut) (place, step.Finding, error) {
	p, err := tr.ground(ctx, tr.from)
	if err != nil {
		return nil, step.Finding{}, err
	}
	f, err := tr.check(ctx, p)
	if err != nil {
		return nil, f, err
	}
	_ = tr.apply(ctx, p, f, &how) // whatever it returns, it was cut
	return p, f, nil
}

// half is a state that a run left, half applied maybe, as the undo of a later one
// leaves it.
func (tr *trial) half(ctx context.Context, p place) (string, error) {
	if fake, ok := p.(fakePlace); ok && tr.subject.Forget != nil {
		m := fake.m.Clone()
		tr.subject.Forget(m)
		return m.Snapshot(), nil
	}
	return p.snapshot(ctx)
}

// killed is law 5 for one effect, and law 3 from the half-applied state.
func (tr *trial) killed(ctx context.Context, how cut, at host.Effect, found string) error {
	when := fmt.Sprintf("killed before effect %d (%s)", how.at, at)
	if how.only {
		when = fmt.Sprintf("effect %d (%s) failed", how.at, at)
	}
	p, f, err := tr.halfway(ctx, how)
	if err != nil {
		return err
	}
	half, err := tr.half(ctx, p)
	if err != nil {
		return err
	}
	if f.Cost.Irreversible == "" {
		tr.undone(ctx, p, f, 5, found, when+", then undone")
		if p, f, err = tr.halfway(ctx, how); err != nil {
			return err
		}
	}
	ours, _, err := tr.converge(ctx, p, when+", then run again")
	if err != nil {
		return err
	}
	if err := tr.second(ctx, p); err != nil {
		return err
	}
	if f.Cost.Irreversible != "" {
		return nil
	}
	f.Settled = true
	tr.undone(ctx, p, f, 5, found, when+", run again, then undone by the first finding")
	if !ours.Changed() {
		return nil
	}
	if p, _, err = tr.halfway(ctx, how); err != nil {
		return err
	}
	if ours, _, err = tr.converge(ctx, p, when+", then run again"); err != nil {
		return err
	}
	look := func() (string, error) { return tr.half(ctx, p) }
	tr.undoneTo(ctx, p, ours, 3, half, when+", run again, then undone by its own finding", look)
	return nil
}

// killedUndo cuts the undo at each of its effects and lets another finish it.
func (tr *trial) killedUndo(ctx context.Context, found string) error {
	for k := 1; k == 1 || !sampled(); k++ {
		p, err := tr.ground(ctx, tr.from)
		if err != nil {
			return err
		}
		f, _, err := tr.converge(ctx, p, "before undo")
		if err != nil {
			return err
		}
		how := cut{at: k}
		_ = tr.undo(ctx, p, f, &how) // whatever it returns, it was cut
		if len(how.seen) < k {
			return nil
		}
		f.Settled = false // the journal says so once an undo began
		tr.undone(ctx, p, f, 5, found, fmt.Sprintf("undo killed before effect %d (%s), then finished", k, how.seen[k-1]))
	}
	return nil
}

// sampled says whether a walk is killed at one effect instead of at each: on a
// real host, where a kill costs minutes for some kinds, under -short. The fake
// has killed it at all of them.
func sampled() bool { return onRealHost() && testing.Short() }

// sample is the effects of n to be killed at: all, or the last, before which
// most is half done.
func sample(n int) []int {
	var all []int
	for k := range n {
		all = append(all, k)
	}
	if sampled() && n > 1 {
		return []int{n - 1}
	}
	return all
}

// drift is law 4 for one hand, and law 3 with another hand in between.
func (tr *trial) drift(ctx context.Context, d Hand) []Violation {
	return tr.guard(func() error {
		p, first, err := tr.drifted(ctx, d)
		if err != nil {
			return err
		}
		drifted, err := p.snapshot(ctx)
		if err != nil {
			return err
		}
		f, err := tr.check(ctx, p)
		if err != nil {
			return err
		}
		delta, ok := deltaAt(f, d.Name)
		if !ok {
			tr.fail(4, "drift of %s was not found: %s", d.Name, paths(f))
			return errStop
		}
		if f, _, err = tr.converge(ctx, p, "after drift of "+d.Name); err != nil {
			return err
		}
		if f.Cost.Irreversible == "" {
			tr.undone(ctx, p, f, 3, drifted, "after drift of "+d.Name)
		}
		return tr.conflict(ctx, d, first, delta)
	})
}

func (tr *trial) drifted(ctx context.Context, d Hand) (place, step.Finding, error) {
	p, err := tr.ground(ctx, tr.from)
	if err != nil {
		return nil, step.Finding{}, err
	}
	f, _, err := tr.converge(ctx, p, "before drift of "+d.Name)
	if err == nil {
		err = p.hand(ctx, d)
	}
	return p, f, err
}

// conflict: undo leaves what another hand changed since, and says so.
func (tr *trial) conflict(ctx context.Context, d Hand, first step.Finding, delta step.Delta) error {
	ours, ok := deltaAt(first, d.Name)
	if !ok || first.Cost.Irreversible != "" || string(ours.From) == string(delta.From) {
		return nil // not ours, or the drift is what undo would bring back
	}
	p, first, err := tr.drifted(ctx, d)
	if err != nil {
		return err
	}
	if err := tr.undo(ctx, p, first, &cut{}); !errors.Is(err, step.ErrConflict) {
		tr.fail(3, "undo after drift of %s returned %v, not step.ErrConflict", d.Name, err)
	}
	f, err := tr.check(ctx, p)
	if err != nil {
		return err
	}
	if left, ok := deltaAt(f, delta.Path); !ok || string(left.From) != string(delta.From) {
		tr.fail(3, "undo took away what another hand made of %s: %s", d.Name, paths(f))
	}
	return nil
}

// deltaAt is the delta of an attribute, or of a part of it.
func deltaAt(f step.Finding, name string) (step.Delta, bool) {
	for _, d := range f.Deltas {
		if d.Path == name || strings.HasPrefix(d.Path, name+".") {
			return d, true
		}
	}
	return step.Delta{}, false
}

func (tr *trial) spelling(ctx context.Context, d Hand) []Violation {
	return tr.guard(func() error {
		p, _, err := tr.drifted(ctx, d)
		if err != nil {
			return err
		}
		f, err := tr.check(ctx, p)
		if err == nil && f.Changed() {
			tr.fail(4, "%s is another spelling of the same value, but the check finds %s", d.Name, paths(f))
		}
		return err
	})
}

// absent says whether the case is a removal.
func (tr *trial) absent() bool {
	var s struct{ State step.State }
	u, err := tr.subject.Unit(tr.c)
	return err == nil && json.Unmarshal(u.Spec, &s) == nil && !s.State.There()
}

// anyOrder applies cases one after the other in random orders, and takes them
// back in reverse.
func (s Subject) anyOrder(ctx context.Context, g ground) []Violation {
	walks := 12
	if onRealHost() {
		walks = 2
	}
	var broken []Violation
	for seed := range walks {
		if broken = s.chain(ctx, g, uint64(seed)); len(broken) > 0 {
			break
		}
	}
	return broken
}

func (s Subject) chain(ctx context.Context, g ground, seed uint64) []Violation {
	order := rand.New(rand.NewPCG(seed, 1))
	from := s.found()[order.IntN(len(s.found()))]
	if misplaced(from) != "" {
		return nil
	}
	p, err := g(ctx, from)
	if err != nil {
		return []Violation{{0, err.Error()}}
	}
	type link struct {
		trial   *trial
		finding step.Finding
		found   string
	}
	var links []link
	when := fmt.Sprintf("order %d from %s:", seed, from.Name)
	for range 4 {
		c := s.Cases[order.IntN(len(s.Cases))]
		if c.Irreversible {
			continue
		}
		when += " " + c.Name
		tr := newTrial(s, c, from, g)
		found, err := tr.half(ctx, p)
		if err != nil {
			return []Violation{{0, err.Error()}}
		}
		f, _, err := tr.converge(ctx, p, when)
		if err != nil && !errors.Is(err, errStop) {
			break // a kind may refuse what another case left: masked is not to be started
		}
		if err != nil {
			return tr.guard(func() error { return err })
		}
		links = append(links, link{tr, f, found})
	}
	for i := len(links) - 1; i >= 0; i-- {
		l := links[i]
		look := func() (string, error) { return l.trial.half(ctx, p) }
		if l.trial.undoneTo(ctx, p, l.finding, 3, l.found, when+", undone in reverse", look); len(l.trial.broken) > 0 {
			return l.trial.broken
		}
	}
	return nil
}
