package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
)

// A Resource is a kind of state, and what most modules implement; [Of] makes a
// [Step] of it. Undo is a desired state too: the one that was found.
type Resource[S any] interface {
	// Read returns what is there of what want names. It fills what
	// identifies the object, and answers every attribute that want manages
	// (an Attr with a value or None, a map with every key of want). Where
	// want is absent and the object is there, it answers the object whole,
	// with what it takes to make it again.
	Read(ctx context.Context, v host.View, want S) (have S, err error)
	// Diff is pure; [Compare] does for most.
	Diff(have, want S) []Delta
	// Write makes want of have. It copes with a state that a killed Write
	// left half made. Where its error wraps [host.ErrOutcomeUnknown] it is
	// called once more, with what Read finds then.
	Write(ctx context.Context, h host.Host, have, want S) error
}

// An Adviser is a resource with more to say about a change: outputs, needs,
// costs, warnings. Advise is pure and called by every check; where nothing
// differs, have is what is there.
type Adviser[S any] interface {
	Advise(f *Finding, have, want S)
}

// Of makes a step of a resource. Object names what the step is about in
// messages and in the journal ("bridge br-int"); it must be the same for two
// specs that speak of the same thing.
func Of[S any](object string, r Resource[S], want S) Step {
	return resourceStep{object: object, resource: typed[S]{r}, want: want}
}

// states is a resource whose states are any, so that the compiler makes the step
// once and not for each kind: the runner crosses the wire.
type states interface {
	read(ctx context.Context, v host.View, want any) (any, error)
	diff(have, want any) []Delta
	write(ctx context.Context, h host.Host, have, want any) error
	advise(f *Finding, have, want any)
	explain(ctx context.Context, v host.View, n Need) string
	decode(b json.RawMessage) (any, error)
}

// typed are the states of one resource.
type typed[S any] struct{ resource Resource[S] }

func (t typed[S]) read(ctx context.Context, v host.View, want any) (any, error) {
	return t.resource.Read(ctx, v, want.(S))
}

func (t typed[S]) diff(have, want any) []Delta { return t.resource.Diff(have.(S), want.(S)) }

func (t typed[S]) write(ctx context.Context, h host.Host, have, want any) error {
	return t.resource.Write(ctx, h, have.(S), want.(S))
}

func (t typed[S]) advise(f *Finding, have, want any) {
	if a, ok := t.resource.(Adviser[S]); ok {
		a.Advise(f, have.(S), want.(S))
	}
}

func (t typed[S]) explain(ctx context.Context, v host.View, n Need) string {
	if e, ok := t.resource.(Explainer); ok {
		return e.Explain(ctx, v, n)
	}
	return ""
}

func (typed[S]) decode(b json.RawMessage) (any, error) {
	var s S
	err := json.Unmarshal(b, &s)
	return s, err
}

type resourceStep struct {
	object   string
	resource states
	want     any
}

func (s resourceStep) Check(ctx context.Context, v host.View) (Finding, error) {
	have, err := s.resource.read(ctx, v, s.want)
	if err != nil {
		return Finding{Object: s.object}, fmt.Errorf("read %s: %w", s.object, err)
	}
	f := Finding{
		Object: s.object,
		Deltas: s.resource.diff(have, s.want),
		Before: mustJSON(have),
		Want:   mustJSON(s.want),
	}
	s.resource.advise(&f, have, s.want)
	return f, nil
}

// Explain implements [Explainer].
func (s resourceStep) Explain(ctx context.Context, v host.View, n Need) string {
	return s.resource.explain(ctx, v, n)
}

func (s resourceStep) Apply(ctx context.Context, h host.Host, f Finding) error {
	have, err := s.decode(f.Before)
	if err != nil {
		return err
	}
	if err := s.write(ctx, h, have, s.want); err != nil {
		return fmt.Errorf("write %s: %w", s.object, err)
	}
	return nil
}

func (s resourceStep) decode(b json.RawMessage) (any, error) {
	state, err := s.resource.decode(b)
	if err != nil {
		return nil, fmt.Errorf("decode a recorded state: %w", err)
	}
	return state, nil
}

// absence is how long a database may be away that was lost in the middle of a
// transaction.
const absence = 10 * time.Second

// write writes. Where nobody can say whether that happened, what is there now
// decides, and what is left of it is written once more.
func (s resourceStep) write(ctx context.Context, h host.Host, have, want any) error {
	unknown := s.resource.write(ctx, h, have, want)
	if !errors.Is(unknown, host.ErrOutcomeUnknown) {
		return unknown
	}
	var now any
	err := Await(ctx, absence, func() (err error) {
		h.Memo.Forget()
		now, err = s.resource.read(ctx, h.View(), want)
		return err
	})
	if err != nil {
		return errors.Join(unknown, fmt.Errorf("read it again: %w", err))
	}
	if len(s.resource.diff(now, want)) == 0 {
		return nil
	}
	return s.resource.write(ctx, h, now, want)
}

// Undo writes the state that was found, but for the attributes that another
// hand changed since the change was settled: those are reported as conflicts
// and left. A change that was never seen in force is our own half-made work,
// and is taken back whole.
func (s resourceStep) Undo(ctx context.Context, h host.Host, f Finding) error {
	before, err := s.decode(f.Before)
	if err != nil {
		return err
	}
	want, err := s.decode(f.Want)
	if err != nil {
		return err
	}
	now, err := s.resource.read(ctx, h.View(), want)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Object, err)
	}
	target, conflict := before, error(nil)
	foreign := f.Foreign
	switch {
	case f.Settled:
		target, foreign = s.merge(now, want, before)
	case len(foreign) > 0:
		target = s.grafted(before, now, foreign)
	}
	if len(foreign) > 0 {
		conflict = fmt.Errorf("%s: %s: %w", s.object, strings.Join(foreign, ", "), ErrConflict)
	}
	if len(s.resource.diff(now, target)) == 0 {
		return conflict
	}
	if err := f.Sorted(foreign, nil); err != nil {
		return err
	}
	if err := s.write(ctx, h, now, target); err != nil {
		return errors.Join(conflict, fmt.Errorf("write back %s: %w", f.Object, err))
	}
	now, err = s.resource.read(ctx, h.View(), target)
	if err != nil {
		return errors.Join(conflict, fmt.Errorf("read %s after undo: %w", f.Object, err))
	}
	if left := s.resource.diff(now, target); len(left) > 0 {
		return errors.Join(conflict, fmt.Errorf("undo %s: %s did not come back", f.Object, left[0].Path))
	}
	return conflict
}

// Sorted has what an undo settled before its first effect remembered, for the
// undo that goes on where this one is killed.
func (f Finding) Sorted(foreign, own []string) error {
	if len(foreign)+len(own) == 0 || f.Sort == nil {
		return nil
	}
	return f.Sort(foreign, own)
}

// merge returns what undo should write, before with the attributes that differ
// now from both want and before left as they are now, and the paths of these.
func (s resourceStep) merge(now, want, before any) (target any, foreign []string) {
	open := map[string]bool{}
	for _, d := range s.resource.diff(now, before) {
		open[d.Path] = true
	}
	drift := s.resource.diff(now, want)
	whole := open["state"] || slices.ContainsFunc(drift, func(d Delta) bool { return d.Path == "state" })
	for _, name := range wholeAttributes(now) {
		for path := range open {
			whole = whole || path == name || strings.HasPrefix(path, name+".")
		}
	}
	for _, d := range drift {
		if len(open) > 0 && (whole || open[d.Path]) {
			foreign = append(foreign, d.Path)
		}
	}
	if len(foreign) == 0 {
		return before, nil
	}
	if whole {
		return now, foreign
	}
	return s.grafted(before, now, foreign), foreign
}

// grafted is before with some paths as they are now.
func (s resourceStep) grafted(before, now any, paths []string) any {
	target, current := toTree(before), toTree(now)
	for _, path := range paths {
		graft(target, current, path)
	}
	merged, err := s.decode(mustJSON(target))
	if err != nil {
		panic("step: a merged state that does not decode: " + err.Error())
	}
	return merged
}

// wholeAttributes are the attributes that are tagged so.
func wholeAttributes(state any) []string {
	var names []string
	t := reflect.TypeOf(state)
	for i := range t.NumField() {
		if f := FieldOf(t.Field(i)); f.Has("whole") {
			names = append(names, f.Name)
		}
	}
	return names
}

func toTree(state any) map[string]any {
	var tree map[string]any
	if err := json.Unmarshal(mustJSON(state), &tree); err != nil {
		panic("step: a state that is no object: " + err.Error())
	}
	return tree
}

// graft copies the value at path from one tree to another. Keys of maps may
// hold dots, so the longest key that is there wins.
func graft(to, from map[string]any, path string) {
	value, inFrom := from[path]
	if _, inTo := to[path]; inFrom || inTo {
		if inFrom {
			to[path] = value
		} else {
			delete(to, path)
		}
		return
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		toChild, ok := to[path[:i]].(map[string]any)
		fromChild, ok2 := from[path[:i]].(map[string]any)
		if ok && ok2 {
			graft(toChild, fromChild, path[i+1:])
			return
		}
	}
}
