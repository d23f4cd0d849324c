package run

import (
	"context"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// Surveyed is what a survey learnt of a host.
type Surveyed struct {
	Facts *host.Facts
	// Ahead is by how much the host's clock is at least ahead of this
	// machine's; negative where it is behind, zero where no difference is
	// certain: the answer was on its way for a while.
	Ahead time.Duration
	// Units are its steps, as far as they can be evaluated.
	Units []step.Unit
	// Failed says that the host did not come through the plan pass.
	Failed bool
}

// Survey is [Run.Plan], and asks every host for its facts and its clock too, in
// the same round trip where no expression waits for facts. A host that was not
// reached is not among the answers.
func (r *Run) Survey(ctx context.Context) map[string]Surveyed {
	for _, m := range r.members {
		m.surveyed = &Surveyed{}
	}
	r.Plan(ctx)
	out := map[string]Surveyed{}
	for _, m := range r.members {
		if m.surveyed.Facts != nil {
			m.surveyed.Failed = m.isOut()
			out[m.host.Name] = *m.surveyed
		}
	}
	return out
}

// ahead compares a host's clock, read at some time between two of ours.
func ahead(clock, asked, answered time.Time) time.Duration {
	switch {
	case clock.IsZero():
		return 0
	case clock.After(answered):
		return clock.Sub(answered)
	case clock.Before(asked):
		return clock.Sub(asked)
	}
	return 0
}
