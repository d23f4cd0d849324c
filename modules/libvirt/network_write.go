package libvirt

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"weft/engine/host"
	"weft/engine/host/xmltree"
	"weft/engine/step"
)

func (r networks) Write(ctx context.Context, h host.Host, have, want NetworkSpec) error {
	order := func(verb host.VirtualVerb) error {
		return h.Libvirt.Order(ctx, verb, host.VirtualNetwork, want.Name)
	}
	if !want.State.There() {
		if !have.State.There() {
			return nil
		}
		if have.Running {
			if err := order(host.VirtualDestroy); err != nil {
				return err
			}
		}
		return order(host.VirtualUndefine)
	}
	if err := r.redefine(ctx, h, have, want); err != nil {
		return err
	}
	if on, managed := want.Autostart.Get(); managed && on != have.Autostart.Or(false) {
		if err := order(autostart(on)); err != nil {
			return err
		}
	}
	return nil
}

// redefine has the definition and what is at work as they are wanted.
func (networks) redefine(ctx context.Context, h host.Host, have, want NetworkSpec) error {
	order := func(verb host.VirtualVerb) error {
		return h.Libvirt.Order(ctx, verb, host.VirtualNetwork, want.Name)
	}
	target, err := networkAs(have, want)
	if err != nil {
		return err
	}
	runs := have.State.There() && have.Running
	stale := runs && want.Running && len(compareNetworks(*have.Found.Live, liveOf(want))) > 0
	if runs && (!want.Running || stale) {
		if err := order(host.VirtualDestroy); err != nil {
			return err
		}
		runs = false
	}
	if !equal(target, have.Found.Defined) {
		if err := h.Libvirt.Define(ctx, host.VirtualNetwork, want.Name, target.String()); err != nil {
			return err
		}
	}
	if want.Running && !runs {
		return order(host.VirtualStart)
	}
	return nil
}

// networkAs is the definition to have: of a state to go back to the one that was
// found, else the one that is there, or a new one; each with what is wanted.
func networkAs(have, want NetworkSpec) (*xmltree.Node, error) {
	base := &xmltree.Node{Name: "network", Children: []*xmltree.Node{
		{Name: "name", Text: want.Name},
		{Name: "forward", Attrs: []xmltree.Attr{{Name: "mode", Value: "bridge"}}},
	}}
	var err error
	if have.Found.Defined != "" {
		if base, err = xmltree.Parse(have.Found.Defined); err != nil {
			return nil, err
		}
	}
	if want.Found != nil && want.Found.Defined != "" {
		back, err := xmltree.Parse(want.Found.Defined)
		if err != nil {
			return nil, err
		}
		for _, g := range base.All("portgroup") { // another hand's, since
			name := g.Get("name")
			if _, ours := want.Portgroups[name]; !ours && group(back, name) == nil {
				insert(back, g.Clone())
			}
		}
		base = back
	}
	setAttr(base, want.Bridge, "bridge", "name")
	setAttr(base, want.Virtualport, "virtualport", "type")
	for _, name := range slices.Sorted(maps.Keys(want.Portgroups)) {
		setPortgroup(base, name, want.Portgroups[name])
	}
	if want.Owner.Managed() {
		setTag(base, want.Owner.Or(""))
	}
	return base, nil
}

// setAttr sets an attribute of a child that stands for itself, or takes the child
// away.
func setAttr(n *xmltree.Node, a step.Attr[string], child, attribute string) {
	v, set := a.Get()
	switch {
	case set:
		n.Child(child).Set(attribute, v)
	case a.Absent() && n.At(child) != nil:
		n.Remove(n.At(child))
	}
}

func setPortgroup(n *xmltree.Node, name string, a step.Attr[Portgroup]) {
	g := group(n, name)
	want, set := a.Get()
	switch {
	case !set && g == nil:
		return
	case !set:
		n.Remove(g)
		return
	case g == nil:
		g = &xmltree.Node{Name: "portgroup", Attrs: []xmltree.Attr{{Name: "name", Value: name}}}
		insert(n, g)
	}
	if on, managed := want.Default.Get(); managed {
		g.Drop("default")
		if on {
			g.Set("default", "yes")
		}
	}
	if !want.Tag.Managed() && want.Trunks == nil && !want.Native.Managed() && !want.NativeMode.Managed() {
		return
	}
	if has := portgroupOf(g); !reflect.DeepEqual(has, merged(has, want)) {
		setVLAN(g, merged(has, want))
	}
}

// merged is what a group is to have: what is wanted, and what it has of the rest
// that goes together with that.
func merged(have, want Portgroup) Portgroup {
	out := have
	if want.Tag.Managed() {
		out.Tag = want.Tag
		if _, access := want.Tag.Get(); access {
			out.Trunks, out.Native, out.NativeMode = nil, step.None[int](), step.None[string]()
		}
	}
	if want.Trunks != nil {
		out.Trunks = want.Trunks
		if len(want.Trunks) > 0 {
			out.Tag = step.None[int]()
		}
	}
	if want.Native.Managed() {
		out.Native = want.Native
	}
	if want.NativeMode.Managed() {
		out.NativeMode = want.NativeMode
	}
	return out
}

func setVLAN(n *xmltree.Node, g Portgroup) {
	tag, access := g.Tag.Get()
	if !access && len(g.Trunks) == 0 {
		dropAll(n, "vlan")
		return
	}
	vlan := n.Child("vlan")
	vlan.Attrs, vlan.Children = nil, nil
	add := func(id int) *xmltree.Node {
		t := vlan.Add(&xmltree.Node{Name: "tag"})
		t.Set("id", strconv.Itoa(id))
		return t
	}
	if access {
		add(tag)
		return
	}
	vlan.Set("trunk", "yes")
	native, some := g.Native.Get()
	for _, id := range g.Trunks {
		if t := add(id); some && id == native {
			t.Set("nativeMode", g.NativeMode.Or("untagged"))
		}
	}
}
