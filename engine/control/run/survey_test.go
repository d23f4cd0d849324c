package run

import (
	"context"
	"testing"
	"time"

	"weft/engine/wire"
)

// A survey has the facts and the plan of every host that answers, for one round
// trip, and changes nothing.
func TestSurvey(t *testing.T) {
	f := newFleet(t)
	f.dead["c"] = true
	f.machine("b").WriteFile("/etc/machine-id", "b1\n")
	before := f.machine("b").Snapshot()
	p := f.program(`play "p" {
		hosts = ["a", "b", "c"]
		step "note" "/x" { text = "one" }
	}`)
	r := New(p, f, wire.Look, f.options())
	defer r.Close()
	got := r.Survey(context.Background())
	if len(got) != 2 || got["b"].Facts.MachineID != "b1" || got["b"].Failed || got["b"].Ahead != 0 || len(got["b"].Units) != 1 {
		t.Errorf("got %+v", got)
	}
	if plan := r.Planned()["b"]; len(plan) != 1 || plan[0].State != wire.Planned {
		t.Errorf("the plan is %+v", plan)
	}
	if f.trips["b"] != 1 {
		t.Errorf("%d round trips", f.trips["b"])
	}
	if exit := r.Recap(context.Background()).Exit; exit != NoContact {
		t.Errorf("status %d", exit)
	}
	if f.machine("b").Snapshot() != before {
		t.Error("the host was changed")
	}
}

func TestAhead(t *testing.T) {
	asked := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	answered := asked.Add(2 * time.Second)
	for clock, want := range map[time.Time]time.Duration{
		{}:                          0,
		asked.Add(time.Second):      0,
		asked.Add(-3 * time.Second): -3 * time.Second,
		asked.Add(5 * time.Second):  3 * time.Second,
	} {
		if got := ahead(clock, asked, answered); got != want {
			t.Errorf("%v: %v", clock, got)
		}
	}
}
