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

// ProbePingSpec is the attributes of a probe_ping.
type ProbePingSpec struct {
	Namespace    string                 `json:"namespace,omitzero" default:"" doc:"Network namespace to send from, as of a fake_vm; the host's own where it is left out."`
	Target       string                 `json:"target" weft:"required" doc:"IP address that must answer, or be silent."`
	Source       step.Attr[string]      `json:"source,omitzero" doc:"Source address; the kernel chooses where it is left out."`
	Count        int                    `json:"count,omitzero" default:"3" doc:"Echo requests in a round."`
	Loss         int                    `json:"loss,omitzero" default:"0" doc:"Percentage of the requests that may go unanswered."`
	Size         int                    `json:"size,omitzero" default:"56" doc:"Payload in bytes: less than the MTU by 28 with IPv4, by 48 with IPv6."`
	DontFragment bool                   `json:"dont_fragment,omitzero" default:"false" doc:"Whether packets may not be fragmented on their way: proves the MTU of a path."`
	Expect       string                 `json:"expect,omitzero" default:"answer" weft:"enum=answer|silence" doc:"What must be seen: answer, or silence."`
	Control      step.Attr[ControlSpec] `json:"control,omitzero" doc:"With silence: a ping that must be answered just before and just after, or the silence proves nothing."`
	Timeout      time.Duration          `json:"timeout,omitzero" default:"30s" doc:"How long to repeat rounds until one holds. The first packets through a new tunnel are lost."`
}

// ControlSpec is the ping that shows that the path itself works.
type ControlSpec struct {
	Namespace string `json:"namespace,omitzero" default:"" doc:"Network namespace to send from; the host's own where it is left out."`
	Target    string `json:"target" weft:"required" doc:"IP address that must answer."`
}

func probePingKind() step.Kind {
	return step.Kind{
		Name:    "probe_ping",
		Summary: "An address answers echo requests, or, with a control that does, is silent.",
		Doc: `Rounds of count requests are sent until one holds or the timeout is over. With
expect = "answer" a round holds where no more than loss per cent went unanswered.

With expect = "silence" no request of a round may be answered, while the control is answered before
and after it: a network that is down is silent too. A spoofed address, a wrong VLAN, a port that
security should close are proved so.

The packets are sent in process, through a raw socket; no ping program is needed.`,
		Spec:    ProbePingSpec{},
		Outputs: PingOutputs{},
		Example: `step "probe_ping" "spoof" {
  namespace = "mallory"
  target    = "172.16.255.22"
  expect    = "silence"
  control   = { namespace = "vm1", target = "172.16.255.22" }
}`,
		Probe: func(u step.Unit) (step.Prober, error) {
			spec, err := step.Decode[ProbePingSpec](u)
			return spec, err
		},
	}
}

// Validate finds a probe that could never hold, or never fail.
func (s *ProbePingSpec) Validate() []step.Problem {
	var problems []step.Problem
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	address := func(path, text string) {
		if _, err := netip.ParseAddr(text); err != nil {
			bad(path, fmt.Sprintf("%q is not an IP address", text), "without a prefix length")
		}
	}
	address("target", s.Target)
	if source, ok := s.Source.Get(); ok {
		address("source", source)
	}
	if s.Count < 1 {
		bad("count", "is less than 1", "")
	}
	if s.Loss < 0 || s.Loss > 99 {
		bad("loss", "is not from 0 to 99 per cent", `for no answer at all write expect = "silence"`)
	}
	if s.Size < 0 || s.Size > 65507 {
		bad("size", "is not from 0 to 65507 bytes", "")
	}
	if s.Timeout <= 0 {
		bad("timeout", "is not positive", `write "30s"`)
	}
	control, given := s.Control.Get()
	switch {
	case given && s.Expect != "silence":
		bad("control", `is for expect = "silence"`, "")
	case given:
		address("control.target", control.Target)
	case s.Expect == "silence":
		bad("control", "is missing: without a ping that is answered, silence proves nothing", `write control = { namespace = "vm1", target = "…" }`)
	}
	return problems
}

// Probe sends rounds until one holds.
func (s ProbePingSpec) Probe(ctx context.Context, v host.View) (step.Report, error) {
	target, err := netip.ParseAddr(s.Target)
	if err != nil {
		return step.Report{}, err
	}
	ping := host.Ping{
		Namespace: s.Namespace, Target: target, Count: s.Count, Interval: 200 * time.Millisecond, Wait: time.Second,
		Size: s.Size, DontFragment: s.DontFragment,
	}
	if source, ok := s.Source.Get(); ok {
		if ping.Source, err = netip.ParseAddr(source); err != nil {
			return step.Report{}, err
		}
	}
	round := s.answered
	if s.Expect == "silence" {
		round = s.silent
	}
	var report step.Report
	err = step.Await(ctx, s.Timeout, func() (err error) {
		report, err = round(ctx, v, ping)
		return err
	})
	return report, err
}

// answered is a round that expects answers.
func (s ProbePingSpec) answered(ctx context.Context, v host.View, ping host.Ping) (step.Report, error) {
	r, err := v.Packets.Ping(ctx, ping)
	if err != nil {
		return step.Report{}, err
	}
	if r.Sent == 0 || (r.Sent-r.Received)*100 > s.Loss*r.Sent {
		return step.Report{}, &step.ProbeError{
			Wanted: fmt.Sprintf("answers from %s%s", s.Target, from(s.Namespace)), Seen: seen(r), Hint: hint(r, s),
		}
	}
	return reportOf(seen(r)+", "+r.Average.Round(10*time.Microsecond).String(), r)
}

// silent is a round that expects none, between two of the control.
func (s ProbePingSpec) silent(ctx context.Context, v host.View, ping host.Ping) (step.Report, error) {
	if err := s.controlled(ctx, v, "before"); err != nil {
		return step.Report{}, err
	}
	r, err := v.Packets.Ping(ctx, ping)
	if err != nil {
		return step.Report{}, err
	}
	if r.Sent == 0 {
		return step.Report{}, &step.ProbeError{Wanted: "requests that leave" + from(s.Namespace), Seen: seen(r), Hint: hint(r, s)}
	}
	if r.Received > 0 {
		return step.Report{}, &step.ProbeError{
			Wanted: fmt.Sprintf("silence of %s%s", s.Target, from(s.Namespace)), Seen: seen(r),
			Hint: "something lets these packets through: see port_security and ACLs in `ovn-nbctl list Logical_Switch_Port`, and VLAN tags in `ovs-vsctl show`",
		}
	}
	if err := s.controlled(ctx, v, "after"); err != nil {
		return step.Report{}, err
	}
	return reportOf(seen(r)+", the control before and after", r)
}

func (s ProbePingSpec) controlled(ctx context.Context, v host.View, when string) error {
	return s.Control.Or(ControlSpec{}).answered(ctx, v, when)
}

// answered fails where the control is not, before or after a silence.
func (control ControlSpec) answered(ctx context.Context, v host.View, when string) error {
	target, err := netip.ParseAddr(control.Target)
	if err != nil {
		return fmt.Errorf("the control: %w", err)
	}
	r, err := v.Packets.Ping(ctx, host.Ping{Namespace: control.Namespace, Target: target, Count: 1, Wait: time.Second, Size: 56})
	if err == nil && r.Received == 0 {
		err = &step.ProbeError{
			Wanted: fmt.Sprintf("an answer to the control, %s%s, %s the silence", control.Target, from(control.Namespace), when),
			Seen:   seen(r), Hint: "the path itself does not work, so silence says nothing",
		}
	}
	return err
}

func from(namespace string) string {
	if namespace == "" {
		return ""
	}
	return " in namespace " + namespace
}

func seen(r host.PingReport) string {
	s := fmt.Sprintf("%d of %d answered", r.Received, r.Sent)
	if r.Refused != "" {
		s += ": " + r.Refused
	}
	if r.By.IsValid() {
		s += ", says " + r.By.String()
	}
	return s
}

func hint(r host.PingReport, s ProbePingSpec) string {
	switch {
	case r.Refused != "" && s.DontFragment:
		return fmt.Sprintf("%d bytes and their headers do not fit: compare the MTU of the link and of the underlay, which geneve takes 58 bytes of", s.Size)
	case r.Refused != "":
		return "compare `ip address` and `ip route` there"
	case s.DontFragment && s.Size > 1000:
		return "does a small packet pass? then the path's MTU is smaller than the link's: geneve takes 58 bytes"
	case r.Received > 0:
		return "some are lost: see the counters in `ovs-vsctl get Interface PORT statistics`"
	}
	return "is the port bound and up (probe_ovn_port), does `ovs-vsctl show` have its tunnel, and does the underlay carry UDP 6081?"
}

// reportOf gives the counts to later steps.
func reportOf(summary string, r host.PingReport) (step.Report, error) {
	outputs, err := json.Marshal(PingOutputs{r.Sent, r.Received})
	return step.Report{Summary: summary, Outputs: outputs}, err
}

// PingOutputs is what other steps may ask of a probe_ping.
type PingOutputs struct {
	Sent     int `json:"sent" doc:"Requests in the round that held."`
	Received int `json:"received" doc:"Answers in the round that held."`
}
