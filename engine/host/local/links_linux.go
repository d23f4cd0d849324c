package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"weft/engine/host"
	"weft/engine/host/linkinfo"
)

// links is the network by rtnetlink(7). Each call opens its own socket in the
// namespace it is about, and closes it.
type links struct{}

func (links) Namespaces(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(namespaceDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (links) List(ctx context.Context, namespace string) ([]host.Link, error) {
	var all []host.Link
	err := dial(ctx, namespace, func(h *netlink.Handle) (err error) {
		all, err = listLinks(h, namespace)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	return all, nil
}

func (links) Routes(ctx context.Context, namespace string) ([]host.Route, error) {
	var all []host.Route
	err := dial(ctx, namespace, func(h *netlink.Handle) (err error) {
		all, err = listRoutes(h)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return all, nil
}

func (links) AddNamespace(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := addNamespace(name); err != nil {
		return fmt.Errorf("add network namespace %s: %w", name, err)
	}
	return nil
}

// RemoveNamespace removes the veths in the namespace itself: the kernel would
// do so some time later, and the other ends would still be seen.
func (links) RemoveNamespace(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := errors.Join(removeVeths(ctx, name), removeNamespace(name))
	if err != nil {
		return fmt.Errorf("remove network namespace %s: %w", name, err)
	}
	return nil
}

func removeVeths(ctx context.Context, namespace string) error {
	if _, err := namespacePath(namespace); err != nil {
		return err
	}
	err := dial(ctx, namespace, func(h *netlink.Handle) error {
		all, err := dump(h.LinkList)
		for _, l := range all {
			if l.Type() == "veth" {
				err = errors.Join(err, h.LinkDel(l))
			}
		}
		return err
	})
	if errors.Is(err, unix.EINVAL) {
		return nil // a name that a crash left without its namespace
	}
	return err
}

func (links) AddVeth(ctx context.Context, name, peer string) error {
	err := dial(ctx, "", func(h *netlink.Handle) error {
		a := netlink.NewLinkAttrs()
		a.Name = name
		return h.LinkAdd(&netlink.Veth{LinkAttrs: a, PeerName: peer})
	})
	if err != nil {
		return fmt.Errorf("add veth %s with peer %s: %w", name, peer, err)
	}
	return nil
}

func (links) RemoveLink(ctx context.Context, namespace, name string) error {
	err := dial(ctx, namespace, func(h *netlink.Handle) error {
		l, err := findLink(h, name)
		if err != nil {
			return err
		}
		return h.LinkDel(l)
	})
	if err != nil {
		return fmt.Errorf("remove link %s: %w", name, err)
	}
	return nil
}

// dial calls ask with a socket in a namespace. The socket is closed after it.
func dial(ctx context.Context, namespace string, ask func(*netlink.Handle) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	at := netns.None()
	if namespace != "" {
		ns, err := openNamespace(namespace)
		if err != nil {
			return err
		}
		defer release(ns)
		at = netns.NsHandle(ns.Fd())
	}
	h, err := netlink.NewHandleAt(at, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open rtnetlink: %w", err)
	}
	defer h.Close()
	return ask(h)
}

// dump asks again where the kernel's table changed while it was read.
func dump[T any](ask func() ([]T, error)) ([]T, error) {
	var all []T
	var err error
	for range 10 {
		if all, err = ask(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return nil, err
}

func findLink(h *netlink.Handle, name string) (netlink.Link, error) {
	l, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, fmt.Errorf("link %q: %w", name, fs.ErrNotExist)
	}
	return l, err
}

func listLinks(h *netlink.Handle, namespace string) ([]host.Link, error) {
	found, err := dump(func() ([]rawLink, error) { return rawLinks(namespace) })
	if err != nil {
		return nil, err
	}
	addresses, err := dump(func() ([]netlink.Addr, error) { return h.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	for _, l := range found {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	var all []host.Link
	for _, l := range found {
		a := l.Attrs()
		link := host.Link{
			Name: a.Name, Kind: kindOf(l.Link), MAC: a.HardwareAddr.String(), MTU: a.MTU,
			Up: a.Flags&net.FlagUp != 0, Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0,
			Master: names[a.MasterIndex], Index: a.Index,
		}
		for _, address := range addresses {
			if p, ok := prefixOf(address.IPNet); ok && address.LinkIndex == a.Index && !linkLocal6(p.Addr()) {
				link.Addresses = append(link.Addresses, p)
				setSpecial(&link, p, address)
			}
		}
		if link.Kind == "veth" {
			link.Peer = a.ParentIndex
		} else {
			link.Lower = names[a.ParentIndex]
		}
		link.Options, err = linkinfo.Decode(link.Kind, l.info, func(index int) string { return names[index] })
		if err != nil {
			return nil, fmt.Errorf("options of %s: %w", a.Name, err)
		}
		all = append(all, link)
	}
	slices.SortFunc(all, func(a, b host.Link) int { return a.Index - b.Index })
	return all, readChecksums(namespace, all)
}

// kindOf is rtnetlink's word for the kind of a link.
func kindOf(l netlink.Link) string {
	switch kind := l.Type(); kind {
	case "device":
		return ""
	case "tuntap":
		return "tun"
	default:
		return kind
	}
}

func linkLocal6(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones), ok
}

// netOf is a prefix in package net's terms; the address's own bits stay.
func netOf(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
