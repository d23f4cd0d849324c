package security

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/onhost/killtest"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// laws holds a kind to the laws of a step, and the runner to its promise
// wherever it is stopped in it.
func laws(t *testing.T, s steptest.Subject) {
	t.Helper()
	steptest.Laws(t, s)
	t.Run("killed", func(t *testing.T) { killtest.Subject(t, s) })
}

func typed(path, text string) []host.Command {
	return []host.Command{{Argv: []string{"tee", path}, Stdin: []byte(text)}}
}

func sequence(lists ...[]host.Command) []host.Command {
	var all []host.Command
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func wrote(path, text string) func(m *fake.Machine) {
	return func(m *fake.Machine) { m.WriteFile(path, text) }
}

// ran is a hand with the same command on both machines.
func ran(name string, argv ...string) steptest.Hand {
	return steptest.Hand{Name: name, Host: steptest.Run(argv...), Fake: func(m *fake.Machine) { by(m, argv...) }}
}

func by(m *fake.Machine, argv ...string) {
	if _, err := m.Host().Commands.Run(context.Background(), host.Command{Argv: argv}); err != nil {
		panic(err)
	}
}

// made is a kind's step of a spec.
func made(t *testing.T, k step.Kind, spec any) step.Step {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Make(step.Unit{Address: k.Name + ".x", Name: "x", Spec: b})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func check(t *testing.T, k step.Kind, m *fake.Machine, spec any) (step.Finding, error) {
	t.Helper()
	return made(t, k, spec).Check(t.Context(), m.Host().View())
}

// problems are the paths of the mistakes in a spec.
func problems(v step.Validator) string {
	var paths []string
	for _, p := range v.Validate() {
		paths = append(paths, p.Path)
	}
	return strings.Join(paths, " ")
}
