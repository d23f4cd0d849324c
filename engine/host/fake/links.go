package fake

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"syscall"

	"weft/engine/host"
)

// AddLink puts a link into a namespace ("" is the host's own) as another hand
// or a device driver does; index, MAC and MTU are chosen where they are left
// out. A veth pair is made by [Machine.AddVeth].
func (m *Machine) AddLink(namespace string, l host.Link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.net.space(namespace)
	must(err)
	l.Addresses, l.Special, l.Options = slices.Clone(l.Addresses), maps.Clone(l.Special), maps.Clone(l.Options)
	must(m.net.add(s, &device{Link: l}))
}

// AddVeth makes a veth pair in the host's own namespace.
func (m *Machine) AddVeth(name, peer string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	must(m.net.addVeth(name, peer))
}

// MakeLink makes a bond, a bridge or a VLAN as ip-link(8) does.
func (m *Machine) MakeLink(l host.NewLink) {
	m.mu.Lock()
	defer m.mu.Unlock()
	must(m.net.make(l))
}

// WithoutLinks leaves links of a kind out of the kernel: there is no module for
// them.
func (m *Machine) WithoutLinks(kind string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.net.without = append(m.net.without, kind)
}

// AddNamespace makes a network namespace.
func (m *Machine) AddNamespace(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	must(m.net.addSpace(name))
}

// RemoveNamespace removes a network namespace and its links, if it is there.
func (m *Machine) RemoveNamespace(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.net.spaces[name] != nil && name != "" {
		m.net.removeSpace(name)
	}
}

// RemoveLink removes a link and the other end of a veth, if it is there.
func (m *Machine) RemoveLink(namespace, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, d, err := m.net.find(namespace, name); err == nil {
		m.net.remove(d)
	}
}

// SetLink changes a link that is there.
func (m *Machine) SetLink(namespace, name string, c host.LinkChange) {
	m.mu.Lock()
	defer m.mu.Unlock()
	must(m.net.set(namespace, name, c))
}

// Link returns a link, and whether it is there.
func (m *Machine) Link(namespace, name string) (host.Link, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, d, err := m.net.find(namespace, name)
	if err != nil {
		return host.Link{}, false
	}
	return d.view(), true
}

// Announced returns the addresses that neighbours were told of, in order.
func (m *Machine) Announced() []netip.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.net.announced)
}

// links is the door to the network.
type links struct{ m *Machine }

func (l links) Namespaces(ctx context.Context) ([]string, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	return l.m.net.names(), ctx.Err()
}

func (l links) List(ctx context.Context, namespace string) ([]host.Link, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	s, err := l.m.net.space(namespace)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var all []host.Link
	for _, d := range s.links {
		all = append(all, d.view())
	}
	return all, ctx.Err()
}

func (l links) Routes(ctx context.Context, namespace string) ([]host.Route, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	s, err := l.m.net.space(namespace)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return append(s.connected(), s.routes...), ctx.Err()
}

func (l links) AddNamespace(ctx context.Context, name string) error {
	return l.change(ctx, "add network namespace "+name, func(n *network) error { return n.addSpace(name) })
}

func (l links) RemoveNamespace(ctx context.Context, name string) error {
	return l.change(ctx, "remove network namespace "+name, func(n *network) error {
		if name == "" || n.spaces[name] == nil {
			return noNamespace(name)
		}
		n.removeSpace(name)
		return nil
	})
}

func (l links) AddVeth(ctx context.Context, name, peer string) error {
	return l.change(ctx, "add veth "+name, func(n *network) error { return n.addVeth(name, peer) })
}

func (l links) AddLink(ctx context.Context, made host.NewLink) error {
	return l.change(ctx, "add "+made.Kind+" "+made.Name, func(n *network) error { return n.make(made) })
}

func (l links) RemoveLink(ctx context.Context, namespace, name string) error {
	return l.change(ctx, "remove link "+name, func(n *network) error {
		_, d, err := n.find(namespace, name)
		switch {
		case err != nil:
			return err
		case d.Kind == "":
			return syscall.EOPNOTSUPP // a physical device stays
		}
		n.remove(d)
		return nil
	})
}

func (l links) Set(ctx context.Context, namespace, name string, c host.LinkChange) error {
	return l.change(ctx, "set link "+name, func(n *network) error { return n.set(namespace, name, c) })
}

func (l links) change(ctx context.Context, what string, act func(*network) error) error {
	defer l.m.effects.begin()()
	if err := ctx.Err(); err != nil {
		return err
	}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if err := act(&l.m.net); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
