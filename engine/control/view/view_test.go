package view

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"weft/engine/control/run"
	"weft/engine/step"
	"weft/engine/wire"
)

func none(string) (string, bool) { return "", false }

// story is a run with one of everything, and with a host that lies.
func story() []run.Event {
	found := &step.Finding{Object: "file /etc/motd", Deltas: []step.Delta{
		step.Change("mode", "0600", "0644"),
		step.Change("content", "one\ntwo\nthree\n", "one\n2\nthree\n"),
		step.Change("owner", nil, "root"),
		{Path: "token", From: json.RawMessage(`"old"`), To: json.RawMessage(`"new"`), Secret: true},
	}}
	lease := &wire.Lease{Run: "r0", Owner: "anna", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)}
	return []run.Event{
		{Type: run.RunBegan, Hosts: []string{"a", "bb"}},
		{Type: run.HostConnected, Host: "a", Open: []string{"r0"}},
		{Type: run.HostUnreachable, Host: "bb", Error: "no route to host", Hint: "is it up?\nis the cable in?"},
		{Type: run.HostWaiting, Host: "bb", Holder: lease},
		{Type: run.HostLocked, Host: "bb", Holder: lease},
		{Type: run.PlayBegan, Play: "p", Phase: run.Applying, Hosts: []string{"a"}},
		{Type: run.UnitMoved, Phase: run.Applying, Host: "a", Unit: &wire.UnitEvent{Address: "file.motd", State: wire.Applying}},
		{Type: run.UnitMoved, Phase: run.Applying, Host: "a", Unit: &wire.UnitEvent{Address: "file.motd", State: wire.Changed, Finding: found, Elapsed: 3 * time.Millisecond}},
		{Type: run.UnitMoved, Phase: run.Applying, Host: "a", Unit: &wire.UnitEvent{Address: "file.ok", State: wire.Converged}},
		{Type: run.NeedSettled, Phase: run.Applying, Host: "a", Need: &wire.NeedEvent{Need: step.Need{Verb: step.RestartUnit, Object: "ssh.service", Reason: "file.motd"}, Elapsed: time.Second}},
		{Type: run.UnitMoved, Phase: run.Applying, Host: "a", Unit: &wire.UnitEvent{Address: "probe_ping.x", State: wire.Proved, Report: &step.Report{Summary: "3 of 3 answered"}, Elapsed: time.Second}},
		{Type: run.UnitMoved, Phase: run.Applying, Host: "a", Unit: &wire.UnitEvent{Address: "command.x", State: wire.Failed,
			Error: "run true: exit status 1: \x1b]0;owned\x07bad", Detail: strings.Repeat("a line\n", 20) + "\x1b[2Jthe last"}},
		{Type: run.UnitMoved, Phase: run.Undoing, Host: "a", Unit: &wire.UnitEvent{Address: "file.motd", State: wire.Undone, Elapsed: time.Millisecond}},
		{Type: run.RunEnded, Recap: &run.Recap{Run: "r1", Exit: run.RolledBack, Elapsed: 4 * time.Second,
			Hosts:   map[string]run.Count{"a": {OK: 1, Changed: 1, Failed: 1, RolledBack: 1}, "bb": {Unreachable: true}},
			Slowest: []run.Timing{{Host: "a", Address: "probe_ping.x", Elapsed: time.Second}}}},
	}
}

const told = `a   open run r0 was cut here and left changes half made; what it found before is kept
bb  unreachable  no route to host
    → is it up?
      is the cable in?
bb  waiting  for the lease of run r0 by anna, since 03:04:05
bb  locked  run r0 by anna, since 03:04:05 has the lease; wait for it, or ask for --lock-timeout
play p on a
a   changed  file.motd  3.0ms
      ~ mode = "0600" → "0644"
      ~ content:
            one
          - two
          + 2
            three
      + owner = "root"
      ~ token: (sensitive)
a   settled  restart ssh.service, for file.motd  1.0s
a   proved   probe_ping.x  3 of 3 answered  1.0s
`

func TestTextTellsARun(t *testing.T) {
	var out bytes.Buffer
	v := NewText(&out, none, Changes)
	for _, e := range story() {
		v.Observe(e)
	}
	v.Close()
	got := out.String()
	if !strings.HasPrefix(got, told) {
		t.Errorf("told\n%s\nwant\n%s", got, told)
	}
	for _, want := range []string{"… 11 lines more with -vvv", "the last", "a   undone   file.motd", "recap", "ok=1", "rolled_back=1", "unreachable", "slowest steps"} {
		if !strings.Contains(got, want) {
			t.Errorf("nobody said %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "file.ok") {
		t.Error("a step that was fine was told without -v")
	}
	if strings.ContainsAny(got, "\x1b\x07") {
		t.Errorf("what a host said reached the terminal: %q", got)
	}
	if strings.Contains(got, `"new"`) || strings.Contains(got, `"old"`) {
		t.Error("a sensitive value was shown")
	}
}

func TestJSONEndsWithTheRecap(t *testing.T) {
	var out bytes.Buffer
	v := NewJSON(&out)
	for _, e := range story() {
		v.Observe(e)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(story()) {
		t.Errorf("%d lines of %d events", len(lines), len(story()))
	}
	var last struct {
		Type  string
		Exit  int
		Hosts map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if last.Type != "recap" || last.Exit != 5 || last.Hosts["a"]["rolled_back"] != 1.0 || last.Hosts["bb"]["unreachable"] != true {
		t.Errorf("%+v", last)
	}
}

func TestLiveRegionIsErased(t *testing.T) {
	var out bytes.Buffer
	l := newLive(&out, func() (int, int) { return 40, 20 })
	l.work("a", "file.motd")
	l.print("kept\n")
	l.stop()
	if !strings.Contains(out.String(), "file.motd") || !strings.HasSuffix(out.String(), "\x1b[1A\r\x1b[J") {
		t.Errorf("%q", out.String())
	}
}

func TestPlanShowsWhatAndWhy(t *testing.T) {
	var out bytes.Buffer
	v := NewText(&out, none, Changes)
	v.Plan([]string{"a", "b"}, map[string][]run.Planned{
		"a": {
			{Address: "file.x", State: wire.Planned, Finding: &step.Finding{Deltas: []step.Delta{step.Change("state", nil, step.Present)},
				Cost: step.Cost{Disruption: "dataplane outage", Irreversible: "it is gone"}, Warnings: []string{"a loop"}}},
			{Address: "service.y", State: wire.Waiting, Reason: "y.service: not there yet"},
			{Address: "probe_ping.z", State: wire.Waiting, Probe: true},
		},
		"b": {{Address: "file.x", State: wire.Converged}},
	})
	want := `a
  ~ file.x
      + state = "present"
      disruption: dataplane outage
      cannot be undone: it is gone
      warning: a loop
  ? service.y  known after apply: y.service: not there yet

1 to change, 1 known after apply, on 1 host; 1 host as they should be
`
	if out.String() != want {
		t.Errorf("shown\n%s\nwant\n%s", out.String(), want)
	}
}
