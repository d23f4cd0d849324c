package network

import (
	"fmt"
	"slices"
	"time"

	"weft/engine/host/netconf"
	"weft/engine/step"
)

// NetBridgeSpec is the attributes of a net_bridge.
type NetBridgeSpec struct {
	Name          string            `json:"name,omitzero" weft:"label" doc:"Name of the bridge, at most 15 characters."`
	Members       []string          `json:"members,omitzero" weft:"set" doc:"Devices that are its members. They must be there, and are brought up."`
	Others        string            `json:"others,omitzero" weft:"enum=report|remove" default:"report" doc:"What becomes of members that are not named: they stay and the plan names them, as befits a bridge that guests join and leave, or they are taken out."`
	STP           step.Attr[bool]   `json:"stp,omitzero" doc:"Whether it speaks the spanning tree protocol (IEEE 802.1D)."`
	Priority      step.Attr[int]    `json:"priority,omitzero" doc:"Priority in the spanning tree, 0 to 65535; the lowest of all bridges is the root."`
	ForwardDelay  step.Attr[string] `json:"forward_delay,omitzero" doc:"How long a member listens, and again learns, before it passes frames: \"15s\"; with STP from \"2s\" to \"30s\". Also without STP a member that joins waits so long."`
	HelloTime     step.Attr[string] `json:"hello_time,omitzero" doc:"How often the root of the spanning tree is heard: \"1s\" to \"10s\"."`
	MaxAge        step.Attr[string] `json:"max_age,omitzero" doc:"How long the root is believed in without being heard: \"6s\" to \"40s\"."`
	AgeingTime    step.Attr[string] `json:"ageing_time,omitzero" doc:"How long it remembers where a station is: \"5m\"; \"0s\" floods every frame."`
	VLANFiltering step.Attr[bool]   `json:"vlan_filtering,omitzero" doc:"Whether members pass the VLANs alone that are theirs. Which those are is not managed here."`
	McastSnooping step.Attr[bool]   `json:"mcast_snooping,omitzero" doc:"Whether multicast goes to members alone that asked for it by IGMP or MLD."`
	McastQuerier  step.Attr[bool]   `json:"mcast_querier,omitzero" doc:"Whether it asks for such members itself, where no router does."`
	GroupFwdMask  step.Attr[int]    `json:"group_fwd_mask,omitzero" doc:"Link-local groups 01:80:c2:00:00:0X that it passes on, a bit for each X: 16384 for LLDP. Bits 0 to 2 (STP, pause, LACP) the kernel refuses."`
	Up            step.Attr[bool]   `json:"up,omitzero" doc:"Whether it is up; true where it is left out."`
	MTU           step.Attr[int]    `json:"mtu,omitzero" doc:"MTU, bytes; left out, the lowest of its members'."`
	MAC           step.Attr[string] `json:"mac,omitzero" doc:"Ethernet address; left out, one that udev chose (systemd.link(5)), or the lowest of its members', which changes as they come and go."`
	Persist       step.Attr[bool]   `json:"persist,omitzero" doc:"Whether it is made so at boot. Options that are left out are no part of that."`
	PersistBy     string            `json:"persist_by,omitzero" weft:"enum=ifupdown|networkmanager|network-scripts|netplan" doc:"What makes it at boot. Left out, it is what configures it, or its members, now."`
	State         step.State        `json:"state,omitzero" default:"present" doc:"Whether there is such a bridge."`

	// Active says of members whether they are up.
	Active map[string]bool `json:"members.up,omitzero" weft:"found"`
	// Kernel is the bridge as it was found, Stake what of it a change costs, and
	// Devices are those that join, leave or stand on it.
	Kernel  *kept           `json:"kernel,omitzero" weft:"found"`
	Stake   []string        `json:"stake,omitzero" weft:"found"`
	Devices map[string]kept `json:"devices,omitzero" weft:"found"`
	// Strangers are members that nobody named.
	Strangers []string `json:"strangers,omitzero" weft:"found"`
	// Kept are the files that make it at boot, Daemon is who makes it by them now.
	Kept   *netconf.State `json:"persist.files,omitzero" weft:"found"`
	Daemon string         `json:"daemon,omitzero" weft:"found"`
}

func netBridgeKind() step.Kind {
	return step.Kind{
		Name:    "net_bridge",
		Summary: "A bridge of the kernel, with its members.",
		Doc: `Options that are left out stay as they are, and are the kernel's own in a new bridge.

A device that joins keeps its addresses, but no packet reaches them there: ` + "`net_address`" + ` with ` + "`from`" + ` moves them to the bridge. This is how a management NIC goes into one; give the
bridge the NIC's own address as ` + "`mac`" + `. A device that belongs to another bridge or bond, or to Open vSwitch, is refused as a member.

Undo of a new bridge leaves it where guests or VLANs have come to use it. Undo of a removal does not bring back what members had of
their own in it (VLANs, path costs, static entries).

` + keepDoc + `A bond that joins by NetworkManager is activated anew, and its members with it.`,
		Spec: NetBridgeSpec{},
		Example: `step "net_bridge" "br0" {
  members = ["bond0"]
  stp     = false
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[NetBridgeSpec](u)
			if err != nil {
				return nil, err
			}
			return newMadeStep("bridge "+want.Name, netBridges(), want.complete()), nil
		},
	}
}

func (s *NetBridgeSpec) parts() *parts {
	stp := toggle("stp_state", &s.STP)
	stp.attribute = "stp"
	return &parts{
		kind: "bridge", name: s.Name, state: &s.State, up: &s.Up, mtu: &s.MTU, mac: &s.MAC, members: &s.Members, active: &s.Active,
		keeps: s.Others != "remove", kernel: &s.Kernel, stake: &s.Stake, devices: &s.Devices, strangers: &s.Strangers,
		persist: &s.Persist, by: &s.PersistBy, files: &s.Kept, daemon: &s.Daemon,
		cuts: []string{"stp", "vlan_filtering"},
		settings: []setting{
			stp, number("priority", &s.Priority), timer("forward_delay", &s.ForwardDelay), timer("hello_time", &s.HelloTime),
			timer("max_age", &s.MaxAge), timer("ageing_time", &s.AgeingTime), toggle("vlan_filtering", &s.VLANFiltering),
			toggle("mcast_snooping", &s.McastSnooping), toggle("mcast_querier", &s.McastQuerier), number("group_fwd_mask", &s.GroupFwdMask),
		},
	}
}

// blank names the bridge of another spec.
func (s NetBridgeSpec) blank() NetBridgeSpec {
	return NetBridgeSpec{Name: s.Name, Others: s.Others, Persist: s.Persist, PersistBy: s.PersistBy}
}

func (s NetBridgeSpec) complete() NetBridgeSpec {
	for _, a := range []*step.Attr[string]{&s.ForwardDelay, &s.HelloTime, &s.MaxAge, &s.AgeingTime} {
		*a = spelled(*a)
	}
	s.parts().completed()
	return s
}

// Validate finds what the kernel would refuse.
func (s *NetBridgeSpec) Validate() []step.Problem {
	var problems []step.Problem
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	s.parts().problems(bad)
	for _, t := range []struct {
		path     string
		a        step.Attr[string]
		from, to time.Duration
	}{
		{"forward_delay", s.ForwardDelay, 0, 30 * time.Second}, {"hello_time", s.HelloTime, time.Second, 10 * time.Second},
		{"max_age", s.MaxAge, 6 * time.Second, 40 * time.Second}, {"ageing_time", s.AgeingTime, 0, 1 << 24 * time.Second},
	} {
		text, ok := t.a.Get()
		d, err := time.ParseDuration(text)
		switch {
		case !ok:
		case err != nil:
			bad(t.path, fmt.Sprintf("%q is no time", text), `write it as "15s"`)
		case d < t.from || d > t.to:
			bad(t.path, fmt.Sprintf("%s is not from %s to %s", text, t.from, t.to), "")
		case d%tick != 0:
			bad(t.path, text+" is finer than the kernel's hundredths of a second", "")
		}
	}
	if d, err := time.ParseDuration(s.ForwardDelay.Or("")); err == nil && s.STP.Or(false) && d < 2*time.Second {
		bad("forward_delay", "is below 2s, which a bridge with STP refuses", "")
	}
	if n, ok := s.Priority.Get(); ok && (n < 0 || n > 65535) {
		bad("priority", fmt.Sprintf("%d is not from 0 to 65535", n), "")
	}
	if n, ok := s.GroupFwdMask.Get(); ok && (n < 0 || n > 65535 || n&7 != 0) {
		bad("group_fwd_mask", fmt.Sprintf("%d is no mask of 16 bits without the lowest three", n), "16384 passes LLDP")
	}
	if s.Others == "remove" && s.Members == nil {
		bad("others", "takes out who is not named, and members are left out", "name them, or none by members = []")
	}
	return problems
}

// netBridges is the resource behind net_bridge.
func netBridges() madeDevices[NetBridgeSpec] {
	return madeDevices[NetBridgeSpec]{parts: (*NetBridgeSpec).parts, blank: NetBridgeSpec.blank, advise: adviseBridge}
}

func adviseBridge(f *step.Finding, have, want NetBridgeSpec) {
	if !want.State.There() {
		if f.Changed() && len(have.Members) > 0 {
			f.Cost.Disruption = fmt.Sprintf("%v lose their bridge %s", have.Members, want.Name)
		}
		return
	}
	for _, m := range have.Strangers {
		f.Warnings = append(f.Warnings, fmt.Sprintf("%s belongs to %s and is not named: it stays; others = \"remove\" takes it out", m, want.Name))
	}
	for _, m := range want.Members {
		if d, changes := have.Devices[m]; changes && d.Master != want.Name && len(d.Addresses)+len(d.Leased) > 0 {
			f.Warnings = append(f.Warnings, fmt.Sprintf("no packet reaches %v at %s once it is a member: move them by a net_address step of %s with from = %q",
				slices.Concat(inOrder(d.Addresses), inOrder(d.Leased)), m, want.Name, m))
		}
	}
}
