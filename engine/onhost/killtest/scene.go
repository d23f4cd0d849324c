package killtest

import (
	"fmt"
	"os"
	"testing"

	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// A Scene is a machine, and the units of a play that change it.
type Scene struct {
	Name    string
	Table   step.Table
	Machine func() *fake.Machine
	Units   []step.Unit
	// Drift is another hand between two runs; nil for none.
	Drift func(m *fake.Machine)
}

// Subject walks the cases of the laws of a kind, from every state found. On a
// real host, where only the laws are at home, it does nothing.
func Subject(t *testing.T, s steptest.Subject) {
	t.Helper()
	if os.Getenv("WEFT_LAWS_HOST") == "1" {
		return
	}
	var scenes []Scene
	for i, c := range s.Cases {
		found := s.Found
		if len(found) == 0 {
			found = []steptest.Hand{{Name: "untouched"}}
		}
		for j, f := range found {
			sc := sceneOf(t, s, c, f)
			if len(c.Drift) > 0 {
				d := c.Drift[(i+j)%len(c.Drift)]
				sc.Drift = d.Fake
				sc.Name += ", drift of " + d.Name
			}
			scenes = append(scenes, sc)
		}
	}
	Walk(t, scenes...)
}

func sceneOf(t *testing.T, s steptest.Subject, c steptest.Case, found steptest.Hand) Scene {
	t.Helper()
	u, err := s.Unit(c)
	if err != nil {
		t.Fatal(err)
	}
	return Scene{
		Name:  fmt.Sprintf("%s %s from %s", s.Kind.Name, c.Name, found.Name),
		Table: step.NewTable([]step.Kind{s.Kind}),
		Units: []step.Unit{u},
		Machine: func() *fake.Machine {
			m := fake.New()
			if s.Machine != nil {
				m = s.Machine()
			}
			if found.Fake != nil {
				found.Fake(m)
			}
			return m
		},
	}
}

// Walk walks scenes and says how many injections they survived.
func Walk(t *testing.T, scenes ...Scene) {
	t.Helper()
	sum := &tally{budget: budget(len(scenes))}
	for i, s := range scenes {
		if sum.skips(i) {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			w := &walk{t: t, scene: s, sum: sum, turn: i}
			w.all()
		})
	}
	t.Logf("%d injected, %d survived", sum.injected, sum.survived)
}

// A tally counts injections.
type tally struct {
	injected, survived int
	budget             sampling
}

// A sampling says how much is walked.
type sampling struct {
	scenes int // every how many-eth scene; 1 is all
	points int // of each film; 0 is all
}

func budget(scenes int) sampling {
	switch {
	case os.Getenv("WEFT_CHAOS_WHOLE") != "":
		return sampling{scenes: 1}
	case testing.Short():
		return sampling{scenes: max(1, scenes), points: 1}
	}
	return sampling{scenes: max(1, (scenes+1)/2), points: 1}
}

func (s *tally) skips(scene int) bool { return scene%s.budget.scenes != 0 }

// points are the places of n at which a walk is stopped: all, or a few that
// are spread over them and differ from walk to walk.
func (s *tally) points(n, turn int) []int {
	if few := s.budget.points; few > 0 && few < n {
		var some []int
		for i := range few {
			some = append(some, (turn*7+i*n/few)%n)
		}
		return some
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
