package local

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"weft/engine/host"
)

// Set does one change after the other.
func (links) Set(ctx context.Context, namespace, name string, c host.LinkChange) error {
	if c.Namespace != nil && *c.Namespace != namespace {
		if err := moveLink(ctx, namespace, name, *c.Namespace); err != nil {
			return fmt.Errorf("set link %s: %w", name, err)
		}
		namespace = *c.Namespace
	}
	err := dial(ctx, namespace, func(h *netlink.Handle) error {
		l, err := findLink(h, name)
		if err != nil {
			return err
		}
		if c.Name != "" && c.Name != name {
			if err := h.LinkSetName(l, c.Name); err != nil {
				return fmt.Errorf("rename to %s: %w", c.Name, err)
			}
			name = c.Name
		}
		return setLink(h, namespace, name, l, c)
	})
	if err != nil {
		return fmt.Errorf("set link %s: %w", name, err)
	}
	return nil
}

func moveLink(ctx context.Context, from, name, to string) error {
	target, err := openNamespace(to)
	if err != nil {
		return err
	}
	defer release(target)
	return dial(ctx, from, func(h *netlink.Handle) error {
		l, err := findLink(h, name)
		if err != nil {
			return err
		}
		if err := h.LinkSetNsFd(l, int(target.Fd())); err != nil {
			return fmt.Errorf("move to namespace %q: %w", to, err)
		}
		return nil
	})
}

// setLink does the changes that follow a move and a new name.
func setLink(h *netlink.Handle, namespace, name string, l netlink.Link, c host.LinkChange) error {
	if err := removeRoutes(h, l, c.RemoveRoutes); err != nil {
		return err
	}
	if c.Master != nil {
		if err := setMaster(h, namespace, l, *c.Master); err != nil {
			return err
		}
	}
	if c.MAC != "" {
		mac, err := net.ParseMAC(c.MAC)
		if err != nil {
			return err
		}
		if err := h.LinkSetHardwareAddr(l, mac); err != nil {
			return fmt.Errorf("MAC %s: %w", c.MAC, err)
		}
	}
	if c.MTU != 0 {
		if err := h.LinkSetMTU(l, c.MTU); err != nil {
			return fmt.Errorf("MTU %d: %w", c.MTU, err)
		}
	}
	if len(c.Options) > 0 {
		if err := setOptions(h, namespace, l, c.Options); err != nil {
			return err
		}
	}
	if c.Checksum != nil {
		if err := writeChecksum(namespace, name, *c.Checksum); err != nil {
			return fmt.Errorf("checksum offload: %w", err)
		}
	}
	if err := releaseOther(h, c.Release); err != nil {
		return err
	}
	if err := setAddresses(h, l, c); err != nil {
		return err
	}
	if c.Up != nil {
		set := h.LinkSetDown
		if *c.Up {
			set = h.LinkSetUp
		}
		if err := set(l); err != nil {
			return fmt.Errorf("up %t: %w", *c.Up, err)
		}
	}
	for _, r := range c.AddRoutes {
		if err := h.RouteAdd(routeOf(r, l.Attrs().Index)); err != nil {
			return fmt.Errorf("add route %s: %w", r.Destination, err)
		}
	}
	return announce(h, namespace, l.Attrs().Index, c.Announce)
}

// releaseOther takes from another link what it gives up.
func releaseOther(h *netlink.Handle, r *host.Release) error {
	if r == nil {
		return nil
	}
	l, err := findLink(h, r.Link)
	if err == nil {
		err = removeRoutes(h, l, r.Routes)
	}
	if err == nil {
		err = removeAddresses(h, l, r.Addresses)
	}
	if err != nil {
		return fmt.Errorf("release of link %s: %w", r.Link, err)
	}
	return nil
}

func setAddresses(h *netlink.Handle, l netlink.Link, c host.LinkChange) error {
	if err := removeAddresses(h, l, c.RemoveAddresses); err != nil {
		return err
	}
	for _, p := range c.AddAddresses {
		if err := h.AddrAdd(l, addressOf(p, c.Special[p])); err != nil {
			return fmt.Errorf("add address %s: %w", p, err)
		}
	}
	return nil
}

func removeAddresses(h *netlink.Handle, l netlink.Link, list []netip.Prefix) error {
	for _, p := range list {
		if err := h.AddrDel(l, &netlink.Addr{IPNet: netOf(p)}); err != nil {
			return fmt.Errorf("remove address %s: %w", p, err)
		}
	}
	return nil
}

func removeRoutes(h *netlink.Handle, l netlink.Link, list []host.Route) error {
	for _, r := range list {
		if err := h.RouteDel(routeOf(r, l.Attrs().Index)); err != nil {
			return fmt.Errorf("remove route %s: %w", r.Destination, err)
		}
	}
	return nil
}
