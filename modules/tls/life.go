package tls

import (
	"fmt"
	"time"

	"weft/engine/step"
)

// slack is how far before its making the life of a certificate begins: clocks of other
// hosts may be behind.
const slack = time.Hour

// timeFormat is how the end of a life is said.
const timeFormat = time.RFC3339

// life is how long a certificate is to live.
type life struct {
	whole time.Duration
	last  time.Duration // the part of it in which it is renewed
}

// lifeOf is that of attributes, of which the second may be left out.
func lifeOf(lifetime, renewBefore time.Duration) life {
	if renewBefore == 0 {
		renewBefore = lifetime / 3
	}
	return life{lifetime, renewBefore}
}

// problems are mistakes in those attributes.
func (l life) problems() []step.Problem {
	switch {
	case l.whole < time.Minute:
		return []step.Problem{{Path: "lifetime", Message: fmt.Sprintf("%v is less than a minute", l.whole), Hint: `a year is "8760h"`}}
	case l.last < 0 || l.last >= l.whole:
		return []step.Problem{{Path: "renew_before", Message: fmt.Sprintf("%v is not within a lifetime of %v", l.last, l.whole), Hint: "left out, it is a third of it"}}
	}
	return nil
}

// begins gives a certificate a new life.
func (l life) begins(c *certificate, now time.Time) {
	now = now.UTC().Truncate(time.Second)
	c.from, c.to = now.Add(-slack), now.Add(l.whole)
}

// over says whether a certificate is to be renewed.
func (l life) over(c certificate, now time.Time) bool { return !now.Before(c.to.Add(-l.last)) }

// never is a clock that no life ends by: what came near its end since it was made is no
// other hand's work, and undo takes it away.
func never() time.Time { return time.Time{} }
