package libvirt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"weft/engine/host"
	"weft/engine/host/xmltree"
	"weft/engine/step"
)

// CardSpec is the attributes of a vm_interface.
type CardSpec struct {
	Domain string `json:"domain" weft:"required" doc:"Name of the domain."`
	MAC    string `json:"mac" weft:"required" doc:"Link-layer address of the card."`

	Seen *cardOutputs `json:"seen,omitzero" weft:"found"`
}

type cardOutputs struct {
	UUID        string `json:"uuid" doc:"UUID of the domain."`
	MAC         string `json:"mac" doc:"Its link-layer address, lower case."`
	InterfaceID string `json:"interface_id,omitzero" doc:"external_ids:iface-id of its port, read from Open vSwitch while the domain runs, else from libvirt: the name that the logical port must have. Unknown where it is plugged into no Open vSwitch."`
	Target      string `json:"target,omitzero" doc:"Name of its tap on the host; unknown while the domain does not run."`
}

func cardKind() step.Kind {
	return step.Kind{
		Name:    "vm_interface",
		Summary: "Tells what Open vSwitch calls a network card of a virtual machine; it changes nothing.",
		Doc: `For a machine that weft did not define, as virt-manager or OpenNebula make them: the card is found by its domain and MAC, and a step
ovn_switch_port on the central host attaches it to a logical switch by the outputs. Where weft plugs the card in, libvirt_interface
has the same outputs.

A domain or a card that is not there is an error: without it there is nothing to attach.`,
		Spec:    CardSpec{},
		Outputs: cardOutputs{},
		Example: `step "vm_interface" "web" {
  domain = "web"
  mac    = "52:54:00:00:01:10"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[CardSpec](u)
			want.MAC = strings.ToLower(want.MAC)
			return step.Of("card "+want.MAC+" of domain "+want.Domain, cards{}, want), err
		},
	}
}

// Validate finds a card that cannot be.
func (s *CardSpec) Validate() []step.Problem {
	return (&InterfaceSpec{Domain: s.Domain, MAC: s.MAC, State: step.Absent}).Validate()
}

// cards is the resource behind vm_interface.
type cards struct{}

func (cards) Read(ctx context.Context, v host.View, want CardSpec) (CardSpec, error) {
	d, err := v.Libvirt.Virtual(ctx, host.VirtualDomain, want.Domain)
	if errors.Is(err, fs.ErrNotExist) {
		return want, fmt.Errorf("there is no domain %s: %w", want.Domain, step.ErrNotYet)
	}
	if err != nil {
		return want, err
	}
	text := d.Defined
	if d.Active {
		text = d.Live
	}
	n, err := xmltree.Parse(text)
	if err != nil {
		return want, err
	}
	nic := nicOf(n, want.MAC)
	if nic == nil {
		return want, fmt.Errorf("domain %s has no such card, but %s: %w", want.Domain, macsOf(n), step.ErrNotYet)
	}
	f := interfaceFound{ID: nic.At("virtualport").At("parameters").Get("interfaceid")}
	if d.Active {
		f.Device = nic.At("target").Get("dev")
		err = readPort(ctx, v, &f)
	}
	want.Seen = &cardOutputs{UUID: d.UUID, MAC: want.MAC, InterfaceID: f.ID, Target: f.Device}
	return want, err
}

func macsOf(domain *xmltree.Node) string {
	var macs []string
	for _, nic := range domain.At("devices").All("interface") {
		macs = append(macs, nic.At("mac").Get("address"))
	}
	if len(macs) == 0 {
		return "none at all"
	}
	return strings.Join(macs, ", ")
}

// Diff finds nothing: the card is another's.
func (cards) Diff(_, _ CardSpec) []step.Delta { return nil }

func (cards) Write(context.Context, host.Host, CardSpec, CardSpec) error { return nil }

// Advise tells what was seen.
func (cards) Advise(f *step.Finding, have, _ CardSpec) {
	f.Outputs, _ = json.Marshal(have.Seen) // strings always encode
}
