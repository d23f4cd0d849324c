package network

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// twoAddresses is a NIC as an installer leaves it: one subnet with a secondary, a
// default route with a metric, IPv6, and a stanza that says so.
const handStanza = "# by hand\nauto " + nic + "\niface " + nic + " inet static\n\taddress 198.18.0.9/24\n\tgateway 198.18.0.254\n\tup ip link set $IFACE txqueuelen 100\n"

var installed = steptest.Hand{
	Name: "installed",
	Fake: func(m *fake.Machine) {
		m.SetLink("", nic, host.LinkChange{
			AddAddresses: prefixes("198.18.0.9/24", "198.18.0.3/24", "2001:db8:0:1::9/64"),
			AddRoutes:    []host.Route{routeOf("203.0.113.0/24", "198.18.0.254", 100), routeOf("2001:db8:9::/48", "2001:db8:0:1::fe", 1024)},
		})
		m.WriteFile(handFile, handStanza)
	},
	Host: slices.Concat(
		ip("address", "add", "198.18.0.9/24", "brd", "+", "dev", nic), ip("address", "add", "198.18.0.3/24", "brd", "+", "dev", nic),
		ip("address", "add", "2001:db8:0:1::9/64", "dev", nic, "nodad"),
		ip("route", "add", "203.0.113.0/24", "via", "198.18.0.254", "metric", "100"), ip("route", "add", "2001:db8:9::/48", "via", "2001:db8:0:1::fe"),
		[]host.Command{{Argv: []string{"tee", handFile}, Stdin: []byte(handStanza)}}),
}

// elsewhere has the addresses on the other NIC.
var elsewhere = steptest.Hand{
	Name: "elsewhere",
	Fake: func(m *fake.Machine) {
		m.SetLink("", other, host.LinkChange{
			AddAddresses: prefixes("198.18.0.9/24", "2001:db8:0:1::9/64"),
			AddRoutes:    []host.Route{routeOf("203.0.113.0/24", "198.18.0.254", 100)},
		})
		m.WriteFile(handFile, strings.ReplaceAll(handStanza, nic, other))
	},
	Host: slices.Concat(
		ip("address", "add", "198.18.0.9/24", "dev", other), ip("address", "add", "2001:db8:0:1::9/64", "dev", other, "nodad"),
		ip("route", "add", "203.0.113.0/24", "via", "198.18.0.254", "metric", "100"),
		[]host.Command{{Argv: []string{"tee", handFile}, Stdin: []byte(strings.ReplaceAll(handStanza, nic, other))}}),
}

func TestAddressLaws(t *testing.T) {
	add := func(list ...string) host.LinkChange { return host.LinkChange{AddAddresses: prefixes(list...)} }
	addressDrift := byIP("addresses", nic, add("192.0.2.77/28"), "address", "add", "192.0.2.77/28", "dev", nic)
	laws(t, steptest.Subject{
		Kind: netAddressKind(), Machine: nics, Prepare: prepareNICs, Touches: seenNICs(), Clean: cleanNICs(),
		Policy: []string{"gateway", "dhcp", "persist_by"}, // the routes say it; TestLeases has them
		Found: []steptest.Hand{
			installed,
			{Name: "untouched", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
			elsewhere,
			byIP("down", nic, host.LinkChange{Up: new(false)}, "link", "set", nic, "down"),
			edited("an old file", addressFile(nic), "auto "+nic+"\niface "+nic+" inet static\n    address 192.0.2.1/24\n"),
		},
		Cases: []steptest.Case{
			{
				Name: "whole",
				Spec: NetAddressSpec{
					Addresses: []string{"198.18.0.3/24", "198.18.0.9/24", "2001:DB8:0:1::3/64"}, MTU: step.Is(1450), From: other, Persist: step.Is(true),
					Routes: []NetRoute{{To: "203.0.113.0/25", Via: "198.18.0.253"}, {To: "198.51.100.0/24"}, {To: "2001:db8:7::/48", Via: "2001:db8:0:1::fe", Metric: 50}},
				},
				Drift: []steptest.Hand{
					addressDrift,
					{Name: "addresses", Fake: func(m *fake.Machine) {
						m.SetLink("", nic, host.LinkChange{RemoveAddresses: prefixes("198.18.0.9/24", "198.18.0.3/24"), AddAddresses: prefixes("198.18.0.9/24", "198.18.0.3/24")})
					}, Host: slices.Concat(ip("address", "del", "198.18.0.9/24", "dev", nic), ip("address", "del", "198.18.0.3/24", "dev", nic),
						ip("address", "add", "198.18.0.9/24", "brd", "+", "dev", nic), ip("address", "add", "198.18.0.3/24", "brd", "+", "dev", nic))},
					byIP("routes", nic, host.LinkChange{AddRoutes: []host.Route{routeOf("203.0.113.128/25", "198.18.0.1", 0)}}, "route", "add", "203.0.113.128/25", "via", "198.18.0.1", "dev", nic),
					byIP("routes", nic, host.LinkChange{RemoveRoutes: []host.Route{routeOf("2001:db8:7::/48", "2001:db8:0:1::fe", 50)}}, "route", "del", "2001:db8:7::/48", "dev", nic),
					byIP("mtu", nic, host.LinkChange{MTU: 1300}, "link", "set", nic, "mtu", "1300"),
					byIP("from", other, add("192.0.2.78/28"), "address", "add", "192.0.2.78/28", "dev", other),
					edited("persist", addressFile(nic), "iface "+nic+" inet manual\n"),
					edited("persist", moreFile, "iface "+nic+" inet dhcp\n"),
				},
				Spellings: []steptest.Hand{
					edited("another stanza", moreFile, "iface "+nic+" inet manual\n    mtu 1450\n"),
				},
			},
			{Name: "taken", Spec: NetAddressSpec{From: other, Addresses: []string{"198.18.0.9/24", "2001:db8:0:1::9/64"}, Routes: []NetRoute{{To: "203.0.113.64/26", Via: "198.18.0.1"}}},
				Drift: []steptest.Hand{addressDrift, byIP("routes", nic, host.LinkChange{AddRoutes: []host.Route{routeOf("203.0.113.128/25", "198.18.0.1", 0)}}, "route", "add", "203.0.113.128/25", "via", "198.18.0.1", "dev", nic)}},
			{Name: "bare", Spec: NetAddressSpec{Addresses: []string{}, Persist: step.Is(true)}, Drift: []steptest.Hand{addressDrift, edited("persist", handFile, handStanza+"\n")}},
			{Name: "one of two", Spec: NetAddressSpec{Addresses: []string{"198.18.0.3/24"}, Persist: step.Is(false)}, Drift: []steptest.Hand{addressDrift}},
		},
	})
}

func has(t *testing.T, m *fake.Machine, name string, want ...string) {
	t.Helper()
	l, _ := m.Link("", name)
	if got := inOrder(l.Addresses); !slices.Equal(got, want) {
		t.Errorf("%s has %v, not %v", name, got, want)
	}
}

func run(t *testing.T, m *fake.Machine, s step.Step) step.Finding {
	t.Helper()
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	f.Settled = true
	return f
}

// A management NIC's addresses and routes move to a bridge, and stay there.
func TestTaken(t *testing.T) {
	m := nics()
	elsewhere.Fake(m)
	before := m.Snapshot()
	s := stepOf(t, netAddressKind(), NetAddressSpec{Name: nic, From: other, Persist: step.Is(true)})
	f := run(t, m, s)
	has(t, m, other)
	has(t, m, nic, "198.18.0.9/24", "2001:db8:0:1::9/64")
	if want := []string{other, nic}; !slices.Equal(f.Cost.Severs, want) {
		t.Errorf("severs %v", f.Cost.Severs)
	}
	if want := []netip.Addr{netip.MustParseAddr("198.18.0.9"), netip.MustParseAddr("2001:db8:0:1::9")}; !slices.Equal(m.Announced(), want) {
		t.Errorf("announced %v", m.Announced())
	}
	if got, _ := m.File(addressFile(nic)); got != `# The addresses of `+nic+`, written by weft, which overwrites changes.
auto `+nic+`
iface `+nic+` inet static
    address 198.18.0.9/24
iface `+nic+` inet6 static
    address 2001:db8:0:1::9/64
    dad-attempts 0
    up ip -4 route replace 203.0.113.0/24 via 198.18.0.254 metric 100 dev $IFACE
` {
		t.Errorf("the file is\n%s", got)
	}
	if got, _ := m.File(handFile); !strings.Contains(got, "iface "+other+" inet manual\n#weft 1 "+other+": \taddress") {
		t.Errorf("the operator's file is\n%s", got)
	}
	if again, err := s.Check(t.Context(), m.Host().View()); err != nil || again.Changed() {
		t.Errorf("a second check: %+v %v", again.Deltas, err)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if after := m.Snapshot(); after != before {
		t.Errorf("undo left\n%s\nnot\n%s", after, before)
	}
}

func TestGateway(t *testing.T) {
	m := nics()
	s := stepOf(t, netAddressKind(), NetAddressSpec{Name: nic, Addresses: []string{"198.18.0.1/24", "2001:db8::1/64"}, Gateway: step.Is("198.18.0.254"),
		Routes: []NetRoute{{To: "default", Via: "2001:db8::fe"}}})
	run(t, m, s)
	routes, err := m.Host().Links.Routes(t.Context(), "")
	for _, want := range []host.Route{routeOf("0.0.0.0/0", "198.18.0.254", 0), routeOf("::/0", "2001:db8::fe", 1024)} {
		want.Link = nic
		if err != nil || !slices.Contains(routes, want) {
			t.Errorf("no %+v among %+v (%v)", want, routes, err)
		}
	}
	if f, err := s.Check(t.Context(), m.Host().View()); err != nil || f.Changed() {
		t.Errorf("a second check: %+v %v", f.Deltas, err)
	}
}

// What was taken goes back though the bridge is gone meanwhile.
func TestUndoWithoutTheDevice(t *testing.T) {
	m := nics()
	elsewhere.Fake(m)
	s := stepOf(t, netAddressKind(), NetAddressSpec{Name: nic, From: other})
	f := run(t, m, s)
	m.RemoveLink("", nic)
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	has(t, m, other, "198.18.0.9/24", "2001:db8:0:1::9/64")
}

// Two devices that an operator described in one file are taken back in any
// order.
func TestTwoDevicesOfOneFile(t *testing.T) {
	m := nics()
	m.WriteFile(handFile, handStanza+strings.ReplaceAll(handStanza, nic, other))
	before := m.Snapshot()
	a := stepOf(t, netAddressKind(), NetAddressSpec{Name: nic, Addresses: []string{}, Persist: step.Is(true)})
	b := stepOf(t, netAddressKind(), NetAddressSpec{Name: other, Addresses: []string{}, Persist: step.Is(true)})
	fa, fb := run(t, m, a), run(t, m, b)
	for _, err := range []error{a.Undo(t.Context(), m.Host(), fa), b.Undo(t.Context(), m.Host(), fb)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if after := m.Snapshot(); after != before {
		t.Errorf("undo left\n%s", after)
	}
}

// Routes that nobody manages outlive a change of addresses where they can, and
// the plan names those that cannot.
func TestUnmanagedRoutes(t *testing.T) {
	m := nics()
	installed.Fake(m)
	before := m.Snapshot()
	s := stepOf(t, netAddressKind(), NetAddressSpec{Name: nic, Addresses: []string{"198.18.0.77/24"}})
	f := run(t, m, s)
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "2001:db8:9::/48") {
		t.Errorf("warnings %q", f.Warnings)
	}
	routes, err := m.Host().Links.Routes(t.Context(), "")
	kept := routeOf("203.0.113.0/24", "198.18.0.254", 100)
	kept.Link = nic
	if err != nil || !slices.Contains(routes, kept) {
		t.Errorf("routes %+v %v", routes, err)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if after := m.Snapshot(); after != before {
		t.Errorf("undo left\n%s\nnot\n%s", after, before)
	}
}

func TestAddressRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(m *fake.Machine)
		spec    NetAddressSpec
		want    string
	}{
		"no device":         {func(m *fake.Machine) { m.RemoveLink("", nic) }, NetAddressSpec{Addresses: []string{"192.0.2.1/24"}}, "put the step that makes it"},
		"nothing to take":   {func(*fake.Machine) {}, NetAddressSpec{From: other}, "has an address to take"},
		"a lease":           {func(m *fake.Machine) { m.SetLink("", nic, leased) }, NetAddressSpec{Addresses: []string{}}, "say dhcp = true"},
		"a bridge's stanza": {func(m *fake.Machine) { m.WriteFile(handFile, "iface "+nic+" inet static\n bridge_ports eth9\n") }, NetAddressSpec{Addresses: []string{"192.0.2.1/24"}, Persist: step.Is(true)}, "bridge_ports"},
		"a route twice": {func(m *fake.Machine) {
			m.SetLink("", other, host.LinkChange{AddRoutes: []host.Route{{Destination: netip.MustParsePrefix("203.0.113.0/24")}}})
		}, NetAddressSpec{Routes: []NetRoute{{To: "203.0.113.0/24"}}}, other + " has a route"},
		"not read at boot": {func(m *fake.Machine) { m.WriteFile("/etc/network/interfaces", "auto lo\n") }, NetAddressSpec{Addresses: []string{"192.0.2.1/24"}, Persist: step.Is(true)}, "does not read it"},
	} {
		m := nics()
		c.arrange(m)
		c.spec.Name = nic
		_, err := stepOf(t, netAddressKind(), c.spec).Check(t.Context(), m.Host().View())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var leased = host.LinkChange{AddAddresses: prefixes("192.0.2.9/24"), Special: map[netip.Prefix]host.AddressOptions{netip.MustParsePrefix("192.0.2.9/24"): {Leased: true}}}

func TestAddressWarnings(t *testing.T) {
	m := nics()
	m.WriteFile(handFile, "mapping weft-*\n script /bin/guess\n")
	m.WriteFile("/etc/network/interfaces.d/weft-bridge-"+nic, "iface "+nic+" inet static\n address 192.0.2.5/24\n")
	f, err := stepOf(t, netAddressKind(), NetAddressSpec{Name: nic, Addresses: []string{}, Persist: step.Is(true)}).Check(t.Context(), m.Host().View())
	if err != nil || len(f.Warnings) != 2 || !strings.Contains(strings.Join(f.Warnings, " "), "by a script") || !strings.Contains(strings.Join(f.Warnings, " "), "another step") {
		t.Errorf("%q %v", f.Warnings, err)
	}
}

func TestAddressProblems(t *testing.T) {
	for path, s := range map[string]NetAddressSpec{
		"name":      {Name: "far too long a name"},
		"from":      {Name: "a", From: "a"},
		"addresses": {Name: "a", Addresses: []string{"192.0.2.1"}},
		"routes":    {Name: "a", Routes: []NetRoute{{To: "192.0.2.0/24", Via: "2001:db8::1"}}},
		"gateway":   {Name: "a", Gateway: step.Is("nowhere")},
		"mtu":       {Name: "a", MTU: step.Is(9)},
		"persist":   {Name: "a", Persist: step.Is(true)},
	} {
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
	if p := (&NetAddressSpec{Name: "a", Addresses: []string{"192.0.2.1/24"}, Routes: []NetRoute{{To: "default", Via: "192.0.2.254", Metric: 5}}, Persist: step.Is(true)}).Validate(); len(p) > 0 {
		t.Errorf("%v", p)
	}
}

func TestAddressChange(t *testing.T) {
	for _, c := range []struct{ now, want, remove, add []string }{
		{[]string{"10.0.0.1/8"}, []string{"10.0.0.1/8", "10.0.0.2/8"}, nil, []string{"10.0.0.2/8"}},
		{[]string{"10.0.0.1/8", "10.0.0.2/8"}, []string{"10.0.0.2/8"}, []string{"10.0.0.2/8", "10.0.0.1/8"}, []string{"10.0.0.2/8"}},
		{[]string{"10.0.0.1/8", "10.0.0.2/8", "192.0.2.1/24"}, []string{"10.0.0.1/8", "192.0.2.1/24"}, []string{"10.0.0.2/8"}, nil},
		{[]string{"2001:db8::1/64", "2001:db8::2/64"}, []string{"2001:db8::2/64"}, []string{"2001:db8::1/64"}, nil},
	} {
		remove, add := addressChange(prefixes(c.now...), prefixes(c.want...))
		if !slices.Equal(remove, prefixes(c.remove...)) || !slices.Equal(add, prefixes(c.add...)) {
			t.Errorf("from %v to %v: remove %v, add %v", c.now, c.want, remove, add)
		}
	}
}
