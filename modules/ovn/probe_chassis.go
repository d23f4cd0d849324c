package ovn

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// ProbeChassisSpec is the attributes of a probe_ovn_chassis.
type ProbeChassisSpec struct {
	Chassis    string            `json:"chassis" weft:"required" doc:"Name of the chassis (its system-id) or its hostname."`
	EncapType  step.Attr[string] `json:"encap_type,omitzero" doc:"A tunnel that it must offer: geneve."`
	EncapIP    step.Attr[string] `json:"encap_ip,omitzero" doc:"The address that it must offer tunnels at."`
	Generation bool              `json:"generation,omitzero" default:"false" doc:"Whether it must have done all that the northbound database asked for. Its row alone may be stale."`
	Timeout    time.Duration     `json:"timeout,omitzero" default:"60s" doc:"How long to wait for all of it."`
}

// ProbeChassisOutputs is what other steps may ask of a probe_ovn_chassis.
type ProbeChassisOutputs struct {
	Name    string `json:"name" doc:"Name of the chassis."`
	Latency int    `json:"latency,omitzero" doc:"With generation = true: milliseconds from when ovn-northd took the last change up until the chassis had done it, by the clocks of both hosts. Not there where OVN does not tell (before 20.12)."`
}

func probeChassisKind() step.Kind {
	return step.Kind{
		Name:    "probe_ovn_chassis",
		Summary: "A chassis is registered in the southbound database, and keeps up.",
		Doc: `The probe runs on a central. Two chassis with the hostname fail it: a host that was installed anew
left its old row behind.

A row stays when a host dies. With generation = true the chassis must have reached
NB_Global.nb_cfg, which every change by weft counts up; a dead one never does.`,
		Spec:    ProbeChassisSpec{},
		Outputs: ProbeChassisOutputs{},
		Example: `step "probe_ovn_chassis" "ubuntu2" {
  chassis    = hosts["ubuntu2"].step.ovn_chassis.self.system_id
  encap_ip   = hosts["ubuntu2"].vars.underlay
  generation = true
}`,
		Probe: func(u step.Unit) (step.Prober, error) {
			spec, err := step.Decode[ProbeChassisSpec](u)
			return spec, err
		},
	}
}

// Validate finds a probe that could never hold.
func (s *ProbeChassisSpec) Validate() []step.Problem {
	problems := slices.Concat(validName("chassis", s.Chassis), validTimeout(s.Timeout))
	if ip, ok := s.EncapIP.Get(); ok && !validAddress(ip) {
		problems = append(problems, step.Problem{Path: "encap_ip", Message: fmt.Sprintf("%q is not an IP address", ip)})
	}
	return problems
}

// Probe waits until the chassis is there and keeps up.
func (s ProbeChassisSpec) Probe(ctx context.Context, v host.View) (step.Report, error) {
	var report step.Report
	err := step.Await(ctx, s.Timeout, func() (err error) {
		report, err = s.look(ctx, v)
		return err
	})
	return report, err
}

func (s ProbeChassisSpec) look(ctx context.Context, v host.View) (step.Report, error) {
	at, err := chassisNamed(ctx, v, s.Chassis)
	if err != nil {
		return step.Report{}, err
	}
	name := row.String(at, "name")
	summary := "chassis " + name + " (" + row.String(at, "hostname") + ")"
	encaps, err := rowsByID(ctx, v.OVSDB, host.Southbound, "Encap", row.Refs(at, "encaps"))
	if err != nil {
		return step.Report{}, err
	}
	var tunnels []string
	offered := false
	for _, e := range encaps {
		kind, ip := row.String(e, "type"), row.String(e, "ip")
		tunnels = append(tunnels, kind+" at "+ip)
		offered = offered || kind == s.EncapType.Or(kind) && sameAddress(ip, s.EncapIP.Or(ip))
	}
	if !offered {
		return step.Report{}, &step.ProbeError{
			Wanted: fmt.Sprintf("chassis %s with a tunnel %s at %s", name, s.EncapType.Or("of any type"), s.EncapIP.Or("any address")),
			Seen:   listed(tunnels), Hint: "compare ovn-encap-type and ovn-encap-ip on that host; a chassis that died with the same address keeps it",
		}
	}
	summary += ", " + listed(tunnels)
	var done generation
	if s.Generation {
		if done, err = reached(ctx, v, at); err != nil {
			return step.Report{}, err
		}
		summary += ", " + done.String()
	}
	outputs, err := json.Marshal(ProbeChassisOutputs{name, int(done.took.Milliseconds())})
	return step.Report{Summary: summary, Outputs: outputs}, err
}

func sameAddress(a, b string) bool {
	x, xErr := netip.ParseAddr(a)
	y, yErr := netip.ParseAddr(b)
	return a == b || xErr == nil && yErr == nil && x == y
}
