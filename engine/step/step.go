// Package step is the contract between the engine and the modules: what a
// step is, what a check finds, and how undo knows what to bring back.
//
// A module describes each of its kinds by a [Kind]. Nearly every kind manages
// a state: it implements [Resource], which reads a state, compares two and
// writes one, and [Of] makes a [Step] of it. Undo comes for free, since it is
// writing the state that was found. What is not a state (a command, a reboot)
// implements Step itself, and what only looks (a ping) implements [Prober].
//
// A spec is a plain struct. Its fields say what of a state is managed:
//
//	string, int, bool      always managed; required, or with a default
//	[Attr][T]              unmanaged, absent, or a value
//	[]T                    unmanaged where nil; else the whole list
//	map[string]Attr[T]     each key for itself; keys left out are unmanaged
//	[State]                "present" or "absent": the object as a whole
//
// and its tags say how a playbook spells it:
//
//	json:"fail_mode,omitzero"   the attribute's name; omitzero unless required
//	weft:"required"             must be given
//	weft:"label"                defaults to the step's name
//	weft:"enum=a|b"             one of these
//	weft:"host"                 the name of a host of the inventory
//	weft:"set"                  a list whose order means nothing
//	weft:"ref"                  addresses of steps, given as step.KIND.NAME
//	weft:"trigger"              a ref list: a change of one of these steps
//	                            raises the need that this step settles
//	weft:"found"                filled by Read for undo, not for playbooks
//	weft:"whole"                a change of it makes another object: where
//	                            another hand changed a part since, undo
//	                            leaves all of it
//	weft:"secret"               always treated as sensitive
//	default:"10s"               the value where it is left out, for plain types
//	doc:"One sentence."         for the reference
package step

import (
	"context"
	"encoding/json"
	"errors"

	"weft/engine/host"
)

// ErrNotYet is returned by a check that cannot look because something is
// missing that an earlier step of the same host will bring: a package, a
// socket, a bridge. The engine accepts it only while such a step is pending;
// else it is a failure like any other.
var ErrNotYet = host.ErrNotReady

// ErrConflict is returned by Undo where what it should take back was changed
// by another hand since; those parts are left as they are.
var ErrConflict = errors.New("changed by another hand since")

// ErrIrreversible is returned by Undo where there is no way back. The check
// said so in [Cost] before anything was changed.
var ErrIrreversible = errors.New("cannot be undone")

// A Step is one piece of desired state as the engine sees it. The engine calls
// Check, records the Finding on disk, calls Apply, and calls Check again, all on
// the same Step: a difference that is still there is a failure whatever Apply
// returned, unless an open [Need] covers it.
type Step interface {
	// Check compares the machine with what is wanted. It writes nothing.
	Check(ctx context.Context, v host.View) (Finding, error)
	// Apply settles the deltas of f.
	Apply(ctx context.Context, h host.Host, f Finding) error
	// Undo brings back what f found. All it knows is in f: it may run on
	// another day, in another process, after a reboot. It is idempotent.
	Undo(ctx context.Context, h host.Host, f Finding) error
}

// A Prober looks whether the machine does what it should: packets arrive,
// ports are bound. It never runs in a plan.
type Prober interface {
	// Probe retries until it holds or its own time is over. The error is a
	// [*ProbeError] where the machine does not do what it should.
	Probe(ctx context.Context, v host.View) (Report, error)
}

// Report is what a probe saw, for people and for later steps.
type Report struct {
	Summary string          `json:"summary"` // "3 of 3 answered, 0.4 ms"
	Outputs json.RawMessage `json:"outputs,omitzero"`
}

// ProbeError says that a probe did not hold, and what was seen instead.
type ProbeError struct {
	Wanted string // "answers from 172.16.255.22"
	Seen   string // "0 of 3 answered"
	Hint   string // what to look at next; may be empty
}

// Error is both halves in a line.
func (e *ProbeError) Error() string {
	s := "wanted " + e.Wanted + ", saw " + e.Seen
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// A Finding is what a check saw. It is written to the journal before anything
// moves, and is all that Undo knows.
type Finding struct {
	// Object names what the step is about, the same in every run:
	// "bridge br-int", "file /etc/hosts".
	Object string `json:"object"`
	// Deltas are the differences, in the order of the spec's fields. No
	// deltas: nothing to do.
	Deltas []Delta `json:"deltas,omitzero"`
	// Before is the state found and Want the state asked for, in the
	// module's own shape.
	Before json.RawMessage `json:"before,omitzero"`
	Want   json.RawMessage `json:"want,omitzero"`
	// Outputs is an object of what will hold once the deltas are settled: a
	// key whose value only the apply will show is left out.
	Outputs json.RawMessage `json:"outputs,omitzero"`
	// Needs are what must happen before the change is in force.
	Needs []Need `json:"needs,omitzero"`
	Cost  Cost   `json:"cost,omitzero"`
	// Settled says that the change was once seen in force, so that what
	// differs from Want since is another hand's work. The journal sets it
	// before Undo, and no longer once an undo has begun: what a killed undo
	// left is our own half-made work again.
	Settled bool `json:"settled,omitzero"`
	// Foreign are the parts that another hand had changed when an undo first
	// began: they stay, also where that undo was killed and is begun again.
	// The journal sets it before Undo.
	Foreign []string `json:"foreign,omitzero"`
	// Own are the parts that an undo, when it first began, saw to be this
	// change's, and that cannot be told from others' once it has gone some way.
	// The journal sets it before Undo.
	Own []string `json:"own,omitzero"`
	// Sort is called by Undo, before its first effect, with the parts of
	// either sort, where there are any; nil where nobody needs to know. An
	// error ends the undo.
	Sort func(foreign, own []string) error `json:"-"`
	// Blind says that nothing on the machine tells whether it was done, so
	// that a run which is resumed must go by its journal.
	Blind bool `json:"blind,omitzero"`
	// Warnings are for the reader of a plan: a loop, an attribute without
	// effect.
	Warnings []string `json:"warnings,omitzero"`
}

// Changed says whether there is anything to do.
func (f Finding) Changed() bool { return len(f.Deltas) > 0 }

// A Delta is one difference. From is nil where it is absent now, To where it
// is wanted absent; both are JSON.
type Delta struct {
	Path   string          `json:"path"` // "fail_mode", "external_ids.iface-id", "state"
	From   json.RawMessage `json:"from,omitzero"`
	To     json.RawMessage `json:"to,omitzero"`
	Secret bool            `json:"secret,omitzero"` // the view shows neither side
}

// Change makes a Delta of two values; nil stands for absent.
func Change(path string, from, to any) Delta {
	return Delta{Path: path, From: mustJSON(from), To: mustJSON(to)}
}

func mustJSON(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic("step: a state that is no JSON: " + err.Error())
	}
	if string(b) == "null" {
		return nil
	}
	return b
}

// A Need is something that must still happen before a change is in force. It
// is recorded before the write that causes it, and settled once: when the step
// that manages its object comes, before a probe, or at the end of the play.
type Need struct {
	Verb   NeedVerb `json:"verb"`
	Object string   `json:"object"` // the systemd unit, or Machine
	Reason string   `json:"reason"` // the step that raised it
}

// NeedVerb is what must happen.
type NeedVerb string

// The needs that exist.
const (
	// RestartUnit restarts a systemd unit.
	RestartUnit NeedVerb = "restart"
	// Reboot boots the machine anew; the object is [Machine].
	Reboot NeedVerb = "reboot"
)

// Cost is what a change costs beyond the change itself; the plan shows it.
type Cost struct {
	// Disruption names what others will notice: "dataplane outage",
	// "restarts ovn-controller". Empty for none.
	Disruption string `json:"disruption,omitzero"`
	// Guests are the virtual machines that run here and that the disruption
	// hits. Where there are any, the change is made only if the operator
	// allows it: the others' way is to move them, or to shut them down. Those
	// that settling a need hits the engine adds.
	Guests []string `json:"guests,omitzero"`
	// Severs names the links whose traffic the change may cut, those above
	// and beside it included: of a NIC that joins a bridge the NIC, of a port
	// that leaves one also the bridge's internal ports that have addresses.
	// Where one of them carries the session, the change is guarded.
	Severs []string `json:"severs,omitzero"`
	// Irreversible says why undo cannot bring back what was there. Empty
	// where it can.
	Irreversible string `json:"irreversible,omitzero"`
}
