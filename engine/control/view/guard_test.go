package view

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"weft/engine/control/run"
	"weft/engine/wire"
)

func TestGuardsAreTold(t *testing.T) {
	armed := wire.GuardEvent{Run: "r1", Owner: "anna", Play: "bridge", Step: "ovs_port.eth0", State: wire.GuardArmed, Time: time.Minute,
		Why: "eth0 carries this session", Left: time.Minute}
	is := func(state wire.GuardState, undone int, failure string) *wire.GuardEvent {
		g := armed
		g.State, g.Undone, g.Error = state, undone, failure
		return &g
	}
	for _, c := range []struct {
		run  string // that looks
		g    *wire.GuardEvent
		hint string
		says string
	}{
		{"r1", is(wire.GuardArmed, 0, ""), "", "a  guard  armed for 1m0s before ovs_port.eth0: eth0 carries this session\n"},
		{"r1", is(wire.GuardArmed, 0, ""), "`weft commit r1` keeps it", "unless somebody confirms it\n   → `weft commit r1` keeps it\n"},
		{"r2", is(wire.GuardArmed, 0, ""), "", "a  guard  the guard of run r1 of anna stands until "},
		{"r1", is(wire.GuardCommitted, 0, ""), "", "a  guard  confirmed over a new connection: the play bridge stays\n"},
		{"r2", is(wire.GuardUndone, 3, ""), "", "a  guard  the guard of run r1 of anna was not confirmed: the host took 3 steps of the play bridge back by itself\n"},
		{"r1", is(wire.GuardExpired, 1, "the disk\nis \x1b[2Jfull"), "", "could not take all of the play bridge back:\n   the disk\n   is \\x1b[2Jfull\n"},
		{"r1", is(wire.GuardExpired, 0, ""), "", "a  guard  its guard was not confirmed: the host is taking the play bridge back just now\n"},
	} {
		var out bytes.Buffer
		v := NewText(&out, none, Changes)
		v.Observe(run.Event{Type: run.RunBegan, Hosts: []string{"a"}})
		v.Observe(run.Event{Type: run.HostGuard, Run: c.run, Host: "a", Guard: c.g, Hint: c.hint})
		if !strings.Contains(out.String(), c.says) {
			t.Errorf("%s of %s: %q does not say %q", c.g.State, c.run, out.String(), c.says)
		}
	}
}

func TestRecapNamesWhatIsNotConfirmed(t *testing.T) {
	var out bytes.Buffer
	v := NewText(&out, none, Changes)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	v.Observe(run.Event{Type: run.RunEnded, Recap: &run.Recap{Run: "r1", Hosts: map[string]run.Count{"a": {Changed: 1}, "b": {Changed: 1}},
		Standing: []run.Standing{{Host: "a", Until: at.Add(time.Second)}, {Host: "b", Until: at}}, Confirm: "weft commit r1 -i lab.hcl"}})
	want := "not confirmed  of a, b: from 03:04:05 on it is taken back by the hosts themselves, unless you confirm it\n  → weft commit r1 -i lab.hcl\n"
	if !strings.HasSuffix(out.String(), want) {
		t.Errorf("%s\nwant at its end\n%s", out.String(), want)
	}
}
