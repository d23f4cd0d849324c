package ovs_test

import (
	"slices"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/modules/ovs"
)

// managed is a host whose management is on an internal port of a bridge beside
// its NIC, with a VLAN device on another, and a second bridge behind a patch.
func managed() *fake.Machine {
	m := withBridge()
	up := true
	for _, args := range [][]string{
		{"add-port", homeName, "eth1"},
		{"add-port", homeName, "mgmt0", "--", "set", "interface", "mgmt0", "type=internal"},
		{"add-port", homeName, "trunk0", "--", "set", "interface", "trunk0", "type=internal"},
		{"add-port", homeName, "idle0", "--", "set", "interface", "idle0", "type=internal"},
		{"add-br", "br-far"},
		{"add-port", homeName, "p-near", "--", "set", "interface", "p-near", "type=patch", "options:peer=p-far"},
		{"add-port", "br-far", "p-far", "--", "set", "interface", "p-far", "type=patch", "options:peer=p-near"},
	} {
		ovsVsctl(m, args)
	}
	m.SetLink("", "mgmt0", host.LinkChange{Up: &up, AddAddresses: prefixes("10.127.0.2/25")})
	m.SetLink("", "br-far", host.LinkChange{Up: &up, AddAddresses: prefixes("10.127.1.2/25")})
	m.AddLink("", host.Link{Name: "trunk0.300", Kind: "vlan", Lower: "trunk0", Up: true})
	m.AddLink("", host.Link{Name: "eth2", Up: true})
	m.AddLink("", host.Link{Name: "eth3"})
	return m
}

func TestWhatAChangeSevers(t *testing.T) {
	all := []string{"br-far", "eth1", "mgmt0", "trunk0"}
	nic := ovs.PortSpec{Name: "eth1", Bridge: homeName}
	changed := func(change func(*ovs.PortSpec)) ovs.PortSpec {
		s := nic
		change(&s)
		return s
	}
	for name, c := range map[string]struct {
		kind string
		spec any
		want []string
	}{
		"a NIC joins":                {"ovs_port", ovs.PortSpec{Name: "eth2", Bridge: homeName}, []string{"eth2"}},
		"a NIC that is down joins":   {"ovs_port", ovs.PortSpec{Name: "eth3", Bridge: homeName}, nil},
		"a NIC leaves":               {"ovs_port", changed(func(s *ovs.PortSpec) { s.State = step.Absent }), all},
		"a NIC goes elsewhere":       {"ovs_port", changed(func(s *ovs.PortSpec) { s.Bridge = "br-far" }), all},
		"a NIC gets a tag":           {"ovs_port", changed(func(s *ovs.PortSpec) { s.Tag = step.Is(9) }), all},
		"a NIC gets trunks":          {"ovs_port", changed(func(s *ovs.PortSpec) { s.Trunks = []int{9} }), all},
		"a NIC gets a mode":          {"ovs_port", changed(func(s *ovs.PortSpec) { s.VLANMode = step.Is("access") }), all},
		"a NIC goes down":            {"ovs_port", changed(func(s *ovs.PortSpec) { s.Up = step.Is(false) }), all},
		"a NIC gets a key":           {"ovs_port", changed(func(s *ovs.PortSpec) { s.PortExternalIDs = keys("a", "b") }), nil},
		"an internal port joins":     {"ovs_port", ovs.PortSpec{Name: "new0", Bridge: homeName, Type: step.Is("internal"), Tag: step.Is(9)}, nil},
		"an idle internal port goes": {"ovs_port", ovs.PortSpec{Name: "idle0", Bridge: homeName, State: step.Absent}, all},
		"another MAC":                {"ovs_port", ovs.PortSpec{Name: "mgmt0", Bridge: homeName, MAC: step.Is("02:00:00:00:00:55")}, []string{"mgmt0"}},
		"the bridge goes":            {"ovs_bridge", ovs.BridgeSpec{Name: homeName, State: step.Absent}, all},
		"the far bridge goes":        {"ovs_bridge", ovs.BridgeSpec{Name: "br-far", State: step.Absent}, all},
		"the bridge drops":           {"ovs_bridge", ovs.BridgeSpec{Name: homeName, FailMode: step.Is("secure")}, all},
		"other controllers":          {"ovs_bridge", ovs.BridgeSpec{Name: homeName, Controllers: []ovs.Remote{{Target: "tcp:192.0.2.1:6653"}}}, all},
		"its own address":            {"ovs_bridge", ovs.BridgeSpec{Name: "br-far", Addresses: []string{}}, []string{"br-far"}},
		"a key of it":                {"ovs_bridge", ovs.BridgeSpec{Name: homeName, ExternalIDs: keys("a", "b")}, nil},
	} {
		m := managed()
		f := check(t, m, made(t, c.kind, c.spec))
		got := slices.Sorted(slices.Values(f.Cost.Severs))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: severs %v, not %v (%v)", name, got, c.want, f.Deltas)
		}
	}
}
