package ovs

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"weft/engine/step"
)

// BridgePortsSpec is the attributes of ovs_bridge_ports.
type BridgePortsSpec struct {
	Bridge string   `json:"bridge,omitzero" weft:"label" doc:"The bridge. It must be there."`
	Ports  []string `json:"ports" weft:"required,set" doc:"Names of the ports that the bridge may have, beside its own; patterns as of a shell too: vnet*."`
	Others string   `json:"others,omitzero" weft:"enum=report|remove" default:"report" doc:"What becomes of other ports: a warning each, or their removal."`

	// Found are the other ports; nil in what a playbook says, not in what was
	// found.
	Found map[string]otherPort `json:"ports.others" weft:"found"`
	Seen  bridgePortsSeen      `json:"seen,omitzero" weft:"found"`
}

// otherPort is a port that nobody asked for, with what it takes to make it again.
type otherPort struct {
	Type   string            `json:"type"`
	Error  string            `json:"error,omitzero"`
	Digest string            `json:"digest"` // of its rows
	Saved  *saved            `json:"saved"`
	Device map[string]device `json:"devices,omitzero"` // of its internal interfaces
}

// shown is a port in a plan.
type shown struct {
	Type  string `json:"type"`
	Error string `json:"error,omitzero"`
}

func (p otherPort) shown() shown { return shown{p.Type, p.Error} }

// bridgePortsSeen is for costs and warnings.
type bridgePortsSeen struct {
	Carries   []string          `json:"carries,omitzero"`   // what goes through the bridge, where a port at work goes
	Elsewhere []string          `json:"elsewhere,omitzero"` // ports whose devices live in network namespaces
	Files     map[string]string `json:"files,omitzero"`     // by port, what describes it at boot
}

const removeOthers = "remove"

// Validate implements [step.Validator].
func (s *BridgePortsSpec) Validate() []step.Problem {
	var problems []step.Problem
	for _, p := range nameProblems(s.Bridge) {
		p.Path = "bridge"
		problems = append(problems, p)
	}
	for _, p := range s.Ports {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			problems = append(problems, step.Problem{Path: "ports", Message: strconv.Quote(p) + " is neither a name nor a pattern", Hint: "patterns have * and ? and [a-z]"})
		}
	}
	return problems
}

// may says whether a port is asked for.
func (s BridgePortsSpec) may(name string) bool {
	return name == s.Bridge || slices.ContainsFunc(s.Ports, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil || p == name
	})
}

func (bridgePorts) Diff(have, want BridgePortsSpec) []step.Delta {
	var deltas []step.Delta
	if want.Found == nil { // what a playbook says
		for _, name := range slices.Sorted(maps.Keys(have.Found)) {
			if want.Others == removeOthers {
				deltas = append(deltas, step.Change("ports.others."+name, have.Found[name].shown(), nil))
			}
		}
		return deltas
	}
	for _, name := range slices.Sorted(maps.Keys(want.Found)) {
		was := want.Found[name]
		switch now, there := have.Found[name]; {
		case !there:
			deltas = append(deltas, step.Change("ports.others."+name, nil, was.shown()))
		case now.Digest != was.Digest || len(deviceDeltas(now.Device, was.Device)) > 0:
			deltas = append(deltas, step.Change("ports.others."+name, now.shown(), was.shown()))
		}
	}
	return deltas
}

func (bridgePorts) Advise(f *step.Finding, have, want BridgePortsSpec) {
	for _, name := range slices.Sorted(maps.Keys(have.Found)) {
		p := have.Found[name]
		if want.Others != removeOthers {
			said := "of type " + p.Type
			if p.Error != "" {
				said += ", with the error: " + p.Error
			}
			f.Warnings = append(f.Warnings, fmt.Sprintf("bridge %s has a port %s that nobody asked for, %s; put it into ports, or take it away by others = \"remove\"", want.Bridge, name, said))
		}
		if file := have.Seen.Files[name]; file != "" && want.Others == removeOthers {
			f.Warnings = append(f.Warnings, file+" describes port "+name+": it is back after the next boot unless that file goes, too")
		}
	}
	if len(f.Deltas) == 0 {
		return
	}
	names := slices.Sorted(maps.Keys(have.Found))
	f.Cost.Disruption = fmt.Sprintf("removes %d ports: %s", len(names), strings.Join(names, ", "))
	severs(f, have.Seen.Carries)
	for _, name := range have.Seen.Elsewhere {
		f.Warnings = append(f.Warnings, "the device of port "+name+" lives in a network namespace; undo brings it back in the host's own")
	}
}

func bridgePortsKind() step.Kind {
	return step.Kind{
		Name:    "ovs_bridge_ports",
		Summary: "The ports that an Open vSwitch bridge may have: others are reported, or removed.",
		Doc: `A bridge that is declared so is exclusive: a port that nobody asked for, a typing error of another hand maybe, is a warning in every plan
and run, with its type and its error. With ` + "`others = \"remove\"`" + ` it is removed, and undo makes it again with all its rows: interfaces, their
options and the mirrors that named it.

The bridge's own port is always asked for, and so are the ports that ovn-controller makes (those with ovn-… in external_ids): it would
make them again. Ports of guests are made by libvirt and go with the guests: give a pattern, ` + "`vnet*`" + `.

The step makes no port. Put it after the steps that do.`,
		Spec: BridgePortsSpec{},
		Example: `step "ovs_bridge_ports" "ovsbr0" {
  ports  = ["bond0", "patch0-1", "patch0-2", "vnet*"]
  others = "remove"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[BridgePortsSpec](u)
			if err != nil {
				return nil, err
			}
			return step.Of("ports of bridge "+spec.Bridge, bridgePorts{}, spec), nil
		},
	}
}
