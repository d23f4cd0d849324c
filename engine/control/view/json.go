package view

import (
	"encoding/json"
	"io"

	"weft/engine/control/run"
)

// JSON prints every event as a line of JSON. The last line is the recap:
//
//	{"type":"recap","run":…,"exit":N,"hosts":{NAME:{"ok":n,"changed":n,…}}}
type JSON struct{ encoder *json.Encoder }

// NewJSON returns an observer that writes to w.
func NewJSON(w io.Writer) *JSON {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return &JSON{e}
}

// Observe implements [run.Observer].
func (j *JSON) Observe(e run.Event) {
	if e.Recap != nil {
		_ = j.encoder.Encode(struct {
			Type run.EventType `json:"type"`
			*run.Recap
		}{e.Type, e.Recap})
		return
	}
	_ = j.encoder.Encode(e) // the reader of a broken pipe is gone
}
