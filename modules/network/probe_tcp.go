package network

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// ProbeTCPSpec is the attributes of a probe_tcp.
type ProbeTCPSpec struct {
	Namespace string        `json:"namespace,omitzero" default:"" doc:"Network namespace to send from, as of a fake_vm; the host's own where it is left out."`
	Target    string        `json:"target" weft:"required" doc:"Address and port of an echo service: \"172.16.255.22:7\", as fake_vm's listen offers it."`
	Bytes     int           `json:"bytes,omitzero" default:"1000000" doc:"How much is sent, and must come back whole."`
	Timeout   time.Duration `json:"timeout,omitzero" default:"30s" doc:"How long to try until all of it came back in one go."`
}

func probeTCPKind() step.Kind {
	return step.Kind{
		Name:    "probe_tcp",
		Summary: "Bytes arrive whole over TCP, and come back.",
		Doc: `The probe sends bytes to an echo service and compares what comes back. Where pings pass and this
does not, large segments or their checksums are lost: see the MTU and the offloads of the links.`,
		Spec: ProbeTCPSpec{},
		Example: `step "probe_tcp" "megabyte" {
  namespace = "vm1"
  target    = "172.16.255.22:7"
}`,
		Probe: func(u step.Unit) (step.Prober, error) {
			spec, err := step.Decode[ProbeTCPSpec](u)
			return spec, err
		},
	}
}

// Validate finds a probe that could never hold, or never fail.
func (s *ProbeTCPSpec) Validate() []step.Problem {
	var problems []step.Problem
	if target, err := netip.ParseAddrPort(s.Target); err != nil || target.Port() == 0 {
		problems = append(problems, step.Problem{Path: "target", Message: fmt.Sprintf("%q is not an IP address and a port", s.Target), Hint: `write "172.16.255.22:7" or "[fd00::22]:7"`})
	}
	if s.Bytes < 1 {
		problems = append(problems, step.Problem{Path: "bytes", Message: "is less than 1"})
	}
	if s.Timeout <= 0 {
		problems = append(problems, step.Problem{Path: "timeout", Message: "is not positive", Hint: `write "30s"`})
	}
	return problems
}

// Probe tries until all bytes came back.
func (s ProbeTCPSpec) Probe(ctx context.Context, v host.View) (step.Report, error) {
	target, err := netip.ParseAddrPort(s.Target)
	if err != nil {
		return step.Report{}, err
	}
	deadline := time.Now().Add(s.Timeout)
	var report step.Report
	err = step.Await(ctx, s.Timeout, func() error {
		r, err := v.Packets.Exchange(ctx, host.Exchange{
			Namespace: s.Namespace, Target: target, Bytes: s.Bytes,
			Timeout: min(max(time.Until(deadline), time.Second), 10*time.Second),
		})
		if err == nil && r.Bytes == s.Bytes {
			report.Summary = fmt.Sprintf("%d bytes to %s and back in %s", r.Bytes, s.Target, r.Elapsed.Round(time.Millisecond))
			return nil
		}
		failed := &step.ProbeError{
			Wanted: fmt.Sprintf("%d bytes back from %s%s", s.Bytes, s.Target, from(s.Namespace)),
			Seen:   fmt.Sprintf("%d", r.Bytes),
			Hint:   "does something listen there (fake_vm's listen), and does a ping pass?",
		}
		if r.Bytes > 0 {
			failed.Hint = "some bytes pass and others do not: compare the MTU of the links with the tunnel's"
		}
		if err != nil {
			failed.Seen += " (" + err.Error() + ")"
		}
		return failed
	})
	return report, err
}
