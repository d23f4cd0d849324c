package ovs

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"weft/engine/step"
)

func (patch) Diff(have, want PatchSpec) []step.Delta {
	named := want
	named.Persist, named.PersistBy, named.Replaces = step.Attr[bool]{}, "", nil // the files and Replaced say it
	deltas := step.Compare(have, named)
	for i, d := range deltas {
		if d.Path == "near.bridge" || d.Path == "far.bridge" { // half a pair
			deltas[i] = step.Change(d.Path, stringOrNil(text(d.From)), stringOrNil(text(d.To)))
		}
	}
	if have.State.There() && want.State.There() {
		if have.Half != want.Half {
			deltas = append(deltas, step.Change("half", stringOrNil(have.Half), stringOrNil(want.Half)))
		}
		if have.Error != "" && want.Error == "" {
			deltas = append(deltas, step.Change("error", have.Error, nil))
		}
		wanted, is := want.ends(), have.ends()
		for _, side := range sides() {
			h, w := is[side], wanted[side]
			if h.Bridge == "" || w.Bridge == "" {
				continue
			}
			if h.Type != w.Type {
				deltas = append(deltas, step.Change(side+".type", h.Type, w.Type))
			}
			if !maps.Equal(h.Options, w.Options) {
				deltas = append(deltas, step.Change(side+".options", h.Options, w.Options))
			}
		}
	}
	deltas = append(deltas, replacedDeltas(have, want)...)
	deltas = append(deltas, want.Device.deltas(have.Now)...)
	return append(deltas, keptDelta(have.Kept, want.Kept)...)
}

// text reads a string back that Compare wrote.
func text(b json.RawMessage) string {
	var s string
	_ = json.Unmarshal(b, &s) // null leaves it empty
	return s
}

// replacedDeltas are ports that should go, or, of undo, come back.
func replacedDeltas(have, want PatchSpec) []step.Delta {
	var deltas []step.Delta
	if want.State.There() {
		for _, name := range slices.Sorted(slices.Values(want.Replaces)) {
			if at, there := have.Replaced[name]; there {
				deltas = append(deltas, step.Change("replaces."+name, at.Bridge, nil))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.Replaced)) {
		if was, is := want.Replaced[name].Bridge, have.Replaced[name].Bridge; was != is {
			deltas = append(deltas, step.Change("replaces."+name, stringOrNil(is), was))
		}
	}
	return deltas
}

func (patch) Advise(f *step.Finding, have, want PatchSpec) {
	f.Warnings = append(f.Warnings, keptNotes(have.Kept)...)
	if have.Seen.Loop != "" {
		f.Warnings = append(f.Warnings, "the pair closes a loop: "+have.Seen.Loop+" - "+want.Far.Port+"/"+want.Near.Port+" - "+want.Near.Bridge+
			"; without a spanning tree on all of these bridges frames go round without end: set stp_enable = true in their steps ovs_bridge")
	}
	for _, d := range f.Deltas {
		switch {
		case strings.HasPrefix(d.Path, "persist."), d.Path == "error", strings.HasPrefix(d.Path, "devices."):
		case !have.State.There() && have.Seen.Loop == "" && !strings.HasPrefix(d.Path, "replaces."):
			// two bridges that are joined lose nothing
		default:
			severs(f, have.Seen.Carries)
		}
	}
}
