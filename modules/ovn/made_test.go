package ovn

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
)

// made is the step of a spec, as the engine would make it on the site "lab".
func made(t *testing.T, k step.Kind, spec any) step.Step {
	t.Helper()
	return madeFor(t, k, "lab/"+k.Name+".a", k.Name+".a", spec)
}

func madeFor(t *testing.T, k step.Kind, owner, address string, spec any) step.Step {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Make(step.Unit{Address: address, Kind: k.Name, Name: "a", Owner: owner, Spec: b})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var errKilled = errors.New("killed")

// killAt lets the first n effects through.
func killAt(n int, effects *int) func(context.Context, host.Effect) error {
	return func(context.Context, host.Effect) error {
		if *effects++; *effects > n {
			return errKilled
		}
		return nil
	}
}

// converge is a run that must leave nothing to do.
func converge(t *testing.T, s step.Step, m *fake.Machine) {
	t.Helper()
	f, err := s.Check(t.Context(), m.Host().View())
	if err == nil && f.Changed() {
		err = s.Apply(t.Context(), m.Host(), f)
	}
	if err != nil {
		t.Fatal(err)
	}
	if f, err = s.Check(t.Context(), m.Host().View()); err != nil || f.Changed() {
		t.Fatalf("after the apply: %v, %v", f.Deltas, err)
	}
}
