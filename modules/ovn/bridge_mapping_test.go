package ovn

import (
	"strings"
	"testing"

	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

func bridgeMappingSubject() steptest.Subject {
	found := func(name, text string) steptest.Hand {
		h := idDrift(name, "ovn-bridge-mappings", text)
		h.Name = name
		return h
	}
	return steptest.Subject{
		Kind: bridgeMappingKind(), Machine: compute, Borrows: "the mappings of a host are one key",
		Found: []steptest.Hand{
			found("bare", ""),
			found("another network", "physnet1:br-a"),
			found("another bridge", "physnet1:br-a, weft-laws-net:br-old,physnet9:br-z"),
			found("there", "weft-laws-net:br-ext"),
		},
		Cases: []steptest.Case{
			{
				Name: "mapped", Spec: BridgeMappingSpec{Network: "weft-laws-net", Bridge: step.Is("br-ext")},
				Drift: []steptest.Hand{
					idDrift("bridge", "ovn-bridge-mappings", "weft-laws-net:br-other"),
					idDrift("state", "ovn-bridge-mappings", "physnet1:br-a"),
				},
				Spellings: []steptest.Hand{idDrift("order", "ovn-bridge-mappings", "physnet7:br-b,weft-laws-net:br-ext")},
			},
			{Name: "absent", Spec: BridgeMappingSpec{Network: "weft-laws-net", State: step.Absent}, Drift: []steptest.Hand{
				idDrift("state", "ovn-bridge-mappings", "weft-laws-net:br-x,physnet1:br-a"),
			}},
		},
		Touches: steptest.Touches{Queries: steptest.Run(vsctl, "get", "Open_vSwitch", ".", "external_ids")},
		Clean:   steptest.Run(vsctl, "remove", "Open_vSwitch", ".", "external_ids", "ovn-bridge-mappings"),
	}
}

func TestLawsBridgeMapping(t *testing.T) { laws(t, bridgeMappingSubject()) }

func TestBridgeMappingThatLeadsNowhere(t *testing.T) {
	f, err := made(t, bridgeMappingKind(), BridgeMappingSpec{Network: "physnet301", Bridge: step.Is("br-ext")}).Check(t.Context(), compute().Host().View())
	if err != nil || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "br-ext is not there") {
		t.Errorf("%v, %v", f.Warnings, err)
	}
	f, err = made(t, bridgeMappingKind(), BridgeMappingSpec{Network: "physnet301", State: step.Absent}).Check(t.Context(), fakeWithMapping().Host().View())
	if err != nil || len(f.Warnings) != 0 || !f.Changed() {
		t.Errorf("%v, %v", f, err)
	}
}

func fakeWithMapping() *fake.Machine {
	m := compute()
	setID("ovn-bridge-mappings", "physnet301:br-ext")(m)
	return m
}

func TestBridgeMappingMistakes(t *testing.T) {
	for path, s := range map[string]BridgeMappingSpec{
		"bridge":  {Network: "physnet301"},
		"network": {Network: "a:b", Bridge: step.Is("br-ext")},
	} {
		problems := s.Validate()
		if len(problems) != 1 || problems[0].Path != path {
			t.Errorf("%s: %v", path, problems)
		}
	}
}
