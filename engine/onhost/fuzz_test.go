package onhost

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"weft/engine/step"
	"weft/engine/wire"
)

// FuzzPassOn reads what another build's runner says of its undo: only events of
// units and needs are handed on, and under no request of ours.
func FuzzPassOn(f *testing.F) {
	f.Add(`{"id":3,"unit":{"address":"file.motd","state":"undone"}}` + "\n" + `{"done":{}}` + "\n")
	f.Fuzz(func(t *testing.T, said string) {
		heard := 0
		refused, spoken := passOn(bufio.NewScanner(strings.NewReader(said)), func(e wire.Event) {
			heard++
			if e.ID != 0 || e.Unit == nil && e.Need == nil || e.Done != nil {
				t.Errorf("%+v was handed on", e)
			}
		})
		if refused != "" && !spoken {
			t.Errorf("refused with %q, and never came to its end", refused)
		}
		if heard > strings.Count(said, "\n")+1 {
			t.Errorf("%d events in %d lines", heard, strings.Count(said, "\n")+1)
		}
	})
}

// FuzzOverlay merges what two runs found. Journals are read again on any later
// day, and undo writes what comes out.
func FuzzOverlay(f *testing.F) {
	f.Add(`{"a":1,"b":2}`, `{"a":0}`, `{"a":1}`)
	f.Fuzz(func(t *testing.T, newer, older, managed string) {
		for _, text := range []string{newer, older, managed} {
			if !json.Valid([]byte(text)) {
				return
			}
		}
		got := overlay(step.Finding{Before: []byte(newer), Want: []byte(`"another"`)}, step.Finding{Before: []byte(older), Want: []byte(managed)})
		if !json.Valid(got) {
			t.Fatalf("%s before %s is %s", older, newer, got)
		}
		all := fields(got)
		for k, v := range fields([]byte(older)) {
			if fields(v) == nil && !bytes.Equal(canonical(t, all[k]), canonical(t, v)) {
				t.Errorf("%s before %s lost %s: %s", older, newer, k, got)
			}
		}
		for k := range fields([]byte(managed)) {
			_, found := fields([]byte(older))[k]
			if _, there := all[k]; there && !found {
				t.Errorf("%s was not found before %s, which the older run made: %s", k, newer, got)
			}
		}
	})
}

func canonical(t *testing.T, raw json.RawMessage) []byte {
	t.Helper()
	var b bytes.Buffer
	if len(raw) == 0 {
		return nil
	}
	if err := json.Compact(&b, raw); err != nil {
		t.Fatal(err)
	}
	var escaped bytes.Buffer
	json.HTMLEscape(&escaped, b.Bytes())
	return escaped.Bytes()
}
