package main

import (
	"strings"
	"testing"

	"weft/engine/wire"
)

func TestStateOfARunOnManyHosts(t *testing.T) {
	for _, c := range []struct{ states, want string }{
		{"done done", "done"}, {"undone done", "done"}, {"conflict undone", "conflict"}, {"undone conflict", "conflict"},
		{"conflict done", "done"}, {"done open undone", "open"}, {"undone undone", "undone"},
	} {
		byHost := map[string][]wire.RunEvent{}
		for i, state := range strings.Fields(c.states) {
			byHost[string(rune('a'+i))] = []wire.RunEvent{{Run: "r1", State: state, Changed: 1}}
		}
		s, out := at(nil)
		if err := printRuns(s, byHost); err != nil {
			t.Fatal(err)
		}
		line := strings.Fields(strings.Split(out.String(), "\n")[1])
		if line[3] != c.want { // after the day and the time
			t.Errorf("%s: %q, want %s", c.states, line, c.want)
		}
	}
}
