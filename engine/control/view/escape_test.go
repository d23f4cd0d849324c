package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"weft/engine/control/run"
	"weft/engine/wire"
)

// hostile clears a screen, sets a title, goes back in the line, turns text
// around and is no UTF-8.
const hostile = "a\x1b[2J\x1b]0;owned\x07\rb\u202ec\u2028d\u200be\x00\x7f\u009bf\xff"

// fill puts hostile into every string there is in a value, however deep, and
// one element into every list.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type() != reflect.TypeFor[time.Time]() {
				fill(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			text, _ := json.Marshal(hostile)
			v.SetBytes(text)
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Int, reflect.Int64:
		v.SetInt(-1)
	}
}

// Whatever a host says in whichever field of whichever event, nothing of it
// acts on the terminal. The inventory's own names are not a host's.
func TestNothingActsOnTheTerminal(t *testing.T) {
	states := []wire.UnitState{
		wire.Converged, wire.Planned, wire.Waiting, wire.Applying, wire.Changed, wire.Pending, wire.Failed, wire.Stale, wire.Stopped,
		wire.Undone, wire.Conflict, wire.Stuck, wire.Proved, wire.Refuted, hostile,
	}
	guards := []wire.GuardState{wire.GuardArmed, wire.GuardCommitted, wire.GuardExpired, wire.GuardUndone, wire.GuardReleased, hostile}
	for _, verbosity := range []Verbosity{Changes, Changes + 1, Everything} {
		for _, phase := range []run.Phase{run.Planning, run.Applying, run.Proving, run.Undoing} {
			for _, kind := range []run.EventType{
				run.RunBegan, run.PlayBegan, run.PlayHeld, run.HostBegan, run.HostConnected, run.HostUnreachable, run.HostCut, run.HostBack, run.HostLate,
				run.HostLost, run.HostGuard, run.HostLocked, run.HostWaiting, run.HostTookOver, run.HostFailed, run.HostDone, run.UnitMoved,
				run.NeedSettled, run.RunEnded,
			} {
				for i := range max(len(states), len(guards)) {
					var e run.Event
					fill(reflect.ValueOf(&e).Elem())
					e.Type, e.Phase, e.Run, e.Host, e.Play, e.Hosts = kind, phase, "r", "h", "p", []string{"h"}
					ownNames(e.Recap)
					e.Unit.State, e.Guard.State = states[i%len(states)], guards[i%len(guards)]
					var text bytes.Buffer
					view := NewText(&text, none, verbosity)
					view.Observe(e)
					view.Close()
					harmless(t, fmt.Sprint(kind, " ", phase, " ", e.Unit.State), text.String())
				}
			}
		}
	}
	for _, state := range states {
		var steps []run.Planned
		fill(reflect.ValueOf(&steps).Elem())
		for i := range steps {
			steps[i].Play, steps[i].State = "p", state
			steps[i].Undecided, steps[i].Probe = i == 1, false
		}
		var text bytes.Buffer
		view := NewText(&text, none, Everything)
		view.Plan([]string{"h"}, map[string][]run.Planned{"h": steps})
		view.Close()
		harmless(t, "plan "+string(state), text.String())
	}
}

// ownNames puts into a recap the names that are the controller's own.
func ownNames(r *run.Recap) {
	r.Run, r.Hosts = "r", map[string]run.Count{"h": {Changed: 1}}
	for i := range r.Slowest {
		r.Slowest[i].Host, r.Slowest[i].Elapsed = "h", time.Minute
	}
	for i := range r.Standing {
		r.Standing[i].Host = "h"
	}
}

func harmless(t *testing.T, what, shown string) {
	t.Helper()
	if !utf8.ValidString(shown) {
		t.Errorf("%s: no UTF-8: %q", what, shown)
	}
	for _, r := range shown {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) {
			t.Fatalf("%s: %q reaches the terminal in %q", what, r, shown)
		}
	}
}
