package steptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// A trial walks one case from one found state and collects what is broken.
type trial struct {
	subject Subject
	c       Case
	from    Hand
	ground  ground
	broken  []Violation
}

func newTrial(s Subject, c Case, from Hand, g ground) *trial {
	return &trial{subject: s, c: c, from: from, ground: g}
}

func (tr *trial) fail(law int, format string, args ...any) {
	tr.broken = append(tr.broken, Violation{law, fmt.Sprintf(format, args...)})
}

// errStop ends a walk whose violation is already written down.
var errStop = errors.New("stop")

// guard runs a walk; an error that is no violation yet becomes one of law 0.
func (tr *trial) guard(walk func() error) []Violation {
	if err := walk(); err != nil && !errors.Is(err, errStop) {
		tr.fail(0, "%v", err)
	}
	return tr.broken
}

// step makes the step anew, as every process would.
func (tr *trial) step() (step.Step, error) {
	u, err := tr.subject.Unit(tr.c)
	if err != nil {
		return nil, err
	}
	return tr.subject.Kind.Make(u)
}

// check is a check under law 1. The finding has been through JSON, as a journal
// would have it.
func (tr *trial) check(ctx context.Context, p place) (step.Finding, error) {
	s, err := tr.step()
	if err != nil {
		return step.Finding{}, err
	}
	before, err := p.snapshot(ctx)
	if err != nil {
		return step.Finding{}, err
	}
	f, err := s.Check(ctx, p.host().View())
	if err != nil {
		return f, fmt.Errorf("check: %w", err)
	}
	again, err := s.Check(ctx, p.host().View())
	if err != nil {
		return f, fmt.Errorf("check once more: %w", err)
	}
	after, err := p.snapshot(ctx)
	if err != nil {
		return f, err
	}
	if before != after {
		tr.fail(1, "the check changed the machine:\n%s", difference(before, after))
	}
	if f.Digest() != again.Digest() {
		tr.fail(1, "two checks of an unchanged machine differ: %s, then %s", paths(f), paths(again))
	}
	if onRealHost() && tr.subject.Borrows == "" && !strings.Contains(f.Object, Prefix) {
		tr.fail(0, "%s does not carry the prefix %s, and the subject does not say what it borrows", f.Object, Prefix)
	}
	return throughJSON(f)
}

func throughJSON(f step.Finding) (step.Finding, error) {
	var out step.Finding
	b, err := json.Marshal(f)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	return out, err
}

// cut decides which effects do not happen. The zero cut lets all through.
type cut struct {
	at   int // the first effect that fails, counted from 1; 0 for none
	only bool
	seen []host.Effect
}

var errKilled = errors.New("killed by the laws")

func (c *cut) before(_ context.Context, e host.Effect) error {
	c.seen = append(c.seen, e)
	if c.at > 0 && (len(c.seen) == c.at || !c.only && len(c.seen) > c.at) {
		return errKilled
	}
	return nil
}

// apply settles a finding and the needs it raised.
func (tr *trial) apply(ctx context.Context, p place, f step.Finding, c *cut) error {
	s, err := tr.step()
	if err != nil {
		return err
	}
	h := host.Observe(p.host(), c.before)
	if err := s.Apply(ctx, h, f); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if err := restart(ctx, p.host(), f); err != nil || !needsReboot(f) {
		return err
	}
	if err := p.boot(ctx); err != nil {
		return err
	}
	if k, ok := s.(step.Keeper); ok {
		if err := k.Keep(ctx, host.Observe(p.host(), c.before), f); err != nil {
			return fmt.Errorf("keep: %w", err)
		}
	}
	return nil
}

func needsReboot(f step.Finding) bool {
	return slices.ContainsFunc(f.Needs, func(n step.Need) bool { return n.Verb == step.Reboot })
}

// restart restarts the units that a finding named, if they run.
func restart(ctx context.Context, h host.Host, f step.Finding) error {
	for _, n := range f.Needs {
		if n.Verb != step.RestartUnit {
			continue
		}
		u, err := h.Units.Unit(ctx, n.Object)
		if err != nil {
			return err
		}
		if u.ActiveState != "active" {
			continue
		}
		if err := h.Units.Do(ctx, host.Restart, n.Object); err != nil {
			return err
		}
	}
	return nil
}

// converge is a whole run under law 2: check, apply, check, and once more,
// which must not write. It returns what the first check found.
func (tr *trial) converge(ctx context.Context, p place, when string) (step.Finding, []host.Effect, error) {
	f, err := tr.check(ctx, p)
	if err != nil {
		return f, nil, fmt.Errorf("%s: %w", when, err)
	}
	var effects cut
	if f.Changed() {
		if err := tr.apply(ctx, p, f, &effects); err != nil {
			tr.fail(2, "%s: %v", when, err)
			return f, nil, errStop
		}
	}
	after, err := tr.check(ctx, p)
	if err != nil {
		tr.fail(2, "%s, after the apply: %v", when, err)
		return f, nil, errStop
	}
	if after.Changed() {
		tr.fail(2, "%s: after the apply the check still finds %s", when, paths(after))
		return f, nil, errStop
	}
	tr.outputs(after, when)
	f.Settled = true
	return f, effects.seen, nil
}

// outputs of a step that is there are all known.
func (tr *trial) outputs(f step.Finding, when string) {
	var have map[string]any
	if f.Outputs != nil {
		if err := json.Unmarshal(f.Outputs, &have); err != nil {
			tr.fail(0, "%s: the outputs are no object: %v", when, err)
		}
	}
	if tr.absent() {
		return
	}
	for name := range leaves(tr.subject.Kind.Outputs) {
		if _, ok := have[name]; !ok && !slices.Contains(tr.subject.Fleeting, name) {
			tr.fail(0, "%s: the output %s is not known after the apply", when, name)
		}
	}
}

// undo takes a finding back and settles its needs once more.
func (tr *trial) undo(ctx context.Context, p place, f step.Finding, c *cut) error {
	if !f.Changed() {
		return nil
	}
	s, err := tr.step()
	if err != nil {
		return err
	}
	if err := s.Undo(ctx, host.Observe(p.host(), c.before), f); err != nil {
		return err
	}
	if err := restart(ctx, p.host(), f); err != nil || !needsReboot(f) {
		return err
	}
	if r, ok := s.(step.Returner); ok {
		if back, err := r.Returned(ctx, p.host().View(), f); back || err != nil {
			return err
		}
	}
	return p.boot(ctx)
}

// undone takes a finding back and compares with the snapshot under a law.
func (tr *trial) undone(ctx context.Context, p place, f step.Finding, law int, want, when string) {
	tr.undoneTo(ctx, p, f, law, want, when, func() (string, error) { return p.snapshot(ctx) })
}

// undoneTo is undone for a look at the place that is not the snapshot.
func (tr *trial) undoneTo(ctx context.Context, p place, f step.Finding, law int, want, when string, look func() (string, error)) {
	err := tr.undo(ctx, p, f, &cut{})
	if f.Cost.Irreversible != "" {
		if !errors.Is(err, step.ErrIrreversible) {
			tr.fail(law, "%s: the finding says it cannot be undone, but undo returned %v", when, err)
		}
		return
	}
	if err != nil {
		tr.fail(law, "%s: undo: %v", when, err)
		return
	}
	got, err := look()
	if err != nil {
		tr.fail(0, "%s: %v", when, err)
	} else if got != want {
		tr.fail(law, "%s: undo did not bring back what was found:\n%s", when, difference(want, got))
	}
}

// paths are the deltas of a finding in a line.
func paths(f step.Finding) string {
	if !f.Changed() {
		return "nothing to do"
	}
	var list []string
	for _, d := range f.Deltas {
		list = append(list, fmt.Sprintf("%s (%s -> %s)", d.Path, shown(d.From), shown(d.To)))
	}
	return strings.Join(list, ", ")
}

func shown(v json.RawMessage) string {
	if v == nil {
		return "absent"
	}
	return string(v)
}

// difference shows the lines that two snapshots do not share.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	for _, line := range w {
		if !slices.Contains(g, line) {
			fmt.Fprintf(&b, "\t- %s\n", line)
		}
	}
	for _, line := range g {
		if !slices.Contains(w, line) {
			fmt.Fprintf(&b, "\t+ %s\n", line)
		}
	}
	if b.Len() == 0 {
		return "\tthe same lines in another order\n"
	}
	return b.String()
}
