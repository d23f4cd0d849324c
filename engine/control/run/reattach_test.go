package run

import (
	"context"
	"strings"
	"testing"
	"time"

	"weft/engine/wire"
)

// TestConnectionThatBreaks is a host whose session ends in the middle of an
// apply, and what it says when it is greeted again.
func TestConnectionThatBreaks(t *testing.T) {
	x, y := "note./x", "note./y"
	both := []wire.Place{{Play: "p", Address: x}, {Play: "p", Address: y}}
	for _, c := range []struct {
		name  string
		first []wire.Event // of the apply, before it is cut
		hello wire.HelloEvent
		again []wire.Event // of the next one
		sent  string       // the steps in it
		exit  Exit
		want  Count
	}{
		{"it goes on", []wire.Event{said(x, wire.Applying), said(x, wire.Changed), said(y, wire.Applying)},
			wire.HelloEvent{Changed: both[:1]}, []wire.Event{said(y, wire.Changed)}, y, OK, Count{Changed: 2}},
		{"it went on meanwhile", []wire.Event{said(x, wire.Applying)},
			wire.HelloEvent{Changed: both}, []wire.Event{said(x, wire.Converged), said(y, wire.Converged)}, x + " " + y, OK, Count{Changed: 2}},
		{"nothing was done", nil, wire.HelloEvent{}, []wire.Event{said(x, wire.Converged), said(y, wire.Converged)}, x + " " + y, OK, Count{OK: 2}},
		{"another has it now", nil, wire.HelloEvent{Holder: &wire.Lease{Run: "another"}}, nil, "", Locked, Count{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t)
			p := f.program(`play "p" {
				hosts = role.first
				step "note" "/x" { text = "x" }
				step "note" "/y" { text = "y" }
			}`)
			greeted, sent, settled := 0, "", 0
			script := &scripted{
				hello: func(string, *wire.Hello) *wire.HelloEvent {
					if greeted++; greeted == 1 {
						return &wire.HelloEvent{}
					}
					return &c.hello
				},
				answer: func(_ string, q wire.Request) ([]wire.Event, error) {
					switch {
					case q.Check != nil:
						return []wire.Event{said(x, wire.Planned), said(y, wire.Planned)}, nil
					case q.Apply != nil && greeted == 1:
						return c.first, errCut
					case q.Apply != nil:
						var addresses []string
						for _, u := range q.Apply.Units {
							addresses = append(addresses, u.Address)
						}
						sent = strings.Join(addresses, " ")
						if len(q.Apply.Planned) > 0 {
							t.Error("it is held to a plan that it may have begun")
						}
						return c.again, nil
					case q.EndPlay != nil:
						settled++
					}
					return nil, nil
				},
			}
			r := New(p, script, wire.Change, f.options())
			defer r.Close()
			r.Plan(context.Background())
			r.Apply(context.Background())
			recap := r.Recap(context.Background())
			if recap.Exit != c.exit || recap.Hosts["a"] != c.want || sent != c.sent {
				t.Errorf("exit %d, %+v, sent %q; want %d, %+v, %q", recap.Exit, recap.Hosts["a"], sent, c.exit, c.want, c.sent)
			}
			if wanted := c.want.Changed > 0; wanted != (settled == 1) {
				t.Errorf("the needs were settled %d times", settled)
			}
			if hint := hintOf(f, HostCut); !strings.Contains(hint, "trying again") {
				t.Errorf("of the cut is said %q", hint)
			}
		})
	}
}

// A runner that falls over whenever it is asked is not the network's doing.
func TestConnectionThatBreaksEachTime(t *testing.T) {
	f := newFleet(t)
	p := f.program(`play "p" {
		hosts = role.first
		step "note" "/x" { text = "x" }
	}`)
	applies := 0
	r := New(p, &scripted{answer: func(_ string, q wire.Request) ([]wire.Event, error) {
		if q.Apply != nil {
			applies++
			return []wire.Event{said("note./x", wire.Applying)}, errCut
		}
		return []wire.Event{said("note./x", wire.Planned)}, nil
	}}, wire.Change, f.options())
	defer r.Close()
	r.Plan(context.Background())
	r.Apply(context.Background())
	if recap := r.Recap(context.Background()); recap.Exit != NoContact || applies != mostBreaks+1 {
		t.Errorf("exit %d after %d applies", recap.Exit, applies)
	}
	if hint := hintOf(f, HostLost); !strings.Contains(hint, "weft resume") || !strings.Contains(hint, "weft rollback") {
		t.Errorf("the hint is %q", hint)
	}
}

// A connection that looks alive and carries nothing is dead.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name string
		mute bool
	}{{"answered", false}, {"mute", true}} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t)
			p := f.program(`play "p" {
				hosts = role.first
				step "note" "/x" { text = "x" }
			}`)
			o := f.options()
			o.LeaseTime = 30 * time.Millisecond
			script := &scripted{mute: c.mute, beats: make(chan struct{}), answer: func(string, wire.Request) ([]wire.Event, error) {
				return nil, errHang
			}}
			r := New(p, script, wire.Look, o)
			over := make(chan struct{})
			go func() {
				r.Plan(context.Background())
				close(over)
			}()
			if c.mute {
				<-over
				if recap := r.Recap(context.Background()); recap.Exit != NoContact {
					t.Errorf("exit %d", recap.Exit)
				}
				if last := f.events[len(f.events)-3]; !strings.Contains(last.Error, "nothing was heard from the runner for 30ms") {
					t.Errorf("%+v", last)
				}
				return
			}
			for range 20 { // far longer than the lease
				<-script.beats
			}
			select {
			case <-over:
				t.Error("a runner that answers heartbeats was given up")
			default:
			}
			r.Close()
			<-over
		})
	}
}

// While the kernel's new arguments are only tried the host may give them up, and
// boots once more for it.
func TestHostIsAwaitedWhileItTries(t *testing.T) {
	o := Options{RebootTime: time.Hour, times: times{absence: time.Minute, grace: time.Minute}}
	for _, c := range []struct {
		name      string
		trialEnds time.Duration // from now
		want      time.Duration
	}{
		{"it tries nothing", 0, time.Minute},
		{"it tries", 20 * time.Minute, 80 * time.Minute},
		{"it has kept them by now", -time.Second, time.Minute},
	} {
		m := &member{run: &Run{opts: o}}
		if c.trialEnds != 0 {
			m.trialEnds = time.Now().Add(c.trialEnds)
		}
		if got := time.Until(m.awaited()); got.Round(time.Minute) != c.want {
			t.Errorf("%s: it is awaited for %s, want %s", c.name, got, c.want)
		}
	}
}
