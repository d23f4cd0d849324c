package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// ProbeMTUSpec is the attributes of a probe_mtu.
type ProbeMTUSpec struct {
	Namespace string            `json:"namespace,omitzero" default:"" doc:"Network namespace to send from, as of a fake_vm; the host's own where it is left out."`
	Target    string            `json:"target" weft:"required" doc:"IP address that must answer."`
	Source    step.Attr[string] `json:"source,omitzero" doc:"Source address; the kernel chooses where it is left out."`
	MTU       step.Attr[int]    `json:"mtu,omitzero" doc:"Bytes of an IP packet that must pass unfragmented, header included; the MTU of the link that it leaves by where it is left out."`
	Timeout   time.Duration     `json:"timeout,omitzero" default:"30s" doc:"How long to repeat until it passes. Then the size that does pass is looked for."`
}

// ProbeMTUOutputs is what other steps may ask of a probe_mtu.
type ProbeMTUOutputs struct {
	MTU int `json:"mtu" doc:"Bytes of the packets that passed."`
}

func probeMTUKind() step.Kind {
	return step.Kind{
		Name:    "probe_mtu",
		Summary: "Packets of a size pass to an address and back, unfragmented.",
		Doc: `Echo requests of exactly that size, with "do not fragment" set, must be answered. Where they are not,
the probe looks for the largest that is, and names who keeps the rest: the link of this host, the router
that says so by ICMP, or nobody, which is what switches and tunnels do. Linux may answer in fragments:
the way back has a probe of its own, at the other end.

In a tunnel of geneve over IPv4 58 bytes less pass than under it, in one of vxlan 50; over IPv6 it is
20 bytes more.`,
		Spec:    ProbeMTUSpec{},
		Outputs: ProbeMTUOutputs{},
		Example: `step "probe_mtu" "overlay" {
  namespace = "vm1"
  target    = "172.16.255.22"
  mtu       = 1442
}`,
		Probe: func(u step.Unit) (step.Prober, error) {
			spec, err := step.Decode[ProbeMTUSpec](u)
			return spec, err
		},
	}
}

// Validate finds a probe that could never hold, or never fail.
func (s *ProbeMTUSpec) Validate() []step.Problem {
	var problems []step.Problem
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	target, err := netip.ParseAddr(s.Target)
	if err != nil {
		bad("target", fmt.Sprintf("%q is not an IP address", s.Target), "without a prefix length")
	}
	if text, ok := s.Source.Get(); ok {
		if source, sourceErr := netip.ParseAddr(text); sourceErr != nil {
			bad("source", fmt.Sprintf("%q is not an IP address", text), "without a prefix length")
		} else if err == nil && source.Unmap().Is4() != target.Unmap().Is4() {
			bad("source", fmt.Sprintf("%s is of another family than the target", text), "")
		}
	}
	problems = append(problems, validMTU(s.MTU, err == nil && target.Unmap().Is6())...)
	if s.Timeout <= 0 {
		bad("timeout", "is not positive", `write "30s"`)
	}
	return problems
}

func validMTU(mtu step.Attr[int], six bool) []step.Problem {
	least := pathTo{target: netip.IPv4Unspecified()}.smallest()
	if six {
		least = pathTo{target: netip.IPv6Unspecified()}.smallest()
	}
	if n, ok := mtu.Get(); ok && (n < least || n > 65535) {
		return []step.Problem{{Path: "mtu", Message: fmt.Sprintf("is not from %d to 65535 bytes", least), Hint: "the size of the IP packet, header included: 1500"}}
	}
	return nil
}

// Probe sends packets until they pass, or finds out which ones do.
func (s ProbeMTUSpec) Probe(ctx context.Context, v host.View) (step.Report, error) {
	target, err := netip.ParseAddr(s.Target)
	if err != nil {
		return step.Report{}, err
	}
	var source netip.Addr
	if text, ok := s.Source.Get(); ok {
		if source, err = netip.ParseAddr(text); err != nil {
			return step.Report{}, err
		}
	}
	var p pathTo
	size, told := 0, host.PingReport{}
	err = step.Await(ctx, s.Timeout, func() (err error) {
		if p, err = findPath(ctx, v, s.Namespace, target); err != nil {
			return err
		}
		p.source, size = source, s.MTU.Or(p.outletMTU())
		return p.carries(ctx, size, &told)
	})
	if size > 0 && errors.As(err, new(*step.ProbeError)) {
		err = p.refute(ctx, size, told)
	}
	if err != nil {
		return step.Report{}, err
	}
	outputs, err := json.Marshal(ProbeMTUOutputs{size})
	return step.Report{Summary: fmt.Sprintf("%d bytes to %s by %s, unfragmented", size, s.Target, p.outlet.Name), Outputs: outputs}, err
}

// refute finds what passes in place of a size that does not. Where it passes
// after all, it passes too seldom.
func (p pathTo) refute(ctx context.Context, size int, told host.PingReport) error {
	l, err := p.measure(ctx, size, told)
	if err != nil {
		return err
	}
	e := &step.ProbeError{Wanted: fmt.Sprintf("packets of %d bytes to %s%s and back", size, p.target, from(p.namespace)), Seen: p.blame(l)}
	if l.size == 0 {
		e.Hint = "does probe_ping pass? " + hint(l.said, ProbePingSpec{})
	} else {
		e.Hint = fmt.Sprintf("the path MTU is %d", l.size)
	}
	return e
}
