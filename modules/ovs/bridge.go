package ovs

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host/netconf"
	"weft/engine/host/row"
	"weft/engine/step"
)

// BridgeSpec is the attributes of ovs_bridge.
type BridgeSpec struct {
	Name         string                       `json:"name,omitzero" weft:"label" doc:"Name of the bridge and of its own port, at most 15 characters."`
	State        step.State                   `json:"state,omitzero" doc:"Whether the bridge should be there. Removal takes its ports with it."`
	DatapathType step.Attr[string]            `json:"datapath_type,omitzero" weft:"enum=system|netdev" doc:"The kernel's datapath (system) or the one in userspace (netdev, which DPDK needs). A change makes the bridge anew."`
	FailMode     step.Attr[string]            `json:"fail_mode,omitzero" weft:"enum=standalone|secure" doc:"What happens without a controller: switch like an ordinary switch, or drop."`
	Hwaddr       step.Attr[string]            `json:"hwaddr,omitzero" doc:"MAC address of the bridge (other_config:hwaddr); without it the address changes as ports come and go."`
	Protocols    []string                     `json:"protocols,omitzero" weft:"set,enum=OpenFlow10|OpenFlow11|OpenFlow12|OpenFlow13|OpenFlow14|OpenFlow15" doc:"Versions of OpenFlow that are spoken."`
	STP          step.Attr[bool]              `json:"stp_enable,omitzero" doc:"Whether the bridge speaks the Spanning Tree Protocol (IEEE 802.1D-1998)."`
	RSTP         step.Attr[bool]              `json:"rstp_enable,omitzero" doc:"Whether the bridge speaks the Rapid Spanning Tree Protocol (IEEE 802.1D-2004)."`
	Snooping     step.Attr[bool]              `json:"mcast_snooping_enable,omitzero" doc:"Whether multicast goes only where it was asked for."`
	Controllers  []Remote                     `json:"controllers,omitzero" weft:"set" doc:"All OpenFlow controllers; [] removes them. With fail_mode secure a bridge whose controllers are away drops what they did not ask for."`
	OtherConfig  map[string]step.Attr[string] `json:"other_config,omitzero" doc:"Keys of other_config: rstp-priority, rstp-forward-delay, stp-priority, mcast-snooping-aging-time, mac-aging-time, …; absent removes a key, keys left out stay."`
	ExternalIDs  map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids; absent removes a key, keys left out stay."`
	MTU          step.Attr[int]               `json:"mtu,omitzero" doc:"MTU of the bridge's own port, in bytes (mtu_request)."`
	Up           step.Attr[bool]              `json:"up,omitzero" doc:"Whether the bridge's own port is up; it is where addresses are given."`
	Addresses    []string                     `json:"addresses,omitzero" weft:"set" doc:"All addresses of the bridge's own port, with prefix lengths."`
	Persist      step.Attr[bool]              `json:"persist,omitzero" doc:"Whether files make the bridge at boot as this step describes it."`
	PersistBy    string                       `json:"persist_by,omitzero" weft:"enum=ifupdown|networkmanager|network-scripts|netplan" doc:"What makes it at boot. Left out, it is what configures the host's network."`

	// Kept are the files: what Persist means.
	Kept      *netconf.State    `json:"persist.files,omitzero" weft:"found"`
	ActualMTU int               `json:"mtu.device,omitzero" weft:"found"`
	ActualMAC string            `json:"hwaddr.device,omitzero" weft:"found"`
	Error     string            `json:"error,omitzero" weft:"found"`
	Remotes   []row.Record      `json:"controllers.rows,omitzero" weft:"found"`
	Saved     *saved            `json:"saved,omitzero" weft:"found"`
	Device    map[string]device `json:"devices,omitzero" weft:"found"` // of the bridge and its internal ports
	Seen      bridgeSeen        `json:"seen,omitzero" weft:"found"`
}

// bridgeSeen is for outputs, costs and warnings.
type bridgeSeen struct {
	DatapathID string   `json:"datapath_id,omitzero"`
	MAC        string   `json:"mac,omitzero"`
	Ports      []string `json:"ports,omitzero"`   // beside the bridge's own
	Carries    []string `json:"carries,omitzero"` // what its removal cuts
	Elsewhere  []string `json:"elsewhere,omitzero"`
	Silent     []string `json:"silent,omitzero"` // controllers that are not connected
	// Guests run with a card on it, and Unsure is what is not certain about
	// them. They are looked for where it is made anew.
	Guests []string `json:"guests,omitzero"`
	Unsure []string `json:"unsure,omitzero"`
}

// BridgeOutputs is what ovs_bridge knows when it is done.
type BridgeOutputs struct {
	DatapathID string `json:"datapath_id,omitzero" doc:"OpenFlow datapath id, 16 hexadecimal digits."`
	MAC        string `json:"mac,omitzero" doc:"MAC address of the bridge's own port, lower case."`
}

var deviceName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,14}$`)

// Validate implements [step.Validator].
func (s *BridgeSpec) Validate() []step.Problem {
	problems := nameProblems(s.Name)
	if !s.State.There() {
		return problems
	}
	if hw, ok := s.Hwaddr.Get(); ok {
		problems = append(problems, macProblems("hwaddr", hw)...)
	}
	if _, there := s.OtherConfig["hwaddr"]; there && s.Hwaddr.Managed() {
		problems = append(problems, step.Problem{Path: "other_config.hwaddr", Message: "is what the attribute hwaddr sets", Hint: "keep one of the two"})
	}
	if s.STP.Or(false) && s.RSTP.Or(false) {
		problems = append(problems, step.Problem{Path: "rstp_enable", Message: "cannot be on together with stp_enable"})
	}
	problems = append(problems, controllers().problems(s.Controllers)...)
	problems = append(problems, deviceProblems(s.MTU, s.Up, s.Addresses)...)
	if s.Persist.Or(false) {
		for _, r := range s.Controllers {
			problems = append(problems, unsafe(map[string]string{"controllers": r.Target})...)
		}
		problems = append(problems, unsafe(nil, s.OtherConfig, s.ExternalIDs)...)
	}
	return append(problems, keepProblems(s.Persist, s.PersistBy, s.keep())...)
}

func nameProblems(name string) []step.Problem {
	if deviceName.MatchString(name) {
		return nil
	}
	return []step.Problem{{Path: "name", Message: strconv.Quote(name) + " is no name of a network device", Hint: "1 to 15 letters, digits and . _ + -"}}
}

func macProblems(at, mac string) []step.Problem {
	hw, err := net.ParseMAC(mac)
	switch {
	case err != nil || len(hw) != 6:
		return []step.Problem{{Path: at, Message: strconv.Quote(mac) + " is not an Ethernet address", Hint: "write it as 02:00:00:00:00:01"}}
	case hw[0]&1 == 1:
		return []step.Problem{{Path: at, Message: mac + " is a multicast address", Hint: "the first byte of a device's address is even"}}
	}
	return nil
}

func deviceProblems(mtu step.Attr[int], up step.Attr[bool], addresses []string) []step.Problem {
	var problems []step.Problem
	if n, ok := mtu.Get(); ok && (n < 68 || n > 65535) {
		problems = append(problems, step.Problem{Path: "mtu", Message: strconv.Itoa(n) + " is no MTU", Hint: "68 to 65535 bytes"})
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a); err != nil || p.Addr().Zone() != "" {
			problems = append(problems, step.Problem{Path: "addresses", Message: strconv.Quote(a) + " is not an address with its prefix length", Hint: "write it as 192.0.2.1/24"})
		}
	}
	if on, ok := up.Get(); ok && !on && len(addresses) > 0 {
		problems = append(problems, step.Problem{Path: "up", Message: "is false, but a device that is down has no use for addresses"})
	}
	return problems
}

// complete fills in what follows from what was given.
func (s BridgeSpec) complete() BridgeSpec {
	s.Addresses = canonical(s.Addresses)
	s.Controllers = spelled(s.Controllers)
	if len(s.Addresses) > 0 && !s.Up.Managed() {
		s.Up = step.Is(true)
	}
	s.Kept = keptGoal(s.Persist, s.State)
	return s
}

// keep is what files are to hold of the bridge.
func (s BridgeSpec) keep() netconf.Part {
	var bridge, own kept
	bridge.text("datapath_type", s.DatapathType)
	bridge.text("fail_mode", s.FailMode)
	if s.Protocols != nil {
		bridge.add("protocols", "", strings.Join(slices.Sorted(slices.Values(s.Protocols)), ","))
	}
	bridge.flag("stp_enable", s.STP)
	bridge.flag("rstp_enable", s.RSTP)
	bridge.flag("mcast_snooping_enable", s.Snooping)
	if s.Hwaddr.Managed() {
		bridge.add("other_config", "hwaddr", s.Hwaddr.Or(""))
	}
	bridge.keys("other_config", s.OtherConfig)
	bridge.keys("external_ids", s.ExternalIDs)
	own.number("mtu_request", s.MTU)
	return netconf.OVSBridge{Device: s.Name, Bridge: bridge, Interface: own, Controllers: keptRemotes(s.Controllers), Own: keptDevice(s.Up, s.Addresses)}
}

func (s BridgeSpec) keeping() keeping {
	return keeping{wish(s.Persist, s.State, s.PersistBy, s.Kept), s.keep(), []string{s.Name}}
}

func (s BridgeSpec) device() deviceSpec {
	return deviceSpec{MTU: s.MTU, MAC: s.Hwaddr, ActualMTU: s.ActualMTU, ActualMAC: s.ActualMAC, Up: s.Up, Addresses: s.Addresses}
}

func bridgeKind() step.Kind {
	return step.Kind{
		Name:    "ovs_bridge",
		Summary: "A bridge of Open vSwitch, with its own port: addresses, MTU, MAC, and a file that makes it again at boot.",
		Doc: `The step is done when ovs-vswitchd has configured the bridge: the bridge's own port has a number and no error, and its network
device is there. Columns and keys that are not named stay as they are.

Give a bridge that has addresses or takes a NIC a fixed ` + "`hwaddr`" + `: without one its MAC address changes as ports come and go.

` + "`controllers`" + ` are managed as a whole: a connection that is not named goes, and what a named one leaves out is Open vSwitch's default.
A controller that does not answer is a warning. A bridge that is to forward by itself has ` + "`controllers = []`" + `.

RSTP is tuned by keys of ` + "`other_config`" + `: rstp-priority, rstp-forward-delay, rstp-max-age, rstp-transmit-hold-count; a port's by
its own: rstp-enable, rstp-port-path-cost, rstp-port-priority, rstp-port-admin-edge. Multicast snooping has mcast-snooping-table-size,
mcast-snooping-aging-time and mcast-snooping-disable-flood-unregistered. ovs-vswitchd.conf.db(5) describes them.

A change of ` + "`datapath_type`" + ` makes the bridge and the devices of its internal ports anew; their addresses and gateways are put back. Virtual machines with a card
on it are named, and it is made only by ` + "`--allow-disruption`" + ` where there are any.
Removal takes all ports with it, whoever made them. It records the bridge whole, with ports, mirrors and controllers, for undo;
a port whose device lives in a network namespace comes back in the host's own.

What others set on the bridge is in Open vSwitch's database and comes back with that: a file of ifupdown keeps
` + "`ifdown -a`" + ` from deleting the bridge there.` + keepDoc,
		Spec:    BridgeSpec{},
		Outputs: BridgeOutputs{},
		Example: `step "ovs_bridge" "br-ext" {
  fail_mode = "standalone"
  hwaddr    = "02:00:00:00:01:01"
  addresses = ["192.0.2.1/24"]
  persist   = true
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[BridgeSpec](u)
			if err != nil {
				return nil, err
			}
			return step.Of("bridge "+spec.Name, bridge{}, spec.complete()), nil
		},
	}
}
