package libvirt

import (
	"fmt"
	"maps"
	"slices"

	"weft/engine/step"
)

// NetworkSpec is the attributes of a libvirt_network.
type NetworkSpec struct {
	Name        string                          `json:"name,omitzero" weft:"label" doc:"Name of the network."`
	Bridge      step.Attr[string]               `json:"bridge,omitzero" doc:"The bridge that network cards are plugged into. It is no business of libvirt's: another step makes it."`
	Virtualport step.Attr[string]               `json:"virtualport,omitzero" weft:"enum=openvswitch" doc:"What kind of bridge it is: openvswitch, or absent for one of the kernel."`
	Portgroups  map[string]step.Attr[Portgroup] `json:"portgroups,omitzero" doc:"Groups of ports by name; one that is absent is removed, one that is left out stays as it is."`
	Running     bool                            `json:"running,omitzero" default:"true" doc:"Whether it is started, so that domains can start on it."`
	Autostart   step.Attr[bool]                 `json:"autostart,omitzero" doc:"Whether libvirtd starts it when the host boots."`
	Adopt       bool                            `json:"adopt,omitzero" default:"false" doc:"Whether a network that this step did not define may be managed, and removed."`
	State       step.State                      `json:"state,omitzero" default:"present" doc:"Whether the network should be there. Domains that are plugged in stay so, and do not start again without it."`

	Owner step.Attr[string] `json:"owner,omitzero" weft:"found"`
	Found *networkFound     `json:"found,omitzero" weft:"found"`
}

// Portgroup is a group of ports of a network.
type Portgroup struct {
	Default    step.Attr[bool]   `json:"default,omitzero" doc:"Whether network cards that name no group are in this one."`
	Tag        step.Attr[int]    `json:"tag,omitzero" doc:"VLAN of an access port, 1 to 4095. Not with trunks."`
	Trunks     []int             `json:"trunks,omitzero" weft:"set" doc:"VLANs of a trunk port, tagged."`
	Native     step.Attr[int]    `json:"native,omitzero" doc:"One of trunks that frames without a tag belong to."`
	NativeMode step.Attr[string] `json:"native_mode,omitzero" weft:"enum=tagged|untagged" doc:"Whether frames of the native VLAN leave with their tag; untagged where it is left out."`
}

// networkFound is a network as it was read; its fields are empty where there was
// none.
type networkFound struct {
	UUID    string       `json:"uuid,omitzero"`
	Defined string       `json:"defined,omitzero"`
	Live    *NetworkSpec `json:"live,omitzero"` // what is at work, where it runs
}

type networkOutputs struct {
	UUID string `json:"uuid" doc:"The UUID of the network."`
}

func networkKind() step.Kind {
	return step.Kind{
		Name:    "libvirt_network",
		Summary: "A network of libvirt over a bridge, with groups of ports by VLAN.",
		Doc: `The network is defined with forward mode "bridge": libvirt plugs network cards into a bridge that
is there, and does no more. With virtualport = "openvswitch" the bridge is one of Open vSwitch, and a portgroup is
an access port of a VLAN (tag) or a trunk (trunks, native).

Both the definition and what runs are converged. What runs takes a change up by a restart of the
network, which leaves the cards that are plugged in where they are; a domain that starts within that
moment fails, and a card keeps its VLANs until it is plugged in again. A network that ran by an older
definition than the one that is there runs by that one after a rollback.

A tag has no effect on OVN's integration bridge, which goes by flows alone: the plan says so.

The network carries the step's owner in its metadata. One that this step did not define is refused
unless adopt = true.`,
		Spec:    NetworkSpec{},
		Outputs: networkOutputs{},
		Example: `step "libvirt_network" "ovsnw" {
  bridge      = "ovsbr0"
  virtualport = "openvswitch"
  autostart   = true
  portgroups = {
    untag   = { default = true }
    vlan300 = { tag = 300 }
    trunk   = { trunks = [300, 301], native = 300 }
  }
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[NetworkSpec](u)
			if err != nil {
				return nil, err
			}
			o := ownerOf(u)
			want.Owner = step.Is(o.tag)
			return step.Of("libvirt network "+want.Name, networks{o}, want), nil
		},
	}
}

// Validate finds what libvirt would refuse, or would pass over.
func (s *NetworkSpec) Validate() []step.Problem {
	problems := validName(s.Name)
	defaults := 0
	for _, name := range slices.Sorted(maps.Keys(s.Portgroups)) {
		g, there := s.Portgroups[name].Get()
		if !there {
			continue
		}
		at := "portgroups." + name
		if on, _ := g.Default.Get(); on {
			defaults++
		}
		_, access := g.Tag.Get()
		native, some := g.Native.Get()
		switch {
		case access && len(g.Trunks) > 0:
			problems = append(problems, step.Problem{Path: at, Message: "has both tag and trunks", Hint: "tag is for an access port; the VLAN of a trunk's untagged frames is native"})
		case some && !slices.Contains(g.Trunks, native):
			problems = append(problems, step.Problem{Path: at + ".native", Message: fmt.Sprintf("%d is none of trunks", native)})
		case (access || len(g.Trunks) > 0) && s.Virtualport.Absent():
			problems = append(problems, step.Problem{Path: at, Message: `needs virtualport = "openvswitch"`, Hint: "libvirt sets no VLANs on a bridge of the kernel"})
		case g.NativeMode.Or("") != "" && !some:
			problems = append(problems, step.Problem{Path: at + ".native_mode", Message: "needs native"})
		}
		tags := g.Trunks
		if tag, set := g.Tag.Get(); set {
			tags = append(slices.Clone(tags), tag)
		}
		for _, tag := range tags {
			if tag < 1 || tag > 4095 {
				problems = append(problems, step.Problem{Path: at, Message: fmt.Sprintf("%d is no VLAN", tag), Hint: "1 to 4095"})
			}
		}
	}
	if defaults > 1 {
		problems = append(problems, step.Problem{Path: "portgroups", Message: "has more than one default group"})
	}
	return problems
}
