package local

import (
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/engine/host"
)

// listRoutes returns the unicast routes of the main table, without those to
// IPv6 link-local addresses, which every link has. A route with several next
// hops is several routes.
func listRoutes(h *netlink.Handle) ([]host.Route, error) {
	found, err := dump(h.LinkList)
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	for _, l := range found {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	var all []host.Route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := dump(func() ([]netlink.Route, error) {
			return h.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			all = append(all, hops(r, family, names)...)
		}
	}
	return all, nil
}

func hops(r netlink.Route, family int, names map[int]string) []host.Route {
	destination, ok := prefixOf(r.Dst)
	if !ok {
		destination = defaultRoute(family)
	}
	if r.Type != unix.RTN_UNICAST || linkLocal6(destination.Addr()) || destination.Addr().IsMulticast() {
		return nil
	}
	single := []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw, Flags: r.Flags}}
	if len(r.MultiPath) > 0 {
		single = r.MultiPath
	}
	var all []host.Route
	for _, hop := range single {
		via, _ := netip.AddrFromSlice(hop.Gw)
		route := host.Route{
			Destination: destination, Via: via.Unmap(), Link: names[hop.LinkIndex], Metric: r.Priority,
			Protocol: protocolOf(r), OnLink: hop.Flags&unix.RTNH_F_ONLINK != 0,
		}
		if source, ok := netip.AddrFromSlice(r.Src); ok && r.Protocol != unix.RTPROT_KERNEL {
			route.Source = source.Unmap()
		}
		all = append(all, route)
	}
	return all
}

func protocolOf(r netlink.Route) int {
	if r.Protocol == unix.RTPROT_KERNEL || r.Protocol == unix.RTPROT_BOOT {
		return 0
	}
	return int(r.Protocol)
}

func defaultRoute(family int) netip.Prefix {
	if family == netlink.FAMILY_V6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// routeOf is a route in rtnetlink's terms. Its link is the one that is changed.
func routeOf(r host.Route, index int) *netlink.Route {
	route := &netlink.Route{
		LinkIndex: index, Dst: netOf(r.Destination.Masked()), Priority: r.Metric, Table: unix.RT_TABLE_MAIN,
	}
	if r.Via.IsValid() {
		route.Gw = r.Via.AsSlice()
	} else if r.Destination.Addr().Is4() {
		route.Scope = netlink.SCOPE_LINK
	}
	if r.Source.IsValid() {
		route.Src = r.Source.AsSlice()
	}
	if r.Protocol != 0 {
		route.Protocol = netlink.RouteProtocol(r.Protocol)
	}
	if r.OnLink {
		route.SetFlag(netlink.FLAG_ONLINK)
	}
	return route
}
