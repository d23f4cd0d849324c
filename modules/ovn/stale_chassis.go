package ovn

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"weft/engine/host/row"
	"weft/engine/step"
)

// StaleChassisSpec is the attributes of an ovn_stale_chassis.
type StaleChassisSpec struct {
	Chassis map[string]LiveChassis `json:"chassis" weft:"required" doc:"The chassis that live, by host: what the step ovn_chassis of each says. Hosts that could not be asked are left out, and what was theirs stays."`

	// Dead are the chassis that are to go, by name; nil in what a playbook says,
	// not in what was found.
	Dead map[string]deadChassis `json:"chassis.dead" weft:"found"`
	// Foreign are the chassis of nobody in Chassis.
	Foreign []string `json:"foreign,omitzero" weft:"found"`
}

// LiveChassis is the identity of one host: the outputs of its ovn_chassis.
type LiveChassis struct {
	SystemID   string   `json:"system_id" weft:"required" doc:"Name of its chassis."`
	EncapTypes []string `json:"encap_types" weft:"required,set" doc:"Tunnels that others may use to it."`
	EncapIPs   []string `json:"encap_ips" weft:"required,set" doc:"Its ends of the tunnels."`
}

// deadChassis is a chassis whose end of a tunnel another one has by now, with what
// it takes to make it again.
type deadChassis struct {
	Of      string       `json:"of"`   // the host that has its address
	Now     string       `json:"now"`  // the name of that host's chassis
	Rows    []row.Record `json:"rows"` // Chassis, and then its Encaps
	Private row.Record   `json:"private,omitzero"`
	Ports   []string     `json:"ports,omitzero"` // that are bound there
	Digest  string       `json:"digest"`         // of the rows, without their UUIDs
}

// shownChassis is a dead chassis in a plan.
type shownChassis struct {
	Hostname string   `json:"hostname"`
	Encaps   []string `json:"encaps"`
	Ports    []string `json:"ports,omitzero"`
	Now      string   `json:"now"`
}

func staleChassisKind() step.Kind {
	return step.Kind{
		Name:    "ovn_stale_chassis",
		Summary: "Removes chassis that a host left behind when it got another name.",
		Doc: `A host that was installed anew comes back with its old address and a new name. Its old chassis stays in the southbound database, and
because a tunnel's end (type and address) belongs to one chassis alone, the new one cannot register: ovn-controller of that host tries
again and again. The step removes the old one.

A chassis is dead where a host of ` + "`chassis`" + ` has its end of a tunnel under another name, and no host of ` + "`chassis`" + ` goes by its name. Nothing else
proves it: a chassis that is silent may be a host that is switched off. Chassis of nobody in ` + "`chassis`" + ` are a warning, and stay.

Chassis, Encap and Chassis_Private go in one transaction; the ports that were bound there are free for the new chassis. Undo makes the
rows again, unless the new chassis has registered by then, which is a conflict and stays.

The step's host is a central: the database is changed over its local socket.`,
		Spec:   StaleChassisSpec{},
		Target: step.SharedSouthbound,
		Example: `step "ovn_stale_chassis" "reinstalled" {
  chassis = {
    for h in role.compute : h.name => {
      system_id   = hosts[h.name].step.ovn_chassis.self.system_id
      encap_types = hosts[h.name].step.ovn_chassis.self.encap_types
      encap_ips   = hosts[h.name].step.ovn_chassis.self.encap_ips
    } if hosts[h.name].step.ovn_chassis.self.known
  }
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[StaleChassisSpec](u)
			return step.Of("stale chassis of the southbound database", staleChassis{}, want), err
		},
	}
}

// Validate finds hosts that are taken for one another: what one of them has would
// prove the other dead.
func (s *StaleChassisSpec) Validate() []step.Problem {
	var problems []step.Problem
	names, ends := map[string]string{}, map[string]string{}
	for _, host := range slices.Sorted(maps.Keys(s.Chassis)) {
		c := s.Chassis[host]
		path := "chassis." + host
		if other := names[c.SystemID]; other != "" {
			problems = append(problems, step.Problem{Path: path + ".system_id", Message: fmt.Sprintf("%s goes by the name %s, and so does %s", host, c.SystemID, other), Hint: "machines that were copied share it: remove /etc/openvswitch/system-id.conf on one of them, and apply again"})
		}
		names[c.SystemID] = host
		for end := range c.ends() {
			if other := ends[end]; other != "" {
				problems = append(problems, step.Problem{Path: path + ".encap_ips", Message: fmt.Sprintf("%s has the end of a tunnel %s, and so has %s", host, end, other)})
			}
			ends[end] = host
		}
	}
	return problems
}

// ends are a host's ends of tunnels.
func (c LiveChassis) ends() map[string]bool {
	out := map[string]bool{}
	for _, kind := range c.EncapTypes {
		for _, ip := range c.EncapIPs {
			out[end(kind, ip)] = true
		}
	}
	return out
}

// end is the end of a tunnel in the one spelling of all that mean the same.
func end(kind, ip string) string {
	if a, err := netip.ParseAddr(ip); err == nil {
		ip = a.String()
	}
	return kind + " " + ip
}

func (d deadChassis) shown() shownChassis {
	out := shownChassis{Hostname: d.hostname(), Ports: d.Ports, Now: d.Now}
	for _, e := range d.Rows[1:] {
		out.Encaps = append(out.Encaps, encapOf(e))
	}
	return out
}

func (staleChassis) Diff(have, want StaleChassisSpec) []step.Delta {
	var deltas []step.Delta
	if want.Dead == nil { // what a playbook says
		for _, name := range slices.Sorted(maps.Keys(have.Dead)) {
			deltas = append(deltas, step.Change("chassis.dead."+name, have.Dead[name].shown(), nil))
		}
		return deltas
	}
	for _, name := range slices.Sorted(maps.Keys(want.Dead)) {
		was := want.Dead[name]
		switch now, there := have.Dead[name]; {
		case !there:
			deltas = append(deltas, step.Change("chassis.dead."+name, nil, was.shown()))
		case now.Digest != was.Digest:
			deltas = append(deltas, step.Change("chassis.dead."+name, now.shown(), was.shown()))
		}
	}
	return deltas
}

// Advise says what becomes of ports, and names the chassis of nobody.
func (staleChassis) Advise(f *step.Finding, have, want StaleChassisSpec) {
	if len(have.Foreign) > 0 {
		f.Warnings = append(f.Warnings, "of no host that was asked, and left alone: chassis "+strings.Join(have.Foreign, ", "))
	}
	var ports []string
	for _, name := range slices.Sorted(maps.Keys(have.Dead)) {
		ports = append(ports, have.Dead[name].Ports...)
	}
	if len(f.Deltas) > 0 && len(ports) > 0 {
		f.Cost.Disruption = fmt.Sprintf("releases ports that are bound to dead chassis: %s", strings.Join(ports, ", "))
	}
}
