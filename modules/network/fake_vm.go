package network

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"weft/engine/host/row"
	"weft/engine/step"
)

// FakeVMSpec is the attributes of a fake_vm.
type FakeVMSpec struct {
	Name      string                       `json:"name,omitzero" weft:"label" doc:"Name of the fake VM, and of its network namespace."`
	Bridge    string                       `json:"bridge,omitzero" default:"br-int" doc:"OVS bridge that it is plugged into."`
	Type      string                       `json:"type,omitzero" default:"veth" weft:"enum=veth|internal" doc:"How it is plugged in: veth survives a restart of Open vSwitch; an internal port vanishes from the namespace then."`
	Port      step.Attr[string]            `json:"port,omitzero" doc:"Name of the port on the bridge, at most 15 characters. Left out, the VM's name."`
	Interface step.Attr[string]            `json:"interface,omitzero" doc:"Name of the link inside. Left out, eth0; of an internal port, the port's name."`
	IfaceID   step.Attr[string]            `json:"iface_id,omitzero" doc:"external_ids:iface-id of the OVS interface: the name of the logical port in OVN."`
	MAC       step.Attr[string]            `json:"mac,omitzero" doc:"Ethernet address of the link inside, and external_ids:attached-mac of the OVS interface. Under port security it must be the logical port's."`
	Addresses []string                     `json:"addresses,omitzero" weft:"set" doc:"IP addresses inside, with their prefix lengths: \"172.16.255.11/24\"."`
	MTU       step.Attr[int]               `json:"mtu,omitzero" doc:"MTU of the link inside, bytes; 1442 where geneve crosses an underlay of 1500."`
	Gateway   step.Attr[string]            `json:"gateway,omitzero" doc:"Address of the default gateway."`
	Routes    map[string]step.Attr[string] `json:"routes,omitzero" doc:"Gateways by destination network: \"10.0.0.0/8\" = \"172.16.255.1\". Networks that are left out stay as they are."`
	Listen    step.Attr[int]               `json:"listen,omitzero" doc:"TCP port of an echo service inside, for probe_tcp."`
	State     step.State                   `json:"state,omitzero" default:"present" doc:"Whether it should be there; absent removes the namespace, the link, the port and the echo service."`

	Link  linkState `json:"link,omitzero" weft:"found"`
	Found *vmFound  `json:"found,omitzero" weft:"found"`
}

// linkState is what must hold of the links beyond the attributes. A part that
// is unmanaged was not found, or does not concern an undo.
type linkState struct {
	Inside      step.Attr[bool]   `json:"inside,omitzero"` // the VM's end is in the namespace
	Up          step.Attr[bool]   `json:"up,omitzero"`
	PortUp      step.Attr[bool]   `json:"port_up,omitzero"` // the bridge's end
	PortMAC     step.Attr[string] `json:"port_mac,omitzero"`
	PortMTU     step.Attr[int]    `json:"port_mtu,omitzero"`
	LoopbackUp  step.Attr[bool]   `json:"loopback_up,omitzero"`
	Checksum    step.Attr[bool]   `json:"checksum,omitzero"` // transmit checksum offload of the VM's end
	AttachedMAC step.Attr[string] `json:"attached_mac,omitzero"`
	Alive       step.Attr[bool]   `json:"alive,omitzero"` // ofport > 0 and no error
	Listening   step.Attr[bool]   `json:"listening,omitzero"`
}

// vmFound is what it takes to make the port again as it was.
type vmFound struct {
	Port      row.Record `json:"port,omitzero"`
	Interface row.Record `json:"interface,omitzero"`
	EchoUnit  string     `json:"echo_unit,omitzero"` // the unit file's text
}

func fakeVMKind() step.Kind {
	return step.Kind{
		Name:    "fake_vm",
		Summary: "A stand-in for a virtual machine: a network namespace with a port on an OVS bridge.",
		Doc: `The VM's end of the link is in the namespace, the other end is a port of the bridge. Use it by
` + "`ip netns exec NAME …`" + `.

Transmit checksum offload of the VM's end is off: a userspace datapath would hand out TCP segments
without a checksum, which the other end drops.

The echo service is weft's runner as a unit of its own (weft-echo-NAME.service, in /run), so it
outlives the session; it wants systemd 242 or later. Namespaces and the service are gone after a
reboot, and the next apply brings them back.

A removal is refused where the namespace holds links that are not the VM's. Programs that somebody
runs in the namespace keep running, without a network.`,
		Spec: FakeVMSpec{},
		Example: `step "fake_vm" "vm1" {
  iface_id  = "ls1-vm1"
  mac       = "02:ac:10:ff:00:11"
  addresses = ["172.16.255.11/24"]
  mtu       = 1442
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[FakeVMSpec](u)
			if err != nil {
				return nil, err
			}
			want = want.complete()
			return vmStep{step.Of("fake VM "+want.Name, fakeVMs{}, want), want}, nil
		},
	}
}

// complete fills in what follows from other attributes, in one spelling.
func (s FakeVMSpec) complete() FakeVMSpec {
	if !s.Port.Managed() || s.Port.Absent() {
		s.Port = step.Is(s.Name)
	}
	if !s.Interface.Managed() || s.Interface.Absent() {
		s.Interface = step.Is("eth0")
		if s.Type == "internal" {
			s.Interface = s.Port
		}
	}
	if mac, ok := s.MAC.Get(); ok {
		s.MAC = step.Is(strings.ToLower(mac))
	}
	for i, a := range s.Addresses {
		if p, err := netip.ParsePrefix(a); err == nil {
			s.Addresses[i] = p.String()
		}
	}
	if a, err := netip.ParseAddr(s.Gateway.Or("")); err == nil {
		s.Gateway = step.Is(a.String())
	}
	routes := map[string]step.Attr[string]{}
	for to, via := range s.Routes {
		if p, err := netip.ParsePrefix(to); err == nil {
			to = p.Masked().String()
		}
		routes[to] = via
	}
	if s.Routes != nil {
		s.Routes = routes
	}
	up := step.Is(true)
	s.Link = linkState{Inside: up, Up: up, PortUp: up, LoopbackUp: up, Alive: up, AttachedMAC: s.MAC}
	if s.Type == "veth" {
		s.Link.Checksum = step.Is(false)
	} else {
		s.Link.PortUp = step.Attr[bool]{}
	}
	if _, listens := s.Listen.Get(); listens {
		s.Link.Listening = up
	}
	return s
}

var (
	vmName   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
	linkName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$`)
	// station is an Ethernet address whose group bit is 0.
	station = regexp.MustCompile(`^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$`)
)

const nameHint = "letters, digits, dots, dashes and underscores; a link's name has at most 15"

// Validate finds what the kernel or Open vSwitch would refuse.
func (s *FakeVMSpec) Validate() []step.Problem {
	var problems []step.Problem
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	port, given := s.Port.Get()
	switch {
	case !vmName.MatchString(s.Name):
		bad("name", fmt.Sprintf("%q is no name for a namespace", s.Name), nameHint)
	case given && !linkName.MatchString(port):
		bad("port", fmt.Sprintf("%q is no name for a port", port), nameHint)
	case !given && !linkName.MatchString(s.Name):
		bad("name", fmt.Sprintf("%q is too long for a port, which has 15 characters at most", s.Name), "give the port a name of its own: port = \"…\"")
	}
	if name, ok := s.Interface.Get(); ok && !linkName.MatchString(name) {
		bad("interface", fmt.Sprintf("%q is no name for a link", name), nameHint)
	}
	if name, ok := s.Interface.Get(); ok && s.Type == "internal" && given && name != port {
		bad("interface", "must be the port's name: Open vSwitch loses an internal port under another", "leave it out")
	}
	if mac, ok := s.MAC.Get(); ok {
		if !station.MatchString(mac) {
			bad("mac", fmt.Sprintf("%q is not an Ethernet address of one station", mac), `write it as "02:ac:10:ff:00:11"`)
		}
	}
	for _, a := range s.Addresses {
		if _, err := netip.ParsePrefix(a); err != nil {
			bad("addresses", fmt.Sprintf("%q is not an IP address with its prefix length", a), `write "172.16.255.11/24"`)
		}
	}
	if mtu, ok := s.MTU.Get(); ok && (mtu < 68 || mtu > 65535) {
		bad("mtu", fmt.Sprintf("%d is not from 68 to 65535", mtu), "")
	}
	if listen, ok := s.Listen.Get(); ok && (listen < 1 || listen > 65535) {
		bad("listen", fmt.Sprintf("%d is not a TCP port", listen), "")
	}
	return append(problems, s.routeProblems()...)
}

func (s *FakeVMSpec) routeProblems() []step.Problem {
	var problems []step.Problem
	gateway := func(path string, a step.Attr[string]) {
		via, ok := a.Get()
		if _, err := netip.ParseAddr(via); ok && err != nil {
			problems = append(problems, step.Problem{Path: path, Message: fmt.Sprintf("%q is not an IP address", via)})
		}
	}
	gateway("gateway", s.Gateway)
	for to, via := range s.Routes {
		p, err := netip.ParsePrefix(to)
		switch {
		case err != nil:
			problems = append(problems, step.Problem{Path: "routes", Message: fmt.Sprintf("%q is not a network", to), Hint: `write "10.0.0.0/8" = "172.16.255.1"`})
		case p.Bits() == 0:
			problems = append(problems, step.Problem{Path: "routes." + to, Message: "is the default route", Hint: "use gateway"})
		}
		gateway("routes."+to, via)
	}
	return problems
}
