package ovs

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host/netconf"
	"weft/engine/step"
)

// TunnelSpec is the attributes of ovs_tunnel.
type TunnelSpec struct {
	Name          string                       `json:"name,omitzero" weft:"label" doc:"Name of the port and of its interface, at most 15 characters."`
	State         step.State                   `json:"state,omitzero" doc:"Whether the tunnel should be there."`
	Bridge        string                       `json:"bridge" weft:"required" doc:"The bridge; a tunnel that is in another is moved."`
	Type          step.Attr[string]            `json:"type,omitzero" weft:"enum=vxlan|geneve|gre" doc:"The encapsulation. Must be given."`
	RemoteIP      step.Attr[string]            `json:"remote_ip,omitzero" doc:"The other end: a unicast address, or flow for any. Must be given."`
	LocalIP       step.Attr[string]            `json:"local_ip,omitzero" doc:"Address of this host that packets must be sent to; left out or absent any. flow goes with remote_ip flow."`
	Key           step.Attr[string]            `json:"key,omitzero" doc:"VNI of vxlan and geneve (24 bits) or key of gre (32 bits), for both directions; flow leaves it to OpenFlow. Absent is 0."`
	InKey         step.Attr[string]            `json:"in_key,omitzero" doc:"Key that received packets must have, where it is not that of the others."`
	OutKey        step.Attr[string]            `json:"out_key,omitzero" doc:"Key of packets that are sent, where it is not that of the others."`
	DstPort       step.Attr[int]               `json:"dst_port,omitzero" doc:"UDP port; absent is 4789 for vxlan and 6081 for geneve."`
	TOS           step.Attr[string]            `json:"tos,omitzero" doc:"TOS byte of the outer header, a number whose two ECN bits are 0, or inherit; absent is 0."`
	TTL           step.Attr[string]            `json:"ttl,omitzero" doc:"TTL of the outer header, 1 to 255, or inherit; absent is the system's, 64."`
	DFDefault     step.Attr[bool]              `json:"df_default,omitzero" doc:"Whether the outer header says do not fragment. Open vSwitch's default is true."`
	Csum          step.Attr[bool]              `json:"csum,omitzero" doc:"Whether the outer header has a checksum. Open vSwitch's default is false."`
	EgressPktMark step.Attr[int]               `json:"egress_pkt_mark,omitzero" doc:"Mark of the packets that are sent (SO_MARK), for the host's routing rules; absent is 0."`
	Options       map[string]step.Attr[string] `json:"options,omitzero" doc:"Further keys of the interface's options: exts, packet_type, seq, ….  Absent removes a key, keys left out stay."`
	BFD           map[string]step.Attr[string] `json:"bfd,omitzero" doc:"Keys of Bidirectional Forwarding Detection between the ends: enable, min_rx, min_tx, decay_min_rx, forwarding_if_rx, check_tnl_key, …."`
	Tag           step.Attr[int]               `json:"tag,omitzero" doc:"VLAN of the tunnel's port where it is an access port, 0 to 4095."`
	Protected     step.Attr[bool]              `json:"protected,omitzero" doc:"Whether frames from other protected ports are kept away: in a mesh of tunnels none goes from one into another."`
	OFPort        step.Attr[int]               `json:"ofport_request,omitzero" doc:"OpenFlow port number to have, 1 to 65279."`
	ExternalIDs   map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of the interface's external_ids; absent removes a key, keys left out stay."`
	Persist       step.Attr[bool]              `json:"persist,omitzero" doc:"Whether files make the tunnel at boot as this step describes it."`
	PersistBy     string                       `json:"persist_by,omitzero" weft:"enum=ifupdown|networkmanager|network-scripts|netplan" doc:"What makes it at boot. Left out, it is what configures the host's network."`

	Kept  *netconf.State `json:"persist.files,omitzero" weft:"found"`
	Found *PortSpec      `json:"port,omitzero" weft:"found"` // the port, for what the attributes do not say
	Seen  tunnelSeen     `json:"seen,omitzero" weft:"found"`
}

// tunnelSeen is for warnings.
type tunnelSeen struct {
	Foreign string `json:"foreign,omitzero"` // a local_ip that the host does not have
	Outlet  string `json:"outlet,omitzero"`  // a device that a userspace datapath sends nothing to
}

// TunnelOutputs is what ovs_tunnel knows when it is done.
type TunnelOutputs struct {
	OFPort int `json:"ofport,omitzero" doc:"OpenFlow port number."`
}

const flow = "flow"

// Validate implements [step.Validator].
func (s *TunnelSpec) Validate() []step.Problem {
	bare := *s
	bare.Options = nil
	p := bare.port()
	for k, v := range s.Options {
		p.Options[k] = v
	}
	problems := p.Validate()
	for i, o := range problems {
		if key, ok := strings.CutPrefix(o.Path, "options."); ok && slices.Contains(tunnelKeys(), key) {
			problems[i].Path = key
		}
	}
	if !s.State.There() {
		return problems
	}
	add := func(at, message, hint string) {
		problems = append(problems, step.Problem{Path: at, Message: message, Hint: hint})
	}
	for at, attr := range map[string]step.Attr[string]{"type": s.Type, "remote_ip": s.RemoteIP} {
		if _, given := attr.Get(); !given {
			add(at, "is missing: type and remote_ip make the tunnel", `state = "absent" removes one`)
		}
	}
	for _, key := range tunnelKeys() {
		if _, twice := s.Options[key]; twice {
			add("options."+key, "is what the attribute "+key+" sets", "give it as "+key+" = …")
		}
	}
	problems = slices.Concat(problems, s.endProblems(), s.keyProblems(), s.headerProblems())
	slices.SortStableFunc(problems, func(a, b step.Problem) int { return strings.Compare(a.Path, b.Path) })
	return problems
}

// endProblems finds ends that Open vSwitch refuses.
func (s *TunnelSpec) endProblems() []step.Problem {
	var problems []step.Problem
	ends := map[string]netip.Addr{}
	for at, attr := range map[string]step.Attr[string]{"remote_ip": s.RemoteIP, "local_ip": s.LocalIP} {
		text, ok := attr.Get()
		if !ok || text == flow {
			continue
		}
		a, err := netip.ParseAddr(text)
		switch {
		case err != nil || a.Zone() != "":
			problems = append(problems, step.Problem{Path: at, Message: strconv.Quote(text) + " is neither an IP address nor " + flow, Hint: "names are not looked up: write 192.0.2.1 or fd00::1"})
		case a.IsMulticast() || a.IsUnspecified():
			problems = append(problems, step.Problem{Path: at, Message: text + " is no address of one host", Hint: "Open vSwitch has unicast tunnels alone: one tunnel for each other end"})
		}
		ends[at] = a
	}
	if l, r := ends["local_ip"], ends["remote_ip"]; l.IsValid() && r.IsValid() && l.Is4() != r.Is4() {
		problems = append(problems, step.Problem{Path: "local_ip", Message: "is not of the family of remote_ip"})
	}
	if s.LocalIP.Or("") == flow && s.RemoteIP.Managed() && s.RemoteIP.Or("") != flow {
		problems = append(problems, step.Problem{Path: "local_ip", Message: "can be flow only where remote_ip is"})
	}
	return problems
}

// keyProblems finds keys that do not fit into the header.
func (s *TunnelSpec) keyProblems() []step.Problem {
	var problems []step.Problem
	bits := 24
	if s.Type.Or("") == "gre" {
		bits = 32
	}
	for at, attr := range map[string]step.Attr[string]{"key": s.Key, "in_key": s.InKey, "out_key": s.OutKey} {
		if text, ok := attr.Get(); ok && text != flow {
			if _, err := strconv.ParseUint(text, 0, bits); err != nil {
				problems = append(problems, step.Problem{Path: at, Message: strconv.Quote(text) + " is no key", Hint: fmt.Sprintf("a number below 2^%d, or %s", bits, flow)})
			}
		}
	}
	if _, both := s.Key.Get(); both && (s.InKey.Managed() || s.OutKey.Managed()) {
		problems = append(problems, step.Problem{Path: "key", Message: "is short for in_key and out_key together", Hint: "keep either key, or the other two"})
	}
	return problems
}

// headerProblems finds values that the outer header cannot hold.
func (s *TunnelSpec) headerProblems() []step.Problem {
	var problems []step.Problem
	for at, attr := range map[string]step.Attr[string]{"tos": s.TOS, "ttl": s.TTL} {
		text, ok := attr.Get()
		n, err := strconv.ParseUint(text, 0, 8)
		if ok && text != "inherit" && (err != nil || at == "tos" && n&3 != 0) {
			problems = append(problems, step.Problem{Path: at, Message: strconv.Quote(text) + " cannot be the " + strings.ToUpper(at) + " of a packet", Hint: "0 to 255 (of a TOS in steps of 4, the two ECN bits are the kernel's), or inherit"})
		}
	}
	n, ok := s.DstPort.Get()
	switch {
	case ok && s.Type.Or("") == "gre":
		problems = append(problems, step.Problem{Path: "dst_port", Message: "means nothing to gre, which has no ports"})
	case ok && (n < 1 || n > 65535):
		problems = append(problems, step.Problem{Path: "dst_port", Message: strconv.Itoa(n) + " is no UDP port", Hint: "1 to 65535"})
	}
	if n, ok := s.EgressPktMark.Get(); ok && (n < 0 || n > 1<<32-1) {
		problems = append(problems, step.Problem{Path: "egress_pkt_mark", Message: strconv.Itoa(n) + " is no mark", Hint: "0 to 4294967295"})
	}
	return problems
}

func tunnelKind() step.Kind {
	return step.Kind{
		Name:    "ovs_tunnel",
		Summary: "A tunnel of Open vSwitch to another host: vxlan, geneve or gre.",
		Doc: `The step is done when ovs-vswitchd has made the tunnel: its interface has an OpenFlow port number and no error. That says nothing of
the other end: a probe does, or ` + "`bfd = { enable = \"true\" }`" + ` at both ends, whose state Open vSwitch keeps in bfd_status.

Packets that come in are told apart by type, UDP port, ` + "`remote_ip`, `local_ip`" + ` and ` + "`in_key`" + `: two tunnels that agree in all of
these cannot be on one datapath, and the second is refused with the name of the first.

Where ` + "`key`" + ` is given, ` + "`in_key` and `out_key`" + ` are taken away, and the other way round. Other options and columns that are not named
stay as they are. The tunnels of OVN (ovn-…) are ovn-controller's: leave them to it.

A packet grows by 50 bytes with vxlan over IPv4, by 58 and more with geneve, by 38 to 46 with gre: the guests' MTU must leave that room.` + keepDoc,
		Spec:    TunnelSpec{},
		Outputs: TunnelOutputs{},
		Example: `step "ovs_tunnel" "vx-compute2" {
  bridge    = "br-int"
  type      = "vxlan"
  remote_ip = hosts["compute2"].vars.underlay
  key       = 5001
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[TunnelSpec](u)
			if err != nil {
				return nil, err
			}
			spec = spec.complete()
			return tunnelStep{step.Of("tunnel "+spec.Name, tunnel{}, spec), spec}, nil
		},
	}
}
