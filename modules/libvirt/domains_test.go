package libvirt

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

func TestDomainsLaws(t *testing.T) {
	const object = host.VirtualDomain
	laws(t, steptest.Subject{
		Kind: domainsKind(), Machine: hypervisor, Prepare: bridges, Borrows: "it tells of all domains, and makes none",
		Found:   []steptest.Hand{hand("absent"), hand("defined", define(object, otherDomain)), hand("at work", define(object, otherDomain), order(host.VirtualStart, object))},
		Cases:   []steptest.Case{{Name: "asked", Spec: map[string]any{}, Spellings: []steptest.Hand{hand("another machine", define(object, otherDomain))}}},
		Touches: steptest.Touches{Queries: shown("list", "--all")},
		Clean:   slices.Concat(steptest.Run("virsh", "-q", "destroy", name), steptest.Run("virsh", "-q", "undefine", name)),
	})
}

// TestDomainsAreToldOrNot: what cannot be known is null, and no empty list.
func TestDomainsAreToldOrNot(t *testing.T) {
	two := hypervisor()
	two.Define(host.VirtualDomain, name, otherDomain)
	two.Virsh(host.VirtualStart, host.VirtualDomain, name)
	v, _ := two.VirtualState(host.VirtualDomain, name)
	for _, c := range []struct {
		what    string
		m       *fake.Machine
		outputs string
	}{
		{"a guest", two, `{"uuids":["` + v.UUID + `"]}`},
		{"no guest", hypervisor(), `{"uuids":[]}`},
		{"no libvirtd", fake.New(), `{"uuids":null}`},
	} {
		f, err := checked(t, domainsKind(), c.m, DomainsSpec{})
		if err != nil || f.Changed() || string(f.Outputs) != c.outputs || len(f.Warnings) > 0 {
			t.Errorf("%s: %s, %v, %q, %v", c.what, f.Outputs, f.Deltas, f.Warnings, err)
		}
	}
}

// broken is a libvirtd that lists nothing.
type broken struct {
	host.LibvirtReader
	err error
}

func (b broken) Domains(context.Context) ([]host.DomainName, error) { return nil, b.err }

func TestDomainsOfALibvirtdThatFails(t *testing.T) {
	s, err := domainsKind().Make(step.Unit{Spec: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Check(t.Context(), host.View{Libvirt: broken{err: errors.New("libvirtd refuses to list the domains: no driver")}})
	if err != nil || string(f.Outputs) != `{"uuids":null}` || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "no driver") {
		t.Errorf("%s, %q, %v", f.Outputs, f.Warnings, err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Check(over, host.View{Libvirt: broken{err: over.Err()}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was ended: %v", err)
	}
}
