package ovn

import (
	"fmt"

	"weft/engine/step"
)

// Advise names what others will notice, and what works against itself.
func (ports) Advise(f *step.Finding, have, want SwitchPortSpec) {
	if have.State.There() && f.Changed() && (!want.State.There() || have.Switch != want.Switch) {
		f.Cost.Disruption = "port " + want.Name + " loses its connection"
	}
	if have.State.There() && want.State.There() && have.Switch != want.Switch {
		f.Cost.Disruption = fmt.Sprintf("port %s leaves logical switch %s", want.Name, have.Switch)
	}
	if want.Type.Or("") == "l2gateway" {
		f.Warnings = append(f.Warnings, "an l2gateway port has no redundancy: with its chassis the VLAN is cut off; and never join one VLAN by an l2gateway and a localnet port, that is a loop")
	}
}

// Advise names what others will notice.
func (switches) Advise(f *step.Finding, have, want SwitchSpec) {
	if have.State.There() && !want.State.There() && len(have.Found.Tree.Below) > 0 {
		f.Cost.Disruption = fmt.Sprintf("%d ports, ACLs and QoS rules go with logical switch %s", len(have.Found.Tree.Below), want.Name)
	}
}
