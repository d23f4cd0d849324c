package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"weft/engine/host/netconf"
	"weft/engine/step"
)

// NetBondSpec is the attributes of a net_bond.
type NetBondSpec struct {
	Name             string            `json:"name,omitzero" weft:"label" doc:"Name of the bond, at most 15 characters."`
	Members          []string          `json:"members,omitzero" weft:"set" doc:"The devices that are its members, all of them. They must be there. A new bond has the Ethernet address of the first."`
	From             string            `json:"from,omitzero" doc:"Member whose addresses and routes the bond gets, in one go, when that one joins. Those of other members are lost; undo brings all back."`
	Mode             step.Attr[string] `json:"mode,omitzero" weft:"whole,enum=balance-rr|active-backup|balance-xor|broadcast|802.3ad|balance-tlb|balance-alb" doc:"How it uses its members. A change of it takes all members out for a moment. Left out, a new bond is balance-rr."`
	Miimon           step.Attr[int]    `json:"miimon,omitzero" doc:"How often the links of members are looked at, ms; 0 for never."`
	UpDelay          step.Attr[int]    `json:"updelay,omitzero" doc:"How long a member that has its link again waits, ms: a multiple of miimon."`
	DownDelay        step.Attr[int]    `json:"downdelay,omitzero" doc:"How long a member that has lost its link is still used, ms: a multiple of miimon."`
	LACPRate         step.Attr[string] `json:"lacp_rate,omitzero" weft:"enum=slow|fast" doc:"How often the partner is to send, with 802.3ad: each 30 seconds or each second."`
	LACPActive       step.Attr[bool]   `json:"lacp_active,omitzero" doc:"Whether it sends LACP frames without being asked, with 802.3ad. Needs Linux 5.16."`
	XmitHashPolicy   step.Attr[string] `json:"xmit_hash_policy,omitzero" weft:"enum=layer2|layer2+3|layer3+4|encap2+3|encap3+4|vlan+srcmac" doc:"What of a frame chooses the member it leaves by, with balance-xor, 802.3ad and balance-tlb."`
	ADSelect         step.Attr[string] `json:"ad_select,omitzero" weft:"enum=stable|bandwidth|count" doc:"Which aggregator is used, with 802.3ad."`
	ADActorSysPrio   step.Attr[int]    `json:"ad_actor_sys_prio,omitzero" doc:"System priority in LACP frames, with 802.3ad: 1 to 65535."`
	ADActorSystem    step.Attr[string] `json:"ad_actor_system,omitzero" doc:"System address in LACP frames, with 802.3ad. The kernel's own choice is 00:00:00:00:00:00, which stands for the bond's."`
	ADUserPortKey    step.Attr[int]    `json:"ad_user_port_key,omitzero" doc:"Upper bits of the port key in LACP frames, with 802.3ad: 0 to 1023."`
	MinLinks         step.Attr[int]    `json:"min_links,omitzero" doc:"Members that must have a link for the bond to have one, with 802.3ad."`
	Primary          step.Attr[string] `json:"primary,omitzero" doc:"The member that is used where it has a link, with active-backup, balance-tlb and balance-alb."`
	PrimaryReselect  step.Attr[string] `json:"primary_reselect,omitzero" weft:"enum=always|better|failure" doc:"When the primary is used again after its link came back."`
	FailOverMAC      step.Attr[string] `json:"fail_over_mac,omitzero" weft:"enum=none|active|follow" doc:"Whose Ethernet address the bond has, with active-backup. A change of it takes all members out for a moment."`
	NumPeerNotif     step.Attr[int]    `json:"num_peer_notif,omitzero" doc:"ARP announcements after a failover: 0 to 255."`
	ResendIGMP       step.Attr[int]    `json:"resend_igmp,omitzero" doc:"IGMP reports after a failover: 0 to 255."`
	AllSlavesActive  step.Attr[bool]   `json:"all_slaves_active,omitzero" doc:"Whether frames that come by an unused member are taken."`
	TLBDynamicLB     step.Attr[bool]   `json:"tlb_dynamic_lb,omitzero" doc:"Whether flows move with the load, with balance-tlb."`
	PacketsPerMember step.Attr[int]    `json:"packets_per_slave,omitzero" doc:"Packets that leave by one member before the next, with balance-rr; 0 for any at random."`
	ARPInterval      step.Attr[int]    `json:"arp_interval,omitzero" doc:"How often ARP targets are asked instead of looking at links, ms; 0 for never. Excludes miimon."`
	ARPTargets       []string          `json:"arp_ip_target,omitzero" weft:"set" doc:"IPv4 addresses that are asked, at most 16."`
	ARPValidate      step.Attr[string] `json:"arp_validate,omitzero" weft:"enum=none|active|backup|all|filter|filter_active|filter_backup" doc:"Which members must see the answers, or the questions."`
	Up               step.Attr[bool]   `json:"up,omitzero" doc:"Whether it is up; true where it is left out. Its members are up in any case."`
	MTU              step.Attr[int]    `json:"mtu,omitzero" doc:"MTU of the bond and of its members, bytes."`
	MAC              step.Attr[string] `json:"mac,omitzero" doc:"Ethernet address."`
	Persist          step.Attr[bool]   `json:"persist,omitzero" doc:"Whether it is made so at boot. Options that are left out are no part of that."`
	PersistBy        string            `json:"persist_by,omitzero" weft:"enum=ifupdown|networkmanager|network-scripts|netplan" doc:"What makes it at boot. Left out, it is what configures it, or its members, now."`
	State            step.State        `json:"state,omitzero" default:"present" doc:"Whether there is such a bond."`

	// Active says of members whether they are up.
	Active map[string]bool `json:"members.up,omitzero" weft:"found"`
	// Kernel is the bond as it was found, Stake what of it a change costs, and
	// Devices are those that join, leave or stand on it.
	Kernel  *kept           `json:"kernel,omitzero" weft:"found"`
	Stake   []string        `json:"stake,omitzero" weft:"found"`
	Devices map[string]kept `json:"devices,omitzero" weft:"found"`
	// Kept are the files that make it at boot, Daemon is who makes it by them now.
	Kept   *netconf.State `json:"persist.files,omitzero" weft:"found"`
	Daemon string         `json:"daemon,omitzero" weft:"found"`
}

func netBondKind() step.Kind {
	return step.Kind{
		Name:    "net_bond",
		Summary: "A bond of network devices by the kernel's bonding driver.",
		Doc: `Options that are left out stay as they are, and are the kernel's own in a new bond; see its networking/bonding.rst.

A device that joins goes down for a moment and has the bond's MTU and Ethernet address from then on. It loses its addresses and routes; with
` + "`from`" + ` the bond gets them, which is how a management NIC goes into a bond, and ` + "`net_address`" + ` with the same ` + "`from`" + ` says what they
shall be. A device that leaves has its own Ethernet address and MTU again and is down. Undo brings back addresses, routes, and whether it was up.

Options that the driver takes of a bond that is down alone (LACP's), or of one without members (mode, fail_over_mac), cost a moment without traffic; routes and IPv6 addresses, and
those of VLANs above, are put back. A device that belongs to another bond or bridge, to Open vSwitch, or has its address of a DHCP client is refused as a member, and so is
every change where systemd-networkd or NetworkManager configures the bond or a device that is to join, and not by the files of ` + "`persist`" + `.

` + keepDoc,
		Spec: NetBondSpec{},
		Example: `step "net_bond" "bond0" {
  members          = ["eth1", "eth2"]
  mode             = "802.3ad"
  miimon           = 100
  lacp_rate        = "fast"
  xmit_hash_policy = "layer3+4"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[NetBondSpec](u)
			if err != nil {
				return nil, err
			}
			return newMadeStep("bond "+want.Name, netBonds(), want.complete()), nil
		},
	}
}

func (s *NetBondSpec) parts() *parts {
	return &parts{
		kind: "bond", name: s.Name, state: &s.State, up: &s.Up, mtu: &s.MTU, mac: &s.MAC, members: &s.Members, active: &s.Active, from: s.From,
		kernel: &s.Kernel, stake: &s.Stake, devices: &s.Devices,
		persist: &s.Persist, by: &s.PersistBy, files: &s.Kept, daemon: &s.Daemon,
		empty: []string{"mode", "fail_over_mac"}, modes: bondModes(), sways: []string{"miimon", "arp_interval"},
		down: []string{"lacp_rate", "lacp_active", "ad_select", "ad_user_port_key", "tlb_dynamic_lb"},
		settings: []setting{
			word("mode", &s.Mode), number("miimon", &s.Miimon), number("updelay", &s.UpDelay), number("downdelay", &s.DownDelay),
			word("lacp_rate", &s.LACPRate), toggle("lacp_active", &s.LACPActive), word("xmit_hash_policy", &s.XmitHashPolicy),
			word("ad_select", &s.ADSelect), number("ad_actor_sys_prio", &s.ADActorSysPrio), word("ad_actor_system", &s.ADActorSystem),
			number("ad_user_port_key", &s.ADUserPortKey), number("min_links", &s.MinLinks), word("primary", &s.Primary),
			word("primary_reselect", &s.PrimaryReselect), word("fail_over_mac", &s.FailOverMAC), number("num_peer_notif", &s.NumPeerNotif),
			number("resend_igmp", &s.ResendIGMP), toggle("all_slaves_active", &s.AllSlavesActive), toggle("tlb_dynamic_lb", &s.TLBDynamicLB),
			number("packets_per_slave", &s.PacketsPerMember), number("arp_interval", &s.ARPInterval), list("arp_ip_target", &s.ARPTargets),
			word("arp_validate", &s.ARPValidate),
		},
	}
}

// blank names the bond of another spec.
func (s NetBondSpec) blank() NetBondSpec {
	return NetBondSpec{Name: s.Name, From: s.From, Persist: s.Persist, PersistBy: s.PersistBy}
}

func (s NetBondSpec) complete() NetBondSpec {
	s.parts().completed()
	if i := slices.Index(s.Members, s.From); i > 0 { // the bond has its Ethernet address
		s.Members = append([]string{s.From}, slices.Delete(slices.Clone(s.Members), i, i+1)...)
	}
	if a, ok := s.ADActorSystem.Get(); ok {
		s.ADActorSystem = step.Is(strings.ToLower(a))
	}
	if s.ARPTargets != nil {
		s.ARPTargets = slices.Sorted(slices.Values(s.ARPTargets))
	}
	return s
}

// Validate finds what the driver would refuse, or pass over.
func (s *NetBondSpec) Validate() []step.Problem {
	var problems []step.Problem
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	s.parts().problems(bad)
	if s.From != "" && !slices.Contains(s.Members, s.From) {
		bad("from", fmt.Sprintf("%q is none of the members", s.From), "")
	}
	if s.From != "" && !s.Up.Or(true) {
		bad("from", "gives addresses to a bond that is to be down", "leave up out")
	}
	if p, ok := s.Primary.Get(); ok && s.Members != nil && !slices.Contains(s.Members, p) {
		bad("primary", fmt.Sprintf("%q is none of the members", p), "")
	}
	s.modeProblems(bad)
	miimon, watched := s.Miimon.Get()
	for path, a := range map[string]step.Attr[int]{"updelay": s.UpDelay, "downdelay": s.DownDelay} {
		if n, ok := a.Get(); ok && watched && n != 0 && (miimon == 0 || n%miimon != 0) {
			bad(path, fmt.Sprintf("%d is no multiple of miimon (%d), and the driver would round it down", n, miimon), "")
		}
	}
	if s.ARPInterval.Or(0) != 0 && miimon != 0 {
		bad("arp_interval", "excludes miimon: the driver turns one off for the other", "")
	}
	if s.ARPInterval.Or(0) != 0 && len(s.ARPTargets) == 0 {
		bad("arp_interval", "asks nobody", "name addresses in arp_ip_target")
	}
	for _, a := range s.ARPTargets {
		if ip, err := netip.ParseAddr(a); err != nil || !ip.Is4() {
			bad("arp_ip_target", fmt.Sprintf("%q is not an IPv4 address", a), "")
		}
	}
	if a, ok := s.ADActorSystem.Get(); ok && !station.MatchString(a) {
		bad("ad_actor_system", fmt.Sprintf("%q is not an Ethernet address of one station", a), "")
	}
	s.rangeProblems(bad)
	return problems
}

// bondModes are the modes that have an option, of the options that some modes
// alone have (the kernel's drivers/net/bonding/bond_options.c).
func bondModes() map[string][]string {
	lacp, byARP := []string{"802.3ad"}, []string{"balance-rr", "active-backup", "balance-xor", "broadcast"}
	return map[string][]string{
		"lacp_rate": lacp, "lacp_active": lacp, "ad_actor_sys_prio": lacp, "ad_actor_system": lacp, "ad_user_port_key": lacp,
		"primary":      {"active-backup", "balance-tlb", "balance-alb"},
		"arp_interval": byARP, "arp_validate": byARP,
		"packets_per_slave": {"balance-rr"}, "tlb_dynamic_lb": {"balance-tlb"},
	}
}

// modeProblems are options that the mode does not have.
func (s *NetBondSpec) modeProblems(bad func(path, message, hint string)) {
	mode, ok := s.Mode.Get()
	if !ok {
		return
	}
	_, primary := s.Primary.Get()
	given := map[string]bool{
		"lacp_rate": s.LACPRate.Managed(), "lacp_active": s.LACPActive.Managed(), "ad_actor_sys_prio": s.ADActorSysPrio.Managed(),
		"ad_actor_system": s.ADActorSystem.Managed(), "ad_user_port_key": s.ADUserPortKey.Managed(), "primary": primary,
		"arp_interval": s.ARPInterval.Or(0) != 0, "arp_validate": s.ARPValidate.Or("none") != "none",
		"packets_per_slave": s.PacketsPerMember.Managed(), "tlb_dynamic_lb": s.TLBDynamicLB.Managed(),
	}
	for option, modes := range bondModes() {
		if given[option] && !slices.Contains(modes, mode) {
			bad(option, fmt.Sprintf("means nothing with %s, and the driver refuses it", mode), "it goes with "+strings.Join(modes, ", "))
		}
	}
	if s.FailOverMAC.Or("none") != "none" && mode != "active-backup" {
		bad("fail_over_mac", "means nothing with "+mode, "it goes with active-backup")
	}
	if n, ok := s.Miimon.Get(); ok && n == 0 && slices.Contains([]string{"802.3ad", "balance-tlb", "balance-alb"}, mode) {
		bad("miimon", "cannot be 0 with "+mode+", which must know the links of its members", "100 is usual")
	}
}

func (s *NetBondSpec) rangeProblems(bad func(path, message, hint string)) {
	for _, r := range []struct {
		path     string
		a        step.Attr[int]
		from, to int
	}{
		{"miimon", s.Miimon, 0, 1 << 30}, {"updelay", s.UpDelay, 0, 1 << 30}, {"downdelay", s.DownDelay, 0, 1 << 30},
		{"ad_actor_sys_prio", s.ADActorSysPrio, 1, 65535}, {"ad_user_port_key", s.ADUserPortKey, 0, 1023}, {"min_links", s.MinLinks, 0, 1 << 30},
		{"num_peer_notif", s.NumPeerNotif, 0, 255}, {"resend_igmp", s.ResendIGMP, 0, 255},
		{"packets_per_slave", s.PacketsPerMember, 0, 65535}, {"arp_interval", s.ARPInterval, 0, 1 << 30},
	} {
		if n, ok := r.a.Get(); ok && (n < r.from || n > r.to) {
			bad(r.path, fmt.Sprintf("%d is not from %d to %d", n, r.from, r.to), "")
		}
	}
	if len(s.ARPTargets) > 16 {
		bad("arp_ip_target", fmt.Sprintf("%d are more than 16", len(s.ARPTargets)), "")
	}
}

// netBonds is the resource behind net_bond.
func netBonds() madeDevices[NetBondSpec] {
	return madeDevices[NetBondSpec]{parts: (*NetBondSpec).parts, blank: NetBondSpec.blank, advise: adviseBond}
}

func adviseBond(f *step.Finding, have, want NetBondSpec) {
	if !f.Changed() || !want.State.There() {
		return
	}
	if have.State.There() && slices.ContainsFunc(f.Deltas, func(d step.Delta) bool { return d.Path == "mode" || d.Path == "fail_over_mac" }) {
		f.Cost.Disruption = "bond " + want.Name + " is without members for a moment"
	}
	mode := want.Mode.Or("balance-rr")
	if !have.State.There() && want.Miimon.Or(0) == 0 && want.ARPInterval.Or(0) == 0 && !slices.Contains([]string{"802.3ad", "balance-tlb", "balance-alb"}, mode) {
		f.Warnings = append(f.Warnings, want.Name+" would not notice a member that loses its link: give it miimon = 100")
	}
	for _, m := range want.Members {
		d, changes := have.Devices[m]
		if shown := d.shown(); changes && m != want.From && d.Master != want.Name && shown != nil {
			f.Warnings = append(f.Warnings, fmt.Sprintf("%s loses %v, which undo brings back: name it in from where the bond is to have them", m, shown))
		}
	}
}
