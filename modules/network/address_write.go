package network

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"weft/engine/host"
	"weft/engine/host/netconf"
	"weft/engine/step"
)

// Write changes the kernel first: what it was is on record, and an operator's
// file is written last. Where a daemon configures a device by those files, they
// come first, and the kernel gets what is left.
func (r netAddresses) Write(ctx context.Context, h host.Host, have, want NetAddressSpec) error {
	daemons := have.Daemon + have.FromDaemon
	if daemons != "" {
		if err := want.byDaemon(ctx, h, have); err != nil {
			return err
		}
	}
	all, err := devices(ctx, h.View())
	if err != nil {
		return err
	}
	own, there := all[want.Name]
	from, fromThere := all[want.From]
	if daemons != "" {
		return want.setKernel(ctx, h, own, there, from, fromThere)
	}
	if err := want.stopClients(ctx, h, &own, &from); err != nil {
		return err
	}
	if err := want.setKernel(ctx, h, own, there, from, fromThere); err != nil {
		return err
	}
	if err := want.startClients(ctx, h, own, from, fromThere); err != nil {
		return err
	}
	_, err = want.keeping().write(ctx, h, want.part(own.link, from.link), "")
	return err
}

// byDaemon writes the files and has the daemons of both devices do as they say:
// the one that loses addresses first.
func (want NetAddressSpec) byDaemon(ctx context.Context, h host.Host, have NetAddressSpec) error {
	all, err := devices(ctx, h.View())
	if err != nil {
		return err
	}
	k, part, daemon := want.keeping(), want.part(all[want.Name].link, all[want.From].link), cmp.Or(have.Daemon, have.FromDaemon)
	written, err := k.write(ctx, h, part, daemon)
	if err != nil {
		return err
	}
	now, err := k.look(ctx, h.View(), part, daemon)
	if err != nil {
		return err
	}
	order := []struct{ daemon, device string }{{have.FromDaemon, want.From}, {have.Daemon, want.Name}}
	if want.Kernel != nil { // an undo
		slices.Reverse(order)
	}
	for _, o := range order {
		if o.daemon == "" {
			continue
		}
		if err := netconf.Activate(ctx, h, now.Family, o.daemon, o.device, written); err != nil {
			return err
		}
		written = nil // the daemon knows of them
	}
	if want.Kernel != nil {
		return nil
	}
	// It says that it is done before each address is there. What it does not do
	// at all, the kernel does for it after this.
	_ = step.Await(ctx, settling, func() error {
		now, err := netAddresses{}.Read(ctx, h.View(), want)
		if left := (netAddresses{}).Diff(now, want); err == nil && len(left) > 0 {
			err = fmt.Errorf("%s differs", left[0].Path)
		}
		return err
	})
	return nil
}

// settling is how long a daemon may take after it was done.
const settling = 3 * time.Second

// setKernel does addresses and routes of both devices.
func (want NetAddressSpec) setKernel(ctx context.Context, h host.Host, own device, there bool, from device, fromThere bool) error {
	mine := host.LinkChange{}
	if there {
		mine = want.change(own)
		mine.Special = take(mine.Special, from.Special)
		if !want.DHCP.Or(true) {
			changeLease(&mine, own, want.left())
		}
	}
	if fromThere && want.Held != nil {
		theirs := want.Held.change(from)
		if !want.Held.Client {
			changeLease(&theirs, from, *want.Held)
		}
		switch back := len(theirs.AddAddresses)+len(theirs.AddRoutes) > 0; {
		case back && there:
			theirs.Release = releaseOf(want.Name, &mine)
		case there:
			mine.Release = releaseOf(want.From, &theirs)
		}
		if err := setIfChanged(ctx, h, want.From, from, theirs); err != nil {
			return err
		}
	}
	if !there {
		return nil
	}
	return setIfChanged(ctx, h, want.Name, own, mine)
}

// left is what a client that had ended had left of a lease, for undo.
func (want NetAddressSpec) left() device {
	if want.Kernel == nil || want.Kernel.Client {
		return device{}
	}
	return device{Leased: want.Kernel.Leased, Through: want.Kernel.Through}
}

// changeLease adds to a change what becomes of a lease without its client.
func changeLease(c *host.LinkChange, now, shall device) {
	c.RemoveRoutes = slices.Concat(missing(now.Through, shall.Through), c.RemoveRoutes)
	c.RemoveAddresses = slices.Concat(c.RemoveAddresses, missing(now.Leased, shall.Leased))
	c.AddRoutes = slices.Concat(c.AddRoutes, missing(shall.Through, now.Through))
	for _, a := range missing(shall.Leased, now.Leased) {
		c.AddAddresses = append(c.AddAddresses, a)
		if c.Special == nil {
			c.Special = map[netip.Prefix]host.AddressOptions{}
		}
		c.Special[a] = host.AddressOptions{Leased: true}
	}
}

// take adds what sets addresses of another device apart, but for labels, which
// are made of its name.
func take(special, from map[netip.Prefix]host.AddressOptions) map[netip.Prefix]host.AddressOptions {
	out := map[netip.Prefix]host.AddressOptions{}
	for a, o := range from {
		o.Label, o.Leased = "", false
		out[a] = o
	}
	maps.Copy(out, special)
	return out
}

// releaseOf takes out of a change what its link gives up, to be done together
// with what another gets; nil where that is nothing.
func releaseOf(link string, c *host.LinkChange) *host.Release {
	r := &host.Release{Link: link, Addresses: c.RemoveAddresses, Routes: c.RemoveRoutes}
	c.RemoveAddresses, c.RemoveRoutes = nil, nil
	if len(r.Addresses)+len(r.Routes) == 0 {
		return nil
	}
	return r
}

// setIfChanged does a change, where it is one.
func setIfChanged(ctx context.Context, h host.Host, name string, now device, c host.LinkChange) error {
	if c.Up != nil && *c.Up == now.Up {
		c.Up = nil
	}
	if c.MTU == 0 && c.Up == nil && c.Release == nil && len(c.AddAddresses)+len(c.RemoveAddresses)+len(c.AddRoutes)+len(c.RemoveRoutes) == 0 {
		return nil
	}
	return h.Links.Set(ctx, "", name, c)
}

// change is what makes of a device what want says.
func (want NetAddressSpec) change(now device) host.LinkChange {
	shall := device{Addresses: now.Addresses, Special: now.Special, Routes: now.Routes}
	found := want.Kernel
	if found == nil {
		found = &device{}
	}
	if want.Addresses != nil {
		shall.Addresses = parsed(want.Addresses)
		if slices.Equal(inOrder(found.Addresses), want.Addresses) {
			shall.Addresses = found.Addresses
		}
		shall.Special = found.Special
	}
	shall.Routes = want.routes(now, *found, shall.Addresses)
	c := shall.change(now)
	if n, ok := want.MTU.Get(); ok && n != now.link.MTU {
		c.MTU = n
	}
	if up, ok := want.Up.Get(); ok {
		c.Up = &up
	}
	return c
}

// routes are those that the device is to have with some addresses.
func (want NetAddressSpec) routes(now, found device, addresses []netip.Prefix) []host.Route {
	if want.Routes == nil {
		kept := now.Routes
		if want.Flushed {
			kept = slices.Concat(kept, missing(found.Routes, kept))
		}
		return slices.DeleteFunc(slices.Clone(kept), func(r host.Route) bool { return !reachable(r, addresses) })
	}
	known := map[NetRoute]host.Route{} // with what a playbook does not say of a route
	for _, r := range slices.Concat(found.Routes, now.Routes) {
		known[spell(r)] = r
	}
	var out []host.Route
	for _, r := range onLinkFirst(want.Routes) {
		k, there := known[r]
		if !there {
			var err error
			if k, err = r.route(want.Name); err != nil {
				continue // Validate refused it
			}
		}
		out = append(out, k)
	}
	return out
}

// change is what makes a device of another. A kernel that loses addresses drops
// routes with them: then all of them are made again.
func (d device) change(now device) host.LinkChange {
	c := host.LinkChange{Special: maps.Clone(d.Special)}
	c.RemoveAddresses, c.AddAddresses = addressChange(now.Addresses, d.Addresses)
	c.RemoveRoutes, c.AddRoutes = missing(now.Routes, d.Routes), missing(d.Routes, now.Routes)
	if len(c.RemoveAddresses) > 0 {
		c.RemoveRoutes, c.AddRoutes = slices.Clone(now.Routes), slices.Clone(d.Routes)
	}
	if !now.Up {
		c.RemoveRoutes = nil // it has none
	}
	slices.SortStableFunc(c.AddRoutes, func(a, b host.Route) int { return rank(a) - rank(b) })
	slices.SortStableFunc(c.RemoveRoutes, func(a, b host.Route) int { return rank(b) - rank(a) })
	if d.Up {
		c.Up = new(true)
	}
	for _, a := range c.AddAddresses {
		c.Announce = append(c.Announce, a.Addr())
	}
	return c
}

// rank puts routes that need no other route before those that may.
func rank(r host.Route) int {
	if r.Via.IsValid() {
		return 1
	}
	return 0
}

var _ step.Adviser[NetAddressSpec] = netAddresses{}
