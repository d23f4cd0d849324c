package view

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"weft/engine/control/run"
	"weft/engine/step"
	"weft/engine/wire"
)

// FuzzText shows what hosts said: nothing of it reaches the terminal but what
// can be read.
func FuzzText(f *testing.F) {
	f.Add("file.motd", "changed", "\x1b[2J", `"a\nb"`, "tool\r\n")
	f.Fuzz(func(t *testing.T, address, state, text, value, detail string) {
		delta := step.Delta{Path: text, To: json.RawMessage(value)}
		finding := &step.Finding{Object: text, Deltas: []step.Delta{delta, {Path: address, From: json.RawMessage(value), To: json.RawMessage(`"x"`)}}}
		var b bytes.Buffer
		view := NewText(&b, none, Everything)
		for _, e := range []run.Event{
			{Type: run.HostConnected, Host: "h", Open: []string{text}},
			{Type: run.HostUnreachable, Host: "h", Error: text, Hint: detail},
			{Type: run.HostLocked, Host: "h", Holder: &wire.Lease{Run: address, Owner: text, Since: time.Unix(0, 0)}},
			{Type: run.UnitMoved, Phase: run.Applying, Host: "h", Unit: &wire.UnitEvent{
				Address: address, State: wire.UnitState(state), Error: text, Detail: detail, Finding: finding, Report: &step.Report{Summary: text}}},
			{Type: run.UnitMoved, Phase: run.Applying, Host: "h", Unit: &wire.UnitEvent{Address: address, State: wire.Failed, Error: text, Detail: detail}},
			{Type: run.UnitMoved, Phase: run.Applying, Host: "h", Unit: &wire.UnitEvent{Address: address, State: wire.Changed, Finding: finding}},
			{Type: run.UnitProgress, Phase: run.Applying, Host: "h", Progress: &wire.Progress{Address: address, How: text}},
			{Type: run.NeedSettled, Phase: run.Applying, Host: "h", Need: &wire.NeedEvent{Need: step.Need{Verb: step.NeedVerb(state), Object: text, Reason: address}, Error: detail}},
		} {
			view.Observe(e)
		}
		view.Close()
		if !utf8.Valid(b.Bytes()) {
			t.Errorf("no UTF-8: %q", b.String())
		}
		for _, r := range b.String() {
			if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Fatalf("%q reaches the terminal in %q", r, b.String())
			}
		}
	})
}
