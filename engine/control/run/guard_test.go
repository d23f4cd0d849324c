package run

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/engine/step"
	"weft/engine/wire"
)

// guardTime is that of the guards of tests.
const guardTime = 500 * time.Millisecond

// wired is a host with a guard, and a way to it that a change may cut.
type wired struct {
	mu        sync.Mutex
	guard     *wire.GuardEvent
	ends      time.Time
	extended  int
	cut       bool            // the change cut the way to the host
	back      bool            // it is there again once the guard took the change back
	fate      wire.GuardState // that it comes to
	failure   string          // of the undo
	reapplied int             // applies after the first
	settling  func()          // what the end of the play takes; may be nil
}

// arm is what a runner does before the first guarded effect.
func (w *wired) arm(run string) wire.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.guard = &wire.GuardEvent{Run: run, Owner: "tester", Play: "p", Step: "note./x", State: wire.GuardArmed, Time: guardTime, Left: guardTime}
	w.ends = time.Now().Add(guardTime)
	e := *w.guard
	return wire.Event{Guard: &e}
}

// settle lets a guard expire.
func (w *wired) settle() {
	if w.guard != nil && w.guard.State == wire.GuardArmed && time.Now().After(w.ends) {
		w.guard.State, w.guard.Undone, w.guard.Error = w.fate, 2, w.failure
	}
}

func (w *wired) reach(string, way) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	if w.cut && (!w.back || w.guard.State == wire.GuardArmed) {
		return &UnreachableError{Says: "no answer"}
	}
	return nil
}

func (w *wired) hello(string, *wire.Hello) *wire.HelloEvent {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	h := &wire.HelloEvent{}
	if w.guard != nil {
		g := *w.guard
		h.Guard = &g
	}
	return h
}

func (w *wired) answer(q wire.Request) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	switch {
	case q.Commit == nil && q.Extend == nil:
		return nil
	case w.guard == nil || w.guard.State != wire.GuardArmed:
		return &RefusedError{"no guard of this run stands here"}
	case q.Extend != nil:
		w.extended++
		w.ends = time.Now().Add(q.Extend.Time)
	default:
		w.guard.State = wire.GuardCommitted
	}
	return nil
}

// underGuard applies two steps of which the first arms a guard.
func underGuard(t *testing.T, w *wired, o Options, apply func() error) (Recap, *fleet) {
	t.Helper()
	f := newFleet(t)
	p := f.program(`play "p" {
		hosts = role.first
		step "note" "/x" { text = "x" }
		step "note" "/y" { text = "y" }
	}`)
	o.ID, o.Table, o.Observer, o.times = NewID(time.Now()), f.table, f, hasty
	applies := 0
	r := New(p, &scripted{reach: w.reach, hello: w.hello, answer: func(_ string, q wire.Request) ([]wire.Event, error) {
		switch {
		case q.Check != nil:
			return []wire.Event{said("note./x", wire.Planned), said("note./y", wire.Planned)}, nil
		case q.Apply != nil:
			if applies++; applies > 1 {
				return []wire.Event{said("note./x", wire.Converged), said("note./y", wire.Converged)}, nil
			}
			events := []wire.Event{w.arm(o.ID), said("note./x", wire.Applying), said("note./x", wire.Changed)}
			if err := apply(); err != nil {
				return events, err
			}
			return append(events, said("note./y", wire.Applying), said("note./y", wire.Changed)), nil
		case q.EndPlay != nil && w.settling != nil:
			w.settling()
		}
		return nil, w.answer(q)
	}}, wire.Change, o)
	defer r.Close()
	r.Plan(context.Background())
	r.Apply(context.Background())
	w.reapplied = applies - 1
	return r.Recap(context.Background()), f
}

// hintOf is that of the last event of a type.
func hintOf(f *fleet, t EventType) string {
	for _, e := range slices.Backward(f.events) {
		if e.Type == t {
			return e.Hint
		}
	}
	return "no such event"
}

func TestGuardIsConfirmedOverANewConnection(t *testing.T) {
	t.Parallel()
	w := &wired{fate: wire.GuardUndone}
	w.settling = func() {
		for until := time.Now().Add(5 * time.Second); time.Now().Before(until); wait(context.Background(), time.Millisecond) {
			w.mu.Lock()
			extended := w.extended
			w.mu.Unlock()
			if extended > 3 { // longer than the guard would last
				return
			}
		}
		t.Error("nobody extended the guard")
	}
	recap, f := underGuard(t, w, Options{}, func() error { return nil })
	if recap.Exit != OK || recap.Hosts["a"] != (Count{Changed: 2}) || w.guard.State != wire.GuardCommitted || len(recap.Standing) > 0 {
		t.Errorf("exit %d, %+v, the guard is %s", recap.Exit, recap.Hosts["a"], w.guard.State)
	}
	if !slices.ContainsFunc(f.events, func(e Event) bool { return e.Type == HostGuard && e.Guard.State == wire.GuardCommitted }) {
		t.Error("nobody was told")
	}
}

func TestGuardIsLeftToTheOperator(t *testing.T) {
	w := &wired{fate: wire.GuardUndone}
	recap, f := underGuard(t, w, Options{ByHand: true, Inventories: []string{"lab.hcl"}}, func() error { return nil })
	if recap.Exit != OK || w.guard.State == wire.GuardCommitted || len(recap.Standing) != 1 {
		t.Fatalf("exit %d, the guard is %s, left are %v", recap.Exit, w.guard.State, recap.Standing)
	}
	if s := recap.Standing[0]; s.Host != "a" || time.Until(s.Until) > guardTime {
		t.Errorf("left: %+v", s)
	}
	if hint := hintOf(f, HostGuard); !strings.Contains(hint, "weft commit "+recap.Run+" -i lab.hcl") {
		t.Errorf("the hint is %q", hint)
	}
}

// TestGuardThatCutTheWay is a management NIC in the wrong VLAN.
func TestGuardThatCutTheWay(t *testing.T) {
	for _, c := range []struct {
		name    string
		back    bool
		fate    wire.GuardState
		failure string
		exit    Exit
		want    Count
		hint    string
		lost    bool // the connection breaks at once, else only the new one fails
	}{
		{"taken back", true, wire.GuardUndone, "", RolledBack, Count{Changed: 1, Failed: 1, RolledBack: 2}, "", true},
		{"not taken back", true, wire.GuardExpired, "the disk is full", HostFailure, Count{Changed: 1, Failed: 1, RolledBack: 2}, "", true},
		{"never back", false, wire.GuardUndone, "", NoContact, Count{Changed: 1, Unreachable: true}, "the host takes the play p back by itself", true},
		{"taken back, the session stood", true, wire.GuardUndone, "", RolledBack, Count{Changed: 2, Failed: 1, RolledBack: 2}, "", false},
		{"not taken back, the session stood", true, wire.GuardExpired, "the disk is full", HostFailure, Count{Changed: 2, Failed: 1, RolledBack: 2}, "", false},
		{"never back, the session stood", false, wire.GuardUndone, "", NoContact, Count{Changed: 2, Unreachable: true}, "the host takes the play p back by itself", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := &wired{back: c.back, fate: c.fate, failure: c.failure}
			recap, f := underGuard(t, w, Options{}, func() error {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.cut = true
				if c.lost {
					return errCut
				}
				return nil
			})
			if recap.Exit != c.exit || recap.Hosts["a"] != c.want {
				t.Errorf("exit %d, %+v; want %d, %+v", recap.Exit, recap.Hosts["a"], c.exit, c.want)
			}
			if w.reapplied > 0 {
				t.Error("the host took it back, and it was applied again")
			}
			if c.hint != "" && !strings.Contains(hintOf(f, HostLost), c.hint) {
				t.Errorf("the hint is %q", hintOf(f, HostLost))
			}
			if c.hint == "" && w.guard.State != c.fate {
				t.Errorf("the guard is %s", w.guard.State)
			}
		})
	}
}

// TestGuardOutlivesACut is a NIC that moves: the old connection is gone, the
// way is there.
func TestGuardOutlivesACut(t *testing.T) {
	w := &wired{fate: wire.GuardUndone}
	recap, _ := underGuard(t, w, Options{}, func() error { return errCut })
	if recap.Exit != OK || w.guard.State != wire.GuardCommitted || w.reapplied != 1 {
		t.Errorf("exit %d, %+v, the guard is %s after %d further applies", recap.Exit, recap.Hosts["a"], w.guard.State, w.reapplied)
	}
}

func TestGuardCoversWhatIsSentWhole(t *testing.T) {
	x := step.Unit{Address: "note./x", Guard: time.Minute}
	y := step.Unit{Address: "note./y", Guard: time.Minute, Unknown: []string{"text"}}
	free := step.Unit{Address: "note./z", Unknown: []string{"text"}}
	for _, c := range []struct {
		units []step.Unit
		next  *step.Unit
		says  []string
	}{
		{[]step.Unit{x}, &y, []string{"note./x", "note./y", "text", "sent whole"}},
		{[]step.Unit{x}, &free, nil},
		{[]step.Unit{x}, nil, nil},
		{[]step.Unit{{Address: "note./w"}}, &y, nil},
	} {
		err := coverage(c.units, c.next)
		if (err != nil) != (c.says != nil) {
			t.Errorf("%v, then %v: %v", c.units, c.next, err)
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not say %s", err, part)
			}
		}
	}
}

// An undo that does not bring everything back leaves the host its guard.
func TestGuardOfAFailedUndoIsTold(t *testing.T) {
	w := &wired{fate: wire.GuardExpired}
	f := newFleet(t)
	p := f.program(`play "p" {
		hosts = role.first
		step "note" "/x" { text = "x" }
		step "note" "/y" { text = "y" }
	}`)
	o := Options{ID: NewID(time.Now()), Table: f.table, Observer: f, times: hasty}
	r := New(p, &scripted{answer: func(_ string, q wire.Request) ([]wire.Event, error) {
		switch {
		case q.Check != nil:
			return []wire.Event{said("note./x", wire.Planned), said("note./y", wire.Planned)}, nil
		case q.Apply != nil:
			return []wire.Event{w.arm(o.ID), said("note./x", wire.Applying), said("note./x", wire.Changed),
				said("note./y", wire.Applying), said("note./y", wire.Failed)}, nil
		case q.UndoPlay != nil:
			return []wire.Event{said("note./y", wire.Stuck), said("note./x", wire.Undone)}, nil
		}
		return nil, nil
	}}, wire.Change, o)
	defer r.Close()
	r.Plan(context.Background())
	r.Apply(context.Background())
	recap := r.Recap(context.Background())
	if recap.Exit != HostFailure || len(recap.Standing) != 1 || recap.Standing[0].Host != "a" {
		t.Errorf("exit %d, left are %+v", recap.Exit, recap.Standing)
	}
	if hint := hintOf(f, HostGuard); !strings.Contains(hint, "weft commit "+recap.Run) {
		t.Errorf("the hint is %q", hint)
	}
}
