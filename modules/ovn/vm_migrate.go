package ovn

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"weft/engine/step"
)

// MigrateSpec is the attributes of a vm_migrate.
type MigrateSpec struct {
	Domain      string                `json:"domain,omitzero" weft:"label" doc:"Name of the domain, which is the same on all hypervisors."`
	To          string                `json:"to" weft:"required" doc:"Where it shall run: a key of hypervisors."`
	Hypervisors map[string]Hypervisor `json:"hypervisors" weft:"required" doc:"Where it may run now, and where to."`
	Autostart   step.Attr[bool]       `json:"autostart,omitzero" doc:"Whether it starts with its hypervisor. Left out, as it did where it came from."`
	Encryption  string                `json:"encryption,omitzero" default:"tls" weft:"enum=tls|none" doc:"Of the guest's memory on its way: tls wants qemu's certificates on both hypervisors (/etc/pki/qemu); none sends it in the clear."`
	Timeout     time.Duration         `json:"timeout,omitzero" default:"10m" doc:"How long the migration may take. Then it is called off, and the guest stays where it is."`
	Adopt       bool                  `json:"adopt,omitzero" default:"false" doc:"Whether the ports of a guest that no step of this site made may be told where to be bound."`
}

// Hypervisor is a machine of libvirt that the guest may run on.
type Hypervisor struct {
	URI     string            `json:"uri" weft:"required" doc:"Of its libvirtd, as this host and the other hypervisors reach it: \"qemu+tls://192.0.2.3/system\"."`
	Address step.Attr[string] `json:"address,omitzero" doc:"Address that it takes the guest's memory at. Left out, its hostname must lead there."`
	Chassis step.Attr[string] `json:"chassis,omitzero" doc:"Name of its chassis in OVN (its system-id). Left out by all, OVN is not told."`
}

// migrationState is where a guest runs, and where its ports are to be bound.
type migrationState struct {
	Domain string `json:"domain" weft:"label"`
	At     string `json:"to"`
	// Ports are the requested-chassis of its logical ports. What is wanted of them
	// follows from At, but where an undo brings back what was found.
	Ports     keys            `json:"to.requested_chassis,omitzero"`
	Autostart step.Attr[bool] `json:"autostart,omitzero"`
	How       migrationHow    `json:"how" weft:"found"`
	Found     *migrationFound `json:"found,omitzero" weft:"found"`
}

// migrationHow is how a step works, and no part of the state.
type migrationHow struct {
	Hypervisors map[string]Hypervisor `json:"hypervisors"`
	Encryption  string                `json:"encryption"`
	Timeout     time.Duration         `json:"timeout"`
	Adopt       bool                  `json:"adopt,omitzero"`
}

// migrationFound is what else was seen.
type migrationFound struct {
	Unasked    []string `json:"unasked,omitzero"`  // hypervisors that did not answer
	Crossing   bool     `json:"crossing,omitzero"` // a migration is under way
	Persistent bool     `json:"persistent,omitzero"`
	Downtime   *int     `json:"downtime,omitzero"` // milliseconds; nil where nothing tells
}

// MigrateOutputs is what other steps may ask of a vm_migrate.
type MigrateOutputs struct {
	At       string `json:"at" doc:"Where the guest runs: a key of hypervisors."`
	Downtime int    `json:"downtime_ms" doc:"Milliseconds that the guest stood still in its last migration, as qemu measured it; unknown where it never migrated, or started anew since."`
}

func migrateKind() step.Kind {
	return step.Kind{
		Name:    "vm_migrate",
		Summary: "A virtual machine runs on the hypervisor where it shall, moved there while it works.",
		Doc: `The step's host is a central with virsh(1), and a certificate that the libvirtds of the hypervisors accept
(/etc/pki/libvirt). The guest is looked for on all hypervisors; two that have it at work are an error.

OVN is told first: the logical ports of the guest's network cards (the interfaceid of each in its XML) get both chassis as
requested-chassis, and both have done what that asks for before the guest moves. Packets go to both places meanwhile, so none
waits for a port to be bound anew. Then libvirt migrates, live and from peer to peer, and the ports get the new chassis alone.

A migration that fails or is not over in time is called off: the guest goes on where it was, and its ports stay bound there. Where
the step was stopped in the middle, the next apply finds the guest and goes on from there.

It takes OVN 22.06: before, a port had one requested chassis. The definition goes along, and so does autostart; nothing of either stays behind. Disks do not go along: they must be on storage that
both hypervisors have at the same path. A playbook that defines the guest must say its new place from now on, or it starts a second one.

A rollback moves the guest back, live again.`,
		Spec:    MigrateSpec{},
		Outputs: MigrateOutputs{},
		Target:  step.SharedNorthbound,
		Example: `step "vm_migrate" "g1" {
  to = "hyper2"
  hypervisors = {
    for h in role.compute : h.name => {
      uri     = "qemu+tls://${h.vars.underlay}/system"
      address = h.vars.underlay
      chassis = hosts[h.name].step.ovn_chassis.self.system_id
    }
  }
}`,
		Make: func(u step.Unit) (step.Step, error) {
			s, err := step.Decode[MigrateSpec](u)
			if err != nil {
				return nil, err
			}
			want := migrationState{Domain: s.Domain, At: s.To, Autostart: s.Autostart, How: migrationHow{s.Hypervisors, s.Encryption, s.Timeout, s.Adopt}}
			return step.Of("place of domain "+s.Domain, migrations{ownerOf(u)}, want), nil
		},
	}
}

// numbered are names by which virsh(1) finds a domain of another name: it looks for an id first, and for a UUID.
var numbered = regexp.MustCompile(`^([0-9]+|[0-9A-Fa-f-]{36})$`)

// Validate finds a journey that cannot be made.
func (s *MigrateSpec) Validate() []step.Problem {
	problems := append(validName("domain", s.Domain), validTimeout(s.Timeout)...)
	wrong := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	if numbered.MatchString(s.Domain) {
		wrong("domain", fmt.Sprintf("%q is to virsh the number or the UUID of another domain", s.Domain), "rename it: virsh domrename")
	}
	if _, there := s.Hypervisors[s.To]; !there {
		wrong("to", fmt.Sprintf("%q is none of hypervisors", s.To), "one of "+strings.Join(slices.Sorted(maps.Keys(s.Hypervisors)), ", "))
	}
	chassis := 0
	for _, name := range slices.Sorted(maps.Keys(s.Hypervisors)) {
		h := s.Hypervisors[name]
		u, err := url.Parse(h.URI)
		if err != nil || u.Host == "" || u.Scheme != "qemu" && !strings.HasPrefix(u.Scheme, "qemu+") {
			wrong("hypervisors."+name+".uri", fmt.Sprintf("%q is no libvirtd of another machine", h.URI), `write it as "qemu+tls://192.0.2.3/system"`)
		}
		if a, given := h.Address.Get(); given && (a == "" || strings.ContainsAny(a, "/[] \t\n")) {
			wrong("hypervisors."+name+".address", fmt.Sprintf("%q is no address", a), "write it as 192.0.2.3 or fd00::3, or as a name")
		}
		if c, given := h.Chassis.Get(); given {
			chassis++
			problems = append(problems, validName("hypervisors."+name+".chassis", c)...)
		}
	}
	if chassis != 0 && chassis != len(s.Hypervisors) {
		wrong("hypervisors", "have a chassis in part", "name the chassis of all of them, or of none where there is no OVN")
	}
	return problems
}

// chassis is what OVN calls a hypervisor.
func (h migrationHow) chassis(at string) string { return h.Hypervisors[at].Chassis.Or("") }

// wanted adds what the place means for the ports.
func (s migrationState) wanted(have migrationState) migrationState {
	if s.Ports == nil {
		s.Ports = s.How.bound(have.Ports, s.At)
	}
	return s
}

// bound has all ports bound where a hypervisor is.
func (h migrationHow) bound(ports keys, at ...string) keys {
	var both []string
	for _, a := range at {
		both = append(both, h.chassis(a))
	}
	out := keys{}
	for p := range ports {
		out[p] = step.Is(strings.Join(both, ","))
	}
	return out
}
