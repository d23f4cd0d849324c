package step_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/step"
)

// lamp is a state with an attribute of each sort.
type lamp struct {
	Room   string                       `json:"room" weft:"label"`
	Colour step.Attr[string]            `json:"colour,omitzero"`
	Watts  step.Attr[int]               `json:"watts,omitzero"`
	Socket step.Attr[string]            `json:"socket,omitzero" weft:"whole"`
	Notes  map[string]step.Attr[string] `json:"notes,omitzero"`
	State  step.State                   `json:"state,omitzero"`
	Serial string                       `json:"serial,omitzero" weft:"found"`
}

// house is the one machine there is.
type house struct {
	lamp   lamp
	writes int
	stuck  bool
}

func (h *house) Read(_ context.Context, _ host.View, want lamp) (lamp, error) {
	have := h.lamp
	have.Room = want.Room
	if !have.State.There() {
		return lamp{Room: want.Room, State: step.Absent}, nil
	}
	have.Notes = maps.Clone(h.lamp.Notes)
	for k := range want.Notes {
		if have.Notes == nil {
			have.Notes = map[string]step.Attr[string]{}
		}
		if _, ok := have.Notes[k]; !ok {
			have.Notes[k] = step.None[string]()
		}
	}
	return have, nil
}

func (h *house) Diff(have, want lamp) []step.Delta { return step.Compare(have, want) }

func (h *house) Write(_ context.Context, _ host.Host, _, want lamp) error {
	h.writes++
	if h.stuck {
		return nil
	}
	if !want.State.There() || !h.lamp.State.There() {
		h.lamp = want
		return nil
	}
	if v, ok := want.Colour.Get(); ok || want.Colour.Managed() {
		h.lamp.Colour = step.Is(v)
	}
	if v, ok := want.Watts.Get(); ok {
		h.lamp.Watts = step.Is(v)
	}
	if v, ok := want.Socket.Get(); ok {
		h.lamp.Socket = step.Is(v)
	}
	for k, v := range want.Notes {
		if h.lamp.Notes == nil {
			h.lamp.Notes = map[string]step.Attr[string]{}
		}
		h.lamp.Notes[k] = v
	}
	return nil
}

func note(kv ...string) map[string]step.Attr[string] {
	m := map[string]step.Attr[string]{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = step.Is(kv[i+1])
	}
	return m
}

// apply checks and applies, and returns the finding as a journal would after
// it was verified.
func apply(t *testing.T, h *house, want lamp) (step.Step, step.Finding) {
	t.Helper()
	s := step.Of("lamp", h, want)
	f, err := s.Check(t.Context(), host.View{})
	if err == nil {
		err = s.Apply(t.Context(), host.Host{}, f)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Settled = true
	return s, f
}

func render(t *testing.T, l lamp) string {
	t.Helper()
	b, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestUndo(t *testing.T) {
	old := lamp{Room: "hall", Colour: step.Is("red"), Watts: step.Is(40), Socket: step.Is("E27"), Notes: note("a.b", "old", "c", "kept"), State: step.Present}
	want := lamp{Room: "hall", Colour: step.Is("blue"), Watts: step.Is(60), Notes: note("a.b", "new")}
	for _, tt := range []struct {
		name      string
		found     lamp
		want      lamp
		then      func(l *lamp)
		unsettled bool
		left      lamp // what undo leaves
		conflict  string
	}{
		{name: "all of it", found: old, want: want, left: old},
		{name: "a creation", found: lamp{Room: "hall", State: step.Absent}, want: want, left: lamp{Room: "hall", State: step.Absent}},
		{name: "a removal", found: old, want: lamp{Room: "hall", State: step.Absent}, left: old},
		{
			name: "but for what another hand changed", found: old, want: want,
			then:     func(l *lamp) { l.Watts = step.Is(100) },
			left:     lamp{Room: "hall", Colour: step.Is("red"), Watts: step.Is(100), Socket: step.Is("E27"), Notes: note("a.b", "old", "c", "kept"), State: step.Present},
			conflict: "watts",
		},
		{
			name: "but for a key with a dot", found: old, want: want,
			then:     func(l *lamp) { l.Notes["a.b"] = step.Is("theirs") },
			left:     lamp{Room: "hall", Colour: step.Is("red"), Watts: step.Is(40), Socket: step.Is("E27"), Notes: note("a.b", "theirs", "c", "kept"), State: step.Present},
			conflict: "notes.a.b",
		},
		{
			name: "what another hand put back already", found: old, want: want,
			then: func(l *lamp) { l.Colour = step.Is("red") }, left: old,
		},
		{
			name: "all of what was never seen in force", found: old, want: want, unsettled: true,
			then: func(l *lamp) { l.Watts = step.Is(100) }, left: old,
		},
		{
			name: "nothing of a creation that another hand changed", found: lamp{Room: "hall", State: step.Absent}, want: want,
			then:     func(l *lamp) { l.Watts = step.Is(100) },
			left:     lamp{Room: "hall", Colour: step.Is("blue"), Watts: step.Is(100), Notes: note("a.b", "new")},
			conflict: "watts",
		},
		{
			name: "nothing where a change made another object", found: old,
			want:     lamp{Room: "hall", Colour: step.Is("blue"), Socket: step.Is("GU10")},
			then:     func(l *lamp) { l.Colour = step.Is("green") },
			left:     lamp{Room: "hall", Colour: step.Is("green"), Watts: step.Is(40), Socket: step.Is("GU10"), Notes: note("a.b", "old", "c", "kept"), State: step.Present},
			conflict: "colour",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &house{lamp: tt.found}
			h.lamp.Notes = maps.Clone(tt.found.Notes)
			s, f := apply(t, h, tt.want)
			if tt.then != nil {
				tt.then(&h.lamp)
			}
			f.Settled = !tt.unsettled
			err := s.Undo(t.Context(), host.Host{}, f)
			if (tt.conflict != "") != errors.Is(err, step.ErrConflict) || err != nil && !strings.Contains(err.Error(), tt.conflict) {
				t.Errorf("undo: %v, want a conflict of %q", err, tt.conflict)
			}
			if got, want := render(t, h.lamp), render(t, tt.left); got != want {
				t.Errorf("undo left %s\n       want %s", got, want)
			}
			writes := h.writes
			if err := s.Undo(t.Context(), host.Host{}, f); tt.conflict == "" && err != nil || h.writes != writes && tt.conflict == "" {
				t.Errorf("a second undo: %v, %d writes", err, h.writes-writes)
			}
		})
	}
}

func TestUndoReadsAgain(t *testing.T) {
	h := &house{lamp: lamp{Watts: step.Is(40), State: step.Present}}
	s, f := apply(t, h, lamp{Watts: step.Is(60)})
	h.stuck = true
	if err := s.Undo(t.Context(), host.Host{}, f); err == nil || !strings.Contains(err.Error(), "watts did not come back") {
		t.Errorf("undo of what cannot be written: %v", err)
	}
	if err := s.Undo(t.Context(), host.Host{}, step.Finding{Before: []byte("x")}); err == nil {
		t.Error("no error for a record that is none")
	}
}

// lossy is a house whose answers get lost.
type lossy struct {
	house
	lose    int  // so many writes
	happens bool // whether a lost write happens
	away    int  // so many reads after it
}

func (l *lossy) Read(ctx context.Context, v host.View, want lamp) (lamp, error) {
	if l.writes > 0 && l.away > 0 {
		l.away--
		return lamp{}, host.ErrNotReady
	}
	return l.house.Read(ctx, v, want)
}

func (l *lossy) Write(ctx context.Context, h host.Host, have, want lamp) error {
	if l.lose == 0 {
		return l.house.Write(ctx, h, have, want)
	}
	l.lose--
	l.writes++
	if l.happens {
		l.writes--
		_ = l.house.Write(ctx, h, have, want)
	}
	return host.ErrOutcomeUnknown
}

// What is there decides whether a write happened that nobody can tell of.
func TestUnknownOutcome(t *testing.T) {
	want := lamp{Room: "hall", Colour: step.Is("red")}
	for name, c := range map[string]struct {
		lossy  lossy
		writes int
		failed bool
	}{
		"it happened":          {lossy{lose: 1, happens: true}, 1, false},
		"it did not":           {lossy{lose: 1}, 2, false},
		"away for a moment":    {lossy{lose: 1, happens: true, away: 1}, 1, false},
		"it is lost each time": {lossy{lose: 2}, 2, true},
	} {
		r := &c.lossy
		s := step.Of("lamp hall", r, want)
		f, err := s.Check(t.Context(), host.View{})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Apply(t.Context(), host.Host{}, f)
		if errors.Is(err, host.ErrOutcomeUnknown) != c.failed || r.writes != c.writes {
			t.Errorf("%s: %v after %d writes", name, err, r.writes)
		}
		if v, _ := r.lamp.Colour.Get(); (v == "red") == c.failed {
			t.Errorf("%s: the lamp is %q", name, v)
		}
	}
}
