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

const (
	routerA = "weft-laws-a"
	routerB = "weft-laws-b"
)

// twoRouters is a central with the routers that the laws put rows on.
func twoRouters() *fake.Machine {
	m := central()
	addRow("Logical_Router", ovsdb.Row{"name": routerA})(m)
	addRow("Logical_Router", ovsdb.Row{"name": routerB})(m)
	return m
}

// emptyRouters has them there without rows in a column.
func emptyRouters(column string) []host.Command {
	return steptest.Run(nbctl, "--may-exist", "lr-add", routerA, "--", "--may-exist", "lr-add", routerB,
		"--", "clear", "Logical_Router", routerA, column, "--", "clear", "Logical_Router", routerB, column)
}

// portsOfRouter are the names of a router's ports.
func portsOfRouter(router string) []host.Command {
	return steptest.Run("sh", "-c", "ovn-nbctl lrp-list "+router+" | sed 's/^[^ ]* //' | sort")
}

// of is a router as it owns rows.
func of(router, column string) parent { return parent{"Logical_Router", router, column} }

// on makes a row that a router owns.
func on(router, column, table string, r ovsdb.Row) func(*fake.Machine) {
	return handed{table: table}.addTo(of(router, column), r)
}

// onByHand is on by ovn-nbctl.
func onByHand(router, column, table string, words ...string) []host.Command {
	argv := append([]string{nbctl, "--", "--id=@made", "create", table}, words...)
	return steptest.Run(append(argv, "--", "add", "Logical_Router", router, column, "@made")...)
}

func routerSubject() steptest.Subject {
	h := handed{"ovn_router", "Logical_Router", steptest.Prefix}
	byHand := ovsdb.Row{"name": h.name, "enabled": row.Optional(false), "options": row.Strmap(map[string]string{"chassis": "h9", "mac_binding_age_threshold": "60"}), "external_ids": owned(h.kind, "note", "kept")}
	withChildren := func(m *fake.Machine) {
		var tx row.Tx
		tx.Insert("Gateway_Chassis", "gc", ovsdb.Row{"name": "weft-laws-gc", "chassis_name": "h1", "priority": 3})
		tx.Insert("Logical_Router_Port", "port", ovsdb.Row{"name": "weft-laws-lrp", "mac": "02:00:00:00:00:01", "networks": row.Set("192.0.2.1/24"), "gateway_chassis": row.UUIDs("gc"), "external_ids": owned(h.kind)})
		tx.Insert("NAT", "nat", ovsdb.Row{"type": "snat", "external_ip": "192.0.2.1", "logical_ip": "10.0.0.0/8"})
		r := ovsdb.Row{"ports": row.UUIDs("port"), "nat": row.UUIDs("nat")}
		for k, v := range byHand {
			r[k] = v
		}
		tx.Insert("Logical_Router", "", r)
		m.Transact(host.Northbound, tx.Operations()...)
	}
	childrenByHand := steptest.Run(nbctl,
		"--", "--id=@gc", "create", "Gateway_Chassis", "name=weft-laws-gc", "chassis_name=h1", "priority=3",
		"--", "--id=@port", "create", "Logical_Router_Port", "name=weft-laws-lrp", `mac="02:00:00:00:00:01"`, `networks="192.0.2.1/24"`, "gateway_chassis=@gc", ownedText(h.kind),
		"--", "--id=@nat", "create", "NAT", "type=snat", `external_ip="192.0.2.1"`, `logical_ip="10.0.0.0/8"`,
		"--", "create", "Logical_Router", "name="+h.name, "enabled=false", "options:chassis=h9", "options:mac_binding_age_threshold=60", "ports=@port", "nat=@nat", ownedText(h.kind, "note", "kept"))
	return steptest.Subject{
		Kind: routerKind(), Machine: central, Policy: []string{"adopt"},
		Found: []steptest.Hand{
			{Name: "absent", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
			{Name: "different", Fake: withChildren, Host: childrenByHand},
		},
		Cases: []steptest.Case{
			{
				Name: "gateway router",
				Spec: RouterSpec{Enabled: step.Is(true), Options: keys{"chassis": step.Is("h1"), "mac_binding_age_threshold": step.None[string]()}, ExternalIDs: keys{"by": step.Is("weft")}},
				Drift: []steptest.Hand{
					h.drift("enabled", row.Optional(false), "false"), h.key("options", "chassis", "h2"), h.key("options", "mac_binding_age_threshold", "9"),
					h.key("external_ids", "by", ""), h.removed(),
				},
				Spellings: []steptest.Hand{h.drift("enabled", row.Empty(), "[]"), h.key("external_ids", "note", "mine")},
			},
			{
				Name: "absent", Spec: RouterSpec{State: step.Absent},
				Drift: []steptest.Hand{{Name: "state", Fake: withChildren, Host: childrenByHand}},
			},
		},
		Touches: steptest.Touches{Queries: slices.Concat(h.shown("name", "enabled", "options", "external_ids"),
			steptest.Run(nbctl, "--format=csv", "--no-headings", "--columns=name,mac,networks,external_ids", "find", "Logical_Router_Port", "name=weft-laws-lrp"),
			steptest.Run(nbctl, "--format=csv", "--no-headings", "--columns=name,chassis_name,priority", "find", "Gateway_Chassis", "name=weft-laws-gc"))},
		Clean: h.clean(),
	}
}

func TestLawsRouter(t *testing.T) { laws(t, routerSubject()) }

func routerPortSubject() steptest.Subject {
	h := handed{"ovn_router_port", "Logical_Router_Port", steptest.Prefix}
	byHand := ovsdb.Row{
		"name": h.name, "mac": "02:AC:10:FF:00:FE", "networks": row.Set("192.0.2.1/24", "fd00:0::1/64"), "enabled": row.Optional(false), "peer": row.Optional("elsewhere"),
		"options": row.Strmap(map[string]string{"gateway_mtu": "1400", "mcast_flood": "true"}), "ipv6_ra_configs": row.Strmap(map[string]string{"mtu": "1300"}), "external_ids": owned(h.kind, "note", "kept"),
	}
	gateways := func(m *fake.Machine) {
		var tx row.Tx
		tx.Insert("Gateway_Chassis", "gc", ovsdb.Row{"name": "weft-laws-gc", "chassis_name": "h1", "priority": 3, "options": row.Strmap(map[string]string{"by": "hand"})})
		r := ovsdb.Row{"gateway_chassis": row.UUIDs("gc")}
		for k, v := range byHand {
			r[k] = v
		}
		tx.Insert("Logical_Router_Port", "made", r)
		tx.Add(ovsdb.Operation{Op: ovsdb.OperationMutate, Table: "Logical_Router", Where: []ovsdb.Condition{row.Is("name", routerB)}, Mutations: []ovsdb.Mutation{row.AddRefs("ports", "made")}})
		m.Transact(host.Northbound, tx.Operations()...)
	}
	gatewaysByHand := steptest.Run(nbctl,
		"--", "--id=@gc", "create", "Gateway_Chassis", "name=weft-laws-gc", "chassis_name=h1", "priority=3", "options:by=hand",
		"--", "--id=@made", "create", "Logical_Router_Port", "name="+h.name, `mac="02:AC:10:FF:00:FE"`, `networks="192.0.2.1/24","fd00:0::1/64"`, "enabled=false", "peer=elsewhere",
		"options:gateway_mtu=1400", "options:mcast_flood=true", "ipv6_ra_configs:mtu=1300", "gateway_chassis=@gc", ownedText(h.kind, "note", "kept"),
		"--", "add", "Logical_Router", routerB, "ports", "@made")
	noGateways := h.drift("gateway_chassis", row.Empty(), "[]")
	other := steptest.Hand{
		Name: "gateway_chassis", Host: steptest.Run(nbctl, "lrp-set-gateway-chassis", h.name, "h9", "99"),
		Fake: func(m *fake.Machine) {
			var tx row.Tx
			tx.Insert("Gateway_Chassis", "gc", ovsdb.Row{"name": "weft-laws-h9", "chassis_name": "h9", "priority": 99})
			tx.Add(ovsdb.Operation{Op: ovsdb.OperationMutate, Table: h.table, Where: []ovsdb.Condition{row.Is("name", h.name)}, Mutations: []ovsdb.Mutation{row.AddRefs("gateway_chassis", "gc")}})
			m.Transact(host.Northbound, tx.Operations()...)
		},
	}
	return steptest.Subject{
		Kind: routerPortKind(), Machine: twoRouters, Policy: []string{"adopt", "ha_chassis_group"}, // TestRouterPortInAGroup
		Found: []steptest.Hand{
			{Name: "absent", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
			{Name: "different", Fake: gateways, Host: gatewaysByHand},
		},
		Cases: []steptest.Case{
			{
				Name: "gateway",
				Spec: RouterPortSpec{
					Router: routerA, MAC: step.Is("02:ac:10:ff:00:fe"), Networks: []string{"172.16.1.254/24", "fd00::fe/64"}, Enabled: step.Is(true), Peer: step.None[string](),
					GatewayChassis: []GatewayChassis{{"h1", 3}, {"h2", 2}}, Options: keys{"gateway_mtu": step.None[string](), "redirect-type": step.Is("bridged")},
					Advertisements: keys{"address_mode": step.Is("dhcpv6_stateful")}, ExternalIDs: keys{"by": step.Is("weft")},
				},
				Drift: []steptest.Hand{
					h.moved("router", of(routerA, "ports"), of(routerB, "ports")), h.drift("mac", "02:00:00:00:00:09", `"02:00:00:00:00:09"`), h.drift("networks", row.Set("172.16.1.253/24"), `"172.16.1.253/24"`),
					h.drift("enabled", row.Optional(false), "false"), h.drift("peer", row.Optional("x"), "x"), noGateways, other,
					h.key("options", "gateway_mtu", "9"), h.key("options", "redirect-type", ""), h.key("ipv6_ra_configs", "address_mode", "slaac"), h.key("external_ids", "by", "hand"),
					h.moved("state", of(routerA, "ports")),
				},
				Spellings: []steptest.Hand{
					h.drift("mac", "02:AC:10:FF:00:FE", `"02:AC:10:FF:00:FE"`), h.drift("networks", row.Set("172.16.1.254/24", "FD00:0::fe/64"), `"172.16.1.254/24","FD00:0::fe/64"`), h.drift("enabled", row.Empty(), "[]"),
				},
			},
			{
				Name: "peer", Spec: RouterPortSpec{Router: routerB, MAC: step.Is("02:ac:10:ff:00:fe"), Networks: []string{"192.0.2.1/24"}, Peer: step.Is("there"), GatewayChassis: []GatewayChassis{}},
				Drift: []steptest.Hand{other, h.drift("peer", row.Empty(), "[]")},
			},
			{Name: "absent", Spec: RouterPortSpec{Router: routerA, State: step.Absent}, Drift: []steptest.Hand{{Name: "state", Fake: gateways, Host: gatewaysByHand}}},
		},
		Touches: steptest.Touches{Queries: slices.Concat(
			h.shown("name", "mac", "networks", "enabled", "peer", "options", "ipv6_ra_configs", "external_ids"),
			portsOfRouter(routerA), portsOfRouter(routerB), steptest.Run("sh", "-c", "ovn-nbctl --format=csv --no-headings --columns=chassis_name,priority,options list Gateway_Chassis | sort"))},
		Clean: emptyRouters("ports"),
	}
}

func TestLawsRouterPort(t *testing.T) { laws(t, routerPortSubject()) }

// A group of chassis is referred to by its name, and has to be there.
func TestRouterPortInAGroup(t *testing.T) {
	m := twoRouters()
	spec := RouterPortSpec{Name: "lrp", Router: routerA, MAC: step.Is("02:ac:10:ff:00:fe"), Networks: []string{"192.0.2.1/24"}, HAGroup: step.Is("gateways")}
	s := made(t, routerPortKind(), spec)
	if _, err := s.Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), `ha chassis group "gateways"`) {
		t.Errorf("without the group: %v", err)
	}
	addRow("HA_Chassis_Group", ovsdb.Row{"name": "gateways"})(m)
	addRow("HA_Chassis_Group", ovsdb.Row{"name": "others"})(m)
	converge(t, s, m)
	spec.HAGroup = step.Is("others")
	converge(t, made(t, routerPortKind(), spec), m)
	spec.HAGroup = step.None[string]()
	converge(t, made(t, routerPortKind(), spec), m)
	if refs := row.Refs(m.Rows(host.Northbound, "Logical_Router_Port")[0], "ha_chassis_group"); len(refs) > 0 {
		t.Errorf("it is still of a group: %v", refs)
	}
}

func TestRouterPortProblems(t *testing.T) {
	good := RouterPortSpec{Name: "p", Router: "lr1", MAC: step.Is("02:ac:10:ff:00:fe"), Networks: []string{"172.16.1.254/24", "fd00::1/64"}, GatewayChassis: []GatewayChassis{{"h0", 20}, {"h1", 10}}, Advertisements: keys{"address_mode": step.Is("slaac")}}
	if p := good.Validate(); len(p) > 0 {
		t.Errorf("a good port is refused: %v", p)
	}
	for want, change := range map[string]func(*RouterPortSpec){
		"mac":                          func(s *RouterPortSpec) { s.MAC = step.Is("02:ac") },
		"mac:none":                     func(s *RouterPortSpec) { s.MAC = step.Attr[string]{} },
		"networks":                     func(s *RouterPortSpec) { s.Networks[0] = "172.16.1.254" },
		"networks:none":                func(s *RouterPortSpec) { s.Networks, s.Advertisements = nil, nil },
		"router":                       func(s *RouterPortSpec) { s.Router = "" },
		"ipv6_ra_configs":              func(s *RouterPortSpec) { s.Networks = s.Networks[:1] },
		"ipv6_ra_configs.address_mode": func(s *RouterPortSpec) { s.Advertisements = keys{"address_mode": step.Is("dhcp")} },
		"gateway_chassis":              func(s *RouterPortSpec) { s.GatewayChassis[0].Priority = 40000 },
		"gateway_chassis:twice":        func(s *RouterPortSpec) { s.GatewayChassis[1].Chassis = "h0" },
		"gateway_chassis:empty":        func(s *RouterPortSpec) { s.GatewayChassis[1].Chassis = "" },
		"ha_chassis_group":             func(s *RouterPortSpec) { s.HAGroup = step.Is("g") },
	} {
		s := good
		s.GatewayChassis, s.Networks = slices.Clone(good.GatewayChassis), slices.Clone(good.Networks)
		change(&s)
		path, _, _ := strings.Cut(want, ":")
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", want, p)
		}
	}
}
