package wire

import "time"

// Commit keeps what stands under a run's guard. It is sent over a connection
// that was made after the last guarded change, and is refused elsewhere: an
// established connection may outlive the way it came. It needs no lease.
type Commit struct {
	Run string `json:"run"`
}

// Extend moves the deadline of a run's guard, to a time from now. It is refused
// over a connection that was made before the guard was armed, and needs no
// lease.
type Extend struct {
	Run  string        `json:"run"`
	Time time.Duration `json:"time"`
}

// GuardState is where a guard stands.
type GuardState string

// The states of a guard.
const (
	GuardArmed     GuardState = "armed"     // undecided
	GuardCommitted GuardState = "committed" // the change stays
	GuardExpired   GuardState = "expired"   // nobody confirmed; it is being taken back, or could not be
	GuardUndone    GuardState = "undone"    // nobody confirmed; it was taken back
	GuardReleased  GuardState = "released"  // what stood under it was taken back by order
)

// GuardEvent tells of a guard, the dead man's switch of changes that may cut
// the way to the host. One that was armed is answered with a Heartbeat, for
// which the runner waits a moment before it changes anything.
type GuardEvent struct {
	Run   string     `json:"run"`
	Owner string     `json:"owner"`
	Play  string     `json:"play"`
	Step  string     `json:"step"` // the address of the first step under it
	State GuardState `json:"state"`
	// Why is set where weft armed it by itself: "eth0 carries this session".
	Why    string        `json:"why,omitempty"`
	ByHand bool          `json:"by_hand,omitempty"`
	Time   time.Duration `json:"time"`           // that it was armed or extended for
	Left   time.Duration `json:"left,omitempty"` // until it expires; of an undecided one
	// Undone counts the steps that were taken back, Error says what was not.
	Undone int    `json:"undone,omitempty"`
	Error  string `json:"error,omitempty"`
}
