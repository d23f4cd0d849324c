package run

import (
	"context"
	"testing"
	"time"

	"weft/engine/wire"
)

// TestRunGoesOn interrupts a run and goes on with it under its name, as `weft
// resume` does.
func TestRunGoesOn(t *testing.T) {
	f := newFleet(t)
	p := f.program(`play "p" {
		hosts = role.first
		step "note" "/x" { text = "x" }
		step "note" "/y" { text = "y" }
	}
	play "q" {
		hosts = role.first
		step "note" "/z" { text = "z" }
	}`)
	o := f.options()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	o.Observer = interrupter{f, func(e Event) bool {
		return e.Type == UnitMoved && e.Phase == Applying && e.Unit.State == wire.Changed
	}, cancel}
	r := New(p, f, wire.Change, o)
	r.Plan(ctx)
	r.Apply(ctx)
	if recap := r.Recap(ctx); recap.Exit != Interrupted {
		t.Fatalf("exit %d", recap.Exit)
	}
	r.Close()

	o.Observer, o.LockTimeout = f, 5*time.Second
	r = New(p, f, wire.Change, o)
	r.Plan(context.Background())
	if !r.Changes() || !r.Continued() {
		t.Errorf("changes: %v, continued: %v", r.Changes(), r.Continued())
	}
	r.Apply(context.Background())
	recap := r.Recap(context.Background())
	r.Close()
	if recap.Exit != OK || recap.Hosts["a"] != (Count{Changed: 3}) {
		t.Errorf("exit %d, %+v", recap.Exit, recap.Hosts["a"])
	}
	f.holds("a:/x=x", "a:/y=y", "a:/z=z")

	r = New(p, f, wire.Change, o)
	r.Plan(context.Background())
	if r.Changes() {
		t.Error("something is left of a finished run")
	}
	r.Prove(context.Background())
	if recap := r.Recap(context.Background()); recap.Exit != OK || recap.Hosts["a"] != (Count{OK: 3}) {
		t.Errorf("proved: exit %d, %+v", recap.Exit, recap.Hosts["a"])
	}
	r.Close()

	run := o.ID
	back := func(play string) error {
		o := f.options()
		o.LockTimeout = 5 * time.Second
		r := New(f.program(""), f, wire.Change, o)
		defer r.Close()
		past, err := r.Find(context.Background(), play, run)
		if err == nil {
			r.Rollback(context.Background(), past)
		}
		return err
	}
	if err := back("w"); err == nil {
		t.Error("a play that nobody knows was taken back")
	}
	f.holds("a:/x=x", "a:/y=y", "a:/z=z")
	if err := back("q"); err != nil {
		t.Error(err)
	}
	f.holds("a:/x=x", "a:/y=y")
	if err := back(""); err != nil {
		t.Error(err)
	}
	f.holds()
}
