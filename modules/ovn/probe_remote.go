package ovn

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// ProbeRemoteSpec is the attributes of a probe_ovn_remote.
type ProbeRemoteSpec struct {
	Remote  []string      `json:"remote,omitzero" weft:"set" doc:"Southbound databases, one of which the host must be connected to. Left out: those of its own ovn-remote."`
	Timeout time.Duration `json:"timeout,omitzero" default:"30s" doc:"How long to wait for the connection."`
}

func probeRemoteKind() step.Kind {
	return step.Kind{
		Name:    "probe_ovn_remote",
		Summary: "A chassis has an established connection to the southbound database.",
		Doc: `The probe runs on the chassis, and looks in the kernel's table of TCP connections (/proc/net/tcp)
for an established one to one of the endpoints. In a cluster that is one, to a member of it.`,
		Spec: ProbeRemoteSpec{},
		Example: `step "probe_ovn_remote" "southbound" {
  remote = ["tcp:10.127.0.2:6642"]
}`,
		Probe: func(u step.Unit) (step.Prober, error) {
			spec, err := step.Decode[ProbeRemoteSpec](u)
			return spec, err
		},
	}
}

// Validate finds a probe that could never hold.
func (s *ProbeRemoteSpec) Validate() []step.Problem {
	problems := validTimeout(s.Timeout)
	if _, err := endpoints(s.Remote); err != nil {
		problems = append(problems, step.Problem{Path: "remote", Message: err.Error(), Hint: `write "tcp:10.127.0.2:6642"`})
	}
	return problems
}

// endpoints are the addresses behind targets that dial.
func endpoints(remotes []string) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, remote := range remotes {
		t, err := parseTarget(remote)
		if err != nil {
			return nil, err
		}
		if t.passive() {
			return nil, fmt.Errorf("%q listens, and is nothing to connect to", remote)
		}
		out = append(out, netip.AddrPortFrom(t.address.Unmap(), t.port))
	}
	return out, nil
}

// Probe waits until the connection is established.
func (s ProbeRemoteSpec) Probe(ctx context.Context, v host.View) (step.Report, error) {
	var report step.Report
	err := step.Await(ctx, s.Timeout, func() (err error) {
		report, err = s.look(ctx, v)
		return err
	})
	return report, err
}

func (s ProbeRemoteSpec) look(ctx context.Context, v host.View) (step.Report, error) {
	remotes := s.Remote
	if len(remotes) == 0 {
		_, ids, err := openVSwitch(ctx, v.OVSDB)
		if err != nil {
			return step.Report{}, err
		}
		remotes = elements(ids["ovn-remote"])
	}
	wanted, err := endpoints(remotes)
	if err != nil {
		return step.Report{}, err
	}
	all, err := sockets(ctx, v.Kernel)
	if err != nil {
		return step.Report{}, err
	}
	for _, c := range all {
		if c.state == established && slices.Contains(wanted, c.remote) {
			return step.Report{Summary: "connected to " + c.remote.String() + " from " + c.local.String()}, nil
		}
	}
	hint := "does ovn-controller run, does ping reach " + strings.Join(remotes, ", ") + ", and does the central listen there (ovn_connection)?"
	if slices.ContainsFunc(remotes, func(r string) bool { return strings.HasPrefix(r, "ssl:") }) {
		hint += " Does either end refuse the other's certificate (ovsdb_ssl)? /var/log/ovn/ovn-controller.log says so"
	}
	return step.Report{}, &step.ProbeError{Wanted: "an established connection to " + listed(remotes), Seen: "none", Hint: hint}
}
