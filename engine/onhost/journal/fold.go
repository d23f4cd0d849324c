package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// A Run is a journal, folded.
type Run struct {
	Header
	Records []*Record // in the order they were made
	Closed  bool      // nothing was open when the last session ended

	boots map[Direction]int    // the reboots that were ordered
	of    map[string][]*Record // a step, by its address
	about map[string][]*Record // an object
}

// Of are the records of a step, in the order they were made.
func (r *Run) Of(address string) []*Record { return r.of[address] }

// About are the records of an object, in the order they were made.
func (r *Run) About(object string) []*Record { return r.about[object] }

// Direction is what a reboot is for.
type Direction string

// The directions: what a run changed, and what is taken back of it.
const (
	Onwards Direction = "booting"
	Back    Direction = "booting-back"
)

// Boots is how often the machine was told to boot anew.
func (r *Run) Boots(d Direction) int { return r.boots[d] }

// Open says whether something of the run is left half made or unsettled.
func (r *Run) Open() bool {
	for _, rec := range r.Records {
		if rec.HalfMade() || len(rec.OpenNeeds()) > 0 {
			return true
		}
	}
	return false
}

// Counts returns how many changes are in force and how many were taken back.
func (r *Run) Counts() (changed, undone int) {
	for _, rec := range r.Records {
		switch {
		case rec.InForce():
			changed++
		case rec.State == Undone || rec.State == Conflict:
			undone++
		}
	}
	return changed, undone
}

// record returns a record by its number.
func (r *Run) record(n int) (*Record, error) {
	if n < 1 || n > len(r.Records) {
		return nil, fmt.Errorf("there is no record %d", n)
	}
	return r.Records[n-1], nil
}

// states are the lines that do nothing but move a record.
var states = map[kind]State{
	lineVerified: Verified, linePending: Pending,
	lineUndone: Undone, lineConflict: Conflict, lineStuck: Stuck, lineFinal: Final, lineAdopted: Adopted,
}

// apply is the fold: what a line does to the run.
func (r *Run) apply(l line) error {
	r.Closed = l.Kind == lineClosed
	switch l.Kind {
	case lineClosed:
		return nil
	case lineTogether:
		for _, one := range l.Lines {
			if err := r.apply(one); err != nil {
				return err
			}
		}
		return nil
	case lineRecord:
		return r.addRecord(l)
	case lineSettled:
		return r.settle(l)
	case kind(Onwards), kind(Back):
		if r.boots == nil {
			r.boots = map[Direction]int{}
		}
		r.boots[Direction(l.Kind)]++
		return nil
	case lineEffect:
		if l.Record == 0 {
			return r.tried(l)
		}
	}
	rec, err := r.record(l.Record)
	if err != nil {
		return err
	}
	switch l.Kind {
	case lineEffect:
		switch rec.State {
		case Recorded:
			rec.State = Applying
		case Undoing:
			rec.UndoBegan = true
			for i := range rec.Needs {
				rec.Needs[i].Open = true
			}
		}
	case lineFailed:
	case lineSorted:
		rec.Foreign, rec.Own = l.Foreign, l.Own
	case lineUndoing:
		rec.State = Undoing
		rec.Applied = Moment{}
	default:
		state, known := states[l.Kind]
		if !known {
			return fmt.Errorf("a line of the unknown kind %q", l.Kind)
		}
		rec.moveTo(state, l.Moment)
	}
	return nil
}

func (rec *Record) moveTo(s State, at Moment) {
	rec.State = s
	switch s {
	case Pending:
		rec.Applied = at
	case Verified:
		rec.WasVerified = true
		if rec.Applied == (Moment{}) {
			rec.Applied = at
		}
	case Undone, Conflict:
		rec.Applied = at
	case Adopted:
		rec.Needs = nil
	}
}

func (r *Run) addRecord(l line) error {
	if l.Unit == nil || l.Finding == nil || l.Record != len(r.Records)+1 {
		return fmt.Errorf("record %d is not whole, or not the next after %d", l.Record, len(r.Records))
	}
	rec := &Record{
		N: l.Record, Play: l.Play, Index: l.Index, Unit: *l.Unit, Finding: *l.Finding,
		Adopts: l.Adopts, State: Recorded, Began: l.Moment,
	}
	for _, n := range l.Needs {
		rec.Needs = append(rec.Needs, Need{Need: n, Open: true})
	}
	if r.of == nil {
		r.of, r.about = map[string][]*Record{}, map[string][]*Record{}
	}
	r.Records = append(r.Records, rec)
	r.of[rec.Unit.Address] = append(r.of[rec.Unit.Address], rec)
	r.about[rec.Finding.Object] = append(r.about[rec.Finding.Object], rec)
	return nil
}

func (r *Run) settle(l line) error {
	if l.Need == nil {
		return errors.New("a settled line without its need")
	}
	for _, rec := range r.Records {
		if l.Record != 0 && rec.N != l.Record {
			continue
		}
		for i, n := range rec.Needs {
			if n.Open && n.Verb == l.Need.Verb && n.Object == l.Need.Object {
				rec.Needs[i].Open = false
			}
		}
	}
	return nil
}

// tried is an effect that settles a need.
func (r *Run) tried(l line) error {
	if l.Effect == nil {
		return errors.New("an effect line without its effect")
	}
	for _, rec := range r.Records {
		for i, n := range rec.Needs {
			if n.Open && n.Object == l.Effect.Object {
				rec.Needs[i].Tried = true
			}
		}
	}
	return nil
}

// torn says whether a power cut explains that a line does not read, with what comes behind
// it: it is the last and not whole, or it is a record, and a block of it never came to the disk
// and is zeros, where its first effect, which is written with it, did come. What they
// announce had not begun.
func torn(number int, text, rest []byte) bool {
	rest = bytes.Trim(rest, "\x00\n")
	if len(rest) == 0 {
		return !json.Valid(text)
	}
	return number > 1 && bytes.IndexByte(text, 0) >= 0 && bytes.IndexByte(rest, '\n') < 0
}

// fold reads a whole journal. It returns how many bytes of it are good: last lines that a
// power cut tore are left out, anything else that does not read is an error.
func fold(content []byte) (*Run, int, error) {
	r := &Run{}
	good, number := 0, 0
	for good < len(content) {
		end := bytes.IndexByte(content[good:], '\n')
		if end < 0 {
			break
		}
		text := content[good : good+end]
		number++
		if err := r.read(number, text); err != nil {
			if torn(number, text, content[good+end:]) {
				break
			}
			return nil, 0, fmt.Errorf("line %d: %w", number, err)
		}
		good += end + 1
	}
	if number == 0 || r.Version == 0 {
		return nil, 0, errNoHeader
	}
	return r, good, nil
}

// errNoHeader says that a power cut came before the first line was whole:
// nothing had happened.
var errNoHeader = errors.New("no header")

func (r *Run) read(number int, text []byte) error {
	if number == 1 {
		if err := json.Unmarshal(text, &r.Header); err != nil {
			return fmt.Errorf("decode the header: %w", err)
		}
		if r.Version < 1 || r.Run == "" {
			return errors.New("it is no header of a journal")
		}
		return nil
	}
	if r.Version != Version {
		return nil // the lines of another age are for its own runner
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return r.apply(l)
}
