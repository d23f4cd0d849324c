package ovs

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host/netconf"
	"weft/engine/step"
)

// PortSpec is the attributes of ovs_port.
type PortSpec struct {
	Name            string                       `json:"name,omitzero" weft:"label" doc:"Name of the port and of its interface, at most 15 characters; of a NIC its device's."`
	State           step.State                   `json:"state,omitzero" doc:"Whether the port should be there."`
	Bridge          string                       `json:"bridge" weft:"required" doc:"The bridge; a port that is in another is moved."`
	Type            step.Attr[string]            `json:"type,omitzero" doc:"Type of the interface: system for a device of the host (the same as absent), internal, patch, vxlan, geneve, gre, dpdk, dpdkvhostuserclient, ….  Open vSwitch lists its own in iface_types."`
	Options         map[string]step.Attr[string] `json:"options,omitzero" doc:"Keys of the interface's options: peer, remote_ip, dpdk-devargs, …."`
	Tag             step.Attr[int]               `json:"tag,omitzero" doc:"VLAN of an access port, 0 to 4095."`
	Trunks          []int                        `json:"trunks,omitzero" weft:"set" doc:"VLANs that a trunk carries; [] is all of them."`
	CVLANs          []int                        `json:"cvlans,omitzero" weft:"set" doc:"Inner VLANs that a dot1q-tunnel port carries; [] is all of them."`
	VLANMode        step.Attr[string]            `json:"vlan_mode,omitzero" weft:"enum=trunk|access|native-tagged|native-untagged|dot1q-tunnel" doc:"How VLANs are handled; absent lets Open vSwitch choose by tag and trunks."`
	Protected       step.Attr[bool]              `json:"protected,omitzero" doc:"Whether frames from other protected ports are kept away."`
	FakeBridge      step.Attr[bool]              `json:"fake_bridge,omitzero" doc:"Whether the port stands for a bridge of its VLAN (tag), which ovs-vsctl(8) and libvirt show as one; of an internal port."`
	MAC             step.Attr[string]            `json:"mac,omitzero" doc:"MAC address of an internal port."`
	MTU             step.Attr[int]               `json:"mtu_request,omitzero" doc:"MTU of the device, in bytes."`
	OFPort          step.Attr[int]               `json:"ofport_request,omitzero" doc:"OpenFlow port number to have, 1 to 65279."`
	PolicingRate    step.Attr[int]               `json:"ingress_policing_rate,omitzero" doc:"Most that may be received, kbit/s; 0 is no limit."`
	PolicingBurst   step.Attr[int]               `json:"ingress_policing_burst,omitzero" doc:"Burst above that rate, kbit; 0 is the default of 8000."`
	BFD             map[string]step.Attr[string] `json:"bfd,omitzero" doc:"Keys of the interface's Bidirectional Forwarding Detection."`
	LLDP            map[string]step.Attr[string] `json:"lldp,omitzero" doc:"Keys of the interface's Link Layer Discovery Protocol."`
	ExternalIDs     map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of the interface's external_ids; iface-id and attached-mac belong here."`
	PortExternalIDs map[string]step.Attr[string] `json:"port_external_ids,omitzero" doc:"Keys of the port's external_ids."`
	OtherConfig     map[string]step.Attr[string] `json:"other_config,omitzero" doc:"Keys of the port's other_config."`
	InterfaceConfig map[string]step.Attr[string] `json:"interface_other_config,omitzero" doc:"Keys of the interface's other_config: pmd-rxq-affinity, …."`
	Up              step.Attr[bool]              `json:"up,omitzero" doc:"Whether the device is up."`
	Addresses       []string                     `json:"addresses,omitzero" weft:"set" doc:"All addresses of an internal port, with prefix lengths."`
	Persist         step.Attr[bool]              `json:"persist,omitzero" doc:"Whether files make the port at boot as this step describes it."`
	PersistBy       string                       `json:"persist_by,omitzero" weft:"enum=ifupdown|networkmanager|network-scripts|netplan" doc:"What makes it at boot. Left out, it is what configures the host's network."`

	// Kept are the files: what Persist means. Part is what they are to hold,
	// where the attributes are not spelt as the playbook has them.
	Kept      *netconf.State    `json:"persist.files,omitzero" weft:"found"`
	Part      netconf.Part      `json:"-"`
	ActualMTU int               `json:"mtu_request.device,omitzero" weft:"found"`
	ActualMAC string            `json:"mac.device,omitzero" weft:"found"`
	Error     string            `json:"error,omitzero" weft:"found"`
	Saved     *saved            `json:"saved,omitzero" weft:"found"`
	Device    map[string]device `json:"devices,omitzero" weft:"found"`
	Seen      portSeen          `json:"seen,omitzero" weft:"found"`
}

// portSeen is for outputs, costs and warnings.
type portSeen struct {
	OFPort int      `json:"ofport,omitzero"`
	MAC    string   `json:"mac,omitzero"`
	Busy   bool     `json:"busy,omitzero"`   // the device is a NIC that is up, or bears addresses
	Beside []string `json:"beside,omitzero"` // what else goes through its bridge
	Peer   string   `json:"peer,omitzero"`   // what is wrong with a patch's peer
}

// PortOutputs is what ovs_port knows when it is done.
type PortOutputs struct {
	OFPort int    `json:"ofport,omitzero" doc:"OpenFlow port number."`
	MAC    string `json:"mac_in_use,omitzero" doc:"MAC address of the interface, lower case."`
}

// Validate implements [step.Validator].
func (s *PortSpec) Validate() []step.Problem {
	problems := nameProblems(s.Name)
	for _, p := range nameProblems(s.Bridge) {
		p.Path = "bridge"
		problems = append(problems, p)
	}
	if s.Name == s.Bridge && s.Name != "" {
		problems = append(problems, step.Problem{Path: "name", Message: "is the bridge's own port", Hint: "ovs_bridge describes it"})
	}
	if !s.State.There() {
		return problems
	}
	if mac, ok := s.MAC.Get(); ok {
		problems = append(problems, macProblems("mac", mac)...)
	}
	problems = append(problems, s.vlans().problems()...)
	if _, tagged := s.Tag.Get(); s.FakeBridge.Or(false) && (!tagged || s.Type.Or("") != "internal") {
		problems = append(problems, step.Problem{Path: "fake_bridge", Message: "needs a tag and type internal: the port is the bridge of that VLAN", Hint: "add tag = 300 and type = \"internal\""})
	}
	if n, ok := s.OFPort.Get(); ok && (n < 1 || n > 65279) {
		problems = append(problems, step.Problem{Path: "ofport_request", Message: strconv.Itoa(n) + " is no OpenFlow port number", Hint: "1 to 65279"})
	}
	if s.Type.Or("") == "patch" && s.Options["peer"].Or("") == "" {
		problems = append(problems, step.Problem{Path: "options.peer", Message: "is missing: a patch port names the port at its other end"})
	}
	if s.Options["peer"].Or("") == s.Name && s.Name != "" {
		problems = append(problems, step.Problem{Path: "options.peer", Message: "is the port itself"})
	}
	for _, key := range []string{"iface-id", "attached-mac", "vm-uuid"} {
		if _, there := s.PortExternalIDs[key]; there {
			problems = append(problems, step.Problem{Path: "port_external_ids." + key, Message: "means nothing on a port: OVN reads it from the interface", Hint: "put it into external_ids"})
		}
	}
	for _, p := range deviceProblems(s.MTU, s.Up, s.Addresses) {
		p.Path = strings.Replace(p.Path, "mtu", "mtu_request", 1)
		problems = append(problems, p)
	}
	if s.Persist.Or(false) {
		problems = append(problems, unsafe(map[string]string{"type": s.Type.Or("")},
			s.OtherConfig, s.ExternalIDs, s.Options, s.PortExternalIDs, s.InterfaceConfig)...)
		for at, keys := range map[string]map[string]step.Attr[string]{"bfd": s.BFD, "lldp": s.LLDP} {
			for _, p := range unsafe(nil, keys) {
				p.Path = at + strings.TrimPrefix(p.Path, "other_config")
				problems = append(problems, p)
			}
		}
	}
	return append(problems, keepProblems(s.Persist, s.PersistBy, s.keep())...)
}

func (s *PortSpec) vlans() vlans {
	return vlans{Tag: s.Tag, Trunks: s.Trunks, CVLANs: s.CVLANs, Mode: s.VLANMode}
}

// complete fills in what follows from what was given.
func (s PortSpec) complete() PortSpec {
	s.Addresses = canonical(s.Addresses)
	if len(s.Addresses) > 0 && !s.Up.Managed() {
		s.Up = step.Is(true)
	}
	s.Trunks, s.CVLANs = vlanSet(s.Trunks), vlanSet(s.CVLANs)
	s.Kept = keptGoal(s.Persist, s.State)
	return s
}

// keep is what files are to hold of the port.
func (s PortSpec) keep() netconf.OVSPort {
	var port, iface kept
	s.vlans().keep(&port)
	port.flag("protected", s.Protected)
	port.flag("fake_bridge", s.FakeBridge)
	port.keys("other_config", s.OtherConfig)
	port.keys("external_ids", s.PortExternalIDs)
	iface.text("mac", s.MAC)
	iface.number("mtu_request", s.MTU)
	iface.number("ofport_request", s.OFPort)
	iface.number("ingress_policing_rate", s.PolicingRate)
	iface.number("ingress_policing_burst", s.PolicingBurst)
	iface.keys("bfd", s.BFD)
	iface.keys("lldp", s.LLDP)
	iface.keys("other_config", s.InterfaceConfig)
	iface.keys("external_ids", s.ExternalIDs)
	iface.keys("options", s.Options)
	return netconf.OVSPort{
		Device: s.Name, Bridge: s.Bridge, Port: port, Own: keptDevice(s.Up, s.Addresses),
		Interfaces: []netconf.OVSInterface{{Name: s.Name, Type: s.kind(), Columns: iface}},
	}
}

func (s PortSpec) keeping() keeping {
	part := s.Part
	if part == nil {
		part = s.keep()
	}
	return keeping{wish(s.Persist, s.State, s.PersistBy, s.Kept), part, []string{s.Name, s.Bridge}}
}

func (s PortSpec) device() deviceSpec {
	return deviceSpec{MTU: s.MTU, MAC: s.MAC, ActualMTU: s.ActualMTU, ActualMAC: s.ActualMAC, Up: s.Up, Addresses: s.Addresses}
}

// kind is the type of the interface; system where none is said.
func (s PortSpec) kind() string { return s.Type.Or("system") }

// keyed are the map columns of a port and of its interface.
func (s *PortSpec) keyed() (port, iface map[string]*map[string]step.Attr[string]) {
	return map[string]*map[string]step.Attr[string]{"other_config": &s.OtherConfig, "external_ids": &s.PortExternalIDs},
		map[string]*map[string]step.Attr[string]{"options": &s.Options, "bfd": &s.BFD, "lldp": &s.LLDP,
			"other_config": &s.InterfaceConfig, "external_ids": &s.ExternalIDs}
}

func sortedColumns(m map[string]*map[string]step.Attr[string]) []string {
	return slices.Sorted(maps.Keys(m))
}

func portKind() step.Kind {
	return step.Kind{
		Name:    "ovs_port",
		Summary: "A port of an Open vSwitch bridge, of any type, with its interface.",
		Doc: `The step is done when the port works: its interface has an OpenFlow port number and no error. A new port that ovs-vswitchd cannot
make is taken out again, and the error shows what ovs-vswitchd said of it. A patch port whose peer is not there yet is a warning, since
a later step may bring it.

A port that is in another bridge is moved. Columns and keys that are not named stay as they are. ` + "`external_ids`" + ` are those of the
interface, where OVN looks for ` + "`iface-id`" + `.

A NIC that joins a bridge loses its own traffic, and a port that goes or changes its VLANs may cut off the devices beside it: the plan
names them. A port that is kept needs its bridge kept, too.` + keepDoc,
		Spec:    PortSpec{},
		Outputs: PortOutputs{},
		Example: `step "ovs_port" "vm1" {
  bridge       = "br-int"
  type         = "internal"
  tag          = 300
  external_ids = { iface-id = "ls1-vm1" }
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[PortSpec](u)
			if err != nil {
				return nil, err
			}
			return step.Of("port "+spec.Name, port{}, spec.complete()), nil
		},
	}
}
