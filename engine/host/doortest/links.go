package doortest

import (
	"context"
	"io/fs"
	"net/netip"
	"slices"
	"testing"

	"weft/engine/host"
)

// Names of what the suite makes; at most 15 characters.
const (
	spaceName = "weft-test-ns"
	linkName  = "weft-test-0"
	peerName  = "weft-test-1"
)

// Links checks the door to the network. It needs root.
func Links(t *testing.T, h host.Host) {
	l := h.Links
	parts := map[string]func(t *testing.T, l host.Links){
		"Namespace": linkNamespace, "Veth": linkVeth, "Change": linkChange, "Move": linkMove,
		"Bridge": linkBridge, "Bond": linkBond, "VLAN": linkVLAN, "MadeMissing": linkMadeMissing, "Route": linkRoute, "Order": linkOrder, "Release": linkRelease, "Missing": linkMissing, "NamespaceTakesItsLinks": linkDiesWithNamespace,
	}
	for name, part := range parts {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { removeLinks(t, l) })
			removeLinks(t, l)
			part(t, l)
		})
	}
	t.Run("PacketsMissing", func(t *testing.T) {
		_, err := h.Packets.Ping(t.Context(), host.Ping{Namespace: spaceName, Target: netip.MustParseAddr("127.0.0.1"), Count: 1})
		wantError(t, "ping", err, fs.ErrNotExist)
		_, err = h.Packets.Exchange(t.Context(), host.Exchange{Namespace: spaceName, Target: netip.MustParseAddrPort("127.0.0.1:1"), Bytes: 1})
		wantError(t, "exchange", err, fs.ErrNotExist)
		for _, tap := range []host.Tap{{Namespace: spaceName, Link: "lo"}, {Link: linkName}} {
			_, err = h.Packets.Capture(t.Context(), []host.Tap{tap}, func(context.Context) error { t.Error("captures nothing"); return nil })
			wantError(t, "capture", err, fs.ErrNotExist)
		}
	})
}

func removeLinks(t *testing.T, l host.Links) {
	_ = l.RemoveNamespace(after(t), spaceName)    // may be gone
	_ = l.RemoveLink(after(t), "", madeName)      // may be gone
	_ = l.RemoveLink(after(t), "", linkName)      // may be gone
	_ = l.RemoveLink(after(t), "", "weft-test-r") // may be gone
}

// link returns a link without its index, and whether it is there.
func link(t *testing.T, l host.Links, namespace, name string) (host.Link, bool) {
	t.Helper()
	all, err := l.List(t.Context(), namespace)
	must(t, err)
	last := 0
	for _, candidate := range all {
		if candidate.Index <= last {
			t.Errorf("links are not sorted by index: %+v", all)
		}
		last = candidate.Index
	}
	i := slices.IndexFunc(all, func(c host.Link) bool { return c.Name == name })
	if i < 0 {
		return host.Link{}, false
	}
	return all[i], true
}

func needLink(t *testing.T, l host.Links, namespace, name string) host.Link {
	t.Helper()
	found, ok := link(t, l, namespace, name)
	if !ok {
		t.Fatalf("no link %s in %q", name, namespace)
	}
	return found
}

func linkNamespace(t *testing.T, l host.Links) {
	must(t, l.AddNamespace(t.Context(), spaceName))
	names, err := l.Namespaces(t.Context())
	must(t, err)
	if !slices.Contains(names, spaceName) || !slices.IsSorted(names) {
		t.Errorf("namespaces %v", names)
	}
	wantError(t, "added twice", l.AddNamespace(t.Context(), spaceName), fs.ErrExist)
	lo := needLink(t, l, spaceName, "lo")
	if lo.Up || lo.Index != 1 || lo.Kind != "" || lo.MTU != 65536 || len(lo.Addresses) > 0 {
		t.Errorf("the loopback of a new namespace: %+v", lo)
	}
	must(t, l.Set(t.Context(), spaceName, "lo", host.LinkChange{Up: ptr(true)}))
	if got := needLink(t, l, spaceName, "lo").Addresses; len(got) != 2 || !slices.Contains(got, netip.MustParsePrefix("127.0.0.1/8")) {
		t.Errorf("addresses of a loopback that is up: %v", got)
	}
	must(t, l.RemoveNamespace(t.Context(), spaceName))
	wantError(t, "removed twice", l.RemoveNamespace(t.Context(), spaceName), fs.ErrNotExist)
	_, err = l.List(t.Context(), spaceName)
	wantError(t, "list of a namespace that is gone", err, fs.ErrNotExist)
	for _, name := range []string{"", ".", "..", "a/b"} {
		wantError(t, "namespace "+name, l.AddNamespace(t.Context(), name), nil)
		wantError(t, "namespace "+name, l.RemoveNamespace(t.Context(), name), nil)
	}
}

func linkVeth(t *testing.T, l host.Links) {
	must(t, l.AddVeth(t.Context(), linkName, peerName))
	a, b := needLink(t, l, "", linkName), needLink(t, l, "", peerName)
	if a.Peer != b.Index || b.Peer != a.Index {
		t.Errorf("the ends are %+v and %+v", a, b)
	}
	if a.Kind != "veth" || a.Up || a.Carrier || a.MTU != 1500 || !a.Checksum || len(a.MAC) != 17 || len(a.Addresses) > 0 {
		t.Errorf("a new veth: %+v", a)
	}
	wantError(t, "added twice", l.AddVeth(t.Context(), linkName, "weft-test-r"), fs.ErrExist)
	wantError(t, "the peer added twice", l.AddVeth(t.Context(), "weft-test-r", peerName), fs.ErrExist)
	if _, there := link(t, l, "", "weft-test-r"); there {
		t.Error("a refused pair left an end behind")
	}
	wantError(t, "a name too long", l.AddVeth(t.Context(), "weft-test-too-long-a-name", "weft-test-r"), nil)

	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{Up: ptr(true)}))
	if got := needLink(t, l, "", linkName); !got.Up || got.Carrier {
		t.Errorf("one end up: %+v", got)
	}
	must(t, l.Set(t.Context(), "", peerName, host.LinkChange{Up: ptr(true)}))
	if got := needLink(t, l, "", linkName); !got.Up || !got.Carrier {
		t.Errorf("both ends up: %+v", got)
	}
	must(t, l.RemoveLink(t.Context(), "", peerName))
	if _, there := link(t, l, "", linkName); there {
		t.Error("one end of a veth outlived the other")
	}
}

func linkChange(t *testing.T, l host.Links) {
	four, six := netip.MustParsePrefix("198.18.255.1/24"), netip.MustParsePrefix("2001:db8:ff::1/64")
	must(t, l.AddVeth(t.Context(), linkName, peerName))
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{
		Name: "weft-test-r", MAC: "02:00:00:00:00:07", MTU: 1400, Checksum: ptr(false), Up: ptr(true),
		AddAddresses: []netip.Prefix{four, six},
	}))
	got := needLink(t, l, "", "weft-test-r")
	if got.MAC != "02:00:00:00:00:07" || got.MTU != 1400 || got.Checksum || !got.Up ||
		!slices.Contains(got.Addresses, four) || !slices.Contains(got.Addresses, six) || len(got.Addresses) != 2 {
		t.Errorf("changed: %+v", got)
	}
	must(t, l.Set(t.Context(), "", "weft-test-r", host.LinkChange{}))
	must(t, l.Set(t.Context(), "", "weft-test-r", host.LinkChange{
		Checksum: ptr(true), RemoveAddresses: []netip.Prefix{six}, AddAddresses: []netip.Prefix{netip.MustParsePrefix("198.18.255.2/24")},
	}))
	got = needLink(t, l, "", "weft-test-r")
	if !got.Checksum || len(got.Addresses) != 2 || slices.Contains(got.Addresses, six) {
		t.Errorf("changed again: %+v", got)
	}
	refused := map[string]host.LinkChange{
		"an address twice":          {AddAddresses: []netip.Prefix{four}},
		"an address that is gone":   {RemoveAddresses: []netip.Prefix{six}},
		"a name that is taken":      {Name: peerName},
		"a MAC that is no MAC":      {MAC: "02:00"},
		"a MAC of many":             {MAC: "01:00:5e:00:00:01"},
		"an MTU too small":          {MTU: 60},
		"a namespace that is not":   {Namespace: ptr("weft-test-no")},
		"a route without a gateway": {AddRoutes: []host.Route{{Destination: four, Via: netip.MustParseAddr("203.0.113.1")}}},
	}
	for what, change := range refused {
		wantError(t, what, l.Set(t.Context(), "", "weft-test-r", change), nil)
	}
	must(t, l.Set(t.Context(), "", "weft-test-r", host.LinkChange{AddAddresses: []netip.Prefix{six}, Up: ptr(false)}))
	if got := needLink(t, l, "", "weft-test-r"); slices.Contains(got.Addresses, six) || !slices.Contains(got.Addresses, four) {
		t.Errorf("a link that went down keeps IPv4 addresses alone, and has %v", got.Addresses)
	}
}

func linkMove(t *testing.T, l host.Links) {
	address := netip.MustParsePrefix("198.18.255.1/24")
	must(t, l.AddNamespace(t.Context(), spaceName))
	must(t, l.AddVeth(t.Context(), linkName, peerName))
	must(t, l.Set(t.Context(), "", peerName, host.LinkChange{AddAddresses: []netip.Prefix{address}, Up: ptr(true)}))
	must(t, l.Set(t.Context(), "", peerName, host.LinkChange{Namespace: ptr(spaceName)}))
	if _, there := link(t, l, "", peerName); there {
		t.Error("a link that was moved is still here")
	}
	if got := needLink(t, l, spaceName, peerName); got.Up || len(got.Addresses) > 0 {
		t.Errorf("a moved link arrives down and bare: %+v", got)
	}
	must(t, l.Set(t.Context(), spaceName, peerName, host.LinkChange{
		Namespace: ptr(""), Name: "weft-test-r", AddAddresses: []netip.Prefix{address}, Up: ptr(true),
	}))
	if got := needLink(t, l, "", "weft-test-r"); !got.Up || !slices.Contains(got.Addresses, address) {
		t.Errorf("moved back under another name: %+v", got)
	}
}

func linkRoute(t *testing.T, l host.Links) {
	must(t, l.AddNamespace(t.Context(), spaceName))
	must(t, l.AddVeth(t.Context(), linkName, peerName))
	through4 := host.Route{Destination: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("198.18.255.254"), Link: peerName, Metric: 50}
	through6 := host.Route{Destination: netip.MustParsePrefix("2001:db8:1::/48"), Via: netip.MustParseAddr("2001:db8:ff::fe"), Link: peerName, Metric: 1024}
	direct := host.Route{Destination: netip.MustParsePrefix("198.51.100.0/24"), Link: peerName}
	behind := host.Route{Destination: netip.MustParsePrefix("203.0.113.0/24"), Via: netip.MustParseAddr("198.51.100.1"), Link: peerName}
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{Up: ptr(true)}))
	must(t, l.Set(t.Context(), "", peerName, host.LinkChange{
		Namespace: ptr(spaceName), Up: ptr(true),
		AddAddresses: []netip.Prefix{netip.MustParsePrefix("198.18.255.1/24"), netip.MustParsePrefix("2001:db8:ff::1/64")},
		AddRoutes:    []host.Route{through4, through6, direct, behind},
	}))
	want := []host.Route{
		through4, through6, direct, behind,
		{Destination: netip.MustParsePrefix("198.18.255.0/24"), Link: peerName},
		{Destination: netip.MustParsePrefix("2001:db8:ff::/64"), Link: peerName, Metric: 256},
	}
	sameRoutes(t, l, want)
	wantError(t, "a route twice", l.Set(t.Context(), spaceName, peerName, host.LinkChange{AddRoutes: []host.Route{direct}}), fs.ErrExist)
	must(t, l.Set(t.Context(), spaceName, peerName, host.LinkChange{RemoveRoutes: []host.Route{through4, through6}}))
	sameRoutes(t, l, want[2:])
	wantError(t, "a route that is gone", l.Set(t.Context(), spaceName, peerName, host.LinkChange{RemoveRoutes: []host.Route{through4}}), nil)
	must(t, l.Set(t.Context(), spaceName, peerName, host.LinkChange{Up: ptr(false)}))
	sameRoutes(t, l, nil)
}

func sameRoutes(t *testing.T, l host.Links, want []host.Route) {
	t.Helper()
	got, err := l.Routes(t.Context(), spaceName)
	must(t, err)
	if len(got) != len(want) {
		t.Errorf("routes: got %+v, want %+v", got, want)
	}
	for _, r := range want {
		if !slices.Contains(got, r) {
			t.Errorf("no route %+v among %+v", r, got)
		}
	}
}

func linkMissing(t *testing.T, l host.Links) {
	_, err := l.Routes(t.Context(), "weft-test-no")
	wantError(t, "routes", err, fs.ErrNotExist)
	wantError(t, "remove", l.RemoveLink(t.Context(), "", "weft-test-no"), fs.ErrNotExist)
	wantError(t, "remove in no namespace", l.RemoveLink(t.Context(), "weft-test-no", "lo"), fs.ErrNotExist)
	wantError(t, "set", l.Set(t.Context(), "", "weft-test-no", host.LinkChange{MTU: 1500}), fs.ErrNotExist)
}

func linkDiesWithNamespace(t *testing.T, l host.Links) {
	must(t, l.AddNamespace(t.Context(), spaceName))
	must(t, l.AddVeth(t.Context(), linkName, peerName))
	must(t, l.Set(t.Context(), "", peerName, host.LinkChange{Namespace: ptr(spaceName)}))
	must(t, l.RemoveNamespace(t.Context(), spaceName))
	if _, there := link(t, l, "", linkName); there {
		t.Error("a veth outlived the namespace of its other end")
	}
}
