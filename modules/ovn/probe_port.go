package ovn

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// ProbePortSpec is the attributes of a probe_ovn_port.
type ProbePortSpec struct {
	Port       string            `json:"port,omitzero" weft:"label" doc:"Name of the logical port."`
	Chassis    step.Attr[string] `json:"chassis,omitzero" doc:"Where it must be bound: the name of a chassis (its system-id) or its hostname. Left out, anywhere."`
	Up         bool              `json:"up,omitzero" default:"true" doc:"Whether the port must be up: ovn-controller has its flows in place."`
	Generation bool              `json:"generation,omitzero" default:"false" doc:"Whether the chassis must have done all that the northbound database asked for."`
	Timeout    time.Duration     `json:"timeout,omitzero" default:"60s" doc:"How long to wait for all of it."`
}

// ProbePortOutputs is what other steps may ask of a probe_ovn_port.
type ProbePortOutputs struct {
	Chassis   string `json:"chassis" doc:"Name of the chassis that the port is bound to."`
	Hostname  string `json:"hostname" doc:"Hostname of that chassis."`
	TunnelKey int    `json:"tunnel_key" doc:"The port's key in tunnels of its switch."`
	Latency   int    `json:"latency,omitzero" doc:"With generation = true: milliseconds from when ovn-northd took the last change up until the chassis had done it, by the clocks of both hosts. Not there where OVN does not tell (before 20.12)."`
}

func probePortKind() step.Kind {
	return step.Kind{
		Name:    "probe_ovn_port",
		Summary: "A logical port is bound to its chassis, and up.",
		Doc: `The probe runs on a central, since it reads the southbound database over its local socket. It
waits until Port_Binding says what is wanted, or fails with what it says instead.

With generation = true the chassis must also have reached NB_Global.nb_cfg, which every change by
weft counts up: then the flows of all that is in the northbound database are in place there.`,
		Spec:    ProbePortSpec{},
		Outputs: ProbePortOutputs{},
		Example: `step "probe_ovn_port" "ls1-vm1" {
  chassis = hosts["ubuntu2"].step.ovn_chassis.self.system_id
}`,
		Probe: func(u step.Unit) (step.Prober, error) {
			spec, err := step.Decode[ProbePortSpec](u)
			return spec, err
		},
	}
}

// Validate finds a probe that could never hold.
func (s *ProbePortSpec) Validate() []step.Problem {
	return append(validName("port", s.Port), validTimeout(s.Timeout)...)
}

func validTimeout(d time.Duration) []step.Problem {
	if d <= 0 {
		return []step.Problem{{Path: "timeout", Message: "is not positive", Hint: `write "60s"`}}
	}
	return nil
}

// Probe waits until the port is where it should be.
func (s ProbePortSpec) Probe(ctx context.Context, v host.View) (step.Report, error) {
	var report step.Report
	err := step.Await(ctx, s.Timeout, func() (err error) {
		report, err = s.look(ctx, v)
		return err
	})
	return report, err
}

func (s ProbePortSpec) look(ctx context.Context, v host.View) (step.Report, error) {
	found, err := selectRows(ctx, v.OVSDB, host.Southbound, row.Select("Port_Binding", nil, row.Is("logical_port", s.Port)))
	if err != nil {
		return step.Report{}, err
	}
	if len(found[0]) == 0 {
		return step.Report{}, &step.ProbeError{
			Wanted: "a binding of logical port " + s.Port, Seen: "none in the southbound database",
			Hint: "is the port in `ovn-nbctl show`, and does ovn-northd run?",
		}
	}
	binding := found[0][0]
	at, err := s.bound(ctx, v, binding)
	if err != nil {
		return step.Report{}, err
	}
	where := row.String(at, "name") + " (" + row.String(at, "hostname") + ")"
	if up, _ := row.Bool(binding, "up"); s.Up && !up {
		return step.Report{}, &step.ProbeError{
			Wanted: "port " + s.Port + " up", Seen: "bound to " + where + " and down",
			Hint: "its flows are not in place yet: on that host see /var/log/ovn/ovn-controller.log",
		}
	}
	summary := s.Port + " is bound to " + where
	var done generation
	if s.Generation {
		if done, err = reached(ctx, v, at); err != nil {
			return step.Report{}, err
		}
		summary += ", " + done.String()
	}
	key, _ := row.Int(binding, "tunnel_key")
	outputs, err := json.Marshal(ProbePortOutputs{row.String(at, "name"), row.String(at, "hostname"), key, int(done.took.Milliseconds())})
	return step.Report{Summary: summary, Outputs: outputs}, err
}

// bound is the chassis that the port is bound to.
func (s ProbePortSpec) bound(ctx context.Context, v host.View, binding ovsdb.Row) (ovsdb.Row, error) {
	wanted, particular := s.Chassis.Get()
	var at ovsdb.Row
	if id := row.Ref(binding, "chassis"); id != "" {
		found, err := chassisWhere(ctx, v, row.IsRow(id))
		if err != nil {
			return nil, err
		}
		if len(found[0]) > 0 { // else it is gone since
			at = found[0][0]
		}
	}
	if at == nil {
		place := "a chassis"
		if particular {
			place = wanted
		}
		return nil, &step.ProbeError{
			Wanted: "port " + s.Port + " bound to " + place, Seen: "not bound",
			Hint: "on that host, does an interface of the integration bridge have external_ids:iface-id=" + s.Port + ", and does ovn-controller run?",
		}
	}
	if !particular || wanted == row.String(at, "name") || wanted == row.String(at, "hostname") {
		return at, nil
	}
	if _, err := chassisNamed(ctx, v, wanted); err != nil {
		return nil, err
	}
	return nil, &step.ProbeError{
		Wanted: "port " + s.Port + " bound to " + wanted,
		Seen:   "bound to " + row.String(at, "name") + " (" + row.String(at, "hostname") + ")",
		Hint:   "an interface with its iface-id is still there, or options:requested-chassis keeps it",
	}
}
