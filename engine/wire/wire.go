// Package wire is the protocol between weft and the runner it pushed to a
// host: the frames, the messages in them, and nothing else.
//
// The controller starts the runner over SSH and speaks to it on its stdin and
// stdout; stderr is log lines for people. Either side first writes [Magic], so
// that a login banner, a profile that echoes or a sudo password that nobody
// read is skipped and never taken for a message. After it come frames: four
// bytes of length, big endian, and as many bytes of JSON, a [Request] towards
// the runner and an [Event] back. The bytes of a [Part] come behind its frame.
//
// Requests are served in order, one at a time, but for Heartbeat, Stop and Part,
// which are seen at once. The controller does not wait for an answer before it
// sends the next request: a converged host is Hello and Check in one write,
// and one answer.
//
//	weft                                runner
//	 Hello, Check ───────────────────▶
//	              ◀─────────────────── Hello (facts, lease), Done, Unit…, Done
//	 Apply, EndPlay ─────────────────▶
//	              ◀─────────────────── Unit…, Done, Need…, Done
//	 Bye ────────────────────────────▶
//	              ◀─────────────────── Done, end of file
package wire

import (
	"encoding/json"
	"time"

	"weft/engine/host"
	"weft/engine/host/topology"
	"weft/engine/step"
)

// Magic is the first thing either side writes. Both sides are of one build, so
// it needs no version: the runner is addressed by the digest of its bytes.
const Magic = "\x00weft-frames\n"

// A Request is one message to the runner. Exactly one field is set but ID.
type Request struct {
	// ID is echoed in the Done that ends the request's events.
	ID int `json:"id"`

	Hello     *Hello     `json:"hello,omitempty"`
	Check     *Check     `json:"check,omitempty"`
	Apply     *Apply     `json:"apply,omitempty"`
	Probe     *Probe     `json:"probe,omitempty"`
	EndPlay   *EndPlay   `json:"end_play,omitempty"`
	Reboot    *Reboot    `json:"reboot,omitempty"`
	UndoPlay  *UndoPlay  `json:"undo_play,omitempty"`
	Rollback  *Rollback  `json:"rollback,omitempty"`
	Commit    *Commit    `json:"commit,omitempty"`
	Extend    *Extend    `json:"extend,omitempty"`
	Runs      *Runs      `json:"runs,omitempty"`
	Topology  *Topology  `json:"topology,omitempty"`
	Exec      *Exec      `json:"exec,omitempty"`
	Ask       *Ask       `json:"ask,omitempty"`
	Read      *Read      `json:"read,omitempty"`
	Part      *Part      `json:"part,omitempty"` // of a file that the runner wants
	Heartbeat *Heartbeat `json:"heartbeat,omitempty"`
	Stop      *Stop      `json:"stop,omitempty"`
	Bye       *Bye       `json:"bye,omitempty"`
}

// Hello opens the session. The runner answers with an Event whose Hello is
// set, and Done.
//
// A run may greet a host more than once: after its connection broke, or days
// later when it is resumed. What an earlier session of the same controller left
// at work finishes its effect, or what it was sent whole (a guarded apply, an
// undo), and is then ended; LockTimeout does not count for it.
type Hello struct {
	Run      string `json:"run"`      // the run's id, unique and sortable by time; a name for a directory
	Site     string `json:"site"`     // of the inventory
	Host     string `json:"host"`     // the inventory's name of this host
	Owner    string `json:"owner"`    // who runs it: "anna@bastion (weft apply playbooks/x.hcl)"
	Playbook string `json:"playbook"` // for the list of runs
	Intent   Intent `json:"intent"`
	// Controller is the process that speaks, by a random name: a session of
	// the same run and controller takes the place of one before it at once.
	Controller string `json:"controller,omitempty"`
	// LockTimeout is how long to wait for another's lease; zero not at all.
	LockTimeout time.Duration `json:"lock_timeout,omitempty"`
	// LeaseTime is after how long without a Heartbeat the runner starts no
	// further effect and the lease may be taken over; 30 s where zero.
	LeaseTime time.Duration `json:"lease_time,omitempty"`
	// TakesBack are the runs that this session is to take back: a guard of
	// theirs is no obstacle to it.
	TakesBack []string `json:"takes_back,omitempty"`
	// Facts asks for the facts.
	Facts bool `json:"facts,omitempty"`
}

// Intent is what a session is for.
type Intent string

// The intents. Only Change takes the lease and writes below the state
// directory.
const (
	Look   Intent = "look"
	Change Intent = "change"
)

// Check asks for a finding of each unit, in order. It writes nothing. Probes
// among the units are passed over. The runner remembers the units of a session
// by address, the latest spec of each: a unit with Triggers makes the change of
// any of those steps raise the need that it settles ([step.Settler]).
type Check struct {
	Units []step.Unit `json:"units"`
}

// Apply converges units in order: check, record, apply, verify. It ends at the
// first that fails. Units with unknown attributes are not sent. Probes among
// them run in their place, after the open needs of the play were settled.
type Apply struct {
	Play  string      `json:"play"`
	Index int         `json:"index"` // of the play in the playbook; recorded, so that a rollback can go backwards
	Units []step.Unit `json:"units"`
	// Planned are the digests of the deltas that were shown to the operator,
	// by address ([Finding.Digest]). A step that finds other deltas fails as
	// stale. An address that is missing was not known then and is applied.
	Planned map[string]string `json:"planned,omitempty"`
	// Guard is for how long a guard is armed that no unit asks for: before a
	// change that may cut the link, the route or the address that carries
	// this session; 60 s where zero.
	Guard time.Duration `json:"guard,omitempty"`
	// ByHand says that an operator is to commit what is guarded, not the
	// controller; it is shown with the guard.
	ByHand bool `json:"by_hand,omitempty"`
	// AllowDisruption lets changes through that hit virtual machines which
	// run ([step.Cost.Guests]); else they fail before their first effect.
	AllowDisruption bool `json:"allow_disruption,omitempty"`
	// OnFailure is the play's policy, and says what a guard that expires
	// takes back: all that this run did to the host in the play ("rollback",
	// where empty, "rollback_all"), in all plays ("rollback_run"), or from the
	// guarded step on ("stop").
	OnFailure string `json:"on_failure,omitempty"`
}

// Probe runs probes, in order, all of them, and changes nothing.
type Probe struct {
	Units []step.Unit `json:"units"`
}

// EndPlay settles the open needs of a play and verifies the steps that waited
// for them.
type EndPlay struct {
	Play string `json:"play"`
	// AllowDisruption is as in [Apply], for what earlier runs left open.
	AllowDisruption bool `json:"allow_disruption,omitempty"`
}

// Reboot boots the machine anew, after a request that ended with a
// [RebootEvent]. Its Done says that the order was given: the session is ended by
// the host soon, and the run goes on in another, in which the same request is
// asked again.
type Reboot struct{}

// UndoPlay takes back what this run did in a play, in reverse, and settles the
// needs of what was undone. It goes on where the session is cut, and decides a
// guard of this run.
type UndoPlay struct {
	Play string `json:"play"`
}

// Rollback takes back whole runs, the last first. It is refused where a later
// run, not among them, changed the same objects. Where several of them changed
// one object it goes back at once to what the first of them found. It goes on
// where the session is cut, and decides a guard of the runs that leave.
type Rollback struct {
	// Runs are those that leave together, as far as this host knows them.
	Runs []string `json:"runs"`
	// Run and Play restrict it to the changes of one of the runs, and of one
	// of its plays, so that many hosts can go back in step; all where empty.
	Run  string `json:"run,omitempty"`
	Play string `json:"play,omitempty"`
	// Ask changes nothing: it is refused where the rollback would be.
	Ask bool `json:"ask,omitempty"`
}

// Runs asks for the journal's list of runs.
type Runs struct{}

// Topology asks what the host's network is made of.
type Topology struct{}

// Exec runs one program outside any run, for `weft exec`. It is recorded
// nowhere and cannot be undone.
type Exec struct {
	Argv []string `json:"argv"`
}

// Heartbeat keeps the lease. It has no Done; a Pulse answers it at once,
// whatever the runner is at.
type Heartbeat struct{}

// Stop ends the request under way after the effect in flight. It has no Done
// of its own: the request that it ends reports its units as stopped.
type Stop struct {
	// Now also ends the effect in flight, where that can be: a program is
	// killed, a wait is given up.
	Now bool `json:"now,omitempty"`
}

// Bye ends the session: the lease is released and the runner exits.
type Bye struct{}

// An Event is one message from the runner. Exactly one field is set but ID,
// which is that of the request it belongs to.
type Event struct {
	ID int `json:"id"`

	Hello *HelloEvent `json:"hello,omitempty"`
	Unit  *UnitEvent  `json:"unit,omitempty"`
	Need  *NeedEvent  `json:"need,omitempty"`
	Run   *RunEvent   `json:"run,omitempty"`
	Exec  *ExecEvent  `json:"exec,omitempty"`
	// Topology answers the request of that name.
	Topology *topology.Topology `json:"topology,omitempty"`
	Answer   *Answer            `json:"answer,omitempty"`
	Wait     *WaitEvent         `json:"wait,omitempty"`
	Part     *Part              `json:"part,omitempty"` // answers a Read
	Want     *Want              `json:"want,omitempty"`
	Guard    *GuardEvent        `json:"guard,omitempty"`
	// Reboot ends the events of a request that goes on only after a reboot.
	Reboot *RebootEvent `json:"reboot,omitempty"`
	// Progress is how far a unit is that takes long.
	Progress *Progress `json:"progress,omitempty"`
	Pulse    *Pulse    `json:"pulse,omitempty"` // has no ID
	Done     *Done     `json:"done,omitempty"`
}

// Pulse answers a Heartbeat.
type Pulse struct{}

// HelloEvent answers Hello.
type HelloEvent struct {
	Facts *host.Facts `json:"facts,omitempty"`
	// Clock is what the host's clock showed when it answered; it comes with
	// the facts.
	Clock time.Time `json:"clock,omitzero"`
	// Holder is set where the lease was not to be had; nothing else will be
	// served then but Look requests.
	Holder *Lease `json:"holder,omitempty"`
	// TookOver is the lease of a dead run that this one took over.
	TookOver *Lease `json:"took_over,omitempty"`
	// Open are the runs on this host that were cut and left changes half
	// made; the next apply adopts what they found.
	Open []string `json:"open,omitempty"`
	// Guard is the guard that stands on this host, or the latest one that
	// expired, for as long as no session that changes the host has ended well
	// since it told of it.
	Guard *GuardEvent `json:"guard,omitempty"`
	// Changed are the steps that earlier sessions of this run changed and
	// that are still in force, in order.
	Changed []Place `json:"changed,omitempty"`
	// Boot is the kernel's random id of this boot; empty where it cannot be
	// read.
	Boot string `json:"boot,omitempty"`
	// Booting says that the machine is not yet up: its default target was not
	// reached.
	Booting bool `json:"booting,omitempty"`
}

// Progress is what a unit at work says of itself. It comes about once a second at
// most, is kept nowhere, and nothing depends on it.
type Progress struct {
	Address string `json:"address"`
	How     string `json:"how"` // "compiled 120 of 348"; one line
}

// Place names a step of a run.
type Place struct {
	Play    string `json:"play"`
	Address string `json:"address"`
}

// Lease is who may change a host. It is one of the frozen formats: builds of
// different ages read each other's.
type Lease struct {
	Run   string    `json:"run"`
	Owner string    `json:"owner"`
	Since time.Time `json:"since"`
	// Expires moves with each heartbeat.
	Expires time.Time `json:"expires"`
	Pid     int       `json:"pid"` // of the runner
}

// UnitState is where a unit stands.
type UnitState string

// The states of a unit.
const (
	Converged UnitState = "ok"       // nothing to do
	Planned   UnitState = "planned"  // a check found something to do
	Waiting   UnitState = "waiting"  // cannot be checked yet, see Error; known after apply
	Applying  UnitState = "applying" // recorded; the first effect is next
	Changed   UnitState = "changed"  // applied and verified
	Pending   UnitState = "pending"  // applied; verified when its needs are settled
	Failed    UnitState = "failed"   // see Error
	Stale     UnitState = "stale"    // found other deltas than were planned; nothing was done
	Stopped   UnitState = "stopped"  // not begun, for a Stop came first
	Undone    UnitState = "undone"
	Conflict  UnitState = "conflict" // undone but for what another hand changed, see Error
	Stuck     UnitState = "stuck"    // could not be undone, see Error; its record stays open
	Proved    UnitState = "proved"   // a probe held
	Refuted   UnitState = "refuted"  // a probe did not hold, see Error
)

// UnitEvent is a transition of a unit.
type UnitEvent struct {
	Address string    `json:"address"`
	State   UnitState `json:"state"`
	// Finding comes with Converged and Planned, and with Changed and Pending
	// for the outputs; Before and Want stay on the host.
	Finding *step.Finding `json:"finding,omitempty"`
	Report  *step.Report  `json:"report,omitempty"`
	Error   string        `json:"error,omitempty"`  // one line
	Detail  string        `json:"detail,omitempty"` // the whole stderr, the unit's log; many lines
	Elapsed time.Duration `json:"elapsed,omitempty"`
}

// NeedEvent tells of a need that was settled or could not be.
type NeedEvent struct {
	Need  step.Need `json:"need"`
	Error string    `json:"error,omitempty"`
	// Pending says that it stays open, for that is what the play asks for.
	Pending bool          `json:"pending,omitempty"`
	Elapsed time.Duration `json:"elapsed,omitempty"`
}

// RebootEvent says that a request stopped where the machine must boot anew
// before anything else. What it had not come to was not begun.
type RebootEvent struct {
	// Steps are those that need it, by address.
	Steps []string `json:"steps"`
	// Boot is the id of the boot that is to end.
	Boot string `json:"boot"`
	// Trial is for how long the next boot may try what is not permanent yet
	// before the machine goes back by itself, by one more boot; zero where it
	// tries nothing.
	Trial time.Duration `json:"trial,omitempty"`
}

// RunEvent is a run in the host's journal.
type RunEvent struct {
	Run      string    `json:"run"`
	Owner    string    `json:"owner"`
	Playbook string    `json:"playbook"`
	Began    time.Time `json:"began"`
	Changed  int       `json:"changed"` // steps whose change is still in force
	Undone   int       `json:"undone"`
	// State is "open" while something is half made, "undone" when all was
	// taken back, "conflict" when all but what another hand changed since
	// was, else "done".
	State string `json:"state"`
	// Plays are those that changed this host, in the order they ran.
	Plays []PlayChange `json:"plays,omitempty"`
}

// PlayChange is what a run's play did to a host.
type PlayChange struct {
	Name    string `json:"name"`
	Index   int    `json:"index"`
	Changed int    `json:"changed"` // steps whose change is still in force
}

// ExecEvent is the result of an Exec.
type ExecEvent struct {
	Stdout []byte `json:"stdout,omitempty"`
	Stderr []byte `json:"stderr,omitempty"`
	Exit   int    `json:"exit"`
}

// WaitEvent says that the runner waits for another's lease.
type WaitEvent struct {
	Holder Lease `json:"holder"`
}

// Done ends the events of a request.
type Done struct {
	// Error is set where the request as a whole was refused or broke off:
	// "the journal cannot be written: no space left on device".
	Error string `json:"error,omitempty"`
}

// Message is a request or an event.
type Message interface{ Request | Event }

// encode is one frame's JSON; messages are our own types, so failing is a bug.
func encode[M Message](m M) []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("wire: a message that is no JSON: " + err.Error())
	}
	return b
}
