package onhost

import (
	"weft/engine/onhost/journal"
	"weft/engine/step"
)

// A lineage is what several runs that are taken back together did to the same
// objects. Going back one by one would restore what only stood in between (a
// drift that a run repaired) and then find that it is not what the run before
// had written. So the object's change of the oldest run is taken back alone,
// from what the newest wanted, and the others with it.
type lineage struct {
	heirs    map[*journal.Record][]heir // in the order of the runs
	absorbed map[*journal.Record]bool
}

// An heir is a later run's change of an object.
type heir struct {
	journal *journal.Journal
	record  *journal.Record
}

// newLineage looks through runs, the oldest first. Those of other builds keep
// out of it: only their own runner reads what they found.
func newLineage(runs []*journal.Journal, digest string) lineage {
	l := lineage{heirs: map[*journal.Record][]heir{}, absorbed: map[*journal.Record]bool{}}
	oldest := map[string]heir{}
	for _, j := range runs {
		if j.Runner != digest {
			continue
		}
		for _, rec := range j.Records {
			if !rec.InForce() || rec.State == journal.Final {
				continue
			}
			object := rec.Unit.Kind + " " + rec.Finding.Object
			first, there := oldest[object]
			if !there || first.journal == j {
				oldest[object] = heir{j, rec} // of one run's changes the last is nearest to the heirs
				continue
			}
			l.heirs[first.record] = append(l.heirs[first.record], heir{j, rec})
			l.absorbed[rec] = true
		}
	}
	return l
}

// finding is what undo of a record needs to know: what was found before it and
// its heirs, and what the last of them wanted.
func (l lineage) finding(rec *journal.Record) step.Finding {
	f := rec.Finding
	f.Settled = rec.Settled()
	for _, h := range l.heirs[rec] {
		f.Before = overlay(h.record.Finding.Before, f.Before)
		f.Want = overlay(f.Want, h.record.Finding.Want)
		f.Settled = h.record.Settled()
	}
	return f
}

// close notes that the heirs of a record went with it.
func (l lineage) close(rec *journal.Record, at journal.Moment) error {
	for _, h := range l.heirs[rec] {
		if err := h.journal.Undoing(h.record); err != nil {
			return err
		}
		if err := h.journal.Undone(h.record, at); err != nil {
			return err
		}
	}
	return nil
}
