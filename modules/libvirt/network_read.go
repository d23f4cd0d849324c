package libvirt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"weft/engine/host"
	"weft/engine/host/xmltree"
	"weft/engine/step"
)

type networks struct{ owner owner }

func (r networks) Read(ctx context.Context, v host.View, want NetworkSpec) (NetworkSpec, error) {
	have := NetworkSpec{Name: want.Name, Adopt: want.Adopt, State: step.Absent, Found: &networkFound{}}
	n, err := v.Libvirt.Virtual(ctx, host.VirtualNetwork, want.Name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, given := want.Bridge.Get(); want.State.There() && want.Found == nil && !given {
			return have, fmt.Errorf("there is no network %s, and the step names no bridge to define it with", want.Name)
		}
		return have, nil
	}
	if err != nil {
		return have, err
	}
	defined, err := definition(n)
	if err != nil {
		return have, err
	}
	if err := r.owner.admit("libvirt network "+want.Name, defined, want.Adopt); err != nil {
		return have, err
	}
	if mode := defined.At("forward").Get("mode"); mode != "bridge" {
		return have, fmt.Errorf("network %s has the forward mode %q: weft manages those of bridges alone", want.Name, mode)
	}
	have = networkOf(defined, want)
	have.Running, have.Found = n.Active, &networkFound{UUID: n.UUID, Defined: n.Defined}
	if want.Autostart.Managed() || !want.State.There() {
		have.Autostart = step.Is(n.Autostart)
	}
	if n.Active {
		live, err := xmltree.Parse(n.Live)
		if err != nil {
			return have, err
		}
		at := networkOf(live, want)
		at.Owner, at.Running = step.Attr[string]{}, true // whose it is, a restart would not change
		have.Found.Live = &at
	}
	return have, nil
}

// networkOf is what a definition says of what want manages, or all of it where
// want is absent.
func networkOf(n *xmltree.Node, want NetworkSpec) NetworkSpec {
	have := NetworkSpec{Name: want.Name, Adopt: want.Adopt, State: step.Present, Running: want.Running, Owner: orNone(tagOf(n))}
	whole := !want.State.There()
	if want.Bridge.Managed() || whole {
		have.Bridge = orNone(n.At("bridge").Get("name"))
	}
	if want.Virtualport.Managed() || whole {
		have.Virtualport = orNone(n.At("virtualport").Get("type"))
	}
	have.Portgroups = map[string]step.Attr[Portgroup]{}
	for name := range want.Portgroups {
		have.Portgroups[name] = step.None[Portgroup]()
	}
	for _, g := range n.All("portgroup") {
		name := g.Get("name")
		if _, managed := want.Portgroups[name]; managed || whole {
			have.Portgroups[name] = step.Is(portgroupOf(g))
		}
	}
	return have
}

func orNone(text string) step.Attr[string] {
	if text == "" {
		return step.None[string]()
	}
	return step.Is(text)
}

func group(n *xmltree.Node, name string) *xmltree.Node {
	for _, g := range n.All("portgroup") {
		if g.Get("name") == name {
			return g
		}
	}
	return nil
}

func portgroupOf(n *xmltree.Node) Portgroup {
	g := Portgroup{
		Default: step.Is(n.Get("default") == "yes"), Trunks: []int{},
		Tag: step.None[int](), Native: step.None[int](), NativeMode: step.None[string](),
	}
	vlan := n.At("vlan")
	tags := vlan.All("tag")
	trunk := len(tags) > 1 || vlan != nil && vlan.Get("trunk") == "yes"
	for _, tag := range tags {
		id, err := strconv.Atoi(tag.Get("id"))
		if err != nil {
			continue // libvirt lets none in
		}
		if !trunk {
			g.Tag = step.Is(id)
			continue
		}
		g.Trunks = append(g.Trunks, id)
		if mode := tag.Get("nativeMode"); mode != "" {
			g.Native, g.NativeMode = step.Is(id), step.Is(mode)
		}
	}
	return g
}

func (networks) Diff(have, want NetworkSpec) []step.Delta {
	deltas := compareNetworks(have, want)
	if have.Found == nil || have.Found.Live == nil || !have.State.There() || !want.State.There() || !want.Running {
		return deltas
	}
	for _, d := range compareNetworks(*have.Found.Live, liveOf(want)) {
		if !slices.ContainsFunc(deltas, func(known step.Delta) bool { return known.Path == d.Path }) {
			deltas = append(deltas, d)
		}
	}
	return deltas
}

// compareNetworks is what differs between two definitions.
func compareNetworks(have, want NetworkSpec) []step.Delta {
	groups, wanted := have.Portgroups, want.Portgroups
	have.Portgroups, want.Portgroups = nil, nil
	deltas := step.Compare(have, want)
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if len(step.Compare(groupAlone(name, groups[name]), groupAlone(name, wanted[name]))) > 0 {
			deltas = append(deltas, step.Change("portgroups."+name, groups[name], wanted[name]))
		}
	}
	if have.State.There() && want.State.There() && have.Owner.Managed() && want.Owner.Managed() && !reflect.DeepEqual(have.Owner, want.Owner) {
		deltas = append(deltas, step.Change("owner", said(have.Owner), said(want.Owner)))
	}
	return deltas
}

// groupAlone is a network of which one group is managed. A group makes one
// difference, not one for its tag and one for its trunks: an undo that left a
// part of them to another hand would make a third thing.
func groupAlone(name string, g step.Attr[Portgroup]) NetworkSpec {
	return NetworkSpec{Portgroups: map[string]step.Attr[Portgroup]{name: g}}
}

func said(a step.Attr[string]) any {
	if v, set := a.Get(); set {
		return v
	}
	return nil
}

// liveOf is what should be at work: what is defined.
func liveOf(want NetworkSpec) NetworkSpec {
	want.Autostart, want.Owner, want.Running = step.Attr[bool]{}, step.Attr[string]{}, true
	return want
}

// Advise says what the bridge makes of tags, and what others will notice.
func (networks) Advise(f *step.Finding, have, want NetworkSpec) {
	if have.Found.UUID != "" {
		f.Outputs, _ = json.Marshal(networkOutputs{have.Found.UUID}) // a string always encodes
	}
	if !want.State.There() {
		if have.State.There() {
			f.Cost.Disruption = "domains on network " + want.Name + " do not start any more"
		}
		return
	}
	bridge, named := want.Bridge.Get()
	if !named {
		bridge = have.Bridge.Or("")
	}
	if bridge != "br-int" {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(want.Portgroups)) {
		g, _ := want.Portgroups[name].Get()
		if _, tagged := g.Tag.Get(); tagged || len(g.Trunks) > 0 {
			f.Warnings = append(f.Warnings, "the VLANs of portgroup "+name+" have no effect: br-int is OVN's bridge, which goes by flows alone. Give the logical switch port the tag, or take another bridge")
		}
	}
}
