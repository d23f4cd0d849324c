// Package journal is what a host remembers of the runs that changed it.
//
// Each run has a folder below the state directory, and in it one file of JSON
// lines. The first line is the [Header]; every further line is a transition,
// synced to the disk before whatever it announces happens. Reading a journal
// is a fold: the same code applies a line when it is written and when it is
// read again, so what the runner believes and what it would believe after a
// power cut cannot differ.
//
//	STATE/runs/RUN/journal   the lines
//	STATE/open/RUN           a marker: the run left something half made
//	STATE/reserve            space given back when the disk is full
//
// A session looks into STATE/open alone, so the hundredth finished run costs
// it nothing. All is readable by root only: a journal holds the states that
// were found, old secrets among them.
//
// The header is a frozen format: builds of different ages read it. Its version
// is that of the other lines too. What a module wrote into them, the states
// found and wanted, is for the build alone whose digest the header names.
package journal

import (
	"encoding/json"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// Version is the version of the lines. A journal of another version shows its
// header alone, which is enough to ask the runner that wrote it.
const Version = 1

// Header is the first line of a journal, and a frozen format.
type Header struct {
	Version  int    `json:"weft"`
	Run      string `json:"run"`
	Owner    string `json:"owner"`
	Site     string `json:"site"`
	Playbook string `json:"playbook"`
	Host     string `json:"host"`
	Runner   string `json:"runner"` // digest of the runner's bytes
	// Began is later than that of any run before it on the host, for the
	// order of runs is that of their undo: where the clock went backwards, a
	// moment after the latest of them.
	Began time.Time `json:"began"`
}

// State is where the change of a record stands.
type State string

// The states of a record. Recorded and nothing more is no change: no effect
// came after it.
const (
	Recorded State = "recorded" // written down; nothing has happened yet
	Applying State = "applying" // at least one effect has begun
	Pending  State = "pending"  // applied; seen in force once its needs are settled
	Verified State = "verified" // seen in force
	Undoing  State = "undoing"  // an undo has begun
	Undone   State = "undone"
	Conflict State = "conflict" // undone but for what another hand changed
	Stuck    State = "stuck"    // could not be undone; may be tried again
	Final    State = "final"    // can never be undone, as its check had said
	Adopted  State = "adopted"  // a later record holds what was found before
)

// Moment is a point in time that can be compared with what systemd says of a
// unit. It means nothing after a reboot, which Boot tells.
type Moment struct {
	Boot   string `json:"boot"`   // the kernel's random id of the boot
	Micros int64  `json:"micros"` // of CLOCK_MONOTONIC
}

// Ref names a record of a run.
type Ref struct {
	Run    string `json:"run"`
	Record int    `json:"record"`
}

// Record is one step's change, folded.
type Record struct {
	N       int // counts from 1 in its run
	Play    string
	Index   int // of the play in the playbook
	Unit    step.Unit
	Finding step.Finding // whole: what undo needs
	Needs   []Need
	Adopts  []Ref
	State   State
	Began   Moment // when it was recorded: before the first effect
	Applied Moment // when its last effect was over; zero before
	// WasVerified says that the change was once seen in force, whatever
	// became of it since.
	WasVerified bool
	// Foreign are the parts that an undo left to another hand before it wrote
	// anything, and Own those that it saw to be of this change.
	Foreign, Own []string
	// UndoBegan says that an undo wrote something, so that what differs is
	// no longer another hand's work alone.
	UndoBegan bool
}

// Settled says whether what differs from the change now was changed by
// another hand.
func (r *Record) Settled() bool { return r.WasVerified && !r.UndoBegan }

// A Need of a record, and whether it is still open.
type Need struct {
	step.Need
	Open bool
	// Tried says that a restart was begun for it: the unit may have run with
	// the change.
	Tried bool
}

// InForce says whether the machine carries something of this change.
func (r *Record) InForce() bool {
	switch r.State {
	case Applying, Pending, Verified, Undoing, Stuck, Final:
		return true
	case Recorded:
		return len(r.Adopts) > 0
	}
	return false
}

// HalfMade says whether the change began and was neither seen in force nor
// taken back.
func (r *Record) HalfMade() bool { return r.InForce() && r.State != Verified && r.State != Final }

// OpenNeeds returns the record's needs that are not settled.
func (r *Record) OpenNeeds() []step.Need {
	if r.State == Recorded && !r.InForce() {
		return nil
	}
	var open []step.Need
	for _, n := range r.Needs {
		if n.Open {
			open = append(open, n.Need)
		}
	}
	return open
}

// kind is what a line says.
type kind string

const (
	lineRecord   kind = "record"
	lineEffect   kind = "effect"
	linePending  kind = "pending"
	lineVerified kind = "verified"
	lineFailed   kind = "failed"
	lineSettled  kind = "settled"
	lineUndoing  kind = "undoing"
	lineSorted   kind = "sorted"
	lineUndone   kind = "undone"
	lineConflict kind = "conflict"
	lineStuck    kind = "stuck"
	lineFinal    kind = "final"
	lineAdopted  kind = "adopted"
	lineClosed   kind = "closed"
	lineTogether kind = "together"
)

// line is one transition.
type line struct {
	Kind    kind          `json:"line"`
	At      time.Time     `json:"at,omitzero"`
	Record  int           `json:"record,omitzero"`
	Play    string        `json:"play,omitzero"`
	Index   int           `json:"index,omitzero"`
	Unit    *step.Unit    `json:"unit,omitzero"`
	Finding *step.Finding `json:"finding,omitzero"`
	Needs   []step.Need   `json:"needs,omitzero"`
	Adopts  []Ref         `json:"adopts,omitzero"`
	Effect  *host.Effect  `json:"effect,omitzero"`
	Need    *step.Need    `json:"need,omitzero"`
	Moment  Moment        `json:"moment,omitzero"`
	Run     string        `json:"run,omitzero"`
	Error   string        `json:"error,omitzero"`
	Foreign []string      `json:"foreign,omitzero"`
	Own     []string      `json:"own,omitzero"`
	// Lines are transitions that come to the disk as one, or not at all.
	Lines []line `json:"lines,omitzero"`

	// waits says that the line announces nothing: a record without an effect is no
	// change.
	waits bool
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("journal: a line that is no JSON: " + err.Error())
	}
	return append(b, '\n')
}
