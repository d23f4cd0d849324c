package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/engine/wire"
)

// twoPlays fails in its second play on b.
func twoPlays(attributes string) string {
	return `play "first" {
		hosts = ["a", "b", "c"]
		step "note" "/first" { text = "first" }
	}
	play "second" {
		hosts = ["a", "b", "c"]
		` + attributes + `
		step "note" "/second" { text = host.name == "b" ? "refused" : "second" }
	}
	play "third" {
		hosts    = ["a", "b", "c"]
		continue = true
		step "note" "/third" { text = "third" }
	}`
}

func TestPolicies(t *testing.T) {
	for _, c := range []struct {
		name       string
		attributes string
		holds      string
		exits      string // by host: what the recap counts as taken back
	}{
		{"rollback", "max_failures = 1", "a:/first=first a:/second=second a:/third=third b:/first=first c:/first=first c:/second=second c:/third=third", "a=0 b=0 c=0"},
		{"rollback_run", "on_failure = \"rollback_run\"\nmax_failures = 1",
			"a:/first=first a:/second=second a:/third=third c:/first=first c:/second=second c:/third=third", "a=0 b=1 c=0"},
		{"rollback_all", `on_failure = "rollback_all"`, "", ""}, // how far a and c came is chance,
		{"rollback_all, tolerated", "on_failure = \"rollback_all\"\nmax_failures = 1",
			"a:/first=first a:/second=second a:/third=third b:/first=first c:/first=first c:/second=second c:/third=third", "a=0 b=0 c=0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t)
			r := f.apply(f.program(twoPlays(c.attributes)), f.options())
			f.holds(strings.Fields(c.holds)...)
			var back []string
			for _, h := range []string{"a", "b", "c"} {
				back = append(back, fmt.Sprintf("%s=%d", h, r.Hosts[h].RolledBack))
			}
			if got := strings.Join(back, " "); c.exits != "" && got != c.exits || r.Exit != RolledBack {
				t.Errorf("exit %d, taken back %s; want 5, %s", r.Exit, got, c.exits)
			}
		})
	}
}

// A run that is taken back everywhere goes back a play at a time, and names the
// hosts on which it still stands.
func TestRunGoesBackEverywhereButWhereNobodyIs(t *testing.T) {
	f := newFleet(t)
	p := f.program(twoPlays(`on_failure = "rollback_all"`))
	var order []string
	begun := make(chan struct{}) // on c: no host begins once one has failed
	r := New(p, &scripted{
		answer: func(host string, q wire.Request) ([]wire.Event, error) {
			switch {
			case q.Check != nil:
				return []wire.Event{said("note./first", wire.Planned), said("note./second", wire.Planned), said("note./third", wire.Planned)}, nil
			case q.Apply != nil && q.Apply.Play == "second" && host == "c":
				close(begun)
				return []wire.Event{said("note./second", wire.Changed)}, nil
			case q.Apply != nil && q.Apply.Play == "second" && host == "a":
				<-begun
				return nil, errCut
			case q.Apply != nil && q.Apply.Play == "second":
				<-begun
				return []wire.Event{said("note./second", wire.Failed)}, nil
			case q.Apply != nil:
				return []wire.Event{said("note./"+q.Apply.Play, wire.Changed)}, nil
			case q.Rollback != nil:
				f.mu.Lock()
				defer f.mu.Unlock()
				order = append(order, q.Rollback.Play+" "+host)
				return []wire.Event{said("note./"+q.Rollback.Play, wire.Undone)}, nil
			}
			return nil, nil
		},
	}, wire.Change, f.options())
	defer r.Close()
	r.Plan(context.Background())
	r.Apply(context.Background())
	recap := r.Recap(context.Background())
	if got := strings.Join(order, ", "); got != "second c, first b, first c" && got != "second c, first c, first b" {
		t.Errorf("the order is %s", got)
	}
	if recap.Exit != NoContact || recap.Hosts["b"].RolledBack != 1 || recap.Hosts["c"].RolledBack != 2 {
		t.Errorf("%+v", recap)
	}
	if hint := hintOf(f, HostFailed); !strings.Contains(hint, "weft rollback "+recap.Run+" -l a") {
		t.Errorf("the hint is %q", hint)
	}
}

func TestTimeLimit(t *testing.T) {
	t.Run("between two steps", func(t *testing.T) { timeLimit(t, wire.Stopped) })
	t.Run("within a step", func(t *testing.T) { timeLimit(t, wire.Failed) })
}

func timeLimit(t *testing.T, last wire.UnitState) {
	f := newFleet(t)
	p := f.program(`play "p" {
		hosts = ["a", "b"]
		serial = 1
		step "note" "/x" { text = "x" }
		step "note" "/y" { text = "y" }
	}
	play "next" {
		hosts = ["a", "b"]
		step "note" "/z" { text = "z" }
	}`)
	o := f.options()
	o.TimeLimit = 20 * time.Millisecond
	var asked []string
	var r *Run
	r = New(p, &scripted{answer: func(host string, q wire.Request) ([]wire.Event, error) {
		switch {
		case q.Check != nil:
			return []wire.Event{said("note./x", wire.Planned), said("note./y", wire.Planned), said("note./z", wire.Planned)}, nil
		case q.Apply != nil:
			asked = append(asked, "apply "+q.Apply.Play+" "+host)
			<-r.limited.Done()
			return []wire.Event{said("note./x", wire.Changed), said("note./y", last)}, nil
		case q.UndoPlay != nil:
			asked = append(asked, "undo "+q.UndoPlay.Play+" "+host)
			return []wire.Event{said("note./x", wire.Undone)}, nil
		}
		return nil, nil
	}}, wire.Change, o)
	defer r.Close()
	r.Plan(context.Background())
	r.Apply(context.Background())
	recap := r.Recap(context.Background())
	if got := strings.Join(asked, ", "); got != "apply p a, undo p a" {
		t.Errorf("asked for %s", got)
	}
	if recap.Exit != RolledBack || recap.Hosts["a"] != (Count{Changed: 1, Failed: 1, RolledBack: 1}) {
		t.Errorf("exit %d, %+v", recap.Exit, recap.Hosts)
	}
	if !slices.ContainsFunc(f.events, func(e Event) bool { return e.Type == HostFailed && strings.Contains(e.Error, "--time-limit") }) {
		t.Error("nobody said why")
	}
}

// A controller that is short of file descriptors says nothing of a host.
func TestShortOfDescriptors(t *testing.T) {
	f := newFleet(t)
	p := f.program(`play "p" {
		hosts = role.other
		step "note" "/x" { text = "x" }
	}`)
	tries := map[string]int{}
	r := New(p, &scripted{
		answer: func(string, wire.Request) ([]wire.Event, error) {
			return []wire.Event{said("note./x", wire.Converged)}, nil
		},
		reach: func(host string, _ way) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if tries[host]++; host == "c" || tries[host] < 4 {
				return &UnreachableError{Says: "no file descriptor", Err: fmt.Errorf("dial: %w", syscall.EMFILE)}
			}
			return nil
		},
	}, wire.Change, f.options())
	defer r.Close()
	r.Plan(context.Background())
	recap := r.Recap(context.Background())
	if recap.Hosts["b"].Unreachable || !recap.Hosts["c"].Unreachable || tries["b"] != 4 {
		t.Errorf("%+v after %v", recap.Hosts, tries)
	}
	if hint := hintOf(f, HostUnreachable); !strings.Contains(hint, "ulimit -n") {
		t.Errorf("the hint is %q", hint)
	}
	if errors.Is(&UnreachableError{Err: syscall.ENOENT}, syscall.EMFILE) {
		t.Error("any error is one of descriptors")
	}
}
