package ovs_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/modules/ovs"
)

// TestAnotherHandIsFaster changes the row between our reading and our writing.
func TestAnotherHandIsFaster(t *testing.T) {
	m := withBridge()
	s := made(t, "ovs_bridge", ovs.BridgeSpec{Name: homeName, FailMode: step.Is("secure")})
	h := host.Observe(m.Host(), func(context.Context, host.Effect) error {
		ovsVsctl(m, []string{"set", "bridge", homeName, "fail_mode=standalone"})
		return nil
	})
	if err := s.Apply(t.Context(), h, check(t, m, s)); !errors.Is(err, row.ErrChanged) {
		t.Errorf("%v is not ErrChanged", err)
	}
	for _, b := range m.Rows(host.OpenVSwitch, "Bridge") {
		if row.String(b, "name") == homeName && row.String(b, "fail_mode") != "standalone" {
			t.Error("the other hand's value was overwritten")
		}
	}
}

// TestDevicesMadeAnew changes the datapath: what the devices carried, and the
// step does not manage, is there again.
func TestDevicesMadeAnew(t *testing.T) {
	m := withBridge()
	up := true
	ovsVsctl(m, []string{"add-port", homeName, "p1", "--", "set", "interface", "p1", "type=internal"})
	route := host.Route{Destination: netip.MustParsePrefix("198.51.100.0/24"), Via: netip.MustParseAddr("10.97.0.2")}
	m.SetLink("", homeName, host.LinkChange{Up: &up, AddAddresses: prefixes("10.98.0.1/24")})
	m.SetLink("", "p1", host.LinkChange{Up: &up, MAC: "02:00:00:00:00:97", AddAddresses: prefixes("10.97.0.1/24"), AddRoutes: []host.Route{route}})
	s := made(t, "ovs_bridge", ovs.BridgeSpec{Name: homeName, DatapathType: step.Is("system")})
	f := apply(t, m, s)
	if want := []string{"p1", homeName}; !slices.Equal(f.Cost.Severs, want) || f.Cost.Disruption == "" {
		t.Errorf("costs %+v", f.Cost)
	}
	own, _ := m.Link("", homeName)
	p1, _ := m.Link("", "p1")
	if own.Kind != "openvswitch" || !own.Up || !slices.Equal(own.Addresses, prefixes("10.98.0.1/24")) {
		t.Errorf("the bridge's own: %+v", own)
	}
	if !p1.Up || p1.MAC != "02:00:00:00:00:97" || !slices.Equal(p1.Addresses, prefixes("10.97.0.1/24")) {
		t.Errorf("p1: %+v", p1)
	}
	routes, err := m.Host().Links.Routes(t.Context(), "")
	if err != nil || !slices.ContainsFunc(routes, func(r host.Route) bool { return r.Via == route.Via && r.Link == "p1" }) {
		t.Errorf("routes %v, %v", routes, err)
	}
}

// TestAnotherHandTakesTheMember makes a bond of the port that a bond is about to
// take its member from: two would have one interface.
func TestAnotherHandTakesTheMember(t *testing.T) {
	m := withLegs()
	ovsVsctl(m, []string{"add-port", otherName, firstLeg})
	s := made(t, "ovs_bond", ovs.BondSpec{Name: "bond0", Bridge: homeName, Members: []string{firstLeg, secondLeg}})
	h := host.Observe(m.Host(), func(context.Context, host.Effect) error {
		ovsVsctl(m, []string{"add-bond-iface", firstLeg, thirdLeg})
		return nil
	})
	if err := s.Apply(t.Context(), h, check(t, m, s)); !errors.Is(err, row.ErrChanged) {
		t.Errorf("%v is not ErrChanged", err)
	}
	if find(m, "Port", "bond0") != "p" {
		t.Error("the bond was made all the same")
	}
}
