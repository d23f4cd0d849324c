package onhost

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/onhost/journal"
	"weft/engine/step"
)

// A lineage is what several runs that are taken back together did to the same
// objects. Where a run made something else of what the one before had written, they go
// back one by one. Where it repaired a drift, that would bring the drift back, and
// then find that it is not what the run before
// had written. So the object's change of the oldest run is taken back alone,
// from what the newest wanted, and the others with it: each effect is announced
// in the journals of all of them, and the heirs are noted as undone before the
// oldest is. So wherever the undo is killed, what is left is begun by itself,
// and another undo writes what the oldest run found and asks no more.
//
// Also one that goes by itself may have found what another hand had done to a part that
// no delta tells (the key beside a certificate). Where it manages all that the change under
// it does, what its undo brought back is what that one's undo takes for its own.
type lineage struct {
	heirs    map[*journal.Record][]heir // in the order of the runs
	absorbed map[*journal.Record]bool
	over     map[*journal.Record]*journal.Record // the change that covers one
}

// An heir is a later run's change of an object.
type heir struct {
	journal *journal.Journal
	record  *journal.Record
}

// newLineage looks through runs, the oldest first. Those of other builds keep
// out of it: only their own runner reads what they found.
func newLineage(runs []*journal.Journal, digest string) lineage {
	l := lineage{
		heirs: map[*journal.Record][]heir{}, absorbed: map[*journal.Record]bool{}, over: map[*journal.Record]*journal.Record{},
	}
	oldest, latest := map[string]heir{}, map[string]*journal.Record{}
	for _, j := range runs {
		if j.Runner != digest {
			continue
		}
		for _, rec := range j.Records {
			object := rec.Unit.Kind + " " + rec.Finding.Object
			first, there := oldest[object]
			if !rec.InForce() {
				_, covered := l.over[first.record]
				if there && !covered && rec.State == journal.Undone && buildsOn(rec.Finding, latest[object].Finding) && l.covers(rec, first.record) {
					l.over[first.record] = rec
				}
				continue
			}
			if rec.State == journal.Final || rec.Finding.Cost.Irreversible != "" {
				delete(oldest, object) // no way leads past it
				continue
			}
			before := latest[object]
			latest[object] = rec
			if !there || first.journal == j || buildsOn(rec.Finding, before.Finding) {
				oldest[object] = heir{j, rec} // of one run's changes the last is nearest to the heirs
				if there && first.journal != j && l.covers(rec, first.record) {
					l.over[first.record] = rec
				}
				continue
			}
			delete(l.over, first.record)
			l.heirs[first.record] = append(l.heirs[first.record], heir{j, rec})
			l.absorbed[rec] = true
		}
	}
	return l
}

// buildsOn says whether a change wanted something else of what an earlier one had left as it
// was. A change that wants the same found a drift, or there would be none; so did one whose
// differences are not from what the earlier one wanted.
func buildsOn(newer, older step.Finding) bool {
	wanted, asked := fields(older.Want), fields(newer.Want)
	if wanted == nil || asked == nil || bytes.Equal(newer.Want, older.Want) {
		return false // no states of a module, or the same
	}
	if _, said := wanted["state"]; !said {
		wanted["state"] = json.RawMessage(`"present"`)
	}
	return !slices.ContainsFunc(newer.Deltas, func(d step.Delta) bool {
		top, _, _ := strings.Cut(d.Path, ".")
		was, managed := wanted[top]
		_, told := asked[top]
		switch {
		case !told && top != "state":
			return true // no attribute: it speaks of what it found in words of its own
		case string(wanted["state"]) == `"absent"`:
			return d.From != nil
		case !managed:
			return false
		}
		return !bytes.Equal(was, d.From) // what is deeper is told by its whole alone
	})
}

// covers says whether a change manages all that an earlier one and its heirs did, so that
// what it found tells all of them.
func (l lineage) covers(newer, older *journal.Record) bool {
	found := newer.Finding.Before
	whole := string(fields(found)["state"]) == `"absent"` || within(older.Finding.Want, found)
	return whole && !slices.ContainsFunc(l.all(older), func(o *journal.Record) bool {
		return !within(o.Finding.Want, newer.Finding.Want)
	})
}

// within says whether all fields of one state, at any depth, are there in another.
func within(state, other json.RawMessage) bool {
	in, of := fields(state), fields(other)
	if in == nil {
		return true
	}
	for name, value := range in {
		if o, there := of[name]; !there || !within(value, o) {
			return false
		}
	}
	return true
}

// finding is what undo of a record needs to know: what was found before it and
// its heirs, and what the last of them wanted.
func (l lineage) finding(rec *journal.Record) step.Finding {
	f := rec.Finding
	f.Settled, f.Foreign, f.Own = rec.Settled(), rec.Foreign, rec.Own
	begun := rec.UndoBegan
	for _, h := range l.heirs[rec] {
		f.Before = overlay(h.record.Finding, f)
		f.Want = wanted(h.record.Finding.Want, f.Want)
		begun = begun || h.record.UndoBegan
		f.Settled = h.record.Settled() && !begun
	}
	if over := l.over[rec]; over != nil && over.State == journal.Undone {
		f.Want = only(l.finding(over).Before, f.Want, f.Before)
	}
	return f
}

// only is a state without the fields that none of others have.
func only(state json.RawMessage, others ...json.RawMessage) json.RawMessage {
	left := fields(state)
	maps.DeleteFunc(left, func(name string, _ json.RawMessage) bool {
		return !slices.ContainsFunc(others, func(o json.RawMessage) bool {
			_, there := fields(o)[name]
			return there || name == "state"
		})
	})
	return encode(left)
}

// begin notes that the undo of a record and its heirs begins.
func (l lineage) begin(j *journal.Journal, rec *journal.Record) error {
	for _, h := range l.heirs[rec] {
		if err := h.journal.Undoing(h.record); err != nil {
			return err
		}
	}
	return j.Undoing(rec)
}

// announce puts an effect of the undo into the journals of all, so that each
// raises its needs again and knows that its undo began.
func (l lineage) announce(j *journal.Journal, rec *journal.Record, e host.Effect) error {
	for _, h := range l.heirs[rec] {
		if err := h.journal.FollowUp(h.record, e); err != nil {
			return err
		}
	}
	return j.FollowUp(rec, e)
}

// close notes that the heirs of a record went with it, the newest first.
func (l lineage) close(rec *journal.Record, at journal.Moment) error {
	for _, h := range slices.Backward(l.heirs[rec]) {
		if err := h.journal.Undone(h.record, at); err != nil {
			return err
		}
	}
	return nil
}

// all are a record and its heirs.
func (l lineage) all(rec *journal.Record) []*journal.Record {
	all := []*journal.Record{rec}
	for _, h := range l.heirs[rec] {
		all = append(all, h.record)
	}
	return all
}
