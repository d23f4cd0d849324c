package network

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// ProbeLACPSpec is the attributes of a probe_lacp.
type ProbeLACPSpec struct {
	Bond    string            `json:"bond,omitzero" weft:"label" doc:"Name of the bond, of Open vSwitch or of the kernel."`
	Members []string          `json:"members,omitzero" weft:"set" doc:"The members that it must have, no more and no less."`
	Partner step.Attr[string] `json:"partner,omitzero" doc:"System id of the partner, an Ethernet address; any, but the same for all, where it is left out."`
	Minimum step.Attr[int]    `json:"minimum,omitzero" doc:"How many members must be current and enabled; all where it is left out."`
	Timeout time.Duration     `json:"timeout,omitzero" default:"30s" doc:"How long to wait for it. With slow LACP timers a partner counts as lost after 90 seconds only."`
}

// ProbeLACPOutputs is what other steps may ask of a probe_lacp.
type ProbeLACPOutputs struct {
	Partner string   `json:"partner" doc:"System id of the partner."`
	Members []string `json:"members" doc:"Members that are current and enabled, sorted."`
}

func probeLACPKind() step.Kind {
	return step.Kind{
		Name:    "probe_lacp",
		Summary: "A bond has negotiated LACP: its members are current and enabled, with one partner.",
		Doc: `The probe asks ovs-vswitchd over its control socket, or reads /proc/net/bonding. A member counts that
hears LACPDUs, is attached and enabled, and whose partner collects and distributes; all that count must
have the same partner and be in the same group of its ports. What is wrong is said member by member.

With minimum = 1 the probe holds while a leg is pulled.`,
		Spec:    ProbeLACPSpec{},
		Outputs: ProbeLACPOutputs{},
		Example: `step "probe_lacp" "bond0" {
  members = ["eth1", "eth2"]
}`,
		Probe: func(u step.Unit) (step.Prober, error) {
			spec, err := step.Decode[ProbeLACPSpec](u)
			return spec, err
		},
	}
}

// Validate finds a probe that could never hold.
func (s *ProbeLACPSpec) Validate() []step.Problem {
	var problems []step.Problem
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	if s.Bond == "" || s.Bond == "." || s.Bond == ".." || strings.ContainsAny(s.Bond, "/\x00 \t\n") {
		bad("bond", fmt.Sprintf("%q is no name of a bond", s.Bond), "")
	}
	if text, ok := s.Partner.Get(); ok && !ethernetAddress(text) {
		bad("partner", fmt.Sprintf("%q is not an Ethernet address", text), "write it as 02:00:00:00:00:01")
	}
	if n, ok := s.Minimum.Get(); ok && n < 1 {
		bad("minimum", "is less than 1", "")
	} else if s.Members != nil && n > len(s.Members) {
		bad("minimum", fmt.Sprintf("is more than the %d members", len(s.Members)), "")
	}
	if s.Timeout <= 0 {
		bad("timeout", "is not positive", `write "30s"`)
	}
	return problems
}

func ethernetAddress(text string) bool {
	mac, err := net.ParseMAC(text)
	return err == nil && len(mac) == 6
}

// Probe looks until the bond is as it should be.
func (s ProbeLACPSpec) Probe(ctx context.Context, v host.View) (step.Report, error) {
	var report step.Report
	err := step.Await(ctx, s.Timeout, func() error {
		b, err := readBond(ctx, v, s.Bond)
		if err != nil {
			return err
		}
		report, err = s.judge(b)
		return err
	})
	return report, err
}

// readBond asks whoever has the bond.
func readBond(ctx context.Context, v host.View, name string) (lacpBond, error) {
	found, err := v.OVSDB.Select(ctx, host.OpenVSwitch, row.Select("Port", []string{"name", "lacp"}, row.Is("name", name)))
	if err != nil && !errors.Is(err, host.ErrNotReady) {
		return lacpBond{}, err
	}
	if err == nil && len(found[0].Rows) > 0 {
		return readSwitchBond(ctx, v, name)
	}
	text, err := v.Kernel.Get(ctx, "/proc/net/bonding/"+name)
	if errors.Is(err, fs.ErrNotExist) {
		return lacpBond{}, &step.ProbeError{Wanted: "a bond " + name, Seen: "none",
			Hint: "neither `ovs-vsctl list-ports BRIDGE` nor /proc/net/bonding has it"}
	}
	if err != nil {
		return lacpBond{}, err
	}
	b := readBonding(text)
	if !strings.Contains(b.Mode, "802.3ad") {
		return b, noLACP(name, b.Mode)
	}
	return b, nil
}

func noLACP(name, mode string) error {
	return &step.ProbeError{Wanted: "LACP on " + name, Seen: "a bond without it, mode " + mode,
		Hint: "lacp is \"active\" in Open vSwitch, mode is \"802.3ad\" in the kernel"}
}

func readSwitchBond(ctx context.Context, v host.View, name string) (lacpBond, error) {
	bond, err := v.Daemons.Ask(ctx, "ovs-vswitchd", "bond/show", name)
	if errors.As(err, new(*host.DaemonError)) {
		return lacpBond{}, &step.ProbeError{Wanted: "a bond " + name, Seen: "a port that is none: " + err.Error(), Hint: "a bond has two members or more"}
	}
	if err != nil {
		return lacpBond{}, err
	}
	lacp, err := v.Daemons.Ask(ctx, "ovs-vswitchd", "lacp/show", name)
	if errors.As(err, new(*host.DaemonError)) {
		return lacpBond{}, noLACP(name, readShow("", bond).Mode)
	}
	if err != nil {
		return lacpBond{}, err
	}
	b := readShow(lacp, bond)
	if slices.ContainsFunc(b.Members, func(m lacpMember) bool { return m.Heard != current }) {
		stats, err := v.Daemons.Ask(ctx, "ovs-vswitchd", "lacp/show-stats", name)
		if err != nil && !errors.As(err, new(*host.DaemonError)) { // older than 2.10
			return lacpBond{}, err
		}
		b.readDamaged(stats)
	}
	var links []host.Link
	if links, err = v.Links.List(ctx, ""); err != nil {
		return b, err
	}
	for i := range b.Members { // a port of DPDK is no link, and says what it says by LACP
		if l := named(links, b.Members[i].Name); l != nil {
			b.Members[i].Down = !l.Carrier
		}
	}
	return b, nil
}

// judge compares the bond with what is wanted of it.
func (s ProbeLACPSpec) judge(b lacpBond) (step.Report, error) {
	var names, good, faults []string
	partners := map[string][]string{} // members by system and key
	for _, m := range b.Members {
		names = append(names, m.Name)
		if fault := s.fault(m); fault != "" {
			faults = append(faults, m.Name+" "+fault)
			continue
		}
		good = append(good, m.Name)
		with := fmt.Sprintf("%s key %d", m.Partner, m.PartnerKey)
		partners[with] = append(partners[with], m.Name)
	}
	slices.Sort(names)
	slices.Sort(good)
	want := slices.Sorted(slices.Values(s.Members))
	if s.Members != nil && !slices.Equal(names, want) {
		return step.Report{}, &step.ProbeError{Wanted: fmt.Sprintf("bond %s of %s", s.Bond, strings.Join(want, ", ")),
			Seen: "members " + cmp.Or(strings.Join(names, ", "), "none"), Hint: "compare `ovs-vsctl show` or /proc/net/bonding"}
	}
	if len(good) < max(1, s.Minimum.Or(len(names))) || len(partners) > 1 {
		return step.Report{}, s.refuted(names, faults, partners)
	}
	with := b.member(good[0])
	summary := fmt.Sprintf("%s current and enabled, partner %s", strings.Join(good, ", "), with.Partner)
	if len(faults) > 0 {
		summary += "; " + strings.Join(faults, "; ")
	}
	outputs, err := json.Marshal(ProbeLACPOutputs{with.Partner, good})
	return step.Report{Summary: summary, Outputs: outputs}, err
}

func (s ProbeLACPSpec) refuted(names, faults []string, partners map[string][]string) error {
	e := &step.ProbeError{
		Wanted: fmt.Sprintf("bond %s with all of %s current and enabled", s.Bond, cmp.Or(strings.Join(names, ", "), "its members")),
		Seen:   strings.Join(faults, "; "),
		Hint:   "see `ovs-appctl lacp/show` or /proc/net/bonding here, and the same ports at the switch",
	}
	if n, ok := s.Minimum.Get(); ok {
		e.Wanted = fmt.Sprintf("bond %s with %d of %s current and enabled", s.Bond, n, cmp.Or(strings.Join(names, ", "), "its members"))
	}
	if len(partners) > 1 {
		var ends []string
		for with, members := range partners {
			ends = append(ends, fmt.Sprintf("%s at %s", strings.Join(members, ", "), with))
		}
		slices.Sort(ends)
		e.Wanted = "one partner of bond " + s.Bond
		e.Seen = strings.Join(append(ends, faults...), "; ")
		e.Hint = "these cables end at different switches, or in different groups of ports of one"
	}
	e.Seen = cmp.Or(e.Seen, "no members")
	return e
}

// fault says what keeps a member from carrying traffic; empty for nothing.
func (s ProbeLACPSpec) fault(m lacpMember) string {
	partner, asked := s.Partner.Get()
	switch {
	case m.Down:
		return "has no carrier: is the cable in, and the switch's port up?"
	case m.Heard == defaulted && m.Damaged > 0:
		return fmt.Sprintf("got %d LACPDUs that it could not read: cut short or damaged on the way, by its NIC's driver or the cable", m.Damaged)
	case m.Heard == defaulted:
		return "hears no LACPDU: LACP is off at the other end, or a bridge between eats the frames to 01:80:c2:00:00:02"
	case m.Heard == expired:
		return fmt.Sprintf("hears no LACPDU of %s any more", m.Partner)
	case m.Heard == "":
		return "says nothing of LACP: its kernel is older than 4.2, or it joined a moment ago"
	case m.Heard != current:
		return fmt.Sprintf("is %q", m.Heard)
	case asked && !strings.EqualFold(partner, m.Partner):
		return fmt.Sprintf("has the partner %s, not %s", cmp.Or(m.Partner, "none"), partner)
	case !m.Attached:
		return fmt.Sprintf("is detached: its partner %s key %d is not that of the other members", m.Partner, m.PartnerKey)
	case !m.PartnerTakes:
		return fmt.Sprintf("is held out by its partner %s, which does not collect and distribute: see its side", m.Partner)
	case !m.Enabled:
		return "is current but not enabled: an updelay may run, or bond/show names another reason"
	case !m.good():
		return "has no partner"
	}
	return ""
}
