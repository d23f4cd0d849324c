package network

import (
	"fmt"
	"strconv"

	"weft/engine/host/netconf"
	"weft/engine/step"
)

// NetVLANSpec is the attributes of a net_vlan.
type NetVLANSpec struct {
	Name          string            `json:"name,omitzero" weft:"label" doc:"Name of the device, at most 15 characters: eth1.301."`
	Link          string            `json:"link,omitzero" weft:"whole" doc:"Device that it stands on and whose tagged frames it has: a NIC, a bond, a bridge, or another VLAN."`
	ID            int               `json:"id,omitzero" weft:"whole" doc:"Number of the VLAN, 1 to 4094."`
	Protocol      string            `json:"protocol,omitzero" weft:"whole,enum=802.1Q|802.1ad" default:"802.1Q" doc:"Tag: of a customer (802.1Q, ethertype 0x8100) or of a service provider (802.1ad, 0x88a8)."`
	ReorderHeader step.Attr[bool]   `json:"reorder_hdr,omitzero" doc:"Whether a packet capture on it sees frames without the tag."`
	GVRP          step.Attr[bool]   `json:"gvrp,omitzero" doc:"Whether it asks the switch for its VLAN by GVRP."`
	MVRP          step.Attr[bool]   `json:"mvrp,omitzero" doc:"Whether it asks the switch for its VLAN by MVRP."`
	LooseBinding  step.Attr[bool]   `json:"loose_binding,omitzero" doc:"Whether it stays up where the device below goes down."`
	Up            step.Attr[bool]   `json:"up,omitzero" doc:"Whether it is up; true where it is left out. The device below must be up then."`
	MTU           step.Attr[int]    `json:"mtu,omitzero" doc:"MTU, bytes; not above that of the device below, which a new VLAN has."`
	MAC           step.Attr[string] `json:"mac,omitzero" doc:"Ethernet address; left out, that of the device below."`
	Persist       step.Attr[bool]   `json:"persist,omitzero" doc:"Whether it is made so at boot. Options that are left out are no part of that."`
	PersistBy     string            `json:"persist_by,omitzero" weft:"enum=ifupdown|networkmanager|network-scripts|netplan" doc:"What makes it at boot. Left out, it is what configures it, or its members, now."`
	State         step.State        `json:"state,omitzero" default:"present" doc:"Whether there is such a device."`

	// Kernel is the device as it was found, Stake what of it a change costs, and
	// Devices are those that stand on it.
	Kernel  *kept           `json:"kernel,omitzero" weft:"found"`
	Stake   []string        `json:"stake,omitzero" weft:"found"`
	Devices map[string]kept `json:"devices,omitzero" weft:"found"`
	// Kept are the files that make it at boot, Daemon is who makes it by them now.
	Kept   *netconf.State `json:"persist.files,omitzero" weft:"found"`
	Daemon string         `json:"daemon,omitzero" weft:"found"`
}

func netVLANKind() step.Kind {
	return step.Kind{
		Name:    "net_vlan",
		Summary: "A VLAN of a network device: its tagged frames as a device of their own.",
		Doc: `Where another VLAN, or one of another device, has the name, it goes and this one comes in its place, with the addresses, routes and the bridge that the other had; undo
brings the other back so. It is refused where other devices stand on it.

The kernel needs its module 8021q. A bridge of Open vSwitch needs none of this: there a port has a tag.

` + keepDoc,
		Spec: NetVLANSpec{},
		Example: `step "net_vlan" "bond0.301" {
  link = "bond0"
  id   = 301
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[NetVLANSpec](u)
			if err != nil {
				return nil, err
			}
			want.parts().completed()
			return newMadeStep("VLAN device "+want.Name, netVLANs(), want), nil
		},
	}
}

func (s *NetVLANSpec) parts() *parts {
	return &parts{
		kind: "vlan", name: s.Name, state: &s.State, up: &s.Up, mtu: &s.MTU, mac: &s.MAC, lower: &s.Link,
		kernel: &s.Kernel, stake: &s.Stake, devices: &s.Devices,
		persist: &s.Persist, by: &s.PersistBy, files: &s.Kept, daemon: &s.Daemon,
		fixed: []string{"id", "protocol"},
		settings: []setting{
			{
				option: "id",
				text:   func() (string, bool) { return strconv.Itoa(s.ID), s.ID != 0 },
				set:    func(text string, _ bool) { s.ID, _ = strconv.Atoi(text) }, // the kernel's own number
				absent: func() bool { return false },
			},
			{
				option: "protocol",
				text:   func() (string, bool) { return s.Protocol, s.Protocol != "" },
				set:    func(text string, _ bool) { s.Protocol = text },
				absent: func() bool { return false },
			},
			toggle("reorder_hdr", &s.ReorderHeader), toggle("gvrp", &s.GVRP), toggle("mvrp", &s.MVRP), toggle("loose_binding", &s.LooseBinding),
		},
	}
}

// blank names the VLAN of another spec.
func (s NetVLANSpec) blank() NetVLANSpec {
	return NetVLANSpec{Name: s.Name, Persist: s.Persist, PersistBy: s.PersistBy}
}

// Validate finds what the kernel would refuse.
func (s *NetVLANSpec) Validate() []step.Problem {
	var problems []step.Problem
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	s.parts().problems(bad)
	if !s.State.There() {
		return problems
	}
	switch {
	case s.Link == "":
		bad("link", "is left out", "name the device that it stands on")
	case !linkName.MatchString(s.Link):
		bad("link", fmt.Sprintf("%q is no name for a link", s.Link), nameHint)
	case s.Link == s.Name:
		bad("link", "is the device itself", "")
	}
	if s.ID < 1 || s.ID > 4094 {
		bad("id", fmt.Sprintf("%d is not from 1 to 4094", s.ID), "")
	}
	return problems
}

// netVLANs is the resource behind net_vlan.
func netVLANs() madeDevices[NetVLANSpec] {
	return madeDevices[NetVLANSpec]{
		parts: (*NetVLANSpec).parts, blank: NetVLANSpec.blank,
		advise: func(f *step.Finding, have, want NetVLANSpec) {
			if w := want.parts(); have.State.There() && want.State.There() && len(have.Stake) > 0 && f.Changed() {
				f.Cost.Disruption = w.name + " goes and comes back as another VLAN"
			}
		},
	}
}
