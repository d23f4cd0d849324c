package netconf_test

import (
	"net/netip"
	"strings"
	"testing"

	"weft/engine/host/netconf"
)

func column(name, value string) netconf.OVSColumn {
	c, key, _ := strings.Cut(name, ":")
	return netconf.OVSColumn{Column: c, Key: key, Value: value}
}

func single(name, kind string, columns ...netconf.OVSColumn) []netconf.OVSInterface {
	return []netconf.OVSInterface{{Name: name, Type: kind, Columns: columns}}
}

func patchEnd(name, bridge, peer string) netconf.OVSPort {
	return netconf.OVSPort{Device: name, Bridge: bridge, Interfaces: single(name, "patch", column("options:peer", peer))}
}

// ovsParts are the objects of Open vSwitch in the golden files. Those called
// plain are what netplan, too, can say.
func ovsParts() map[string]netconf.Part {
	members := []netconf.OVSInterface{
		{Name: "eth1"},
		{Name: "eth2", Columns: []netconf.OVSColumn{column("mtu_request", "9000"), column("external_ids:rack", "7")}},
	}
	bond := func(columns ...netconf.OVSColumn) netconf.OVSPort {
		columns = append(columns, column("bond_mode", "balance-tcp"), column("lacp", "active"), column("bond_fake_iface", "false"), column("other_config:lacp-time", "fast"))
		return netconf.OVSPort{Device: "bond0", Bridge: "ovsbr0", Port: columns, Interfaces: members, Replaces: []string{"eth1", "eth2"}}
	}
	near := patchEnd("patch0-1", "ovsbr0", "patch1-0")
	tagged := near
	tagged.Port = []netconf.OVSColumn{column("tag", "300")}
	return map[string]netconf.Part{
		"ovsbridge": netconf.OVSBridge{
			Device: "ovsbr0", Bridge: []netconf.OVSColumn{column("datapath_type", "netdev"), column("fail_mode", "secure"), column("stp_enable", "true"),
				column("other_config:hwaddr", "02:00:00:00:00:01"), column("other_config:mac-aging-time", ""), column("external_ids:owner", "net")},
			Interface: []netconf.OVSColumn{column("mtu_request", "1400")},
			Own:       netconf.OVSDevice{Up: true, Addresses: []netip.Prefix{prefix("192.0.2.1/24"), prefix("2001:db8::1/64")}},
		},
		"ovscontrolled": netconf.OVSBridge{
			Device: "ovsbr0", Bridge: []netconf.OVSColumn{column("fail_mode", "secure"), column("protocols", "OpenFlow13,OpenFlow14"), column("rstp_enable", "true"),
				column("mcast_snooping_enable", "false"), column("other_config:hwaddr", "02:00:00:00:00:01"), column("external_ids:owner", "net")},
			Controllers: []netconf.OVSController{{Target: "tcp:192.0.2.9:6653", Columns: []netconf.OVSColumn{column("connection_mode", "out-of-band")}}},
			Interface:   []netconf.OVSColumn{column("mtu_request", "1400")},
			Own:         netconf.OVSDevice{Up: true, Addresses: []netip.Prefix{prefix("192.0.2.1/24")}},
		},
		"ovsport":  netconf.OVSPort{Device: "eth1", Bridge: "ovsbr0", Port: []netconf.OVSColumn{column("tag", ""), column("trunks", "11,300,301,302"), column("external_ids:uplink", "1")}, Interfaces: single("eth1", "", column("mtu_request", "9000"))},
		"ovsplain": netconf.OVSPort{Device: "eth1", Bridge: "ovsbr0", Interfaces: single("eth1", "system", column("external_ids:uplink", "1"))},
		"ovsvlan": netconf.OVSPort{
			Device: "vlan300", Bridge: "ovsbr0", Port: []netconf.OVSColumn{column("tag", "300")}, Own: netconf.OVSDevice{Up: true, Addresses: []netip.Prefix{prefix("198.51.100.5/24")}},
			Interfaces: single("vlan300", "internal", column("mac", "02:00:00:00:00:02"), column("external_ids:iface-id", "ls1-vm1")),
		},
		"ovsfake": netconf.OVSPort{
			Device: "vlan300", Bridge: "ovsbr0", Port: []netconf.OVSColumn{column("tag", "300"), column("fake_bridge", "true")}, Own: netconf.OVSDevice{Addresses: []netip.Prefix{prefix("198.51.100.5/24")}},
			Interfaces: single("vlan300", "internal"),
		},
		"ovsbond":       bond(column("trunks", "300,301"), column("bond_updelay", "100")),
		"ovsplainbond":  bond(),
		"ovstunnel":     netconf.OVSPort{Device: "vx2", Bridge: "ovsbr0", Interfaces: single("vx2", "vxlan", column("bfd:enable", "true"), column("options:key", "5001"), column("options:remote_ip", "192.0.2.2"))},
		"ovspatch":      netconf.OVSPatch{Near: tagged, Far: patchEnd("patch1-0", "ovsbr1", "patch0-1"), Replaces: []string{"veth0"}},
		"ovsplainpatch": netconf.OVSPatch{Near: near, Far: patchEnd("patch1-0", "ovsbr1", "patch0-1"), Replaces: []string{"veth0"}},
	}
}

// What a family has no words for is refused by its name, with those who have.
func TestOVSRefused(t *testing.T) {
	for _, c := range []struct {
		family netconf.Family
		part   string
		says   string
	}{
		{netconf.NetworkManager, "ovscontrolled", "networkmanager cannot keep controllers of ovsbr0 (ifupdown, network-scripts, netplan can)"},
		{netconf.NetworkManager, "ovstunnel", "networkmanager cannot keep type vxlan of vx2 (ifupdown, network-scripts can)"},
		{netconf.NetworkManager, "ovsfake", "fake_bridge of vlan300"},
		{netconf.Netplan, "ovsbridge", "netplan cannot keep datapath_type of ovsbr0"},
		{netconf.Netplan, "ovsport", "netplan cannot keep trunks of eth1"},
		{netconf.Netplan, "ovsvlan", "netplan cannot keep type internal of vlan300"},
		{netconf.Netplan, "ovsbond", "netplan cannot keep trunks of bond0"},
		{netconf.Netplan, "ovspatch", "netplan cannot keep tag of patch0-1"},
		{netconf.Netplan, "ovstunnel", "netplan cannot keep type vxlan of vx2"},
	} {
		_, err := c.family.Keep(netconf.Files{}, ovsParts()[c.part])
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: %v", c.family, c.part, err)
		}
	}
	down := netconf.OVSBridge{Device: "ovsbr0", Own: netconf.OVSDevice{Down: true}}
	for _, family := range []netconf.Family{netconf.NetworkManager, netconf.Scripts, netconf.Netplan} {
		if _, err := family.Keep(netconf.Files{}, down); err == nil || !strings.Contains(err.Error(), "up of ovsbr0") {
			t.Errorf("%s of a bridge that is down: %v", family, err)
		}
	}
}

// A file in which another hand had a shell do something is not edited.
func TestOVSScriptsExpanded(t *testing.T) {
	file := "/etc/sysconfig/network-scripts/ifcfg-vx2"
	text := "DEVICE=vx2\nDEVICETYPE=ovs\nTYPE=OVSTunnel\nOVS_BRIDGE=ovsbr0\nOVS_TUNNEL_TYPE=vxlan\nOVS_TUNNEL_OPTIONS=\"options:key=$(id -u) options:remote_ip=192.0.2.2\"\n"
	_, err := netconf.Scripts.Keep(netconf.Files{file: text}, ovsParts()["ovstunnel"])
	if err == nil || !strings.Contains(err.Error(), "OVS_TUNNEL_OPTIONS") {
		t.Error(err)
	}
}

// What netplan would refuse is refused before.
func TestOVSNetplanElsewhere(t *testing.T) {
	text := "network:\n  bridges:\n    br9:\n      interfaces: [eth1]\n"
	_, err := netconf.Netplan.Keep(netconf.Files{"/etc/netplan/10.yaml": text}, ovsParts()["ovsplain"])
	if err == nil || !strings.Contains(err.Error(), "br9") {
		t.Error(err)
	}
}

// netplan gives Open vSwitch the names that its definitions have.
func TestOVSNetplanCallsItOtherwise(t *testing.T) {
	text := "network:\n  ethernets:\n    lan1:\n      match: {macaddress: \"52:54:00:00:00:01\"}\n      set-name: eth1\n"
	_, err := netconf.Netplan.Keep(netconf.Files{"/etc/netplan/50-cloud-init.yaml": text}, ovsParts()["ovsplainbond"])
	if err == nil || !strings.Contains(err.Error(), "call eth1 lan1") {
		t.Error(err)
	}
}

// Dropped is all that was kept.
func TestOVSDrop(t *testing.T) {
	for _, family := range []netconf.Family{netconf.Ifupdown, netconf.NetworkManager, netconf.Scripts, netconf.Netplan} {
		for name, part := range ovsParts() {
			goal, err := family.Keep(netconf.Files{}, part)
			if err != nil {
				continue // TestOVSRefused
			}
			if len(goal.Files) == 0 {
				t.Errorf("%s keeps nothing of %s", family, name)
			}
			left, err := family.Drop(goal.Files, part)
			if err != nil || len(left.Files) > 0 {
				t.Errorf("%s %s: %v, left are %q", family, name, err, left.Files)
			}
		}
	}
}
