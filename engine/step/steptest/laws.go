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
	for i, c := range s.Cases {
		tried := false
		for _, found := range s.walked(i) {
			t.Run(c.Name+"/from "+found.Name, func(t *testing.T) {
				skipMisplaced(t, found)
				report(t, newTrial(s, c, found, g).walk(ctx))
				if !tried || !onRealHost() { // there one will do
					s.handsOn(t, c, found, g)
				}
				tried = true
			})
		}
	}
	t.Run("any order", func(t *testing.T) { report(t, s.anyOrder(ctx, g)) })
}

// walked are the states that a case is walked from: all of them, but on a real host, where
// a walk takes a second and more, only with the whole of the laws. Else each case is walked
// from one of them, and each of them is there before one case.
func (s Subject) walked(c int) []Hand {
	all := s.found()
	if !sampled() {
		return all
	}
	var some []Hand
	for f, found := range all {
		if f == c%len(all) || c == f%len(s.Cases) {
			some = append(some, found)
		}
	}
	return some
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
