package run

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/engine/wire"
)

// TestConfirmByHand is three hosts: one with a guard of the run, one with
// another's, one with a guard that ran out.
func TestConfirmByHand(t *testing.T) {
	for _, extend := range []time.Duration{0, time.Minute} {
		f := newFleet(t)
		stands := map[string]*wire.GuardEvent{
			"a": {Run: "r1", State: wire.GuardArmed}, "b": {Run: "r1; reboot", State: wire.GuardArmed}, "c": {Run: "r1", State: wire.GuardUndone, Undone: 2},
		}
		var mu sync.Mutex
		var asked []string
		o := f.options()
		o.Inventories = []string{"lab.hcl"}
		r := New(f.program(""), &scripted{
			hello: func(host string, h *wire.Hello) *wire.HelloEvent {
				if h.Intent != wire.Look {
					t.Error("it takes the lease")
				}
				return &wire.HelloEvent{Guard: stands[host]}
			},
			answer: func(host string, q wire.Request) ([]wire.Event, error) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case q.Commit != nil:
					asked = append(asked, host+" commit "+q.Commit.Run)
				case q.Extend != nil:
					asked = append(asked, host+" extend "+q.Extend.Run+" "+q.Extend.Time.String())
				}
				return nil, nil
			},
			lasting: true,
		}, wire.Look, o)
		guards := r.Guards(context.Background())
		if got := slices.Sorted(maps.Keys(guards)); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("guards on %v", got)
		}
		for _, e := range f.events {
			if e.Type == HostGuard && e.Host == "b" && !strings.Contains(e.Hint, "`weft commit RUN -i lab.hcl -l b`") {
				t.Errorf("what a host called a run is in %q", e.Hint)
			}
		}
		r.Confirm(context.Background(), "r1", guards, extend)
		recap := r.Recap(context.Background())
		r.Close()
		want, state := "a commit r1", wire.GuardCommitted
		if extend > 0 {
			want, state = "a extend r1 1m0s", wire.GuardArmed
		}
		if got := strings.Join(asked, ", "); got != want || recap.Exit != OK {
			t.Errorf("exit %d, asked for %s; want %s", recap.Exit, got, want)
		}
		if last := f.events[len(f.events)-2]; last.Type != HostGuard || last.Host != "a" || last.Guard.State != state {
			t.Errorf("told %+v", last)
		}
	}
}
