package run

import (
	"time"

	"weft/engine/step"
	"weft/engine/wire"
)

// An Event is something that happened in a run. Views draw them, and -o json
// prints them; a run does nothing with its own events.
type Event struct {
	Time time.Time `json:"time"`
	Type EventType `json:"type"`
	Run  string    `json:"run,omitempty"`
	Host string    `json:"host,omitempty"`
	Play string    `json:"play,omitempty"`
	// Phase says in which part of the run it happened.
	Phase Phase `json:"phase,omitempty"`

	// Unit and Step are set for unit events.
	Unit *wire.UnitEvent `json:"unit,omitempty"`
	Need *wire.NeedEvent `json:"need,omitempty"`
	// Progress is set for progress events.
	Progress *wire.Progress `json:"progress,omitempty"`
	// Holder is set for lease events.
	Holder *wire.Lease `json:"holder,omitempty"`
	// Guard is set for guard events.
	Guard *wire.GuardEvent `json:"guard,omitempty"`
	// Error is what failed, for host events.
	Error string `json:"error,omitempty"`
	// Address begins the Error of a host that was not reached, where it is
	// known: "192.0.2.1:22".
	Address string `json:"address,omitempty"`
	// Hint says what to do next.
	Hint string `json:"hint,omitempty"`
	// Open are runs that were cut and left changes half made on the host.
	Open []string `json:"open,omitempty"`
	// Steps are those that a host reboots for.
	Steps []string `json:"steps,omitempty"`
	// Hosts are those that a play or a run is about.
	Hosts []string `json:"hosts,omitempty"`
	// Recap ends a run.
	Recap *Recap `json:"recap,omitempty"`
}

// EventType is what an event tells of.
type EventType string

// The events.
const (
	RunBegan        EventType = "run"         // Hosts are all in scope
	PlayBegan       EventType = "play"        // Hosts are those of the batch
	PlayHeld        EventType = "play_held"   // Error; Hosts are those on which it does not begin
	HostBegan       EventType = "connecting"  // it is worked at now
	HostConnected   EventType = "connected"   // and greeted; Open may be set
	HostUnreachable EventType = "unreachable" // Error, Hint
	HostCut         EventType = "cut"         // the connection broke in the middle, and is tried again
	HostBack        EventType = "back"        // and was made again; the run goes on
	HostReboots     EventType = "rebooting"   // it was told to, for Steps
	HostLate        EventType = "late"        // it is not back yet, and is waited for until it may have given up what it tries
	HostLost        EventType = "lost"        // the connection broke, and did not come back
	HostGuard       EventType = "guard"       // Guard is where it stands, Hint
	HostLocked      EventType = "locked"      // Holder has the lease
	HostWaiting     EventType = "waiting"     // for Holder's lease
	HostTookOver    EventType = "took_over"   // the lease of Holder, a dead run
	HostFailed      EventType = "host_failed" // Error; of the host as a whole, not of a unit
	HostDone        EventType = "host_done"   // its part in the play or phase is over, well or not
	UnitMoved       EventType = "unit"        // Unit
	UnitProgress    EventType = "progress"    // Progress; about once a second of a step that takes long
	NeedSettled     EventType = "need"        // Need
	RunEnded        EventType = "recap"       // Recap
)

// Phase is a part of a run.
type Phase string

// The phases of a run.
const (
	Planning Phase = "plan"
	Applying Phase = "apply"
	Proving  Phase = "prove"
	Undoing  Phase = "undo"
)

// An Observer is told of every event, from one goroutine at a time.
type Observer interface {
	Observe(Event)
}

// Planned is a step of a host as the plan pass left it.
type Planned struct {
	Play    string         `json:"play"`
	Address string         `json:"address"`
	State   wire.UnitState `json:"state"`
	Finding *step.Finding  `json:"finding,omitempty"`
	// Reason says why a step cannot be known before the apply.
	Reason string `json:"reason,omitempty"`
	// Spec identifies the attributes that the step was planned with.
	Spec string `json:"spec,omitempty"`
	// Undecided says that not even whether there is such a step is known.
	Undecided bool `json:"undecided,omitempty"`
	// Probe marks a step that only looks; a plan passes it over.
	Probe bool `json:"probe,omitempty"`
}
