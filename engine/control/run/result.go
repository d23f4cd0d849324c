package run

import "time"

// Recap is what a run came to.
type Recap struct {
	Run   string           `json:"run"`
	Exit  Exit             `json:"exit"`
	Hosts map[string]Count `json:"hosts"`
	// Slowest are the steps that took longest, the slowest first.
	Slowest []Timing      `json:"slowest,omitempty"`
	Elapsed time.Duration `json:"elapsed"`
	// Standing are the guards that nobody has confirmed.
	Standing []Standing `json:"standing,omitempty"`
	// Confirm is the command that confirms those.
	Confirm string `json:"confirm,omitempty"`
}

// Standing is a guard that the run left armed on a host: the host takes back
// what stands under it by itself, unless somebody confirms it until then.
type Standing struct {
	Host  string    `json:"host"`
	Play  string    `json:"play"`
	Step  string    `json:"step"` // the first under it
	Until time.Time `json:"until"`
}

// Count is a host's line of the recap. A step is in one of OK, Changed and
// Failed, whatever else befell it; a host that failed as a whole counts as one
// failure where no step of it did.
type Count struct {
	OK          int  `json:"ok"`
	Changed     int  `json:"changed"`
	Failed      int  `json:"failed"`
	Skipped     int  `json:"skipped"`
	RolledBack  int  `json:"rolled_back"`
	Unreachable bool `json:"unreachable"`
}

// Timing is how long a step took on a host.
type Timing struct {
	Host    string        `json:"host"`
	Address string        `json:"address"`
	Elapsed time.Duration `json:"elapsed"`
}

// Exit is the exit status of weft.
type Exit int

// The exit codes. Of several that hold, [Worst] takes the one that matters
// most to who called.
const (
	OK          Exit = 0
	Usage       Exit = 1 // usage, configuration, a stale plan
	Pending     Exit = 2 // changes pending, with --detailed-exitcode
	HostFailure Exit = 3 // a host failed and was not taken back
	NoContact   Exit = 4 // unreachable
	RolledBack  Exit = 5 // failed and taken back
	Locked      Exit = 6 // another run has the lease
	ProbeFailed Exit = 7 // nothing was changed, but a probe does not hold
	Interrupted Exit = 130
)

// Worst returns the code that a run ends with, of all that hold. What was left
// on a host counts more than a plan that is stale: that one did nothing.
func Worst(codes ...Exit) Exit {
	for _, c := range []Exit{Interrupted, Locked, NoContact, HostFailure, RolledBack, ProbeFailed, Usage, Pending} {
		for _, have := range codes {
			if have == c {
				return c
			}
		}
	}
	return OK
}
