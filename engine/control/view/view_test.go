package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"weft/engine/control/run"
	"weft/engine/control/textwidth"
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

const told = `a   open run r0 was cut here, or waits for a reboot; what it found before is kept, and weft rollback can take it back
bb  unreachable  no route to host
    → is it up?
      is the cable in?
bb  waiting  for the lease, held since 03:04:05 by run r0 of anna
bb  locked  since 03:04:05 by run r0 of anna; come again later, or wait for it with --lock-timeout 5m
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
	if strings.Contains(out.String(), `"old"`) || strings.Contains(out.String(), `"new"`) {
		t.Error("a sensitive value was written")
	}
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
	l.keep("kept\n")
	l.stop()
	if !strings.Contains(out.String(), "file.motd") || !strings.HasSuffix(out.String(), "\x1b[1A\r\x1b[J") {
		t.Errorf("%q", out.String())
	}
}

// TestProgressIsOneLine: it takes the place of what the host was said to be at, is
// neutral, and says nothing on a pipe.
func TestProgressIsOneLine(t *testing.T) {
	var out bytes.Buffer
	v := NewText(&out, none, Changes)
	event := run.Event{Type: run.UnitProgress, Host: "a", Progress: &wire.Progress{Address: "ovs_build.x", How: "compile 1 of 2\x1b[2J\nx"}}
	v.Observe(event)
	if out.Len() > 0 {
		t.Errorf("on a pipe it says %q", out.String())
	}
	v.live = newLive(&out, func() (int, int) { return 80, 20 })
	v.live.work("a", "ovs_build.x")
	v.Observe(event)
	v.live.keep("kept\n")
	v.Close()
	if said := out.String(); !strings.Contains(said, "ovs_build.x: compile 1 of 2") || strings.Contains(said, "[2J\n") || strings.Contains(said, "\x1b[2J") {
		t.Errorf("%q", said)
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
  ? service.y  known after apply

1 to change, 1 known after apply, on 1 host; 1 host converged
`
	if out.String() != want {
		t.Errorf("shown\n%s\nwant\n%s", out.String(), want)
	}
}

func TestPlanOfHostsThatFail(t *testing.T) {
	var out bytes.Buffer
	v := NewText(&out, none, Changes)
	v.Plan([]string{"a", "b", "dead"}, map[string][]run.Planned{
		"a": {{Address: "file.x", State: wire.Failed, Reason: "no such door"}},
		"b": {{Address: "file.x", State: wire.Converged}},
	})
	if want := "a\n  ! file.x\n      no such door\n\n0 to change, 1 that cannot be checked, on 1 host; 1 host converged\n"; out.String() != want {
		t.Errorf("shown\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	v.Plan([]string{"dead"}, nil)
	if out.String() != "" {
		t.Errorf("of hosts that nobody reached is said: %s", out.String())
	}
}

func TestVerbosity(t *testing.T) {
	for v, want := range map[Verbosity][]string{
		Changes:    {"changed  file.motd", "settled"},
		Steps:      {"changed  file.motd", "settled", "ok       file.ok"},
		Needs:      {"changed  file.motd", "settled", "ok       file.ok", "a   connected"},
		Everything: {"changed  file.motd", "settled", "ok       file.ok", "a   connected", strings.Repeat("      | a line\n", 20)},
	} {
		var out bytes.Buffer
		text := NewText(&out, none, v)
		for _, e := range story() {
			text.Observe(e)
		}
		for _, all := range []string{"changed  file.motd", "settled", "ok       file.ok", "a   connected", strings.Repeat("      | a line\n", 20)} {
			wanted := false
			for _, w := range want {
				wanted = wanted || w == all
			}
			if strings.Contains(out.String(), all) != wanted {
				t.Errorf("verbosity %d, %q: %v\n%s", v, all, !wanted, out.String())
			}
		}
	}
}

func TestColoursLeaveColumnsAlone(t *testing.T) {
	var out bytes.Buffer
	v := NewText(&out, none, Steps)
	v.p.on = true
	for _, s := range []wire.UnitState{wire.Changed, wire.Converged, wire.Undone} {
		v.Observe(run.Event{Type: run.UnitMoved, Phase: run.Applying, Host: "a", Unit: &wire.UnitEvent{Address: "file.x", State: s}})
	}
	plain := regexp.MustCompile("\x1b\\[[0-9]*m").ReplaceAllString(out.String(), "")
	if want := "a  changed  file.x\na  ok       file.x\na  undone   file.x\n"; plain != want {
		t.Errorf("%q, want %q", plain, want)
	}
}

func TestLiveLinesFitTheTerminal(t *testing.T) {
	width, rows := 40, 20
	l := newLive(&bytes.Buffer{}, func() (int, int) { return width, rows })
	defer l.stop()
	l.work("compute-with-a-very-long-name-1", "ovs_bridge.br-int")
	l.work("b", "file."+strings.Repeat("網", 60))
	l.work("c", "file.two\nlines")
	for _, width = range []int{200, 40, 12, 3} {
		for _, line := range l.lines(width, rows) {
			if textwidth.Of(line) >= width || strings.ContainsAny(line, "\n\t") {
				t.Errorf("%d columns, %d in %q", width, textwidth.Of(line), line)
			}
		}
	}
	if got := l.lines(40, 20)[1]; !strings.HasSuffix(got, " 0s") {
		t.Errorf("the time is cut off: %q", got)
	}
	for i := range 30 {
		l.work(fmt.Sprintf("host%d", i), "x")
	}
	if got := l.lines(80, 10); len(got) != 6 || !strings.Contains(got[5], "and 28 more hosts") {
		t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
	}
}

// A terminal that became narrower shows what was drawn on it in more rows.
func TestLiveRegionIsErasedAfterAResize(t *testing.T) {
	var out bytes.Buffer
	size := 60
	l := &live{out: &out, on: true, busy: map[string]task{}, quit: make(chan struct{}), size: func() (int, int) { return size, 20 }}
	l.work("a", strings.Repeat("x", 100))
	l.keep("")
	size = 20
	out.Reset()
	l.stop()
	if got := out.String(); got != "\x1b[3A\r\x1b[J" {
		t.Errorf("%q", got)
	}
}

func TestValuesAreWrittenPlainly(t *testing.T) {
	for text, want := range map[string]string{
		`a && b <c>`: `"a && b <c>"`, `\u0026`: `"\\u0026"`, `\&`: `"\\&"`,
	} {
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := value(b); got != want {
			t.Errorf("%s is shown as %s", text, got)
		}
	}
}
