package libvirt

import (
	"net"
	"strings"
	"time"

	"weft/engine/step"
)

// InterfaceSpec is the attributes of a libvirt_interface.
type InterfaceSpec struct {
	Domain      string            `json:"domain" weft:"required" doc:"Name of the domain."`
	MAC         string            `json:"mac" weft:"required" doc:"Its link-layer address, by which it is found."`
	Network     step.Attr[string] `json:"network,omitzero" weft:"whole" doc:"Network of libvirt that it is plugged into. Not with bridge."`
	Portgroup   step.Attr[string] `json:"portgroup,omitzero" doc:"Group of ports of the network."`
	Bridge      step.Attr[string] `json:"bridge,omitzero" doc:"Bridge that it is plugged into."`
	Virtualport step.Attr[string] `json:"virtualport,omitzero" weft:"enum=openvswitch" doc:"openvswitch, for a bridge of Open vSwitch."`
	InterfaceID step.Attr[string] `json:"interface_id,omitzero" doc:"UUID that the port of Open vSwitch has as external_ids:iface-id; the name of the logical port in OVN. libvirt makes one up where there is none."`
	Tag         step.Attr[int]    `json:"tag,omitzero" doc:"VLAN of an access port, 1 to 4095. A portgroup's tag needs none here."`
	Model       step.Attr[string] `json:"model,omitzero" doc:"What the guest sees: virtio, e1000e, …"`
	MTU         step.Attr[int]    `json:"mtu,omitzero" doc:"Bytes, of the tap and of what the guest is told."`
	Target      step.Attr[string] `json:"target,omitzero" doc:"Name of the tap on the host. libvirt numbers vnet devices itself: give another."`
	Timeout     string            `json:"release_timeout,omitzero" default:"30s" doc:"How long the guest may take to let go of a card that is unplugged."`
	Adopt       bool              `json:"adopt,omitzero" default:"false" doc:"Whether a domain that no step of this site defined may be changed."`
	State       step.State        `json:"state,omitzero" default:"present" doc:"Whether the domain should have it."`

	Found *interfaceFound `json:"found,omitzero" weft:"found"`
}

// interfaceFound is a network card as it was read.
type interfaceFound struct {
	Defined string         `json:"defined,omitzero"` // its element in the definition
	Place   int            `json:"place,omitzero"`   // among the cards of the definition
	LiveXML string         `json:"live_xml,omitzero"`
	Live    *InterfaceSpec `json:"live,omitzero"` // where the domain runs
	// ID and Device are what Open vSwitch and libvirt call it while the
	// domain runs.
	ID     string `json:"id,omitzero"`
	Device string `json:"device,omitzero"`
}

type interfaceOutputs struct {
	MAC         string `json:"mac" doc:"Its link-layer address, lower case."`
	InterfaceID string `json:"interface_id" doc:"external_ids:iface-id of its port, read from Open vSwitch while the domain runs: the name that the logical port must have. Unknown where the bridge is none of Open vSwitch."`
	Target      string `json:"target" doc:"Name of its tap on the host; unknown while the domain does not run."`
}

func interfaceKind() step.Kind {
	return step.Kind{
		Name:    "libvirt_interface",
		Summary: "A network card of a virtual machine, plugged in while it runs and at its next start.",
		Doc: `The card is found by its domain and MAC, never by the number of its vnet device, which is another
after each start. Both the definition and the domain that runs are converged, and both are taken back.

A change of network, portgroup or bridge leaves the card plugged into the guest; any other change
of a domain that runs is an unplugging, which the guest must agree to, and a plugging in.

The outputs name the port for OVN: on the central host a step ovn_switch_port reads
hosts["h1"].step.libvirt_interface.NAME.interface_id.

A domain that no step of this site defined is refused unless adopt = true. A card of the domain's own xml is no business of this step:
name it in one of the two places.`,
		Spec:    InterfaceSpec{},
		Outputs: interfaceOutputs{},
		Example: `step "libvirt_interface" "v0-lan" {
  domain       = "v0"
  mac          = "52:54:00:00:01:10"
  bridge       = "br-int"
  virtualport  = "openvswitch"
  interface_id = "3b8e2a4e-3f0c-4b8a-9f55-0d5a7e0c1a10"
  model        = "virtio"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[InterfaceSpec](u)
			if err != nil {
				return nil, err
			}
			want.MAC = strings.ToLower(want.MAC)
			return step.Of("interface "+want.MAC+" of domain "+want.Domain, interfaces{ownerOf(u)}, want), nil
		},
	}
}

// Validate finds what libvirt would refuse, or would pass over.
func (s *InterfaceSpec) Validate() []step.Problem {
	problems := validName(s.Domain)
	for i := range problems {
		problems[i].Path = "domain"
	}
	wrong := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	if hw, err := net.ParseMAC(s.MAC); err != nil || len(hw) != 6 || !strings.Contains(s.MAC, ":") || hw[0]&1 == 1 {
		wrong("mac", "is no address of a network card", "write it as 52:54:00:00:00:01")
	}
	network, on := s.Network.Get()
	bridge, over := s.Bridge.Get()
	switch {
	case on && over:
		wrong("bridge", "stands beside network", "a card is plugged into a bridge ("+bridge+"), or into a network ("+network+")")
	case s.State.There() && !on && !over:
		wrong("network", "is missing", "say network, or bridge")
	}
	if _, some := s.Portgroup.Get(); some && !on {
		wrong("portgroup", "needs network", "")
	}
	if _, some := s.InterfaceID.Get(); some && s.Virtualport.Or("") != "openvswitch" {
		wrong("interface_id", `needs virtualport = "openvswitch"`, "")
	}
	if dev, some := s.Target.Get(); some && (strings.HasPrefix(dev, "vnet") || len(dev) > 15 || dev == "") {
		wrong("target", "is no name that libvirt keeps", "not vnet…, at most 15 characters")
	}
	if tag, some := s.Tag.Get(); some && (tag < 1 || tag > 4095) {
		wrong("tag", "is no VLAN", "1 to 4095")
	}
	if d, err := time.ParseDuration(s.Timeout); s.Timeout != "" && (err != nil || d < 0) {
		wrong("release_timeout", "is no length of time", `write it as "30s"`)
	}
	return problems
}
