package ovs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/step"
	"weft/modules/ovs"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 50*time.Millisecond)
}

func TestPersistedFiles(t *testing.T) {
	m := withBridge()
	apply(t, m, made(t, "ovs_bridge", ovs.BridgeSpec{
		Name: homeName, DatapathType: step.Is("netdev"), FailMode: step.Is("secure"), Hwaddr: step.Is("02:00:00:00:00:01"), MTU: step.Is(1400),
		ExternalIDs: keys("a", "b"), Addresses: []string{"192.0.2.1/24", "2001:db8::1/64"}, Persist: step.Is(true),
	}))
	apply(t, m, made(t, "ovs_port", ovs.PortSpec{
		Name: "vlan.300", Bridge: homeName, Type: step.Is("internal"), Tag: step.Is(300), MAC: step.Is("02:00:00:00:00:02"), Up: step.Is(true), Persist: step.Is(true),
	}))
	apply(t, m, made(t, "ovs_port", ovs.PortSpec{
		Name: "gre0", Bridge: homeName, Type: step.Is("gre"), Options: keys("remote_ip", "192.0.2.9", "key", "7"), Persist: step.Is(true),
	}))
	for file, want := range map[string]string{
		"weft-bridge-weft-laws-br": `# The bridge weft-laws-br, written by weft, which overwrites changes.
auto weft-laws-br
no-auto-down weft-laws-br
iface weft-laws-br inet static
    address 192.0.2.1/24
    ovs_type OVSBridge
    ovs_extra set bridge weft-laws-br datapath_type=netdev fail_mode=secure other_config:hwaddr=02:00:00:00:00:01 external_ids:a=b -- set interface weft-laws-br mtu_request=1400
iface weft-laws-br inet6 static
    address 2001:db8::1/64
`,
		"weft-port-vlan_2e300": `# The port vlan.300, written by weft, which overwrites changes.
auto vlan.300
no-auto-down vlan.300
iface vlan.300 inet manual
    ovs_bridge weft-laws-br
    ovs_type OVSIntPort
    ovs_extra set port vlan.300 tag=300 -- set interface vlan.300 mac=\"02:00:00:00:00:02\"
    up ip link set dev $IFACE up
`,
		"weft-port-gre0": `# The port gre0, written by weft, which overwrites changes.
auto gre0
no-auto-down gre0
iface gre0 inet manual
    ovs_bridge weft-laws-br
    ovs_type OVSTunnel
    ovs_tunnel_type gre
    ovs_tunnel_options options:key=7 options:remote_ip=192.0.2.9
`,
	} {
		if got, _ := m.File("/etc/network/interfaces.d/" + file); got != want {
			t.Errorf("%s is\n%s", file, got)
		}
	}
}

func TestPersistNeedsIfupdown(t *testing.T) {
	s := made(t, "ovs_bridge", ovs.BridgeSpec{Name: "br0", Persist: step.Is(true)})
	m := machine()
	m.Remove("/sbin/ifup")
	if _, err := s.Check(t.Context(), m.Host().View()); !errors.Is(err, host.ErrNotReady) || !strings.Contains(err.Error(), `"ifupdown"`) {
		t.Errorf("without ifupdown: %v", err)
	}
	for content, read := range map[string]bool{
		"source /etc/network/interfaces.d/*\n":       true,
		"source-directory interfaces.d\n":            true,
		"source-directory /etc/network/interfaces.d": true,
		"source /etc/network/interfaces.d/*.cfg\n":   false,
		"# source /etc/network/interfaces.d/*\n":     false,
		"":                                           false,
	} {
		m := machine()
		m.WriteFile("/etc/network/interfaces", content)
		if _, err := s.Check(t.Context(), m.Host().View()); (err == nil) != read {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestAnotherFileDescribesTheBridge(t *testing.T) {
	m := machine()
	m.WriteFile("/etc/network/interfaces.d/50-cloud-init", "auto br0\niface br0 inet dhcp\n")
	f := check(t, m, made(t, "ovs_bridge", ovs.BridgeSpec{Name: "br0", Persist: step.Is(true)}))
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "50-cloud-init") {
		t.Errorf("%q", f.Warnings)
	}
}
