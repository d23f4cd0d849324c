package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// placeEnd moves the VM's end to where it belongs, and gives it its name there.
// A move takes addresses and routes along; the next stages see to them.
func placeEnd(ctx context.Context, h host.Host, s *scene, want FakeVMSpec) error {
	name, wanted := want.Interface.Get()
	if want.Type == "" || !wanted {
		return nil
	}
	if s.end == nil { // of an internal port: ovs-vswitchd makes it
		var err error
		if s, err = awaitEnd(ctx, h.View(), want); err != nil {
			return err
		}
	}
	to := want.Name
	if !want.Link.Inside.Or(true) {
		to = ""
	}
	switch {
	case s.endIn == to && s.end.Name == name:
		return nil
	case s.endIn == to:
		return rename(ctx, h, s, name)
	}
	if err := lower(ctx, h, s); err != nil {
		return err
	}
	return h.Links.Set(ctx, s.endIn, s.end.Name, host.LinkChange{Namespace: &to, Name: name})
}

// rename gives the VM's end another name. Before Linux 6.2 a link that is up
// keeps its name, and one that goes down loses its routes and IPv6 addresses:
// those that nobody manages are put back.
func rename(ctx context.Context, h host.Host, s *scene, name string) error {
	err := h.Links.Set(ctx, s.endIn, s.end.Name, host.LinkChange{Name: name})
	if !errors.Is(err, syscall.EBUSY) {
		return err
	}
	if err := lower(ctx, h, s); err != nil {
		return err
	}
	links, err := h.Links.List(ctx, s.endIn)
	if err != nil {
		return err
	}
	now := named(links, s.end.Name)
	if now == nil {
		return fmt.Errorf("link %s is gone", s.end.Name)
	}
	return h.Links.Set(ctx, s.endIn, s.end.Name, host.LinkChange{
		Name: name, AddAddresses: missing(s.end.Addresses, now.Addresses), Up: new(true), AddRoutes: s.routes,
	})
}

func lower(ctx context.Context, h host.Host, s *scene) error {
	if !s.end.Up {
		return nil
	}
	return h.Links.Set(ctx, s.endIn, s.end.Name, host.LinkChange{Up: new(false)})
}

func awaitEnd(ctx context.Context, v host.View, want FakeVMSpec) (s *scene, err error) {
	err = step.Await(ctx, 10*time.Second, func() error {
		if s, err = look(ctx, v, want); err != nil {
			return err
		}
		if s.end == nil {
			_, why := s.alive()
			return fmt.Errorf("no link %s from Open vSwitch: %s; see /var/log/openvswitch/ovs-vswitchd.log", want.Port.Or(""), why)
		}
		return nil
	})
	return s, err
}

// setEnd brings the VM's end to what is wanted, in one change.
func setEnd(ctx context.Context, h host.Host, s *scene, want FakeVMSpec) error {
	if s.end == nil {
		return nil
	}
	c, changes := host.LinkChange{}, false
	if mac, ok := want.MAC.Get(); ok && mac != s.end.MAC {
		c.MAC, changes = mac, true
	}
	if mtu, ok := want.MTU.Get(); ok && mtu != s.end.MTU {
		c.MTU, changes = mtu, true
	}
	if on, ok := want.Link.Checksum.Get(); ok && s.end.Kind == "veth" && on != s.end.Checksum {
		c.Checksum, changes = &on, true
	}
	if want.Addresses != nil {
		var wanted []netip.Prefix
		for _, text := range want.Addresses {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return err
			}
			wanted = append(wanted, p)
		}
		c.AddAddresses, c.RemoveAddresses = missing(wanted, s.end.Addresses), missing(s.end.Addresses, wanted)
		changes = changes || len(c.AddAddresses)+len(c.RemoveAddresses) > 0
	}
	if up, ok := want.Link.Up.Get(); ok && up != s.end.Up {
		c.Up, changes = &up, true
	}
	if !changes {
		return nil
	}
	return h.Links.Set(ctx, s.endIn, s.end.Name, c)
}

// setPort brings the bridge's end up, and an undo gives it its own MAC and MTU
// back.
func setPort(ctx context.Context, h host.Host, s *scene, want FakeVMSpec) error {
	if s.port == nil {
		return nil
	}
	c, changes := host.LinkChange{}, false
	if mac, ok := want.Link.PortMAC.Get(); ok && mac != s.port.MAC {
		c.MAC, changes = mac, true
	}
	if mtu, ok := want.Link.PortMTU.Get(); ok && mtu != s.port.MTU {
		c.MTU, changes = mtu, true
	}
	if up, ok := want.Link.PortUp.Get(); ok && up != s.port.Up {
		c.Up, changes = &up, true
	}
	if !changes {
		return nil
	}
	return h.Links.Set(ctx, "", s.port.Name, c)
}

func setLoopback(ctx context.Context, h host.Host, s *scene, want FakeVMSpec) error {
	up, ok := want.Link.LoopbackUp.Get()
	if !ok || !s.namespace || up == s.loopback {
		return nil
	}
	c := host.LinkChange{Up: &up}
	if !up { // the kernel gave it 127.0.0.1 when it first came up
		c.RemoveAddresses = slices.DeleteFunc(named(s.inside, "lo").Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() })
	}
	return h.Links.Set(ctx, want.Name, "lo", c)
}

// dropRoutes comes before the addresses change: the kernel keeps a route whose
// gateway is no longer reached, and does not take it again.
func dropRoutes(ctx context.Context, h host.Host, s *scene, want FakeVMSpec) error {
	remove, _, err := routeChanges(s, want)
	if err != nil || len(remove) == 0 {
		return err
	}
	return h.Links.Set(ctx, s.endIn, s.end.Name, host.LinkChange{RemoveRoutes: remove})
}

// addRoutes comes last: a gateway is reached over an address of a link that is
// up.
func addRoutes(ctx context.Context, h host.Host, s *scene, want FakeVMSpec) error {
	_, add, err := routeChanges(s, want)
	if err != nil || len(add) == 0 || !s.end.Up {
		return err
	}
	return h.Links.Set(ctx, s.endIn, s.end.Name, host.LinkChange{AddRoutes: add})
}

// routeChanges are the routes that are not wanted, and those that are missing.
func routeChanges(s *scene, want FakeVMSpec) (remove, add []host.Route, err error) {
	if s.end == nil {
		return nil, nil, nil
	}
	set := func(to netip.Prefix, a step.Attr[string], now host.Route, there bool) error {
		via, wanted := a.Get()
		if !a.Managed() || wanted == there && (!there || now.Via.String() == via) {
			return nil
		}
		if there {
			remove = append(remove, now)
		}
		if !wanted {
			return nil
		}
		gateway, err := netip.ParseAddr(via)
		add = append(add, host.Route{Destination: to, Via: gateway, Link: s.end.Name})
		return err
	}
	family, err := netip.ParseAddr(want.Gateway.Or("0.0.0.0"))
	if err != nil {
		return nil, nil, err
	}
	everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if family.Is6() {
		everywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	now, there := s.gateway(family)
	errs := []error{set(everywhere, want.Gateway, now, there)}
	for _, to := range slices.Sorted(maps.Keys(want.Routes)) {
		network, err := netip.ParsePrefix(to)
		now, there := s.route(to)
		errs = append(errs, err, set(network, want.Routes[to], now, there))
	}
	return remove, add, errors.Join(errs...)
}
