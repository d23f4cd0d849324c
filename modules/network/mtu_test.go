package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
)

// hop is what the way to an address is like.
type hop struct {
	mtu   int    // larger packets do not pass
	by    string // the router that says so; "host" where this one does, "" for nobody
	once  bool   // the router says so once, then the kernel knows
	until int    // packets that vanish at first
	from  string // the only source that is answered; any where empty
}

// meshed is a host with an address and links to others, by target.
func meshed(hops map[string]*hop) *fake.Machine {
	m := fake.New()
	m.AddLink("", host.Link{Name: "eth1", Up: true, MTU: 1600, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64")}})
	m.AddLink("", host.Link{Name: "eth9", Up: false, MTU: 9000, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/25")}})
	m.OnPing(func(_ *fake.Machine, p host.Ping) host.PingReport {
		h := hops[p.Target.String()]
		r := host.PingReport{Sent: p.Count}
		if h == nil || !p.DontFragment || h.from != "" && p.Source.String() != h.from {
			return r
		}
		if h.until > 0 {
			h.until--
			return r
		}
		size := p.Size + 28
		if p.Target.Is6() {
			size += 20
		}
		switch {
		case size <= h.mtu:
			r.Received = p.Count
		case h.by == "":
		default:
			r.Refused, r.MTU = "message too long", h.mtu
			if h.by != "host" {
				r.By = netip.MustParseAddr(h.by)
			}
			if h.once {
				h.by = "host"
			}
		}
		return r
	})
	return m
}

func TestProbeMTU(t *testing.T) {
	for name, c := range map[string]struct {
		hop    *hop
		spec   ProbeMTUSpec
		target string
		seen   string // in the error, or, after "ok:", in the report
	}{
		"passes":           {&hop{mtu: 1500}, ProbeMTUSpec{MTU: step.Is(1500)}, "192.0.2.3", "ok:1500 bytes to 192.0.2.3 by eth1"},
		"the link's":       {&hop{mtu: 1600}, ProbeMTUSpec{}, "192.0.2.3", "ok:1600 bytes"},
		"IPv6":             {&hop{mtu: 1600}, ProbeMTUSpec{}, "2001:db8::3", "ok:1600 bytes"},
		"vanishes":         {&hop{mtu: 1442}, ProbeMTUSpec{}, "192.0.2.3", "packets of 1442 bytes pass, larger ones vanish without a word after eth1"},
		"vanishes of IPv6": {&hop{mtu: 1442}, ProbeMTUSpec{}, "2001:db8::3", "packets of 1442 bytes pass"},
		"one byte":         {&hop{mtu: 1599}, ProbeMTUSpec{}, "192.0.2.3", "the path MTU is 1599"},
		"a router":         {&hop{mtu: 1300, by: "192.0.2.1"}, ProbeMTUSpec{}, "192.0.2.3", "router 192.0.2.1 lets no more than 1300"},
		"a router, once":   {&hop{mtu: 1300, by: "192.0.2.1", once: true}, ProbeMTUSpec{}, "192.0.2.3", "router 192.0.2.1 lets no more than 1300"},
		"the link":         {&hop{mtu: 1600, by: "host"}, ProbeMTUSpec{MTU: step.Is(1700)}, "192.0.2.3", "the MTU of this host's eth1 is 1600"},
		"the route":        {&hop{mtu: 1280, by: "host"}, ProbeMTUSpec{}, "192.0.2.3", "knows an MTU of 1280 for the route"},
		"nobody":           {nil, ProbeMTUSpec{}, "192.0.2.3", "no packet at all"},
		"no route":         {nil, ProbeMTUSpec{}, "198.51.100.1", "a route to 198.51.100.1"},
		"later":            {&hop{mtu: 1600, until: 2}, ProbeMTUSpec{Timeout: time.Minute}, "192.0.2.3", "ok:1600"},
	} {
		c.spec.Target, c.spec.Timeout = c.target, max(c.spec.Timeout, briefly)
		if p := c.spec.Validate(); len(p) > 0 {
			t.Errorf("%s: refused: %v", name, p)
		}
		r, err := c.spec.Probe(t.Context(), meshed(map[string]*hop{c.target: c.hop}).Host().View())
		if want, ok := strings.CutPrefix(c.seen, "ok:"); ok && (err != nil || !strings.Contains(r.Summary, want)) {
			t.Errorf("%s: %q, %v", name, r.Summary, err)
		} else if !ok && (!errors.As(err, new(*step.ProbeError)) || !strings.Contains(err.Error(), c.seen)) {
			t.Errorf("%s: %q, %v", name, r.Summary, err)
		}
	}
}

// TestNamedMTUIsTried: where somebody names the MTU, nothing is halved.
func TestNamedMTUIsTried(t *testing.T) {
	m := meshed(map[string]*hop{"192.0.2.3": {mtu: 1300, by: "192.0.2.1"}})
	v, sent := m.Host().View(), counted{}
	sent.Packets, v.Packets = v.Packets, &sent
	p, err := findPath(t.Context(), v, "", netip.MustParseAddr("192.0.2.3"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := p.measure(t.Context(), 1500, host.PingReport{})
	if err != nil || l.size != 1300 || sent.pings != 4 {
		t.Errorf("%d after %d series, %v", l.size, sent.pings, err)
	}
}

// counted counts series of pings.
type counted struct {
	host.Packets
	pings int
}

func (c *counted) Ping(ctx context.Context, p host.Ping) (host.PingReport, error) {
	c.pings++
	return c.Packets.Ping(ctx, p)
}

// TestFindPath: the most exact route counts, and of like ones the first metric.
func TestFindPath(t *testing.T) {
	m := meshed(nil)
	m.AddLink("", host.Link{Name: "eth2", Up: true, MTU: 1400, Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.2/24")}})
	up := netip.MustParseAddr("198.51.100.1")
	m.SetLink("", "eth2", host.LinkChange{AddRoutes: []host.Route{
		{Destination: netip.MustParsePrefix("0.0.0.0/0"), Via: up, Link: "eth2", Metric: 10},
		{Destination: netip.MustParsePrefix("192.0.2.128/25"), Via: up, Link: "eth2"},
	}})
	m.SetLink("", "eth1", host.LinkChange{AddRoutes: []host.Route{{Destination: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.1"), Link: "eth1", Metric: 20}}})
	for target, link := range map[string]string{"192.0.2.3": "eth1", "192.0.2.200": "eth2", "203.0.113.1": "eth2", "198.51.100.9": "eth2", "::ffff:192.0.2.3": "eth1"} {
		p, err := findPath(t.Context(), m.Host().View(), "", netip.MustParseAddr(target))
		if err != nil || p.outlet.Name != link {
			t.Errorf("%s: by %q, %v", target, p.outlet.Name, err)
		}
	}
}

// tunnel adds one to a machine with Open vSwitch.
func tunnel(m *fake.Machine, name, kind, remote string) {
	options := map[string]string{"remote_ip": remote, "local_ip": "192.0.2.2"}
	m.Transact(host.OpenVSwitch,
		insert("Interface", "i", ovsdb.Row{"name": name, "type": kind, "options": row.Strmap(options)}),
		insert("Port", "p", ovsdb.Row{"name": name, "interfaces": row.UUIDs("i")}),
		ovsdb.Operation{Op: ovsdb.OperationMutate, Table: "Bridge", Where: []ovsdb.Condition{row.Is("name", "br0")}, Mutations: []ovsdb.Mutation{row.AddRefs("ports", "p")}})
	m.SettleDatabases()
}

func TestProbeMesh(t *testing.T) {
	peers := map[string]string{"ubuntu2": "192.0.2.2", "ubuntu3": "192.0.2.3", "ubuntu4": "192.0.2.4"}
	well := func() map[string]*hop { return map[string]*hop{"192.0.2.3": {mtu: 1600}, "192.0.2.4": {mtu: 1600}} }
	bad := func(h hop) map[string]*hop { return map[string]*hop{"192.0.2.3": {mtu: 1600}, "192.0.2.4": &h} }
	both := func(m *fake.Machine) {
		tunnel(m, "ovn-3-0", "geneve", "192.0.2.3")
		tunnel(m, "ovn-4-0", "geneve", "192.0.2.4")
	}
	for name, c := range map[string]struct {
		hops map[string]*hop
		spec ProbeMeshSpec
		make func(m *fake.Machine)
		seen string // in the error, or, after "ok:", in the report
	}{
		"all":           {well(), ProbeMeshSpec{Peers: peers}, nil, "ok:1600 bytes from ubuntu2 (192.0.2.2) to each of ubuntu3, ubuntu4"},
		"small":         {bad(hop{mtu: 1500}), ProbeMeshSpec{Peers: peers, MTU: step.Is(1500)}, nil, "ok:1500 bytes"},
		"one too small": {bad(hop{mtu: 1500}), ProbeMeshSpec{Peers: peers, MTU: step.Is(1558)}, nil, "1 of 2 pairs fail: ubuntu2 (192.0.2.2) → ubuntu4 (192.0.2.4): packets of 1500 bytes pass, larger"},
		"one is gone":   {map[string]*hop{"192.0.2.3": {mtu: 1600}}, ProbeMeshSpec{Peers: peers}, nil, "ubuntu4 (192.0.2.4): no packet at all"},
		"nobody":        {nil, ProbeMeshSpec{Peers: map[string]string{"a": "192.0.2.2"}}, nil, "none but this host"},
		"tunnels":       {well(), ProbeMeshSpec{Tunnels: []string{"geneve"}}, both, "ok:1600 bytes from this host to each of ovn-3-0, ovn-4-0"},
		"peers too":     {well(), ProbeMeshSpec{Peers: peers, Tunnels: []string{"geneve"}}, both, "ok:each of ubuntu3, ubuntu4"},
		"no tunnel":     {well(), ProbeMeshSpec{Peers: peers, Tunnels: []string{"geneve"}}, func(m *fake.Machine) { tunnel(m, "x", "geneve", "192.0.2.3") }, "1 of 2 pairs fail: ubuntu2 (192.0.2.2) → ubuntu4 (192.0.2.4): there is no geneve tunnel to it"},
		"other type":    {well(), ProbeMeshSpec{Tunnels: []string{"vxlan"}}, both, "none but this host"},
		"of flows":      {well(), ProbeMeshSpec{Tunnels: []string{"geneve"}}, func(m *fake.Machine) { both(m); tunnel(m, "f", "geneve", "flow") }, "ok:each of ovn-3-0, ovn-4-0"},
		"dead": {well(), ProbeMeshSpec{Tunnels: []string{"geneve"}}, func(m *fake.Machine) {
			both(m)
			m.Systemctl(host.Stop, "ovs-vswitchd.service") // so that it does not mend it
			m.Transact(host.OpenVSwitch, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: "Interface", Where: []ovsdb.Condition{row.Is("name", "ovn-4-0")},
				Row: ovsdb.Row{"ofport": row.Optional(-1), "error": row.Optional("could not add network device ovn-4-0 to ofproto (File exists)")}})
		}, "its tunnel ovn-4-0 is dead: could not add"},
		"from its own end": {bad(hop{mtu: 1600, from: "192.0.2.2"}), ProbeMeshSpec{Tunnels: []string{"geneve"}}, both, "ok:1600"},
		"dead beside another": {well(), ProbeMeshSpec{Tunnels: []string{"geneve", "vxlan"}}, func(m *fake.Machine) {
			both(m)
			tunnel(m, "vx", "vxlan", "192.0.2.4")
			m.Systemctl(host.Stop, "ovs-vswitchd.service") // so that it does not mend it
			m.Transact(host.OpenVSwitch, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: "Interface", Where: []ovsdb.Condition{row.Is("name", "vx")},
				Row: ovsdb.Row{"ofport": row.Empty()}})
		}, "its tunnel vx is dead: its ofport is 0"},
		"watched, and down": {well(), ProbeMeshSpec{Tunnels: []string{"geneve"}}, func(m *fake.Machine) {
			both(m)
			m.Transact(host.OpenVSwitch, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: "Interface", Where: []ovsdb.Condition{row.Is("name", "ovn-4-0")},
				Row: ovsdb.Row{"bfd": row.Strmap(map[string]string{"enable": "true"}), "bfd_status": row.Strmap(map[string]string{"state": "down", "diagnostic": "Control Detection Time Expired"})}})
		}, "its tunnel ovn-4-0 is down, says BFD (Control Detection Time Expired)"},
		"watched, and up": {well(), ProbeMeshSpec{Tunnels: []string{"geneve"}}, func(m *fake.Machine) {
			both(m)
			m.Transact(host.OpenVSwitch, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: "Interface", Where: []ovsdb.Condition{row.Is("name", "ovn-4-0")},
				Row: ovsdb.Row{"bfd": row.Strmap(map[string]string{"enable": "true"}), "bfd_status": row.Strmap(map[string]string{"state": "up"})}})
		}, "ok:1600 bytes"},
		"first lost": {bad(hop{mtu: 1600, until: 1}), ProbeMeshSpec{Peers: peers, Timeout: time.Minute}, nil, "ok:1600"},
	} {
		m := meshed(c.hops)
		m.AddOpenVSwitch()
		root := row.ID(m.Rows(host.OpenVSwitch, "Open_vSwitch")[0])
		m.Transact(host.OpenVSwitch, insert("Bridge", "b", ovsdb.Row{"name": "br0"}),
			ovsdb.Operation{Op: ovsdb.OperationMutate, Table: "Open_vSwitch", Where: []ovsdb.Condition{row.IsRow(root)}, Mutations: []ovsdb.Mutation{row.AddRefs("bridges", "b")}})
		if c.make != nil {
			c.make(m)
		}
		c.spec.Timeout = max(c.spec.Timeout, briefly)
		if p := c.spec.Validate(); len(p) > 0 {
			t.Errorf("%s: refused: %v", name, p)
		}
		r, err := c.spec.Probe(t.Context(), m.Host().View())
		if want, ok := strings.CutPrefix(c.seen, "ok:"); ok && (err != nil || !strings.Contains(r.Summary, want)) {
			t.Errorf("%s: %q, %v", name, r.Summary, err)
		} else if !ok && (!errors.As(err, new(*step.ProbeError)) || !strings.Contains(err.Error(), c.seen)) {
			t.Errorf("%s: %q, %v", name, r.Summary, err)
		}
	}
}

// TestProbeMeshOfThirty asks many ends side by side.
func TestProbeMeshOfThirty(t *testing.T) {
	peers, hops := map[string]string{}, map[string]*hop{}
	for i := range 30 {
		a := fmt.Sprintf("192.0.2.%d", 100+i)
		peers[fmt.Sprintf("host%02d", i)], hops[a] = a, &hop{mtu: 1600}
	}
	hops["192.0.2.117"] = nil
	spec := ProbeMeshSpec{Peers: peers, Timeout: briefly}
	_, err := spec.Probe(t.Context(), meshed(hops).Host().View())
	if err == nil || !strings.Contains(err.Error(), "1 of 30 pairs fail: this host → host17 (192.0.2.117)") {
		t.Errorf("got %v", err)
	}
}

func TestProbeMTUProblems(t *testing.T) {
	for path, change := range map[string]func(*ProbeMTUSpec){
		"target":  func(s *ProbeMTUSpec) { s.Target = "vm1" },
		"source":  func(s *ProbeMTUSpec) { s.Source = step.Is("2001:db8::1") },
		"mtu":     func(s *ProbeMTUSpec) { s.MTU = step.Is(67) },
		"timeout": func(s *ProbeMTUSpec) { s.Timeout = 0 },
	} {
		s := ProbeMTUSpec{Target: "10.0.0.9", Timeout: 1}
		change(&s)
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
	six := ProbeMTUSpec{Target: "2001:db8::1", Timeout: 1, MTU: step.Is(1279)}
	if p := six.Validate(); len(p) != 1 || p[0].Path != "mtu" {
		t.Errorf("of IPv6: %v", p)
	}
	for path, change := range map[string]func(*ProbeMeshSpec){
		"peers":   func(s *ProbeMeshSpec) { s.Peers = nil },
		"peers.a": func(s *ProbeMeshSpec) { s.Peers = map[string]string{"a": "b"} },
		"tunnels": func(s *ProbeMeshSpec) { s.Tunnels = []string{"stt"} },
		"mtu":     func(s *ProbeMeshSpec) { s.MTU = step.Is(1 << 16) },
		"timeout": func(s *ProbeMeshSpec) { s.Timeout = 0 },
	} {
		s := ProbeMeshSpec{Peers: map[string]string{"a": "10.0.0.1"}, Timeout: 1}
		change(&s)
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
}
