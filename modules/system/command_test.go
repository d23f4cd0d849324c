package system

import (
	"errors"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const lawMarker = "/run/" + steptest.Prefix + "-marker"

// toolMachine has touch, rm and test, for one file.
func toolMachine() *fake.Machine {
	m := fake.New()
	m.Program("tee", func(m *fake.Machine, c host.Command) host.Result {
		m.WriteFile(c.Argv[1], string(c.Stdin))
		return host.Result{}
	})
	m.Program("rm", func(m *fake.Machine, c host.Command) host.Result {
		m.Remove(c.Argv[len(c.Argv)-1])
		return host.Result{}
	})
	m.Program("grep", func(m *fake.Machine, c host.Command) host.Result {
		if text, ok := m.File(c.Argv[len(c.Argv)-1]); !ok || !strings.Contains(text, "done") {
			return host.Result{Exit: 1}
		}
		return host.Result{}
	})
	m.Program("env", func(m *fake.Machine, c host.Command) host.Result {
		m.WriteFile(lawMarker, strings.Join(c.Env, " ")+" in "+c.Dir)
		return host.Result{Exit: 3}
	})
	return m
}

func TestCommandLaws(t *testing.T) {
	undo := []string{"rm", "-f", lawMarker}
	gone := steptest.Hand{Name: "argv", Fake: func(m *fake.Machine) { m.Remove(lawMarker) }, Host: steptest.Run("rm", lawMarker)}
	spec := func(s CommandSpec) CommandSpec {
		s.Argv, s.Undo, s.Stdin = []string{"tee", lawMarker}, undo, step.Is("done")
		return s
	}
	laws(t, steptest.Subject{
		Kind:    commandKind(),
		Machine: toolMachine,
		Policy:  []string{"check", "creates", "undo", "stdin", "environment", "dir", "timeout", "exit"},
		Found:   []steptest.Hand{{Name: "not run"}},
		Cases: []steptest.Case{
			{Name: "by check", Spec: spec(CommandSpec{Check: []string{"grep", "-q", "done", lawMarker}}), Drift: []steptest.Hand{gone}},
			{Name: "by path", Spec: spec(CommandSpec{Creates: lawMarker}), Drift: []steptest.Hand{gone}},
		},
		Touches: steptest.Touches{Files: []string{lawMarker}},
		Clean:   steptest.Run("rm", "-f", lawMarker),
		Borrows: "the object is the step's name",
	})
}

func TestCommandWithoutCheckRunsEveryTime(t *testing.T) {
	m := toolMachine()
	unit := step.Unit{Name: "x", Spec: []byte(`{"argv":["tee","` + lawMarker + `"],"stdin":"once"}`)}
	for range 2 {
		s, err := commandKind().Make(unit)
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Check(t.Context(), m.Host().View())
		if err != nil || !f.Changed() || f.Cost.Irreversible == "" || len(f.Warnings) != 1 {
			t.Fatalf("%+v, %v", f, err)
		}
		if err := s.Apply(t.Context(), m.Host(), f); err != nil {
			t.Fatal(err)
		}
		if after, err := s.Check(t.Context(), m.Host().View()); err != nil || after.Changed() {
			t.Errorf("the check after it in the same run: %v, %v", after.Deltas, err)
		}
		if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrIrreversible) {
			t.Errorf("undo: %v", err)
		}
	}
}

func TestCommandExitAndEnvironment(t *testing.T) {
	for _, tt := range []struct {
		exit string
		ok   bool
	}{{"[3]", true}, {"[0,3]", true}, {"[0]", false}, {"[4]", false}} {
		m := toolMachine()
		s, err := commandKind().Make(step.Unit{Name: "x", Spec: []byte(`{"argv":["env"],"environment":{"B":"2","A":"1"},"dir":"/tmp","exit":` + tt.exit + `}`)})
		if err != nil {
			t.Fatal(err)
		}
		var exit *host.ExitError
		if err := s.Apply(t.Context(), m.Host(), step.Finding{}); (err == nil) != tt.ok || err != nil && !errors.As(err, &exit) {
			t.Errorf("exit %s: %v", tt.exit, err)
		}
		if text, _ := m.File(lawMarker); text != "A=1 B=2 in /tmp" {
			t.Errorf("it saw %q", text)
		}
	}
	s, err := commandKind().Make(step.Unit{Name: "x", Spec: []byte(`{"argv":["rm","x"],"exit":[1]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), toolMachine().Host(), step.Finding{}); err == nil {
		t.Error("exit 0 was not among those that mean success")
	}
}

func TestCommandKeepsSecretsFromArguments(t *testing.T) {
	for secret, refused := range map[string]bool{"argv[1]": true, "argv": true, "undo.0": true, "stdin": false, `environment["A"]`: false} {
		_, err := commandKind().Make(step.Unit{Name: "x", Spec: []byte(`{"argv":["rm","x"]}`), Secret: []string{secret}})
		if (err != nil) != refused {
			t.Errorf("%s: %v", secret, err)
		}
	}
}

func TestCommandValidate(t *testing.T) {
	for want, spec := range map[string]CommandSpec{
		"":            {Argv: []string{"true"}, Timeout: "1s"},
		"argv":        {},
		"check":       {Argv: []string{"true"}, Check: []string{"test -e /x"}},
		"undo":        {Argv: []string{"true"}, Undo: []string{}},
		"timeout":     {Argv: []string{"true"}, Timeout: "10"},
		"creates":     {Argv: []string{"true"}, Creates: "x"},
		"environment": {Argv: []string{"true"}, Environment: map[string]string{"A=B": ""}},
	} {
		if got := problems(&spec); got != want {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
	if _, err := check(t, commandKind(), fake.New(), CommandSpec{Argv: []string{"a"}, Check: []string{"none"}}); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("a check whose program is not there: %v", err)
	}
}
