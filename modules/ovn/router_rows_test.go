package ovn

import (
	"slices"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

func natSubject() steptest.Subject {
	h := handed{kind: "ovn_nat", table: "NAT"}
	byHand := on(routerB, "nat", h.table, ovsdb.Row{
		"type": "dnat_and_snat", "external_ip": "192.0.2.9", "logical_ip": "10.9.0.1", "external_mac": row.Optional("02:AC:10:FF:00:09"), "logical_port": row.Optional("vm9"),
		"external_port_range": "1-9", "options": row.Strmap(map[string]string{"stateless": "true"}), "external_ids": owned(h.kind, "note", "kept"),
	})
	byHandCommands := onByHand(routerB, "nat", h.table, "type=dnat_and_snat", `external_ip="192.0.2.9"`, `logical_ip="10.9.0.1"`, `external_mac="02:AC:10:FF:00:09"`, "logical_port=vm9", `external_port_range="1-9"`, "options:stateless=true", ownedText(h.kind, "note", "kept"))
	return steptest.Subject{
		Kind: natKind(), Machine: twoRouters, Policy: []string{"adopt", "gateway_port", "allowed_ext_ips", "exempted_ext_ips"}, // TestNATRefersToOthers
		Found: []steptest.Hand{
			{Name: "absent", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
			{Name: "different", Fake: byHand, Host: byHandCommands},
		},
		Cases: []steptest.Case{
			{
				Name: "floating",
				Spec: NATSpec{
					Router: routerA, Type: "dnat_and_snat", ExternalIP: "192.0.2.10", LogicalIP: "10.0.0.10", ExternalMAC: step.Is("02:ac:10:ff:00:10"), LogicalPort: step.Is("vm1"),
					PortRange: step.Is("1024-2048"), Options: keys{"stateless": step.None[string](), "add_route": step.Is("true")}, ExternalIDs: keys{"by": step.Is("weft")},
				},
				Drift: []steptest.Hand{
					h.moved("router", of(routerA, "nat"), of(routerB, "nat")), h.drift("type", "snat", "snat"), h.drift("external_ip", "192.0.2.11", `"192.0.2.11"`), h.drift("logical_ip", "10.0.0.11", `"10.0.0.11"`),
					h.drift("external_mac", row.Empty(), "[]"), h.drift("logical_port", row.Optional("vm2"), "vm2"), h.drift("external_port_range", "", `""`),
					h.key("options", "stateless", "true"), h.key("options", "add_route", ""), h.key("external_ids", "by", ""), h.moved("state", of(routerA, "nat")),
				},
				Spellings: []steptest.Hand{h.drift("external_mac", row.Optional("02:AC:10:FF:00:10"), `"02:AC:10:FF:00:10"`)},
			},
			{
				Name: "many",
				Spec: NATSpec{Router: routerB, Type: "snat", ExternalIP: "fd00::1", LogicalIP: "fd01::/64", ExternalMAC: step.None[string](), LogicalPort: step.None[string](), PortRange: step.None[string]()},
				Drift: []steptest.Hand{
					h.drift("external_mac", row.Optional("02:00:00:00:00:01"), `"02:00:00:00:00:01"`), h.drift("logical_port", row.Optional("x"), "x"), h.drift("external_port_range", "1-2", `"1-2"`),
				},
				Spellings: []steptest.Hand{h.drift("logical_ip", "FD01:0::/64", `"FD01:0::/64"`)},
			},
			{
				Name: "absent", Spec: NATSpec{Router: routerB, Type: "snat", ExternalIP: "192.0.2.9", LogicalIP: "10.9.0.1", State: step.Absent},
				Drift: []steptest.Hand{{Name: "state", Fake: byHand, Host: byHandCommands}},
			},
		},
		Touches: steptest.Touches{Queries: slices.Concat(
			h.shown("type", "external_ip", "logical_ip", "external_mac", "logical_port", "external_port_range", "options", "external_ids"),
			steptest.Run(nbctl, "lr-nat-list", routerA), steptest.Run(nbctl, "lr-nat-list", routerB))},
		Clean: emptyRouters("nat"),
	}
}

func TestLawsNAT(t *testing.T) { laws(t, natSubject()) }

// A rule may refer to a port of its router, and to a set of addresses.
func TestNATRefersToOthers(t *testing.T) {
	m := twoRouters()
	spec := NATSpec{Router: routerA, Type: "snat", ExternalIP: "192.0.2.1", LogicalIP: "10.0.0.0/8", GatewayPort: step.Is("lrp"), Allowed: step.Is("partners")}
	if _, err := made(t, natKind(), spec).Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), "there is no") {
		t.Errorf("without them: %v", err)
	}
	on(routerA, "ports", "Logical_Router_Port", ovsdb.Row{"name": "lrp", "mac": "02:00:00:00:00:01", "networks": row.Set("192.0.2.1/24")})(m)
	addRow("Address_Set", ovsdb.Row{"name": "partners"})(m)
	addRow("Address_Set", ovsdb.Row{"name": "others"})(m)
	converge(t, made(t, natKind(), spec), m)
	spec.GatewayPort, spec.Allowed, spec.Exempted = step.None[string](), step.None[string](), step.Is("others")
	converge(t, made(t, natKind(), spec), m)
	r := m.Rows(host.Northbound, "NAT")[0]
	if len(row.Refs(r, "gateway_port"))+len(row.Refs(r, "allowed_ext_ips")) > 0 || len(row.Refs(r, "exempted_ext_ips")) != 1 {
		t.Errorf("it refers to %v", r)
	}
}

// The same rule by another hand is not made twice.
func TestForeignNATRuleIsRefused(t *testing.T) {
	m := twoRouters()
	r := ovsdb.Row{"type": "snat", "external_ip": "192.0.2.1", "logical_ip": "10.0.0.0/8"}
	on(routerA, "nat", "NAT", r)(m)
	spec := NATSpec{Router: routerA, Type: "snat", ExternalIP: "192.0.2.1", LogicalIP: "10.0.0.0/8"}
	if _, err := made(t, natKind(), spec).Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), "no step of weft") {
		t.Errorf("got %v", err)
	}
	other := spec
	other.Router = routerB // there it is another
	if f, err := made(t, natKind(), other).Check(t.Context(), m.Host().View()); err != nil || !f.Changed() {
		t.Errorf("on another router: %v, %v", f.Deltas, err)
	}
	spec.Adopt = true
	converge(t, made(t, natKind(), spec), m)
	if rows := m.Rows(host.Northbound, "NAT"); len(rows) != 1 || row.Map(rows[0], "external_ids")[ownerKey] == "" {
		t.Errorf("after it was adopted: %v", rows)
	}
}

func TestNATProblems(t *testing.T) {
	good := NATSpec{Name: "n", Router: "lr1", Type: "dnat_and_snat", ExternalIP: "192.0.2.1", LogicalIP: "10.0.0.1", ExternalMAC: step.Is("02:00:00:00:00:01"), LogicalPort: step.Is("vm1")}
	if p := good.Validate(); len(p) > 0 {
		t.Errorf("a good rule is refused: %v", p)
	}
	for want, change := range map[string]func(*NATSpec){
		"external_ip":       func(s *NATSpec) { s.ExternalIP = "192.0.2.1/24" },
		"logical_ip":        func(s *NATSpec) { s.LogicalIP = "10.0.0.0/8" },
		"logical_ip:family": func(s *NATSpec) { s.LogicalIP = "fd00::1" },
		"logical_ip:bits": func(s *NATSpec) {
			*s = NATSpec{Name: "n", Router: "r", Type: "snat", ExternalIP: "192.0.2.1", LogicalIP: "10.0.0.1/8"}
		},
		"logical_ip:nonsense":  func(s *NATSpec) { s.LogicalIP = "all" },
		"external_mac":         func(s *NATSpec) { s.LogicalPort = step.Attr[string]{} },
		"external_mac:type":    func(s *NATSpec) { s.Type = "dnat" },
		"external_mac:address": func(s *NATSpec) { s.ExternalMAC = step.Is("02:00") },
		"exempted_ext_ips":     func(s *NATSpec) { s.Allowed, s.Exempted = step.Is("a"), step.Is("b") },
		"router":               func(s *NATSpec) { s.Router = "" },
	} {
		s := good
		change(&s)
		path, _, _ := strings.Cut(want, ":")
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", want, p)
		}
	}
}

func staticRouteSubject() steptest.Subject {
	h := handed{kind: "ovn_static_route", table: "Logical_Router_Static_Route"}
	byHand := on(routerB, "static_routes", h.table, ovsdb.Row{
		"ip_prefix": "10.9.0.0/16", "nexthop": "192.0.2.9", "policy": row.Optional("src-ip"), "output_port": row.Optional("out"), "route_table": "blue",
		"options": row.Strmap(map[string]string{"origin": "connected"}), "external_ids": owned(h.kind, "note", "kept"),
	})
	byHandCommands := onByHand(routerB, "static_routes", h.table, `ip_prefix="10.9.0.0/16"`, `nexthop="192.0.2.9"`, "policy=src-ip", "output_port=out", "route_table=blue", "options:origin=connected", ownedText(h.kind, "note", "kept"))
	return steptest.Subject{
		Kind: staticRouteKind(), Machine: twoRouters, Policy: []string{"adopt"},
		Found: []steptest.Hand{
			{Name: "absent", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
			{Name: "different", Fake: byHand, Host: byHandCommands},
		},
		Cases: []steptest.Case{
			{
				Name: "default",
				Spec: StaticRouteSpec{
					Router: routerA, Prefix: "0.0.0.0/0", NextHop: "192.0.2.1", Policy: step.Is("dst-ip"), OutputPort: step.None[string](), RouteTable: step.None[string](),
					Options: keys{"ecmp_symmetric_reply": step.Is("true"), "origin": step.None[string]()}, ExternalIDs: keys{"by": step.Is("weft")},
				},
				Drift: []steptest.Hand{
					h.moved("router", of(routerA, "static_routes"), of(routerB, "static_routes")), h.drift("ip_prefix", "10.0.0.0/8", `"10.0.0.0/8"`), h.drift("nexthop", "192.0.2.2", `"192.0.2.2"`), h.drift("policy", row.Optional("src-ip"), "src-ip"),
					h.drift("output_port", row.Optional("x"), "x"), h.drift("route_table", "red", "red"), h.key("options", "ecmp_symmetric_reply", ""), h.key("options", "origin", "x"), h.key("external_ids", "by", ""),
					h.moved("state", of(routerA, "static_routes")),
				},
				Spellings: []steptest.Hand{h.drift("policy", row.Empty(), "[]")},
			},
			{
				Name: "of a table", Spec: StaticRouteSpec{Router: routerB, Prefix: "fd00::5", NextHop: "discard", OutputPort: step.Is("out"), RouteTable: step.Is("blue")},
				Drift:     []steptest.Hand{h.drift("output_port", row.Empty(), "[]"), h.drift("route_table", "", `""`)},
				Spellings: []steptest.Hand{h.drift("ip_prefix", "fd00:0::5/128", `"fd00:0::5/128"`)},
			},
			{
				Name: "absent", Spec: StaticRouteSpec{Router: routerB, Prefix: "10.9.0.0/16", NextHop: "192.0.2.9", State: step.Absent},
				Drift: []steptest.Hand{{Name: "state", Fake: byHand, Host: byHandCommands}},
			},
		},
		Touches: steptest.Touches{Queries: slices.Concat(
			h.shown("ip_prefix", "nexthop", "policy", "output_port", "route_table", "options", "external_ids"),
			steptest.Run(nbctl, "lr-route-list", routerA), steptest.Run(nbctl, "lr-route-list", routerB))},
		Clean: emptyRouters("static_routes"),
	}
}

func TestLawsStaticRoute(t *testing.T) { laws(t, staticRouteSubject()) }

func TestStaticRouteProblems(t *testing.T) {
	for _, good := range []StaticRouteSpec{
		{Name: "n", Router: "lr1", Prefix: "0.0.0.0/0", NextHop: "192.0.2.1"}, {Name: "n", Router: "lr1", Prefix: "10.0.0.1", NextHop: "discard"}, {Name: "n", Router: "lr1", Prefix: "10.0.0.0/8", NextHop: "fe80::1"},
	} {
		if p := good.Validate(); len(p) > 0 {
			t.Errorf("%+v: %v", good, p)
		}
	}
	for want, s := range map[string]StaticRouteSpec{
		"ip_prefix":      {Name: "n", Router: "lr1", Prefix: "default", NextHop: "192.0.2.1"},
		"ip_prefix:bits": {Name: "n", Router: "lr1", Prefix: "10.0.0.1/8", NextHop: "192.0.2.1"},
		"nexthop":        {Name: "n", Router: "lr1", Prefix: "10.0.0.0/8", NextHop: "gw"},
		"router":         {Name: "n", Prefix: "10.0.0.0/8", NextHop: "192.0.2.1"},
	} {
		path, _, _ := strings.Cut(want, ":")
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", want, p)
		}
	}
}
