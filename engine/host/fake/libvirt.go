package fake

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"weft/engine/host"
	"weft/engine/host/xmltree"
)

// libvirtd is libvirt 9 at work, as far as kinds meet it: it fills in what a
// definition leaves out, keeps what is defined apart from what runs, and plugs
// the network cards of machines that run into bridges.
type libvirtd struct {
	mu      sync.Mutex
	there   bool
	objects map[host.VirtualObject]map[string]*virtual
}

// virtual is a domain or a network.
type virtual struct {
	uuid      string
	defined   *xmltree.Node // nil of what is transient
	live      *xmltree.Node // nil where it does not run
	autostart bool
	deaf      bool // its guest does not hear the power button
}

func newLibvirtd() *libvirtd {
	return &libvirtd{objects: map[host.VirtualObject]map[string]*virtual{host.VirtualDomain: {}, host.VirtualNetwork: {}}}
}

func (d *libvirtd) clone() *libvirtd {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := newLibvirtd()
	c.there = d.there
	for object, all := range d.objects {
		for name, v := range all {
			copied := *v
			copied.defined, copied.live = cloned(v.defined), cloned(v.live)
			c.objects[object][name] = &copied
		}
	}
	return c
}

func cloned(n *xmltree.Node) *xmltree.Node {
	if n == nil {
		return nil
	}
	return n.Clone()
}

// AddLibvirt puts a running libvirtd on the machine, without domains and
// networks.
func (m *Machine) AddLibvirt() {
	m.libvirt.mu.Lock()
	defer m.libvirt.mu.Unlock()
	m.libvirt.there = true
}

// Virsh gives an order about a domain or a network as another hand does.
func (m *Machine) Virsh(verb host.VirtualVerb, object host.VirtualObject, name string) {
	must(m.order(verb, object, name))
}

// Define defines a domain or a network as another hand does.
func (m *Machine) Define(object host.VirtualObject, name, xml string) {
	must(m.define(object, name, xml))
}

// EditVirtual changes what is defined of a domain or network as another hand
// does, who restarts it where it runs.
func (m *Machine) EditVirtual(object host.VirtualObject, name string, edit func(n *xmltree.Node)) {
	m.libvirt.mu.Lock()
	v := m.libvirt.objects[object][name]
	if v == nil || v.defined == nil {
		panic("fake: there is no " + string(object) + " " + name)
	}
	n, runs := v.defined.Clone(), v.live != nil
	m.libvirt.mu.Unlock()
	edit(n)
	m.Define(object, name, n.String())
	if runs {
		m.Virsh(host.VirtualDestroy, object, name)
		m.Virsh(host.VirtualStart, object, name)
	}
}

// Deaden has the guest of a domain ignore the power button.
func (m *Machine) Deaden(domain string) {
	m.libvirt.mu.Lock()
	defer m.libvirt.mu.Unlock()
	m.libvirt.objects[host.VirtualDomain][domain].deaf = true
}

// Device changes a device of a domain that runs as another hand does.
func (m *Machine) Device(verb host.DeviceVerb, domain, xml string) { must(m.device(verb, domain, xml)) }

// VirtualState is a domain or network as libvirtd tells it, and whether it is
// there.
func (m *Machine) VirtualState(object host.VirtualObject, name string) (host.Virtual, bool) {
	m.libvirt.mu.Lock()
	defer m.libvirt.mu.Unlock()
	v := m.libvirt.objects[object][name]
	if v == nil {
		return host.Virtual{}, false
	}
	out := host.Virtual{Name: name, UUID: v.uuid, Active: v.live != nil, Autostart: v.autostart}
	if v.defined != nil {
		out.Defined = v.defined.String()
	}
	if v.live != nil {
		out.Live = v.live.String()
	}
	return out, true
}

// libvirtDoor is the door to libvirtd.
type libvirtDoor struct{ m *Machine }

func (d libvirtDoor) ready(ctx context.Context, act string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.m.libvirt.mu.Lock()
	defer d.m.libvirt.mu.Unlock()
	if !d.m.libvirt.there {
		return fmt.Errorf("%s: %w: is libvirtd installed and running?", act, host.ErrNotReady)
	}
	return nil
}

func (d libvirtDoor) Virtual(ctx context.Context, object host.VirtualObject, name string) (host.Virtual, error) {
	act := "read " + string(object) + " " + name
	if err := d.ready(ctx, act); err != nil {
		return host.Virtual{}, err
	}
	v, there := d.m.VirtualState(object, name)
	if !there {
		return v, fmt.Errorf("%s: %w", act, fs.ErrNotExist)
	}
	return v, nil
}

func (d libvirtDoor) Define(ctx context.Context, object host.VirtualObject, name, xml string) error {
	return d.act(ctx, "define "+string(object)+" "+name, func() error { return d.m.define(object, name, xml) })
}

func (d libvirtDoor) Order(ctx context.Context, verb host.VirtualVerb, object host.VirtualObject, name string) error {
	return d.act(ctx, string(verb)+" "+string(object)+" "+name, func() error { return d.m.order(verb, object, name) })
}

func (d libvirtDoor) Device(ctx context.Context, verb host.DeviceVerb, domain, xml string) error {
	return d.act(ctx, string(verb)+" a device of domain "+domain, func() error { return d.m.device(verb, domain, xml) })
}

func (d libvirtDoor) act(ctx context.Context, what string, act func() error) error {
	defer d.m.effects.begin()()
	if err := d.ready(ctx, what); err != nil {
		return err
	}
	err := act()
	if err != nil {
		return &host.LibvirtError{Act: what, Code: 1, Said: err.Error()}
	}
	return nil
}

// define keeps a definition, with what libvirt adds to it.
func (m *Machine) define(object host.VirtualObject, name, text string) error {
	n, err := xmltree.Parse(text)
	if err != nil {
		return fmt.Errorf("(%s_definition): %w", object, err)
	}
	m.libvirt.mu.Lock()
	defer m.libvirt.mu.Unlock()
	if n.Name != string(object) || n.At("name") == nil || n.At("name").Text != name {
		return fmt.Errorf("XML error: unexpected root element <%s>, or another name", n.Name)
	}
	all := m.libvirt.objects[object]
	v := all[name]
	if v == nil {
		v = &virtual{}
	}
	if err := normalise(object, n); err != nil {
		return err
	}
	if uuid := n.At("uuid").Text; v.uuid != "" && uuid != v.uuid {
		return fmt.Errorf("operation failed: %s '%s' already exists with uuid %s", object, name, v.uuid)
	}
	v.uuid, v.defined = n.At("uuid").Text, n
	all[name] = v
	return nil
}

func (m *Machine) order(verb host.VirtualVerb, object host.VirtualObject, name string) error {
	m.libvirt.mu.Lock()
	defer m.libvirt.mu.Unlock()
	v := m.libvirt.objects[object][name]
	if v == nil {
		return fmt.Errorf("%s not found: no %s with matching name '%s'", object, object, name)
	}
	defer func() {
		if v.defined == nil && v.live == nil {
			delete(m.libvirt.objects[object], name)
		}
	}()
	switch verb {
	case host.VirtualAutostart, host.VirtualNoAutostart:
		if v.defined == nil {
			return fmt.Errorf("operation invalid: cannot set autostart for transient %s", object)
		}
		v.autostart = verb == host.VirtualAutostart
		return nil
	case host.VirtualUndefine:
		if v.defined == nil {
			return fmt.Errorf("operation invalid: cannot undefine transient %s", object)
		}
		v.defined, v.autostart = nil, false
		return nil
	case host.VirtualStart:
		if v.live != nil {
			return fmt.Errorf("operation invalid: %s is already active", object)
		}
		return m.startVirtual(object, v)
	case host.VirtualShutdown, host.VirtualDestroy:
		if v.live == nil {
			return fmt.Errorf("operation invalid: %s is not active", object)
		}
		if verb == host.VirtualDestroy || !v.deaf {
			m.stopVirtual(v)
		}
		return nil
	}
	return fmt.Errorf("unknown order %q", verb)
}

// rebootLibvirt is what a boot does to libvirt's domains and networks: what ran
// comes back by its definition, and what starts by itself with it.
func (m *Machine) rebootLibvirt() {
	m.libvirt.mu.Lock()
	defer m.libvirt.mu.Unlock()
	for _, object := range []host.VirtualObject{host.VirtualNetwork, host.VirtualDomain} {
		all := m.libvirt.objects[object]
		for _, name := range slices.Sorted(maps.Keys(all)) {
			v, ran := all[name], all[name].live != nil
			if ran {
				m.stopVirtual(v)
			}
			if v.defined == nil {
				delete(all, name)
			} else if v.autostart || ran {
				must(m.startVirtual(object, v))
			}
		}
	}
}

func (d *libvirtd) render(b *strings.Builder) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, object := range []host.VirtualObject{host.VirtualDomain, host.VirtualNetwork} {
		for _, name := range slices.Sorted(maps.Keys(d.objects[object])) {
			v := d.objects[object][name]
			fmt.Fprintf(b, "libvirt %s %s autostart %t\n", object, name, v.autostart)
			renderTree(b, name+" defined", v.defined)
			renderTree(b, name+" live", inOrder(v.live))
		}
	}
}

// inOrder is what runs with its network cards by their addresses: in which order
// they were plugged in means nothing.
func inOrder(live *xmltree.Node) *xmltree.Node {
	n := cloned(live)
	if devices := n.At("devices"); devices != nil {
		slices.SortStableFunc(devices.Children, func(a, b *xmltree.Node) int {
			return strings.Compare(a.Name+a.At("mac").Get("address"), b.Name+b.At("mac").Get("address"))
		})
	}
	return n
}

func renderTree(b *strings.Builder, what string, n *xmltree.Node) {
	if n == nil {
		return
	}
	for line := range strings.Lines(n.String()) {
		fmt.Fprintf(b, "\t%s: %s", what, line)
	}
}
