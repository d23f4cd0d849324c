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
for an established one to one of the endpoints. In a cluster that is one, to a member of it. One with TLS must have stood for a second: TCP
connects before either end refuses the other's certificate.`,
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

// endpoints are the addresses behind targets that dial, and whether they speak TLS.
func endpoints(remotes []string) (map[netip.AddrPort]bool, error) {
	out := map[netip.AddrPort]bool{}
	for _, remote := range remotes {
		t, err := parseTarget(remote)
		if err != nil {
			return nil, err
		}
		if t.passive() {
			return nil, fmt.Errorf("%q listens, and is nothing to connect to", remote)
		}
		out[netip.AddrPortFrom(t.address.Unmap(), t.port)] = t.secure()
	}
	return out, nil
}

// handshake is more than the ends of a connection need to refuse each other.
const handshake = time.Second

// Probe waits until the connection is established.
func (s ProbeRemoteSpec) Probe(ctx context.Context, v host.View) (step.Report, error) {
	var report step.Report
	since := map[netip.AddrPort]time.Time{}
	err := step.Await(ctx, s.Timeout, func() (err error) {
		report, since, err = s.look(ctx, v, since)
		return err
	})
	return report, err
}

// look also says since when this end has connections with TLS, by their local addresses;
// before is what the last look said.
func (s ProbeRemoteSpec) look(ctx context.Context, v host.View, before map[netip.AddrPort]time.Time) (report step.Report, since map[netip.AddrPort]time.Time, err error) {
	remotes := s.Remote
	if len(remotes) == 0 {
		_, ids, err := openVSwitch(ctx, v.OVSDB)
		if err != nil {
			return report, before, err
		}
		remotes = elements(ids["ovn-remote"])
	}
	wanted, err := endpoints(remotes)
	if err != nil {
		return report, before, err
	}
	all, err := sockets(ctx, v.Kernel)
	if err != nil {
		return report, before, err
	}
	since = map[netip.AddrPort]time.Time{}
	for _, c := range all {
		secure, ours := wanted[c.remote]
		if c.state != established || !ours {
			continue
		}
		now := time.Now()
		first, seen := before[c.local]
		if !seen {
			first = now
		}
		if !secure || now.Sub(first) >= handshake {
			return step.Report{Summary: "connected to " + c.remote.String() + " from " + c.local.String()}, since, nil
		}
		since[c.local] = first
	}
	return report, since, s.missing(remotes, len(since) > 0)
}

// missing says that there is no connection, or none that lasts.
func (ProbeRemoteSpec) missing(remotes []string, begun bool) error {
	e := &step.ProbeError{
		Wanted: "an established connection to " + listed(remotes), Seen: "none",
		Hint: "does ovn-controller run, does ping reach " + strings.Join(remotes, ", ") + ", and does the central listen there (ovn_connection)?",
	}
	if begun {
		e.Seen = "one that does not last"
	}
	if slices.ContainsFunc(remotes, func(r string) bool { return strings.HasPrefix(r, "ssl:") }) {
		e.Hint += " Does either end refuse the other's certificate (ovsdb_ssl)? /var/log/ovn/ovn-controller.log says so"
	}
	return e
}
