package ovs

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host/netconf"
	"weft/engine/step"
)

// BondSpec is the attributes of ovs_bond.
type BondSpec struct {
	Name        string                       `json:"name,omitzero" weft:"label" doc:"Name of the bond, a port of its bridge, at most 15 characters."`
	State       step.State                   `json:"state,omitzero" doc:"Whether the bond should be there. Removal leaves its members without a bridge."`
	Bridge      string                       `json:"bridge" weft:"required" doc:"The bridge; a bond that is in another is moved."`
	Members     []string                     `json:"members,omitzero" weft:"set,whole" doc:"Names of all its interfaces, two or more. One that is a port of its own, of any bridge, is taken into the bond."`
	Mode        step.Attr[string]            `json:"bond_mode,omitzero" weft:"enum=active-backup|balance-slb|balance-tcp" doc:"How members share the load; absent is active-backup. balance-tcp needs LACP."`
	LACP        step.Attr[string]            `json:"lacp,omitzero" weft:"enum=off|passive|active" doc:"Whether LACP is spoken; absent is off."`
	UpDelay     step.Attr[int]               `json:"bond_updelay,omitzero" doc:"How long a member's link must be up before it is used, milliseconds."`
	DownDelay   step.Attr[int]               `json:"bond_downdelay,omitzero" doc:"How long a member's link must be down before it is no longer used, milliseconds."`
	FakeIface   step.Attr[bool]              `json:"bond_fake_iface,omitzero" doc:"Whether there is a device of the bond's name, for software that looks for one."`
	Tag         step.Attr[int]               `json:"tag,omitzero" doc:"VLAN of an access port, 0 to 4095."`
	Trunks      []int                        `json:"trunks,omitzero" weft:"set" doc:"VLANs that a trunk carries; [] is all of them."`
	CVLANs      []int                        `json:"cvlans,omitzero" weft:"set" doc:"Inner VLANs that a dot1q-tunnel port carries; [] is all of them."`
	VLANMode    step.Attr[string]            `json:"vlan_mode,omitzero" weft:"enum=trunk|access|native-tagged|native-untagged|dot1q-tunnel" doc:"How VLANs are handled; absent lets Open vSwitch choose by tag and trunks."`
	OtherConfig map[string]step.Attr[string] `json:"other_config,omitzero" doc:"Keys of the port's other_config: lacp-time, lacp-fallback-ab, lacp-system-id, bond-primary, bond-detect-mode, bond-miimon-interval, bond-rebalance-interval, …."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of the port's external_ids."`
	Interfaces  map[string]MemberSpec        `json:"interfaces,omitzero" doc:"What single members have beside: an object a member, by its name."`
	Up          step.Attr[bool]              `json:"up,omitzero" doc:"Whether the devices of all members are up."`
	Persist     step.Attr[bool]              `json:"persist,omitzero" doc:"Whether files make the bond at boot as this step describes it."`
	PersistBy   string                       `json:"persist_by,omitzero" weft:"enum=ifupdown|networkmanager|network-scripts|netplan" doc:"What makes it at boot. Left out, it is what configures the host's network."`

	// Kept are the files: what Persist means.
	Kept   *netconf.State    `json:"persist.files,omitzero" weft:"found"`
	Error  string            `json:"error,omitzero" weft:"found"`
	Saved  *saved            `json:"saved,omitzero" weft:"found"`
	Alone  map[string]alone  `json:"ports,omitzero" weft:"found"`
	Device lostDevices       `json:"devices,omitzero" weft:"found"`
	Seen   bondSeen          `json:"seen,omitzero" weft:"found"`
	Now    map[string]device `json:"-"` // the devices of members, to compare with Device
}

// MemberSpec is what one interface of a bond has beside its name.
type MemberSpec struct {
	Type        step.Attr[string]            `json:"type,omitzero" doc:"Type of the interface: system for a device of the host (the same as absent), dpdk, …."`
	Options     map[string]step.Attr[string] `json:"options,omitzero" doc:"Keys of the interface's options: dpdk-devargs, …."`
	MTU         step.Attr[int]               `json:"mtu_request,omitzero" doc:"MTU of the device, in bytes."`
	OtherConfig map[string]step.Attr[string] `json:"other_config,omitzero" doc:"Keys of the interface's other_config: lacp-port-id, lacp-port-priority, lacp-aggregation-key, …."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of the interface's external_ids."`

	ActualMTU int `json:"mtu_request.device,omitzero" weft:"found"`
}

// alone is a port with its place, before it was taken from there.
type alone struct {
	Bridge string `json:"bridge"`
	Saved  *saved `json:"saved"`
}

// bondSeen is for costs and warnings.
type bondSeen struct {
	Carries []string `json:"carries,omitzero"` // what goes through its bridge
	Joins   []string `json:"joins,omitzero"`   // what loses its traffic as members join
	Down    []string `json:"down,omitzero"`    // members whose devices are down
	Mode    string   `json:"bond_mode,omitzero"`
	LACP    string   `json:"lacp,omitzero"`
	Falls   string   `json:"lacp-fallback-ab,omitzero"`
}

const (
	defaultMode = "active-backup"
	defaultLACP = "off"
)

// Validate implements [step.Validator].
func (s *BondSpec) Validate() []step.Problem {
	problems := nameProblems(s.Name)
	for _, p := range nameProblems(s.Bridge) {
		p.Path = "bridge"
		problems = append(problems, p)
	}
	if s.Name == s.Bridge && s.Name != "" {
		problems = append(problems, step.Problem{Path: "name", Message: "is the bridge's own port", Hint: "give the bond another name: bond0"})
	}
	if !s.State.There() {
		return problems
	}
	problems = append(problems, s.memberProblems()...)
	problems = append(problems, s.modeProblems()...)
	problems = append(problems, s.vlans().problems()...)
	for at, n := range map[string]step.Attr[int]{"bond_updelay": s.UpDelay, "bond_downdelay": s.DownDelay} {
		if n.Or(0) < 0 {
			problems = append(problems, step.Problem{Path: at, Message: "is less than nothing", Hint: "milliseconds; 0 is at once"})
		}
	}
	if s.Persist.Or(false) {
		problems = append(problems, unsafe(nil, s.OtherConfig, s.ExternalIDs)...)
	}
	if len(s.Members) > 1 {
		problems = append(problems, keepProblems(s.Persist, s.PersistBy, s.keep())...)
	}
	return problems
}

func (s *BondSpec) memberProblems() []step.Problem {
	var problems []step.Problem
	members := slices.Compact(slices.Sorted(slices.Values(s.Members)))
	if len(members) < 2 {
		problems = append(problems, step.Problem{Path: "members", Message: "are fewer than two", Hint: "a bond has two interfaces or more; ovs_port describes a port of one"})
	}
	for _, m := range members {
		for _, p := range nameProblems(m) {
			p.Path = "members"
			problems = append(problems, p)
		}
		if m == s.Name || m == s.Bridge {
			problems = append(problems, step.Problem{Path: "members", Message: "hold " + m + ", the name of the bond or of its bridge", Hint: "names of ports, interfaces and bridges differ in Open vSwitch"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Interfaces)) {
		at := "interfaces." + name
		if !slices.Contains(members, name) {
			problems = append(problems, step.Problem{Path: at, Message: "is no member of the bond", Hint: "the members are " + strings.Join(members, ", ")})
		}
		problems = append(problems, s.Interfaces[name].problems(at, s.Persist.Or(false))...)
	}
	return problems
}

func (m MemberSpec) problems(at string, persist bool) []step.Problem {
	problems := deviceProblems(m.MTU, step.Attr[bool]{}, nil)
	for i := range problems {
		problems[i].Path = at + ".mtu_request"
	}
	for _, key := range []string{"lacp-port-id", "lacp-port-priority", "lacp-aggregation-key"} {
		problems = append(problems, outOfRange(at, m.OtherConfig, key, 1, 65535)...)
	}
	if persist {
		bad := unsafe(map[string]string{"type": m.Type.Or("")}, m.OtherConfig, m.ExternalIDs, m.Options)
		for _, p := range bad {
			p.Path = at + "." + p.Path
			problems = append(problems, p)
		}
	}
	return problems
}

// modeProblems are combinations in which the bond would pass nothing, and values
// that ovs-vswitchd would take for its default without a word.
func (s *BondSpec) modeProblems() []step.Problem {
	var problems []step.Problem
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	off := s.LACP.Or(defaultLACP) == "off"
	mode := s.Mode.Or(defaultMode)
	if off && mode == "balance-tcp" {
		bad("lacp", "is off, and a bond of mode balance-tcp drops every frame without LACP",
			`lacp = "active"; with other_config = { lacp-fallback-ab = "true" } it works as active-backup until the switch answers`)
	}
	if off && s.LACP.Managed() && s.OtherConfig["lacp-fallback-ab"].Or("") == "true" {
		bad("other_config.lacp-fallback-ab", "has no effect while lacp is off", `lacp = "active"`)
	}
	if primary, ok := s.OtherConfig["bond-primary"].Get(); ok {
		if !slices.Contains(s.Members, primary) {
			bad("other_config.bond-primary", primary+" is no member of the bond", "the members are "+strings.Join(s.Members, ", "))
		}
		if mode == "balance-slb" {
			bad("other_config.bond-primary", "has no effect on a bond of mode balance-slb", "it is for active-backup, and for balance-tcp where it falls back to that")
		}
	}
	for key, values := range map[string][]string{
		"lacp-time": {"fast", "slow"}, "lacp-fallback-ab": {"true", "false"}, "bond-detect-mode": {"carrier", "miimon"},
		"all-members-active": {"true", "false"}, "lb-output-action": {"true", "false"},
	} {
		if v, ok := s.OtherConfig[key].Get(); ok && !slices.Contains(values, v) {
			bad("other_config."+key, strconv.Quote(v)+" means nothing to Open vSwitch", "one of "+strings.Join(values, ", "))
		}
	}
	if id, ok := s.OtherConfig["lacp-system-id"].Get(); ok {
		if hw, err := net.ParseMAC(id); err != nil || len(hw) != 6 {
			bad("other_config.lacp-system-id", strconv.Quote(id)+" is not an Ethernet address", "write it as 02:00:00:00:00:01")
		}
	}
	problems = append(problems, outOfRange("", s.OtherConfig, "lacp-system-priority", 1, 65535)...)
	problems = append(problems, outOfRange("", s.OtherConfig, "bond-miimon-interval", 1, maxInt32)...)
	return append(problems, outOfRange("", s.OtherConfig, "bond-rebalance-interval", 0, maxInt32)...)
}

const maxInt32 = 1<<31 - 1

// outOfRange finds a key of other_config whose value is no number of a range.
func outOfRange(at string, keys map[string]step.Attr[string], key string, low, high int) []step.Problem {
	v, ok := keys[key].Get()
	if n, err := strconv.Atoi(v); !ok || err == nil && low <= n && n <= high {
		return nil
	}
	path := strings.TrimPrefix(at+".other_config."+key, ".")
	return []step.Problem{{Path: path, Message: strconv.Quote(v) + " means nothing to Open vSwitch", Hint: "a number from " + strconv.Itoa(low) + " to " + strconv.Itoa(high)}}
}

// complete fills in what follows from what was given.
func (s BondSpec) complete() BondSpec {
	if s.Members != nil {
		s.Members = slices.Compact(slices.Sorted(slices.Values(s.Members)))
	}
	s.Trunks, s.CVLANs = vlanSet(s.Trunks), vlanSet(s.CVLANs)
	s.Kept = keptGoal(s.Persist, s.State)
	return s
}

// keep is what files are to hold of the bond. A device of its name is made only
// where that is asked for: ifupdown's hook would make one.
func (s BondSpec) keep() netconf.Part {
	var port kept
	s.vlans().keep(&port)
	port.text("bond_mode", s.Mode)
	port.text("lacp", s.LACP)
	port.number("bond_updelay", s.UpDelay)
	port.number("bond_downdelay", s.DownDelay)
	port.flag("bond_fake_iface", step.Is(s.FakeIface.Or(false)))
	port.keys("other_config", s.OtherConfig)
	port.keys("external_ids", s.ExternalIDs)
	out := netconf.OVSPort{Device: s.Name, Bridge: s.Bridge, Port: port, Replaces: s.Members}
	for _, name := range s.Members {
		m := s.Interfaces[name]
		var iface kept
		iface.number("mtu_request", m.MTU)
		iface.keys("options", m.Options)
		iface.keys("other_config", m.OtherConfig)
		iface.keys("external_ids", m.ExternalIDs)
		out.Interfaces = append(out.Interfaces, netconf.OVSInterface{Name: name, Type: m.Type.Or(""), Columns: iface})
	}
	return out
}

func (s BondSpec) keeping() keeping {
	return keeping{wish(s.Persist, s.State, s.PersistBy, s.Kept), s.keep(), append([]string{s.Name, s.Bridge}, s.Members...)}
}

func (s *BondSpec) vlans() vlans {
	return vlans{Tag: s.Tag, Trunks: s.Trunks, CVLANs: s.CVLANs, Mode: s.VLANMode}
}

func bondKind() step.Kind {
	return step.Kind{
		Name:    "ovs_bond",
		Summary: "A bond of Open vSwitch: a port of two or more interfaces, with LACP or without.",
		Doc: `The members are exactly those that are named. One that is a port of its own, in any bridge, is taken into the bond with the
interface that it has, in one transaction, and undo makes it that port again; a member of another bond is refused. The step is done when the
interface of every member has an OpenFlow port number and no error; else the error shows what ovs-vswitchd said of that member. Whether LACP was
negotiated is for ` + "`probe_lacp`" + ` to say.

What the switch must do: for ` + "`balance-slb`" + ` and ` + "`active-backup`" + ` without LACP its ports must not be a channel; for ` + "`balance-tcp`" + ` they
must be one, with LACP. A bond with LACP passes nothing while the switch does not answer, unless ` + "`lacp-fallback-ab`" + ` is "true" in
` + "`other_config`" + `. ` + "`balance-tcp`" + ` without LACP drops everything, and is refused.

Columns and keys that are not named stay as they are. A plan names members that are down: ` + "`up = true`" + ` brings them up. A member that joins
loses its own traffic, and a change of the mode, of LACP or of VLANs may cut off what goes through the bridge: the plan names it.

A bond that is kept needs its bridge kept, too; what makes a member a port of its own at boot goes. Open vSwitch's database keeps the bond over a
reboot as well; ifupdown's hook then says that it is there already, and brings its members up.` + keepDoc,
		Spec: BondSpec{},
		Example: `step "ovs_bond" "bond0" {
  bridge       = "ovsbr0"
  members      = ["eth1", "eth2"]
  bond_mode    = "balance-tcp"
  lacp         = "active"
  trunks       = [11, 300, 301, 302]
  other_config = { lacp-time = "fast", lacp-fallback-ab = "true" }
  up           = true
  persist      = true
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[BondSpec](u)
			if err != nil {
				return nil, err
			}
			return step.Of("bond "+spec.Name, bond{}, spec.complete()), nil
		},
	}
}
