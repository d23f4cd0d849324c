package network

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/host/frame"
	"weft/engine/step"
)

// ProbeVLANSpec is the attributes of a probe_vlan.
type ProbeVLANSpec struct {
	VLAN    int           `json:"vlan" weft:"required" doc:"Id of the tag that the flow has on the trunk; 0 for none."`
	Trunk   []string      `json:"trunk" weft:"required,set" doc:"Links of this host that lead to the switch: a NIC, or the members of a bond, of which any may carry the flow."`
	Flow    FlowSpec      `json:"flow" weft:"required" doc:"A ping inside the VLAN that crosses the trunk, from a guest of this host to an address beyond it."`
	Others  []FlowSpec    `json:"others,omitzero" doc:"Pings inside other VLANs: each must be answered, while nothing of the flow is heard where it is sent from."`
	Timeout time.Duration `json:"timeout,omitzero" default:"30s" doc:"How long to repeat rounds until one holds."`
}

// FlowSpec is a ping inside one VLAN.
type FlowSpec struct {
	Namespace string `json:"namespace,omitzero" default:"" doc:"Network namespace of the guest; the host's own where it is left out."`
	Target    string `json:"target" weft:"required" doc:"IP address in the guest's own subnet that answers."`
}

// ProbeVLANOutputs is what other steps may ask of a probe_vlan.
type ProbeVLANOutputs struct {
	Sent     int `json:"sent" doc:"Frames of the flow that left by the trunk with the tag."`
	Received int `json:"received" doc:"Frames for the flow that came by the trunk with the tag."`
}

func probeVLANKind() step.Kind {
	return step.Kind{
		Name:    "probe_vlan",
		Summary: "A flow crosses the trunk with its VLAN's tag, and other VLANs hear nothing of it.",
		Doc: `The guest pings its target and sends to the whole of its subnet as well, which floods the VLAN, while
the probe looks at the frames on the trunk and at the guests of other VLANs. It holds where

- the target answers, and its frames cross the trunk both ways with the tag, and never with another or none;
- each of the others is answered too and hears its own frames: its guest lives, and would hear a leak;
- none of the others hears a frame of the flow's guest.

The guest's end must have an address of the target's subnet. Ports of DPDK are no links of the kernel:
name the far end's trunk then.`,
		Spec:    ProbeVLANSpec{},
		Outputs: ProbeVLANOutputs{},
		Example: `step "probe_vlan" "300" {
  vlan   = 300
  trunk  = ["eth1", "eth2"]
  flow   = { namespace = "guest300", target = "172.30.0.1" }
  others = [{ namespace = "guest301", target = "172.30.1.1" }]
}`,
		Probe: func(u step.Unit) (step.Prober, error) {
			spec, err := step.Decode[ProbeVLANSpec](u)
			return spec, err
		},
	}
}

// Validate finds a probe that could never hold, or never fail.
func (s *ProbeVLANSpec) Validate() []step.Problem {
	var problems []step.Problem
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	if s.VLAN < 0 || s.VLAN > 4094 {
		bad("vlan", "is not from 0 to 4094", "")
	}
	if len(s.Trunk) == 0 || slices.Contains(s.Trunk, "") {
		bad("trunk", "names no link", `write trunk = ["eth1"]`)
	}
	if _, err := netip.ParseAddr(s.Flow.Target); err != nil {
		bad("flow.target", fmt.Sprintf("%q is not an IP address", s.Flow.Target), "without a prefix length")
	}
	for i, o := range s.Others {
		at := fmt.Sprintf("others[%d]", i)
		if _, err := netip.ParseAddr(o.Target); err != nil {
			bad(at+".target", fmt.Sprintf("%q is not an IP address", o.Target), "without a prefix length")
		}
		if o == s.Flow {
			bad(at, "is the flow itself", "name a guest of another VLAN")
		}
	}
	if s.Timeout <= 0 {
		bad("timeout", "is not positive", `write "30s"`)
	}
	return problems
}

// Probe looks until a round holds.
func (s ProbeVLANSpec) Probe(ctx context.Context, v host.View) (step.Report, error) {
	var report step.Report
	err := step.Await(ctx, s.Timeout, func() (err error) {
		report, err = s.round(ctx, v)
		return err
	})
	return report, err
}

// guest is an end of a flow: the link that it sends by.
type guest struct {
	pathTo
	own netip.Prefix // its address, as a network of one
	all netip.Addr   // everybody in its subnet
}

// frames are those that the guest sends, and those that are sent to it. VLAN
// links of one NIC have its MAC in common, so the address counts too.
func (g guest) frames() (out, in frame.Match) {
	return frame.Match{Source: g.outlet.MAC, From: g.own}, frame.Match{Destination: g.outlet.MAC, To: g.own}
}

// findGuest looks for the link of a flow. That the target is not in its subnet
// would send the flow to a router, whose MAC is none of the guest's.
func findGuest(ctx context.Context, v host.View, f FlowSpec) (guest, error) {
	target, err := netip.ParseAddr(f.Target)
	if err != nil {
		return guest{}, err
	}
	p, err := findPath(ctx, v, f.Namespace, target)
	if err != nil {
		return guest{}, err
	}
	for _, a := range p.outlet.Addresses {
		if a.Masked().Contains(p.target) {
			return guest{p, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), everybody(a, p.outlet.Name)}, nil
		}
	}
	return guest{}, &step.ProbeError{Wanted: fmt.Sprintf("an address in the subnet of %s%s", f.Target, from(f.Namespace)), Seen: "a route by " + p.outlet.Name,
		Hint: "a flow stays inside its VLAN: name a target of the guest's own subnet"}
}

// everybody is the address that reaches all of a subnet: of IPv4 its last, of
// IPv6 all nodes of the link.
func everybody(subnet netip.Prefix, link string) netip.Addr {
	if subnet.Addr().Is6() {
		return netip.MustParseAddr("ff02::1").WithZone(link)
	}
	b := subnet.Addr().As4()
	for bit := subnet.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// scope is the taps of a round and what they saw, in order: three a link of the
// trunk, two a guest of another VLAN.
type scope struct {
	taps []host.Tap
	saw  []host.Seen
}

// add adds a tap and returns its place.
func (s *scope) add(namespace, link string, m frame.Match) int {
	s.taps = append(s.taps, host.Tap{Namespace: namespace, Link: link, Match: m})
	return len(s.taps) - 1
}

// together adds up what several taps saw.
func (s *scope) together(places []int) host.Seen {
	sum := host.Seen{Kinds: map[string]int{}}
	for _, i := range places {
		sum.Frames += s.saw[i].Frames
		sum.Matched += s.saw[i].Matched
		for kind, n := range s.saw[i].Kinds {
			sum.Kinds[kind] += n
		}
	}
	return sum
}

// guests finds both sorts of guests.
func (s ProbeVLANSpec) guests(ctx context.Context, v host.View) (flow guest, others []guest, err error) {
	if flow, err = findGuest(ctx, v, s.Flow); err != nil {
		return flow, nil, err
	}
	for _, o := range s.Others {
		g, err := findGuest(ctx, v, o)
		if err != nil {
			return flow, nil, err
		}
		if g.namespace == flow.namespace && g.outlet.Name == flow.outlet.Name {
			return flow, nil, &step.ProbeError{Wanted: "a guest of another VLAN for " + o.Target, Seen: "the flow's own link " + g.outlet.Name, Hint: "it would hear itself"}
		}
		others = append(others, g)
	}
	return flow, others, nil
}

func (s ProbeVLANSpec) round(ctx context.Context, v host.View) (step.Report, error) {
	flow, others, err := s.guests(ctx, v)
	if err != nil {
		return step.Report{}, err
	}
	var look scope
	var out, in, every, heard, own []int
	sends, hears := flow.frames()
	tagged := func(m frame.Match) frame.Match { m.VLAN = &s.VLAN; return m }
	for _, link := range s.Trunk {
		out = append(out, look.add("", link, tagged(sends)))
		in = append(in, look.add("", link, tagged(hears)))
		every = append(every, look.add("", link, sends))
	}
	for _, o := range others {
		_, answers := o.frames()
		heard = append(heard, look.add(o.namespace, o.outlet.Name, sends))
		own = append(own, look.add(o.namespace, o.outlet.Name, answers))
	}
	var answered host.PingReport
	look.saw, err = capture(ctx, v, look.taps, func(ctx context.Context) (err error) {
		answered, err = s.send(ctx, flow, others)
		return err
	})
	if err != nil {
		return step.Report{}, err
	}
	sent, received := look.together(out).Matched, look.together(in).Matched
	if err := s.crossed(flow, answered, sent, received, look.together(every)); err != nil {
		return step.Report{}, err
	}
	var quiet []string
	for i, o := range others {
		if err := s.separate(flow, o, look, heard[i], own[i]); err != nil {
			return step.Report{}, err
		}
		quiet = append(quiet, o.namespace)
	}
	summary := fmt.Sprintf("%d frames out and %d in on %s, all with %s", sent, received, strings.Join(s.Trunk, ", "), s.tag())
	if len(quiet) > 0 {
		summary += "; nothing of them in " + strings.Join(quiet, ", ")
	}
	outputs, err := json.Marshal(ProbeVLANOutputs{sent, received})
	return step.Report{Summary: summary, Outputs: outputs}, err
}

// send sends a round: the flow between two pings of each of the others, and one
// request to all of its VLAN.
func (s ProbeVLANSpec) send(ctx context.Context, flow guest, others []guest) (host.PingReport, error) {
	controlled := func(when string) error {
		for _, o := range others {
			c := ControlSpec{Namespace: o.namespace, Target: o.target.String()}
			if err := c.answered(ctx, o.v, when); err != nil {
				return err
			}
		}
		return nil
	}
	if err := controlled("before"); err != nil {
		return host.PingReport{}, err
	}
	ping := host.Ping{Namespace: flow.namespace, Target: flow.target, Source: flow.own.Addr(), Count: 3, Interval: 100 * time.Millisecond, Wait: time.Second, Size: 56}
	r, err := flow.v.Packets.Ping(ctx, ping)
	if err != nil {
		return r, err
	}
	ping.Target, ping.Wait = flow.all, 100*time.Millisecond
	if _, err := flow.v.Packets.Ping(ctx, ping); err != nil {
		return r, fmt.Errorf("send to all of the VLAN: %w", err)
	}
	return r, controlled("after")
}

func (s ProbeVLANSpec) tag() string {
	if s.VLAN == 0 {
		return "no tag"
	}
	return fmt.Sprintf("tag %d", s.VLAN)
}

// crossed judges the flow itself, from the guest outwards.
func (s ProbeVLANSpec) crossed(flow guest, answered host.PingReport, sent, received int, trunk host.Seen) error {
	links := strings.Join(s.Trunk, ", ")
	e := &step.ProbeError{Wanted: fmt.Sprintf("frames of %s%s on %s with %s", flow.outlet.Name, from(flow.namespace), links, s.tag())}
	switch {
	case trunk.Matched == 0:
		e.Seen = "none of them, but " + cmp.Or(kinds(trunk), "no frame at all")
		e.Hint = "they stay on this host: see the guest's tag, the trunks of the port and the state of its bond in `ovs-vsctl show`"
	case trunk.Matched > sent:
		e.Seen = fmt.Sprintf("%d of %d without it; all frames there: %s", trunk.Matched-sent, trunk.Matched, kinds(trunk))
		e.Hint = "see tag and vlan_mode of the guest's port and of the trunk in `ovs-vsctl list Port`"
	case answered.Received == 0 && received == 0:
		e.Seen = fmt.Sprintf("%d out and none in", sent)
		e.Hint = fmt.Sprintf("they leave with %s and nothing comes back: the switch must carry the VLAN to %s", s.tag(), flow.target)
	case answered.Received == 0:
		e.Seen = fmt.Sprintf("%d out and %d in, and no answer at the guest: %s", sent, received, seen(answered))
		e.Hint = "they are lost on this host, behind the trunk: see `ovs-appctl fdb/show`, flows, and port security"
	case received == 0:
		e.Seen = fmt.Sprintf("answers of %s that came by no trunk", flow.target)
		e.Hint = "the target is on this host's side: name one beyond the trunk, or all members of the bond"
	default:
		return nil
	}
	return e
}

// separate judges what a guest of another VLAN heard.
func (s ProbeVLANSpec) separate(flow, other guest, look scope, heard, own int) error {
	at := other.outlet.Name + from(other.namespace)
	switch {
	case look.saw[heard].Matched > 0:
		return &step.ProbeError{Wanted: fmt.Sprintf("nothing of %s (%s) on %s", flow.own.Addr(), flow.outlet.MAC, at), Seen: crowd(look.saw[heard]),
			Hint: "the VLANs are not separate: see the tags of both ports, and where else both VLANs meet"}
	case look.saw[own].Matched == 0:
		return &step.ProbeError{Wanted: "frames of its own on " + at, Seen: crowd(look.saw[own]),
			Hint: "its pings are answered elsewhere, so its silence says nothing"}
	}
	return unproved(look.taps[heard], look.saw[heard])
}
