package network

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"weft/engine/host"
	"weft/engine/host/netconf"
	"weft/engine/step"
)

// device is a link of the host's own namespace with what net_address and
// net_link manage of it. Left out is what the kernel makes by itself (routes that
// come of addresses, all that routers advertise) and what routing daemons make.
type device struct {
	Up        bool                                 `json:"up,omitzero"`
	Addresses []netip.Prefix                       `json:"addresses,omitzero"` // in the kernel's order
	Special   map[netip.Prefix]host.AddressOptions `json:"special,omitzero"`
	Routes    []host.Route                         `json:"routes,omitzero"`
	Client    bool                                 `json:"client,omitzero"`     // a DHCP client asks for its address
	LeaseFile bool                                 `json:"lease_file,omitzero"` // the client has left a file of leases
	Leased    []netip.Prefix                       `json:"leased,omitzero"`     // of IPv4, by a DHCP client
	Through   []host.Route                         `json:"through,omitzero"`    // by gateways that only leased addresses reach

	link host.Link
}

// devices are the links of the host by name.
func devices(ctx context.Context, v host.View) (map[string]device, error) {
	links, err := v.Links.List(ctx, "")
	if err != nil {
		return nil, err
	}
	routes, err := v.Links.Routes(ctx, "")
	if err != nil {
		return nil, err
	}
	out := map[string]device{}
	for _, l := range links {
		daemons, err := madePrefixRoutes(ctx, v, &l)
		if err != nil {
			return nil, err
		}
		d := device{Up: l.Up, link: l}
		for _, a := range l.Addresses {
			o, special := l.Special[a]
			if o.Leased {
				if a.Addr().Is4() {
					d.Leased = append(d.Leased, a)
				}
				continue
			}
			d.Addresses = append(d.Addresses, a)
			if special {
				if d.Special == nil {
					d.Special = map[netip.Prefix]host.AddressOptions{}
				}
				d.Special[a] = o
			}
		}
		for _, r := range routes {
			switch {
			case r.Link != l.Name || !configuredRoute(r) || connected(l, r) || ofPrefix(daemons, r):
			case len(d.Leased) > 0 && !reachable(r, d.Addresses):
				d.Through = append(d.Through, r)
			default:
				d.Routes = append(d.Routes, r)
			}
		}
		slices.SortFunc(d.Routes, compareRoutes)
		out[l.Name] = d
	}
	return out, nil
}

// noPrefixRoute is IFA_F_NOPREFIXROUTE of if_addr.h: the kernel makes no route of
// an address.
const noPrefixRoute = 0x200

// madePrefixRoutes are the addresses of a link whose routes a daemon makes in
// place of the kernel, with a metric of its own. They become ordinary ones: the
// route is theirs, whoever has them.
func madePrefixRoutes(ctx context.Context, v host.View, l *host.Link) ([]netip.Prefix, error) {
	var found []netip.Prefix
	for a, o := range l.Special {
		if o.Flags&noPrefixRoute != 0 {
			found = append(found, a)
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	if daemon, err := netconf.Owner(ctx, v, *l); err != nil || daemon == "" {
		return nil, err
	}
	l.Special = maps.Clone(l.Special)
	for _, a := range found {
		o := l.Special[a]
		if o.Flags &^= noPrefixRoute; o == (host.AddressOptions{}) {
			delete(l.Special, a)
		} else {
			l.Special[a] = o
		}
	}
	return found, nil
}

// ofPrefix says whether a route is that of one of the addresses.
func ofPrefix(addresses []netip.Prefix, r host.Route) bool {
	return !r.Via.IsValid() && !r.Source.IsValid() && r.Protocol == 0 &&
		slices.ContainsFunc(addresses, func(a netip.Prefix) bool { return r.Destination == a.Masked() })
}

func compareRoutes(a, b host.Route) int {
	return cmp.Or(a.Destination.Compare(b.Destination), cmp.Compare(a.Metric, b.Metric), a.Via.Compare(b.Via))
}

// configuredRoute says whether a route is of an administrator or of a DHCP client, by
// its protocol in rtnetlink(7).
func configuredRoute(r host.Route) bool {
	return r.Protocol == 0 || r.Protocol == 4 || r.Protocol == 16
}

// connected says whether a route is one that the kernel made of an address.
func connected(l host.Link, r host.Route) bool {
	if r.Via.IsValid() || r.Source.IsValid() || r.Protocol != 0 || r.Metric != 0 && r.Metric != 256 {
		return false
	}
	return slices.ContainsFunc(l.Addresses, func(a netip.Prefix) bool {
		peer := l.Special[a].Peer
		return r.Destination == a.Masked() || peer.IsValid() && r.Destination == peer.Masked()
	})
}

// noDevice is the error of a check that finds no device.
func noDevice(name string) error {
	return fmt.Errorf("there is no device %s: put the step that makes it before this one: %w", name, step.ErrNotYet)
}

// inOrder spells addresses so that two lists mean the same exactly where they
// are equal: of an IPv4 subnet the order says which is the primary, else it
// means nothing.
func inOrder(list []netip.Prefix) []string {
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b netip.Prefix) int {
		if a.Addr().Is4() && b.Addr().Is4() {
			return a.Masked().Compare(b.Masked())
		}
		return a.Compare(b)
	})
	out := make([]string, len(sorted))
	for i, a := range sorted {
		out[i] = a.String()
	}
	return out
}

// parsed are addresses as the kernel spells them; what is none is left out.
func parsed(list []string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range list {
		if p, err := netip.ParsePrefix(text); err == nil && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// addressChange is what makes one list of addresses of another, in an order in
// which no address takes another along.
func addressChange(now, want []netip.Prefix) (remove, add []netip.Prefix) {
	kept := map[netip.Prefix]bool{}
	for _, a := range now {
		kept[a] = slices.Contains(want, a)
	}
	// From the first that is out of place on, the subnet is made anew.
	for _, a := range slices.Concat(now, want) {
		if !a.Addr().Is4() {
			continue
		}
		is, shall := subnet(now, a), subnet(want, a)
		same := 0
		for same < len(is) && same < len(shall) && is[same] == shall[same] {
			same++
		}
		for _, later := range is[same:] {
			kept[later] = false
		}
	}
	for _, a := range slices.Backward(now) {
		if !kept[a] {
			remove = append(remove, a)
		}
	}
	for _, a := range want {
		if !kept[a] {
			add = append(add, a)
		}
	}
	return remove, add
}

// subnet are those of a list that are in the same IPv4 subnet.
func subnet(list []netip.Prefix, like netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range list {
		if a.Masked() == like.Masked() {
			out = append(out, a)
		}
	}
	return out
}

// reachable says whether a route can be on a link with these addresses.
func reachable(r host.Route, addresses []netip.Prefix) bool {
	if r.Source.IsValid() && !slices.ContainsFunc(addresses, func(a netip.Prefix) bool { return a.Addr() == r.Source }) {
		return false
	}
	return !r.Via.IsValid() || r.OnLink || r.Via.IsLinkLocalUnicast() ||
		slices.ContainsFunc(addresses, func(a netip.Prefix) bool { return a.Masked().Contains(r.Via) })
}
