package onhost

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"weft/engine/onhost/journal"
	"weft/engine/step"
	"weft/engine/wire"
)

// A unit is what the session knows of a step: its latest spec, and where it
// stands.
type unit struct {
	step.Unit
	step   step.Step   // nil for a probe, and where made failed
	prober step.Prober // nil for a step
	made   error       // why it could not be made
	// settles is the need that the step settles in its place; nil for most.
	settles *step.Need
	state   wire.UnitState // the last that was said; empty before
}

// remember makes the step of a unit, or finds the one made before.
func (s *session) remember(u step.Unit) *unit {
	x := s.units[u.Address]
	if x != nil && x.Kind == u.Kind && bytes.Equal(x.Spec, u.Spec) && len(x.Unknown) == len(u.Unknown) {
		x.Unit = u
		return x
	}
	if x == nil {
		x = &unit{}
		s.units[u.Address] = x
		s.known = append(s.known, x)
	}
	*x = unit{Unit: u, state: x.state}
	s.out.scrub.Add(secretValues(u)...)
	if len(u.Unknown) == 0 {
		x.made = s.construct(x)
	}
	if x.settles != nil && !slices.Contains(s.settlers, x) {
		s.settlers = append(s.settlers, x)
	}
	return x
}

// construct makes the step or the probe of a unit.
func (s *session) construct(x *unit) (err error) {
	k, ok := s.Table[x.Kind]
	if !ok {
		return fmt.Errorf("this runner has no kind %q", x.Kind)
	}
	if k.Probe != nil {
		x.prober, err = guarded(func() (step.Prober, error) { return k.Probe(x.Unit) })
		return err
	}
	x.step, err = guarded(func() (step.Step, error) { return k.Make(x.Unit) })
	if settler, ok := x.step.(step.Settler); ok && err == nil {
		n := settler.Settles()
		x.settles = &n
	}
	return err
}

// isProbe says whether a kind is a probe, also where the unit cannot be made.
func (s *session) isProbe(x *unit) bool { return s.Table[x.Kind].Probe != nil }

// guarded calls a module, whose panic is an error.
func guarded[T any](act func() (T, error)) (result T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return act()
}

// look is a unit's check.
func (s *session) look(ctx context.Context, x *unit) (step.Finding, error) {
	if x.made != nil {
		return step.Finding{}, x.made
	}
	f, err := guarded(func() (step.Finding, error) { return x.step.Check(ctx, s.Host.View()) })
	if err == nil {
		err = wellFormed(f)
	}
	if err == nil && f.Blind {
		err = s.onlyOnce(x, &f)
	}
	if i := slices.IndexFunc(f.Needs, isReboot); i >= 0 {
		if f.Cost.Disruption == "" {
			f.Cost.Disruption = disruption(f.Needs[i])
		}
	}
	if err == nil && len(x.Secret) > 0 {
		f.Deltas = slices.Clone(f.Deltas)
		for i, d := range f.Deltas {
			f.Deltas[i].Secret = d.Secret || slices.ContainsFunc(x.Secret, func(p string) bool { return covers(p, d.Path) })
		}
	}
	return f, err
}

// onlyOnce settles a finding that nothing on the machine can settle by what an
// earlier session of this run did: what it did to the end is done, and what it
// was cut at is not done again.
func (s *session) onlyOnce(x *unit, f *step.Finding) error {
	for _, rec := range slices.Backward(s.own.Records[:s.ownBefore]) {
		if rec.Unit.Address != x.Address || !bytes.Equal(rec.Unit.Spec, x.Spec) {
			continue
		}
		switch {
		case rec.State == journal.Verified || rec.State == journal.Final && rec.WasVerified:
			f.Deltas = nil
		case rec.InForce():
			return fmt.Errorf("%s was begun in this run and cut, and nothing tells whether it came to its end, so it is not begun again: "+
				"look, and begin a new run with `weft apply`, which runs it again", f.Object)
		}
		return nil
	}
	return nil
}

// wellFormed sees that what a module made can be written down.
func wellFormed(f step.Finding) error {
	for _, part := range []json.RawMessage{f.Before, f.Want, f.Outputs} {
		if len(part) > 0 && !json.Valid(part) {
			return fmt.Errorf("this is a bug in weft: the check of %s returned what is no JSON", f.Object)
		}
	}
	return nil
}

// covers says whether a delta at path shows something of the attribute.
func covers(attribute, path string) bool {
	return attribute == path || strings.HasPrefix(path, attribute+".") || strings.HasPrefix(attribute, path+".")
}

// secretValues are the strings of a unit's sensitive attributes, and their parts.
func secretValues(u step.Unit) []string {
	if len(u.Secret) == 0 {
		return nil
	}
	var spec any
	if json.Unmarshal(u.Spec, &spec) != nil {
		return nil
	}
	all := slices.Clone(u.Parts)
	for _, path := range u.Secret {
		all = append(all, leaves(below(spec, path))...)
	}
	return all
}

// below follows a path; keys may hold dots, so every split is tried.
func below(value any, path string) any {
	if path == "" {
		return value
	}
	object, ok := value.(map[string]any)
	if !ok {
		return value // the path speaks of an element of a list: take all of it
	}
	for key, inner := range object {
		if key == path {
			return inner
		}
		if rest, ok := strings.CutPrefix(path, key+"."); ok {
			return below(inner, rest)
		}
	}
	return nil
}

func leaves(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, e := range v {
			all = append(all, leaves(e)...)
		}
		return all
	case map[string]any:
		var all []string
		for _, e := range v {
			all = append(all, leaves(e)...)
		}
		return all
	}
	return nil
}

// report says where a unit stands. What the operator waits to see goes out at
// once.
func (s *session) report(x *unit, e wire.UnitEvent) {
	s.note(x, e)
	if e.State != wire.Converged && e.State != wire.Planned && e.State != wire.Waiting {
		s.out.send()
	}
}

// note is report that goes out with what comes next.
func (s *session) note(x *unit, e wire.UnitEvent) {
	e.Address = x.Address
	x.state = e.State
	s.out.say(wire.Event{Unit: &e})
}
