package onhost

import (
	"strings"
	"time"

	"weft/engine/wire"
)

const (
	// tellPause is between two words of progress to the controller, on average.
	tellPause = time.Second
	// tellBurst is how many may come at once before that: phases that are over soon.
	tellBurst = 4
)

// longestTold is how many bytes of a word of progress travel.
const longestTold = 200

// telling returns where a step says how far it is: its words go to the controller
// at once, but for those that come too soon after others. They are said by the
// goroutine that serves requests, which waits for the step.
func (s *session) telling(address string) func(how string) {
	var due time.Time // by when what was said would have been said one word a pause
	return func(how string) {
		now := time.Now()
		if due.Before(now) {
			due = now
		}
		if due.Sub(now) > (tellBurst-1)*tellPause {
			return
		}
		due = due.Add(tellPause)
		// Before it is cut, so that no half of a secret is left.
		how, _, _ = strings.Cut(s.out.scrub.Text(how), "\n")
		if len(how) > longestTold {
			how = how[:longestTold]
		}
		s.out.now(wire.Event{Progress: &wire.Progress{Address: address, How: strings.ToValidUTF8(how, "")}})
	}
}
