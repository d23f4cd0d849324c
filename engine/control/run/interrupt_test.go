package run

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/engine/wire"
)

// interrupter is the operator's ^C when a certain event is seen.
type interrupter struct {
	*fleet
	when func(Event) bool
	hit  func()
}

func (i interrupter) Observe(e Event) {
	i.fleet.Observe(e)
	if i.when(e) {
		i.hit()
	}
}

func TestInterruptInEachPhase(t *testing.T) {
	const playbook = `play "p" {
		hosts = role.other
		step "note" "/x" { text = "new" }
		step "note" "/y" { text = %q }
		step "reading" "x" {
			path = "/x"
			text = "new"
		}
	}
	play "later" {
		hosts = role.other
		step "note" "/later" { text = "late" }
	}`
	unit := func(phase Phase, s wire.UnitState) func(Event) bool {
		return func(e Event) bool { return e.Type == UnitMoved && e.Phase == phase && e.Unit.State == s }
	}
	for _, c := range []struct {
		name    string
		y       string
		when    func(Event) bool
		there   bool // the hosts are converged before
		touched bool // something may have been changed
	}{
		{"before the first host", "y", func(e Event) bool { return e.Type == RunBegan }, false, false},
		{"while hosts are reached", "y", func(e Event) bool { return e.Type == HostBegan }, false, false},
		{"in the plan", "y", unit(Planning, wire.Planned), false, false},
		{"in the apply", "y", unit(Applying, wire.Applying), false, true},
		{"in the undo", "refused", unit(Applying, wire.Failed), false, true},
		{"in the proof", "y", unit(Planning, wire.Converged), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t)
			p := f.program(fmt.Sprintf(playbook, c.y))
			if c.there {
				f.apply(p, f.options())
				f.events = nil
			}
			before := f.texts()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			o := f.options()
			o.Observer = interrupter{f, c.when, cancel}
			r := New(p, f, wire.Change, o)
			r.Plan(ctx)
			if r.Changes() {
				r.Apply(ctx)
			} else {
				r.Prove(ctx)
			}
			recap := r.Recap(ctx)
			r.Close()
			if recap.Exit != Interrupted {
				t.Errorf("exit %d", recap.Exit)
			}
			for _, e := range f.events {
				if e.Type == HostUnreachable || e.Type == HostLost || e.Type == HostFailed {
					t.Errorf("%s %s: %s", e.Host, e.Type, e.Error)
				}
				if e.Type == UnitMoved && e.Unit.State == wire.Undone {
					t.Errorf("undone: %s %s", e.Host, e.Unit.Address)
				}
			}
			if !c.touched && !slices.Equal(f.texts(), before) {
				t.Errorf("changed: %v", f.texts())
			}
			for host, c := range recap.Hosts {
				if c.Unreachable {
					t.Errorf("%s is told to be unreachable", host)
				}
			}
		})
	}
}

func TestInterruptWhileAnotherHasTheLease(t *testing.T) {
	f := newFleet(t)
	p := f.program(`play "p" {
		hosts = role.first
		step "note" "/x" { text = "x" }
	}`)
	holder := New(p, f, wire.Change, f.options())
	holder.Plan(context.Background())
	defer holder.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	f.events = nil
	o := f.options()
	o.LockTimeout = time.Minute
	o.Observer = interrupter{f, func(e Event) bool { return e.Type == HostWaiting }, cancel}
	r := New(p, f, wire.Change, o)
	r.Plan(ctx)
	if recap := r.Recap(ctx); recap.Exit != Interrupted || recap.Hosts["a"] != (Count{}) {
		t.Errorf("%+v", recap)
	}
	r.Close()
	for _, e := range f.events {
		if e.Type == HostFailed {
			t.Errorf("told as a failure: %s", e.Error)
		}
	}
}

func TestBatches(t *testing.T) {
	playbook := func(attributes string) string {
		return `play "p" {
			hosts = ["c", "b", "a"]
			` + attributes + `
			step "note" "/x" { text = "new" }
			step "note" "/y" { text = host.name == "b" ? "refused" : "fine" }
		}
		play "next" {
			hosts = ["a", "b", "c"]
			step "note" "/next" { text = "next" }
		}
		play "after all" {
			hosts    = ["a", "b", "c"]
			continue = true
			step "note" "/after" { text = "after" }
		}`
	}
	for _, c := range []struct {
		name       string
		attributes string
		dead       string
		holds      string
		held       string
	}{
		{"one at a time, in the play's order", "serial = 1", "", "a:/after=after c:/after=after c:/x=new c:/y=fine",
			"p on a: 1 host failed, and max_failures is 0; next on a c: an earlier play failed, and this one does not say continue = true"},
		{"a dead host counts in its batch", "serial = 1\nmax_failures = 1", "c",
			"a:/after=after a:/next=next a:/x=new a:/y=fine", ""},
		{"and holds it", "serial = 2", "b", "a:/after=after c:/after=after",
			"p on c a: 1 host failed, and max_failures is 0; next on a c: an earlier play failed, and this one does not say continue = true"},
		{"two in a batch are too many", "serial = 2\nmax_failures = 1", "c", "a:/after=after",
			"p on a: 2 hosts failed, and max_failures is 1; next on a: an earlier play failed, and this one does not say continue = true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t)
			f.dead[c.dead] = true
			f.apply(f.program(playbook(c.attributes)), f.options())
			f.holds(strings.Fields(c.holds)...)
			var held []string
			for _, e := range f.events {
				if e.Type == PlayHeld {
					held = append(held, e.Play+" on "+strings.Join(e.Hosts, " ")+": "+e.Error)
				}
			}
			if got := strings.Join(held, "; "); got != c.held {
				t.Errorf("held: %s\nwant: %s", got, c.held)
			}
		})
	}
}
