package network

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// ProbeCaptureSpec is the attributes of a probe_capture.
type ProbeCaptureSpec struct {
	Link      string                 `json:"link" weft:"required" doc:"The link where frames are looked at: a NIC, a port of a bridge, a guest's end."`
	Namespace string                 `json:"namespace,omitzero" default:"" doc:"Network namespace of the link, as of a fake_vm; the host's own where it is left out."`
	Direction string                 `json:"direction,omitzero" default:"any" weft:"enum=any|in|out" doc:"Which way they cross it, as its kernel sees it: in is what it receives."`
	Match     HeaderSpec             `json:"match,omitzero" doc:"Which frames are meant; all where it is left out."`
	Inner     step.Attr[HeaderSpec]  `json:"inner,omitzero" doc:"What the frame must be like that a tunnel of geneve, vxlan or gre carries in it."`
	Expect    string                 `json:"expect,omitzero" default:"frames" weft:"enum=frames|none" doc:"What must be seen: frames, or none."`
	Count     int                    `json:"count,omitzero" default:"1" doc:"How many frames must be seen; with none, at the witness."`
	Traffic   step.Attr[TrafficSpec] `json:"traffic,omitzero" doc:"Pings that are sent meanwhile, whether they are answered or not."`
	Witness   step.Attr[WitnessSpec] `json:"witness,omitzero" doc:"With none: another link where the same frames must be seen meanwhile."`
	Control   step.Attr[ControlSpec] `json:"control,omitzero" doc:"With none: a ping that must be answered before and after."`
	Listen    time.Duration          `json:"listen,omitzero" default:"3s" doc:"How long a round is. With frames it ends once enough are seen."`
	Timeout   time.Duration          `json:"timeout,omitzero" default:"30s" doc:"How long to repeat rounds until one holds."`
}

// TrafficSpec is what a probe sends while it looks.
type TrafficSpec struct {
	Namespace string `json:"namespace,omitzero" default:"" doc:"Network namespace to send from; the host's own where it is left out."`
	Target    string `json:"target" weft:"required" doc:"IP address that echo requests go to."`
	Size      int    `json:"size,omitzero" default:"56" doc:"Their payload in bytes."`
}

// WitnessSpec is where a probe must see frames that it must not see elsewhere.
type WitnessSpec struct {
	Link      string                `json:"link" weft:"required" doc:"The link."`
	Namespace string                `json:"namespace,omitzero" default:"" doc:"Its network namespace; the host's own where it is left out."`
	Match     step.Attr[HeaderSpec] `json:"match,omitzero" doc:"What the frames are like there; what inner says, or else match, where it is left out: a guest sends what a tunnel carries."`
}

// ProbeCaptureOutputs is what other steps may ask of a probe_capture.
type ProbeCaptureOutputs struct {
	Matched int `json:"matched" doc:"Frames in the round that held that were meant."`
	Frames  int `json:"frames" doc:"All frames in that round."`
}

func probeCaptureKind() step.Kind {
	return step.Kind{
		Name:    "probe_capture",
		Summary: "Frames that match are seen on a link, or, with a witness or a control, none.",
		Doc: `The probe looks at the frames of a link in process, as tcpdump(8) would: no program is needed. The link is
promiscuous meanwhile; nothing else changes. VLAN tags are those on the wire, also where the kernel took
them off. Ports of DPDK are no links of the kernel.

What is meant is said by match, of the frame that is on the link, and by inner, of the frame inside a
tunnel. The probe sends its own traffic where traffic says so; else it waits for that of others.

With expect = "none" no frame of a round may match, while the witness sees those frames elsewhere (a
spoofed packet leaves the guest and is in no tunnel) or the control is answered: a dead link is silent
too.`,
		Spec:    ProbeCaptureSpec{},
		Outputs: ProbeCaptureOutputs{},
		Example: `step "probe_capture" "in-the-tunnel" {
  link    = host.vars.underlay_nic
  match   = { protocol = "udp", port = 6081 }
  inner   = { source = "172.16.255.11" }
  traffic = { namespace = "vm1", target = "172.16.255.22" }
}`,
		Probe: func(u step.Unit) (step.Prober, error) {
			spec, err := step.Decode[ProbeCaptureSpec](u)
			return spec, err
		},
	}
}

// Validate finds a probe that could never hold, or never fail.
func (s *ProbeCaptureSpec) Validate() []step.Problem {
	_, problems := s.tap()
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	if s.Link == "" {
		bad("link", "is empty", "")
	}
	if s.Count < 1 {
		bad("count", "is less than 1", `for none at all write expect = "none"`)
	}
	if traffic, ok := s.Traffic.Get(); ok {
		if _, err := netip.ParseAddr(traffic.Target); err != nil {
			bad("traffic.target", fmt.Sprintf("%q is not an IP address", traffic.Target), "without a prefix length")
		}
		if traffic.Size < 0 || traffic.Size > 65507 {
			bad("traffic.size", "is not from 0 to 65507 bytes", "")
		}
	}
	witness, witnessed := s.Witness.Get()
	control, controlled := s.Control.Get()
	switch {
	case s.Expect != "none" && witnessed:
		bad("witness", `is for expect = "none"`, "")
	case s.Expect != "none" && controlled:
		bad("control", `is for expect = "none"`, "")
	case s.Expect == "none" && !witnessed && !controlled:
		bad("witness", "and control are missing: without one of them, silence proves nothing", `write witness = { link = "…" } or control = { target = "…" }`)
	case witnessed && witness.Link == s.Link && witness.Namespace == s.Namespace:
		bad("witness", "is the link itself", "name another one, that the frames do cross")
	}
	if headers, ok := witness.Match.Get(); ok {
		_, more := headers.match("witness.match")
		problems = append(problems, more...)
	}
	if controlled {
		if _, err := netip.ParseAddr(control.Target); err != nil {
			bad("control.target", fmt.Sprintf("%q is not an IP address", control.Target), "without a prefix length")
		}
	}
	if s.Listen <= 0 || s.Listen > s.Timeout {
		bad("listen", "is not from a moment to the timeout", `write "3s"`)
	}
	return problems
}

// tap is where frames are looked at.
func (s *ProbeCaptureSpec) tap() (host.Tap, []step.Problem) {
	match, problems := s.Match.match("match")
	if inner, ok := s.Inner.Get(); ok {
		m, more := inner.match("inner")
		match.Inner, problems = &m, append(problems, more...)
	}
	t := host.Tap{Namespace: s.Namespace, Link: s.Link, Match: match}
	if s.Direction != "any" {
		t.Direction = host.Direction(s.Direction)
	}
	return t, problems
}

// Probe looks until a round holds.
func (s ProbeCaptureSpec) Probe(ctx context.Context, v host.View) (step.Report, error) {
	round := s.frames
	if s.Expect == "none" {
		round = s.none
	}
	var report step.Report
	err := step.Await(ctx, s.Timeout, func() (err error) {
		report, err = round(ctx, v)
		return err
	})
	return report, err
}

// frames is a round that ends when enough are seen.
func (s ProbeCaptureSpec) frames(ctx context.Context, v host.View) (step.Report, error) {
	tap, _ := s.tap()
	tap.Enough = s.Count
	sent := ""
	saw, err := capture(ctx, v, []host.Tap{tap}, func(ctx context.Context) (err error) {
		sent, err = s.send(ctx, v)
		return err
	})
	if err != nil {
		return step.Report{}, err
	}
	if saw[0].Matched < s.Count {
		return step.Report{}, &step.ProbeError{Wanted: fmt.Sprintf("%d matching on %s", s.Count, where(tap)), Seen: crowd(saw[0]) + sent, Hint: s.advice(saw[0])}
	}
	return s.report(fmt.Sprintf("%s on %s", crowd(saw[0]), where(tap)), saw[0])
}

// none is a round in which no frame may match.
func (s ProbeCaptureSpec) none(ctx context.Context, v host.View) (step.Report, error) {
	tap, _ := s.tap()
	taps := []host.Tap{tap}
	witness, witnessed := s.Witness.Get()
	if witnessed {
		match, _ := witness.Match.Or(s.Inner.Or(s.Match)).match("witness.match")
		taps = append(taps, host.Tap{Namespace: witness.Namespace, Link: witness.Link, Match: match})
	}
	sent := ""
	saw, err := capture(ctx, v, taps, func(ctx context.Context) (err error) {
		if err := s.controlled(ctx, v, "before"); err != nil {
			return err
		}
		if sent, err = s.send(ctx, v); err != nil {
			return err
		}
		return s.controlled(ctx, v, "after")
	})
	if err != nil {
		return step.Report{}, err
	}
	if saw[0].Matched > 0 {
		return step.Report{}, &step.ProbeError{Wanted: "none matching on " + where(tap), Seen: crowd(saw[0]),
			Hint: "something lets these frames through: see port security, VLAN tags and trunks in `ovs-vsctl show`"}
	}
	if err := unproved(tap, saw[0]); err != nil {
		return step.Report{}, err
	}
	summary := fmt.Sprintf("%s on %s", crowd(saw[0]), where(tap))
	if witnessed {
		if saw[1].Matched < s.Count {
			return step.Report{}, &step.ProbeError{Wanted: fmt.Sprintf("%d matching on the witness %s", s.Count, where(taps[1])),
				Seen: crowd(saw[1]) + sent, Hint: "the frames are not sent at all, so silence elsewhere says nothing"}
		}
		summary += fmt.Sprintf(", %d on %s meanwhile", saw[1].Matched, where(taps[1]))
	}
	return s.report(summary, saw[0])
}

func (s ProbeCaptureSpec) controlled(ctx context.Context, v host.View, when string) error {
	control, ok := s.Control.Get()
	if !ok {
		return nil
	}
	return control.answered(ctx, v, when)
}

// send sends what a round sends, or waits for as long, and says what became of
// it.
func (s ProbeCaptureSpec) send(ctx context.Context, v host.View) (string, error) {
	traffic, ok := s.Traffic.Get()
	if !ok {
		wait(ctx, s.Listen)
		return "", nil
	}
	target, err := netip.ParseAddr(traffic.Target)
	if err != nil {
		return "", err
	}
	const pause = 200 * time.Millisecond
	r, err := v.Packets.Ping(ctx, host.Ping{
		Namespace: traffic.Namespace, Target: target, Size: traffic.Size,
		Count: max(1, int(s.Listen/pause)), Interval: pause, Wait: pause,
	})
	return fmt.Sprintf("; of its own pings to %s %s", traffic.Target, seen(r)), unless(ctx, err)
}

func (s ProbeCaptureSpec) advice(saw host.Seen) string {
	switch {
	case saw.Frames == 0:
		return "nothing at all crosses it: is it the right link, and is it up (`ip link`)?"
	case s.Traffic.IsZero():
		return "others' frames cross it: does what should be seen run now? traffic makes the probe send it"
	}
	return "others' frames cross it: compare `ip route get` of the target, tags and tunnels in `ovs-vsctl show`"
}

func (s ProbeCaptureSpec) report(summary string, saw host.Seen) (step.Report, error) {
	outputs, err := json.Marshal(ProbeCaptureOutputs{saw.Matched, saw.Frames})
	return step.Report{Summary: summary, Outputs: outputs}, err
}
