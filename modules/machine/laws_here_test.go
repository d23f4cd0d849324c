package machine

import (
	"encoding/json"
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

// typed is what tee(1) writes on a real host.
func typed(path, text string) []host.Command {
	return []host.Command{{Argv: []string{"tee", path}, Stdin: []byte(text)}}
}

// sequence joins commands.
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

func together(hands ...func(m *fake.Machine)) func(m *fake.Machine) {
	return func(m *fake.Machine) {
		for _, h := range hands {
			h(m)
		}
	}
}

// made makes a step of a kind.
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

// checked makes a step of a kind and checks it.
func checked(t *testing.T, k step.Kind, m *fake.Machine, spec any) (step.Finding, error) {
	t.Helper()
	return made(t, k, spec).Check(t.Context(), m.Host().View())
}

// applied checks and applies a step, and wants it to be done then.
func applied(t *testing.T, m *fake.Machine, s step.Step) step.Finding {
	t.Helper()
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	f.Settled = true
	return f
}

// problem is the path of the only problem of a spec.
func problem(v step.Validator) string {
	switch p := v.Validate(); len(p) {
	case 0:
		return ""
	case 1:
		return p[0].Path
	default:
		return "several"
	}
}
