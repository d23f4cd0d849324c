package doortest

import (
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"weft/engine/host"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// pair makes a veth with one end in the namespace of the suite, both up.
func pair(t *testing.T, l host.Links) {
	t.Helper()
	must(t, l.AddNamespace(t.Context(), spaceName))
	must(t, l.AddVeth(t.Context(), linkName, peerName))
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{Up: ptr(true)}))
	must(t, l.Set(t.Context(), "", peerName, host.LinkChange{Namespace: ptr(spaceName), Up: ptr(true)}))
}

// linkOrder: of a subnet the primary is listed first, and what sets an address
// or a route apart is read as it was written.
func linkOrder(t *testing.T, l host.Links) {
	pair(t, l)
	four := prefixes("198.18.255.9/24", "198.18.255.1/24", "198.18.255.5/24")
	apart := netip.MustParsePrefix("198.51.100.1/24")
	options := host.AddressOptions{Scope: 253, Label: peerName[:10] + ":1", Broadcast: netip.MustParseAddr("0.0.0.0")}
	quiet := netip.MustParsePrefix("2001:db8:ff::1/64")
	leased := netip.MustParsePrefix("192.0.2.200/28")
	special := map[netip.Prefix]host.AddressOptions{apart: options, leased: {Leased: true}, quiet: {Flags: 0x2 | 0x200}} // nodad noprefixroute
	routes := []host.Route{
		{Destination: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("198.18.255.254"), Link: peerName, Metric: 100, Source: four[1].Addr(), Protocol: 16},
		{Destination: netip.MustParsePrefix("203.0.113.0/24"), Via: netip.MustParseAddr("192.0.2.1"), Link: peerName, OnLink: true, Protocol: 4},
	}
	must(t, l.Set(t.Context(), spaceName, peerName, host.LinkChange{
		AddAddresses: append(slices.Clone(four), apart, leased, quiet), Special: special, AddRoutes: routes,
	}))
	got := needLink(t, l, spaceName, peerName)
	inSubnet := slices.DeleteFunc(slices.Clone(got.Addresses), func(p netip.Prefix) bool { return p == apart || p == quiet || p == leased })
	if !slices.Equal(inSubnet, four) {
		t.Errorf("the order is %v, not %v", inSubnet, four)
	}
	if !maps.Equal(got.Special, special) {
		t.Errorf("special: %+v", got.Special)
	}
	have, err := l.Routes(t.Context(), spaceName)
	must(t, err)
	for _, r := range routes {
		if !slices.Contains(have, r) {
			t.Errorf("no route %+v among %+v", r, have)
		}
	}
	must(t, l.Set(t.Context(), spaceName, peerName, host.LinkChange{
		RemoveRoutes: routes, RemoveAddresses: []netip.Prefix{four[2], four[1], four[0], apart, leased, quiet},
	}))
	if left := needLink(t, l, spaceName, peerName); len(left.Addresses) > 0 {
		t.Errorf("left %v", left.Addresses)
	}
}

// linkRelease: a move is one effect.
func linkRelease(t *testing.T, l host.Links) {
	pair(t, l)
	must(t, l.AddVeth(t.Context(), "weft-test-r", "weft-test-s"))
	must(t, l.Set(t.Context(), "", "weft-test-r", host.LinkChange{Namespace: ptr(spaceName), Up: ptr(true)}))
	must(t, l.Set(t.Context(), "", "weft-test-s", host.LinkChange{Up: ptr(true)}))
	addresses := prefixes("198.18.255.1/24", "2001:db8:ff::1/64")
	through := host.Route{Destination: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("198.18.255.254"), Link: peerName, Metric: 7}
	must(t, l.Set(t.Context(), spaceName, peerName, host.LinkChange{AddAddresses: addresses, AddRoutes: []host.Route{through}}))

	moved := through
	moved.Link = "weft-test-r"
	must(t, l.Set(t.Context(), spaceName, "weft-test-r", host.LinkChange{
		Release:      &host.Release{Link: peerName, Addresses: addresses, Routes: []host.Route{through}},
		AddAddresses: addresses, AddRoutes: []host.Route{moved},
		Announce: []netip.Addr{addresses[0].Addr(), addresses[1].Addr()},
	}))
	if got := needLink(t, l, spaceName, peerName).Addresses; len(got) > 0 {
		t.Errorf("the link that released has %v", got)
	}
	if got := needLink(t, l, spaceName, "weft-test-r").Addresses; len(got) != 2 {
		t.Errorf("the link that took has %v", got)
	}
	have, err := l.Routes(t.Context(), spaceName)
	must(t, err)
	if !slices.Contains(have, moved) || slices.Contains(have, through) {
		t.Errorf("routes %+v", have)
	}
	wantError(t, "release of a link that is not there",
		l.Set(t.Context(), spaceName, "weft-test-r", host.LinkChange{Release: &host.Release{Link: "weft-test-no"}}), fs.ErrNotExist)
	must(t, l.Set(t.Context(), spaceName, "weft-test-r", host.LinkChange{Up: ptr(false), Announce: []netip.Addr{addresses[0].Addr()}}))
}
