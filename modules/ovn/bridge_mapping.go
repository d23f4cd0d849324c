package ovn

import (
	"context"
	"fmt"
	"strings"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// BridgeMappingSpec is the attributes of an ovn_bridge_mapping.
type BridgeMappingSpec struct {
	Network string            `json:"network,omitzero" weft:"label" doc:"The physical network, as options:network_name of localnet and l2gateway ports says it."`
	Bridge  step.Attr[string] `json:"bridge,omitzero" doc:"The Open vSwitch bridge of this host that leads there."`
	State   step.State        `json:"state,omitzero" default:"present" doc:"Whether the network is mapped."`

	// Text is how the mappings of all networks were spelt.
	Text step.Attr[string] `json:"text,omitzero" weft:"found"`
	// LeadsNowhere says that the bridge is not there.
	LeadsNowhere step.Attr[bool] `json:"leads_nowhere,omitzero" weft:"found"`
}

func bridgeMappingKind() step.Kind {
	return step.Kind{
		Name:    "ovn_bridge_mapping",
		Summary: "A bridge of this host by which OVN reaches a physical network.",
		Doc: `One of the mappings in external_ids:ovn-bridge-mappings; those of other networks stay as they are. ovn-controller
follows at once and makes the patch ports between br-int and the bridge where a localnet or l2gateway port wants them. The bridge is
another step's: put it before this one. Attribute bridge_mappings of ovn_chassis does the same where one step says all of a chassis.`,
		Spec: BridgeMappingSpec{},
		Example: `step "ovn_bridge_mapping" "physnet301" {
  bridge = "br-ext"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[BridgeMappingSpec](u)
			return step.Of("bridge mapping of network "+want.Network, bridgeMappings{}, want), err
		},
	}
}

// Validate finds what ovn-controller would read otherwise.
func (s *BridgeMappingSpec) Validate() []step.Problem {
	var problems []step.Problem
	for path, text := range map[string]string{"network": s.Network, "bridge": s.Bridge.Or("-")} {
		if text == "" || strings.ContainsAny(text, ",: ") {
			problems = append(problems, step.Problem{Path: path, Message: fmt.Sprintf("%q is empty or has a comma, a colon or a space, which separate mappings", text)})
		}
	}
	if _, there := s.Bridge.Get(); s.State.There() && !there {
		problems = append(problems, step.Problem{Path: "bridge", Message: "is missing", Hint: `name the bridge that leads there: "br-ext"`})
	}
	return problems
}

type bridgeMappings struct{}

func (bridgeMappings) Read(ctx context.Context, v host.View, want BridgeMappingSpec) (BridgeMappingSpec, error) {
	have := BridgeMappingSpec{Network: want.Network, State: step.Absent}
	_, ids, err := openVSwitch(ctx, v.OVSDB)
	if err != nil {
		return have, err
	}
	text, there := ids[mappingKey]
	have.Text = optional(step.None[string](), func() (string, bool) { return text, there })
	if bridge, mapped := parseMappings(text).bridges()[want.Network]; mapped {
		have.Bridge, have.State = step.Is(bridge), step.Present
	}
	nowhere, err := leadNowhere(ctx, v.OVSDB, want.keys())
	have.LeadsNowhere = step.Is(len(nowhere) > 0)
	return have, err
}

// keys are the mapping as it is to be.
func (s BridgeMappingSpec) keys() keys {
	if !s.State.There() {
		return keys{s.Network: step.None[string]()}
	}
	return keys{s.Network: s.Bridge}
}

func (bridgeMappings) Diff(have, want BridgeMappingSpec) []step.Delta {
	return step.Compare(have, want)
}

func (bridgeMappings) Write(ctx context.Context, h host.Host, _, want BridgeMappingSpec) error {
	r, now, err := openVSwitch(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	text := parseMappings(now[mappingKey]).with(want.keys())
	if was, ok := want.Text.Get(); ok && text != nil && sameList(was, *text) {
		text = &was // what was found has its own spelling, and gets it back
	}
	var tx row.Tx
	tx.Guard("Open_vSwitch", r, "external_ids")
	tx.Mutate("Open_vSwitch", row.ID(r), row.SetKeys("external_ids", map[string]*string{mappingKey: text})...)
	return conflicts(tx.Commit(ctx, h.OVSDB, host.OpenVSwitch))
}

// Advise warns of a mapping that ovn-controller passes over.
func (bridgeMappings) Advise(f *step.Finding, have, want BridgeMappingSpec) {
	if bridge, there := want.Bridge.Get(); there && want.State.There() && have.LeadsNowhere.Or(false) {
		f.Warnings = append(f.Warnings, fmt.Sprintf("bridge %s is not there: localnet and l2gateway ports of %s lead nowhere", bridge, want.Network))
	}
	f.Outputs = []byte("{}")
}
