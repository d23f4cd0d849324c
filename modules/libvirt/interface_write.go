package libvirt

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/host/xmltree"
	"weft/engine/step"
)

func (r interfaces) Write(ctx context.Context, h host.Host, have, want InterfaceSpec) error {
	nic, err := cardAs(have, want)
	if err != nil {
		return err
	}
	if err := defineCard(ctx, h, have, want, nic); err != nil {
		return err
	}
	if have.Found.Live == nil {
		return nil
	}
	if nic != nil {
		// With the interfaceid that libvirt made up, or it would make up another.
		if nic, err = definedCard(ctx, h.View(), want); err != nil {
			return err
		}
	}
	return plugCard(ctx, h, have, want, nic)
}

// definedCard reads the card of the definition.
func definedCard(ctx context.Context, v host.View, want InterfaceSpec) (*xmltree.Node, error) {
	d, err := v.Libvirt.Virtual(ctx, host.VirtualDomain, want.Domain)
	if err != nil {
		return nil, err
	}
	defined, err := definition(d)
	if err != nil {
		return nil, err
	}
	if nic := nicOf(defined, want.MAC); nic != nil {
		return nic, nil
	}
	return nil, fmt.Errorf("libvirtd took the definition of domain %s, and it has no card %s", want.Domain, want.MAC)
}

// cardAs is the card to have in the definition; nil for none.
func cardAs(have, want InterfaceSpec) (*xmltree.Node, error) {
	if !want.State.There() {
		return nil, nil
	}
	text := have.Found.Defined
	if want.Found != nil && want.Found.Defined != "" {
		text = want.Found.Defined
	}
	nic := &xmltree.Node{Name: "interface", Children: []*xmltree.Node{
		{Name: "mac", Attrs: []xmltree.Attr{{Name: "address", Value: want.MAC}}},
	}}
	if text != "" {
		var err error
		if nic, err = xmltree.Parse(text); err != nil {
			return nil, err
		}
	}
	shape(nic, want)
	if port := nic.At("virtualport"); text == "" && have.Found.ID != "" && port.Get("type") == "openvswitch" && !want.InterfaceID.Managed() {
		port.Child("parameters").Set("interfaceid", have.Found.ID) // of the card that is plugged in
	}
	return nic, nil
}

// shape gives a card what is wanted of it.
func shape(nic *xmltree.Node, want InterfaceSpec) {
	source := nic.Child("source")
	set := func(n *xmltree.Node, a step.Attr[string], attribute string) {
		switch v, some := a.Get(); {
		case some:
			n.Set(attribute, v)
		case a.Absent():
			n.Drop(attribute)
		}
	}
	set(source, want.Network, "network")
	set(source, want.Portgroup, "portgroup")
	set(source, want.Bridge, "bridge")
	_, on := want.Network.Get()
	switch _, over := want.Bridge.Get(); {
	case on:
		source.Drop("bridge")
		nic.Set("type", "network")
	case over:
		source.Drop("network")
		source.Drop("portgroup")
		nic.Set("type", "bridge")
	}
	setAttr(nic, want.Virtualport, "virtualport", "type")
	if want.InterfaceID.Managed() && nic.At("virtualport") != nil {
		set(nic.At("virtualport").Child("parameters"), want.InterfaceID, "interfaceid")
	}
	if tag, some := want.Tag.Get(); some {
		n := nic.Child("vlan")
		n.Children = []*xmltree.Node{{Name: "tag", Attrs: []xmltree.Attr{{Name: "id", Value: strconv.Itoa(tag)}}}}
	} else if want.Tag.Absent() && nic.At("vlan") != nil {
		nic.Remove(nic.At("vlan"))
	}
	setAttr(nic, want.Model, "model", "type")
	setAttr(nic, want.Target, "target", "dev")
	setAttr(nic, texts(want.MTU), "mtu", "size")
}

func texts(a step.Attr[int]) step.Attr[string] {
	if v, some := a.Get(); some {
		return step.Is(strconv.Itoa(v))
	}
	if a.Absent() {
		return step.None[string]()
	}
	return step.Attr[string]{}
}

// defineCard has the definition of the domain hold the card as it is wanted.
func defineCard(ctx context.Context, h host.Host, have, want InterfaceSpec, nic *xmltree.Node) error {
	if nic == nil && have.Found.Defined == "" || nic != nil && equal(nic, have.Found.Defined) {
		return nil
	}
	d, err := h.Libvirt.Virtual(ctx, host.VirtualDomain, want.Domain)
	if err != nil {
		return err
	}
	defined, err := definition(d)
	if err != nil {
		return err
	}
	devices, old := defined.Child("devices"), nicOf(defined, want.MAC)
	switch {
	case nic == nil && old == nil:
		return nil
	case nic == nil:
		devices.Remove(old)
	case old != nil:
		*old = *nic
	default:
		put(devices, nic, want.Found)
	}
	return h.Libvirt.Define(ctx, host.VirtualDomain, want.Domain, defined.String())
}

// put adds a card: where it was, of a state to go back to, else as the last.
func put(devices, nic *xmltree.Node, found *interfaceFound) {
	cards := devices.All("interface")
	if found == nil || found.Defined == "" || found.Place >= len(cards) {
		insert(devices, nic)
		return
	}
	at := slices.Index(devices.Children, cards[max(found.Place, 0)])
	devices.Children = slices.Insert(devices.Children, at, nic)
}

// plugCard has the domain that runs have the card as it is wanted.
func plugCard(ctx context.Context, h host.Host, have, want InterfaceSpec, defined *xmltree.Node) error {
	goal := plugged(want)
	live := have.Found.Live
	deltas := compareInterfaces(*live, goal)
	if len(deltas) == 0 {
		return nil
	}
	device := func(verb host.DeviceVerb, n *xmltree.Node) error {
		return h.Libvirt.Device(ctx, verb, want.Domain, n.String())
	}
	var next *xmltree.Node
	if goal.State.There() {
		n, err := cardToPlug(have, want, goal, defined)
		if err != nil {
			return err
		}
		next = n
	}
	if live.State.There() && next != nil && !slices.ContainsFunc(deltas, func(d step.Delta) bool { return !stays(d.Path) }) {
		return device(host.DeviceUpdate, next)
	}
	if live.State.There() {
		old, err := xmltree.Parse(have.Found.LiveXML)
		if err != nil {
			return err
		}
		if err := device(host.DeviceDetach, old); err != nil {
			return err
		}
		if err := released(ctx, h, want); err != nil {
			return err
		}
	}
	if next == nil {
		return nil
	}
	return device(host.DeviceAttach, next)
}

// stays says whether a change of an attribute leaves the card in the guest.
func stays(attribute string) bool {
	return slices.Contains([]string{"network", "portgroup", "bridge"}, attribute)
}

// cardToPlug is the card for the domain that runs, without what libvirt gave the
// one before: its alias, its tap, and what became of its network.
func cardToPlug(have, want, goal InterfaceSpec, defined *xmltree.Node) (*xmltree.Node, error) {
	var n *xmltree.Node
	switch {
	case want.Found != nil && want.Found.LiveXML != "":
		live, err := xmltree.Parse(want.Found.LiveXML)
		if err != nil {
			return nil, err
		}
		n = live
	case defined != nil:
		n = defined.Clone()
		// The next start gives it its place; the domain that runs may have
		// another device there.
		dropAll(n, "address")
	default:
		live, err := xmltree.Parse(have.Found.LiveXML)
		if err != nil {
			return nil, err
		}
		n = live
	}
	dropAll(n, "alias", "backend")
	if dev := n.At("target"); dev != nil && strings.HasPrefix(dev.Get("dev"), "vnet") {
		n.Remove(dev)
	}
	if source := n.At("source"); source.Get("network") != "" {
		n.Set("type", "network")
		source.Drop("bridge")
		source.Drop("portid")
		if !goal.Tag.Managed() && defined.At("vlan") == nil {
			dropAll(n, "vlan")
		}
	}
	shape(n, goal)
	return n, nil
}

func dropAll(n *xmltree.Node, names ...string) {
	for _, name := range names {
		for _, c := range n.All(name) {
			n.Remove(c)
		}
	}
}

// released waits until the guest has let go of the card.
func released(ctx context.Context, h host.Host, want InterfaceSpec) error {
	limit, _ := time.ParseDuration(want.Timeout) // Validate has read it before
	return step.Await(ctx, limit, func() error {
		d, err := h.Libvirt.Virtual(ctx, host.VirtualDomain, want.Domain)
		if err != nil || !d.Active {
			return err
		}
		live, err := xmltree.Parse(d.Live)
		if err != nil {
			return err
		}
		if nicOf(live, want.MAC) == nil {
			return nil
		}
		return fmt.Errorf("the guest of domain %s does not let go of its card %s: it must run, and its kernel must know how to unplug devices", want.Domain, want.MAC)
	})
}
