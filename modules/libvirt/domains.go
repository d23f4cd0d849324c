package libvirt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// DomainsSpec is the attributes of a libvirt_domains: none.
type DomainsSpec struct {
	// All are the UUIDs of all domains, sorted; nil where nobody could tell.
	All []string `json:"all,omitzero" weft:"found"`
	// Silent says why nobody could, where somebody should have.
	Silent string `json:"silent,omitzero" weft:"found"`
}

type domainsOutputs struct {
	UUIDs []string `json:"uuids" doc:"The UUIDs of all domains, running or not; null where no libvirtd answers."`
}

// listTime is how long libvirtd may take to list its domains. One that is well does
// it in milliseconds.
const listTime = 20 * time.Second

func domainsKind() step.Kind {
	return step.Kind{
		Name:    "libvirt_domains",
		Summary: "Tells which virtual machines of libvirt this host has; it changes nothing.",
		Doc: `The output uuids is for steps of other hosts that must know which guests are there: ovn_stale_ports is one.

It is null, and not empty, wherever libvirtd gives no list. That goes for a host without libvirtd, too: a libvirtd that was stopped, removed
or put into a container may have left machines that run. Only a libvirtd that answers proves that a machine is not there.`,
		Spec:    DomainsSpec{},
		Outputs: domainsOutputs{},
		Example: `step "libvirt_domains" "guests" {}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[DomainsSpec](u)
			return step.Of("domains of this host", allDomains{}, want), err
		},
	}
}

// allDomains is the resource behind libvirt_domains.
type allDomains struct{}

func (allDomains) Read(ctx context.Context, v host.View, _ DomainsSpec) (DomainsSpec, error) {
	bounded, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	all, err := v.Libvirt.Domains(bounded)
	switch {
	case ctx.Err() != nil:
		return DomainsSpec{}, ctx.Err()
	case errors.Is(err, host.ErrNotReady):
		return DomainsSpec{}, nil
	case err != nil:
		return DomainsSpec{Silent: err.Error()}, nil
	}
	have := DomainsSpec{All: make([]string, 0, len(all))}
	for _, d := range all {
		have.All = append(have.All, d.UUID)
	}
	slices.Sort(have.All)
	return have, nil
}

// Diff finds nothing: what a host has is not this step's to change.
func (allDomains) Diff(_, _ DomainsSpec) []step.Delta { return nil }

func (allDomains) Write(context.Context, host.Host, DomainsSpec, DomainsSpec) error { return nil }

// Advise tells the domains.
func (allDomains) Advise(f *step.Finding, have, _ DomainsSpec) {
	f.Outputs, _ = json.Marshal(domainsOutputs{have.All}) // strings always encode
	if have.Silent != "" {
		f.Warnings = append(f.Warnings, fmt.Sprintf("which machines this host has is not known: %s", have.Silent))
	}
}
