package run

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/step"
	"weft/engine/wire"
)

// A host that answers what cannot be costs itself its place in the run, or
// nothing; it breaks neither the run nor another host.
func TestHostsThatLie(t *testing.T) {
	x := "note./x"
	unit := func(change func(*wire.UnitEvent)) []wire.Event {
		e := said(x, wire.Planned)
		change(e.Unit)
		return []wire.Event{e}
	}
	outputs := func(text string) []wire.Event {
		return unit(func(e *wire.UnitEvent) { e.Finding.Outputs = json.RawMessage(text) })
	}
	for name, c := range map[string]struct {
		checked []wire.Event
		facts   *host.Facts
		exit    Exit // of the plan; -1 where any will do
	}{
		"a step that nobody asked about": {[]wire.Event{said("file./etc/shadow", wire.Planned), said(x, wire.Converged)}, nil, HostFailure},
		"no finding":                     {unit(func(e *wire.UnitEvent) { e.Finding = nil }), nil, -1},
		"no such state":                  {unit(func(e *wire.UnitEvent) { e.State = "\x1b[2J" }), nil, -1},
		"no answer at all":               {nil, nil, -1},
		"the same step twice":            {[]wire.Event{said(x, wire.Planned), said(x, wire.Failed), said(x, wire.Converged)}, nil, -1},
		"outputs that are no object":     {outputs(`"x"`), nil, -1},
		"outputs without end":            {outputs(strings.Repeat("[", 9000) + strings.Repeat("]", 9000)), nil, -1},
		"outputs of the wrong type":      {outputs(`{"text":{"a":[1e999,null]}}`), nil, -1},
		"outputs that are no JSON":       {outputs("{\xff"), nil, -1},
		"a path that is none":            {unit(func(e *wire.UnitEvent) { e.Finding.Deltas = []step.Delta{{Path: "....", To: json.RawMessage("{")}} }), nil, -1},
		"a time before time":             {unit(func(e *wire.UnitEvent) { e.Elapsed = -1 << 62 }), nil, -1},
		"a guard that nobody armed": {[]wire.Event{
			{Guard: &wire.GuardEvent{State: wire.GuardArmed, Time: -1, Left: -1 << 62}}, {Guard: &wire.GuardEvent{State: "x"}}, said(x, wire.Converged)}, nil, -1},
		"a need that is none": {[]wire.Event{{Need: &wire.NeedEvent{Need: step.Need{Verb: "x"}}}, said(x, wire.Converged)}, nil, -1},
		"progress of a plan":  {[]wire.Event{{Progress: &wire.Progress{Address: "x", How: "\x1b[2J"}}, said(x, wire.Converged)}, nil, -1},
		"all other events": {[]wire.Event{{Exec: &wire.ExecEvent{}}, {Run: &wire.RunEvent{}}, {Pulse: &wire.Pulse{}}, {Wait: &wire.WaitEvent{}},
			{}, said(x, wire.Converged)}, nil, -1},
		"facts that are lies": {[]wire.Event{said(x, wire.Converged)}, &host.Facts{
			Hostname: "-oProxyCommand=x/../\x00\xff", CPUs: -1, MemoryMB: -1 << 62, Kernel: strings.Repeat("9", 1<<20),
			Links: map[string]*host.NIC{"": nil, "\x00": {MTU: -1}},
		}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			p := f.program(`play "p" {
				hosts = concat(role.first, role.other)
				step "note" "/x" { text = "on ${host.facts.hostname} ${host.facts.cpus}" }
			}`)
			r := New(p, &scripted{
				hello: func(name string, _ *wire.Hello) *wire.HelloEvent {
					e := &wire.HelloEvent{Facts: &host.Facts{Hostname: name, CPUs: 1}}
					if name == "a" && c.facts != nil {
						e.Facts = c.facts
					}
					return e
				},
				answer: func(name string, q wire.Request) ([]wire.Event, error) {
					if q.Check == nil {
						return nil, nil
					}
					if name == "a" {
						return c.checked, nil
					}
					return []wire.Event{said(x, wire.Converged)}, nil
				},
			}, wire.Change, f.options())
			defer r.Close()
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			r.Plan(ctx)
			r.Planned()
			recap := r.Recap(ctx)
			if c.exit >= 0 && recap.Exit != c.exit {
				t.Errorf("exit %d, want %d: %+v", recap.Exit, c.exit, recap.Hosts)
			}
			if len(recap.Hosts) != 3 {
				t.Errorf("the recap is %+v", recap.Hosts)
			}
			for _, other := range []string{"b", "c"} {
				if got := recap.Hosts[other]; got.Failed > 0 || got.Unreachable {
					t.Errorf("%s: %+v", other, got)
				}
			}
		})
	}
}
