package steptest

import (
	"context"
	"fmt"
	"testing"

	"weft/engine/host"
)

// Laws walks a subject through all laws, a subtest for each walk.
func Laws(t *testing.T, s Subject) {
	t.Helper()
	ctx := t.Context()
	t.Run("coverage", func(t *testing.T) { report(t, s.coverage()) })
	g := s.fakeGround()
	if onRealHost() {
		g = s.realGround(s.prepare(t))
	}
	for n, c := range s.Cases {
		for i, found := range s.found() {
			if !s.walks(n, i) {
				continue
			}
			t.Run(c.Name+"/from "+found.Name, func(t *testing.T) {
				skipMisplaced(t, found)
				report(t, newTrial(s, c, found, g).walk(ctx))
				if i == 0 || !onRealHost() { // there one will do
					s.handsOn(t, c, found, g)
				}
			})
		}
	}
	t.Run("any order", func(t *testing.T) { report(t, s.anyOrder(ctx, g)) })
}

// walks says whether a case is walked from a state: always, but where walks are sampled. There each
// case is walked from the first state and from one more, and each state is there before one case.
func (s Subject) walks(c, found int) bool {
	return !sampled() || found == 0 || found == c%len(s.found()) || c == found%len(s.Cases)
}

// prepare brings a real host what the subject needs, and cleans it at the end.
// All walks share its doors: they hold connections.
func (s Subject) prepare(t *testing.T) host.Host {
	t.Helper()
	doors, err := realDoors()
	if err != nil {
		t.Fatal(err)
	}
	if s.Prepare != nil {
		s.Prepare(t, doors)
	}
	t.Cleanup(func() { s.clean(context.WithoutCancel(t.Context()), doors) })
	return doors
}

// handsOn lets another hand at the machine after an apply.
func (s Subject) handsOn(t *testing.T, c Case, found Hand, g ground) {
	for _, d := range c.Drift {
		t.Run("drift "+d.Name, func(t *testing.T) {
			skipMisplaced(t, d)
			report(t, newTrial(s, c, found, g).drift(t.Context(), d))
		})
	}
	for _, d := range c.Spellings {
		t.Run("spelling "+d.Name, func(t *testing.T) {
			skipMisplaced(t, d)
			report(t, newTrial(s, c, found, g).spelling(t.Context(), d))
		})
	}
}

// found is what the subject was told, or the state of an untouched machine.
func (s Subject) found() []Hand {
	if len(s.Found) == 0 {
		return []Hand{{Name: "untouched"}}
	}
	return s.Found
}

// A Violation is a law that was broken.
type Violation struct {
	Law  int    // 1 to 5, or 0 where the subject or the kind is incomplete
	What string // what was seen, and where
}

// String is the violation in a line.
func (v Violation) String() string {
	if v.Law == 0 {
		return v.What
	}
	return fmt.Sprintf("law %d: %s", v.Law, v.What)
}

func report(t *testing.T, broken []Violation) {
	t.Helper()
	for _, v := range broken {
		t.Error(v)
	}
}

func skipMisplaced(t *testing.T, hands ...Hand) {
	t.Helper()
	for _, h := range hands {
		if why := misplaced(h); why != "" {
			t.Skip(why)
		}
	}
}
