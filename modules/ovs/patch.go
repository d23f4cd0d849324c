package ovs

import (
	"slices"
	"strings"

	"weft/engine/host/netconf"
	"weft/engine/step"
)

// PatchSpec is the attributes of ovs_patch.
type PatchSpec struct {
	State     step.State      `json:"state,omitzero" doc:"Whether the pair should be there. Removal takes both ports."`
	Near      PatchEnd        `json:"near" weft:"required" doc:"One end: an object with bridge, port and, if need be, tag, trunks and vlan_mode."`
	Far       PatchEnd        `json:"far" weft:"required" doc:"The other end, an object of the same kind."`
	Replaces  []string        `json:"replaces,omitzero" weft:"set" doc:"Ports that are taken out of their bridges in the same transaction, so that no loop is closed: the ends of a veth that joined them before. Their devices stay."`
	Persist   step.Attr[bool] `json:"persist,omitzero" doc:"Whether files make both ports at boot as this step describes them."`
	PersistBy string          `json:"persist_by,omitzero" weft:"enum=ifupdown|networkmanager|network-scripts|netplan" doc:"What makes them at boot. Left out, it is what configures the host's network."`

	// Kept are the files: what Persist means.
	Kept     *netconf.State    `json:"persist.files,omitzero" weft:"found"`
	Error    string            `json:"error,omitzero" weft:"found"`
	Half     string            `json:"half,omitzero" weft:"found,whole"` // the end that is not there
	Replaced map[string]alone  `json:"replaced,omitzero" weft:"found"`
	Device   lostDevices       `json:"devices,omitzero" weft:"found"`
	Seen     patchSeen         `json:"seen,omitzero" weft:"found"`
	Now      map[string]device `json:"-"` // the devices, to compare with Device
}

// PatchEnd is one port of the pair.
type PatchEnd struct {
	Bridge   string            `json:"bridge" weft:"required" doc:"The bridge; a port that is in another is moved."`
	Port     string            `json:"port" weft:"required" doc:"Name of the port, at most 15 characters."`
	Tag      step.Attr[int]    `json:"tag,omitzero" doc:"VLAN of an access port, 0 to 4095."`
	Trunks   []int             `json:"trunks,omitzero" weft:"set" doc:"VLANs that pass; [] is all of them."`
	VLANMode step.Attr[string] `json:"vlan_mode,omitzero" weft:"enum=trunk|access|native-tagged|native-untagged" doc:"How VLANs are handled; absent lets Open vSwitch choose by tag and trunks."`

	// Type and Options are those of the interface: patch, and the other end
	// as its peer alone.
	Type    string            `json:"type,omitzero" weft:"found"`
	Options map[string]string `json:"options,omitzero" weft:"found"`
	Saved   *saved            `json:"saved,omitzero" weft:"found"`
}

// patchSeen is for costs and warnings.
type patchSeen struct {
	Carries []string `json:"carries,omitzero"` // what goes through both bridges
	Loop    string   `json:"loop,omitzero"`    // the way from one to the other without this pair
}

// Validate implements [step.Validator].
func (s *PatchSpec) Validate() []step.Problem {
	var problems []step.Problem
	names := []string{s.Near.Bridge, s.Far.Bridge, s.Near.Port, s.Far.Port}
	for i, at := range []string{"near.bridge", "far.bridge", "near.port", "far.port"} {
		if names[i] == "" { // the language says so
			continue
		}
		for _, p := range nameProblems(names[i]) {
			p.Path = at
			problems = append(problems, p)
		}
	}
	for _, same := range []struct{ at, a, b, hint string }{
		{"far.bridge", s.Near.Bridge, s.Far.Bridge, "a patch joins two bridges"},
		{"far.port", s.Near.Port, s.Far.Port, "names of ports differ: patch0-1 and patch1-0"},
		{"near.port", s.Near.Port, s.Near.Bridge, "that is the bridge's own port"},
		{"near.port", s.Near.Port, s.Far.Bridge, "that is the bridge's own port"},
		{"far.port", s.Far.Port, s.Near.Bridge, "that is the bridge's own port"},
		{"far.port", s.Far.Port, s.Far.Bridge, "that is the bridge's own port"},
	} {
		if same.a == same.b && same.a != "" {
			problems = append(problems, step.Problem{Path: same.at, Message: same.a + " stands for two things", Hint: same.hint})
		}
	}
	if !s.State.There() {
		return problems
	}
	for at, v := range map[string]vlans{"near.": s.Near.vlans(), "far.": s.Far.vlans()} {
		for _, p := range v.problems() {
			p.Path = at + p.Path
			problems = append(problems, p)
		}
	}
	for _, name := range s.Replaces {
		if slices.Contains(names, name) {
			problems = append(problems, step.Problem{Path: "replaces", Message: "holds " + name + ", which is of the pair itself", Hint: "name the ports that go"})
		}
	}
	return append(problems, keepProblems(s.Persist, s.PersistBy, s.keep())...)
}

// complete fills in what follows from what was given.
func (s PatchSpec) complete() PatchSpec {
	s.Near, s.Far = s.Near.to(s.Far.Port), s.Far.to(s.Near.Port)
	s.Kept = keptGoal(s.Persist, s.State)
	return s
}

// to is the end as it should be, with its peer.
func (e PatchEnd) to(peer string) PatchEnd {
	e.Trunks, e.Type, e.Options = vlanSet(e.Trunks), "patch", map[string]string{"peer": peer}
	return e
}

func (e PatchEnd) vlans() vlans { return vlans{Tag: e.Tag, Trunks: e.Trunks, Mode: e.VLANMode} }

// keep is what files are to hold of the port, as of one of ovs_port.
func (e PatchEnd) keep() netconf.OVSPort {
	return PortSpec{
		Name: e.Port, Bridge: e.Bridge, Type: step.Is("patch"), Options: map[string]step.Attr[string]{"peer": step.Is(e.Options["peer"])},
		Tag: e.Tag, Trunks: e.Trunks, VLANMode: e.VLANMode,
	}.keep()
}

func (s PatchSpec) keep() netconf.Part {
	return netconf.OVSPatch{Near: s.Near.keep(), Far: s.Far.keep(), Replaces: s.Replaces}
}

func (s PatchSpec) keeping() keeping {
	return keeping{wish(s.Persist, s.State, s.PersistBy, s.Kept), s.keep(), []string{s.Near.Bridge, s.Far.Bridge}}
}

// object names the pair, the same whichever end comes first.
func (s PatchSpec) object() string {
	return "patch " + strings.Join(slices.Sorted(slices.Values([]string{s.Near.Port, s.Far.Port})), " - ")
}

// ends are the two by the name of their attribute.
func (s PatchSpec) ends() map[string]PatchEnd {
	return map[string]PatchEnd{"near": s.Near, "far": s.Far}
}

// sides are the names of the ends, in the order in which they are compared.
func sides() []string { return []string{"near", "far"} }

func patchKind() step.Kind {
	return step.Kind{
		Name:    "ovs_patch",
		Summary: "A pair of patch ports of Open vSwitch that joins two bridges.",
		Doc: `Both ports are made in one transaction, each with the other as its peer and no other option. Half a pair is made whole, and a port
whose peer is another is turned round. The step is done when both have an OpenFlow port number and no error: of a peer that is gone Open vSwitch says
nothing for a while, so both ends are looked at.

Both bridges need the same ` + "`datapath_type`" + `. Where the pair closes a loop through other patch ports, and a bridge of that loop speaks neither
STP nor RSTP, the plan warns and names the way: frames would go round without end. The way is looked for in what is there when the plan is made. Of two bridges
both of which have RSTP a pair is refused: ovs-vswitchd does not survive it; STP works.

With ` + "`replaces`" + ` the pair takes the place of other ports, such as the ends of a veth, in the same transaction; undo puts them back.
A pair that is kept needs its bridges kept, too; what makes replaced ports at boot goes.` + keepDoc,
		Spec: PatchSpec{},
		Example: `step "ovs_patch" "ovsbr0-ovsbr1" {
  near     = { bridge = "ovsbr0", port = "patch0-1" }
  far      = { bridge = "ovsbr1", port = "patch1-0", trunks = [300, 301] }
  replaces = ["veth0-1", "veth1-0"]
  persist  = true
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[PatchSpec](u)
			if err != nil {
				return nil, err
			}
			return step.Of(spec.object(), patch{}, spec.complete()), nil
		},
	}
}
