package view

import (
	"encoding/json"
	"io"
	"slices"

	"weft/engine/control/run"
	"weft/engine/wire"
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
	if e.Unit != nil && e.Unit.Finding != nil {
		e.Unit = withoutSecrets(*e.Unit)
	}
	_ = j.encoder.Encode(e) // the reader of a broken pipe is gone
}

// withoutSecrets drops the values of sensitive attributes. A runner does not
// send them; what is written down for good does not rest on that.
func withoutSecrets(u wire.UnitEvent) *wire.UnitEvent {
	f := *u.Finding
	f.Deltas = slices.Clone(f.Deltas)
	for i := range f.Deltas {
		if d := &f.Deltas[i]; d.Secret {
			d.From, d.To = nil, nil
		}
	}
	f.Before, f.Want = nil, nil
	u.Finding = &f
	return &u
}
