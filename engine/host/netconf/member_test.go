package netconf_test

import (
	"maps"
	"strings"
	"testing"

	"weft/engine/host/netconf"
)

// Who is no member any more leaves, however its files name the bond; who stays, stays.
func TestMembersLeave(t *testing.T) {
	bond := netconf.Bond{Device: "bond0", Members: []string{"eth1"}}
	member := func(nic string) string {
		return "[connection]\nid=" + nic + "\ntype=ethernet\ninterface-name=" + nic + "\nmaster=99\nslave-type=bond\n"
	}
	for name, c := range map[string]struct {
		family netconf.Family
		files  netconf.Files
		file   string
		want   string
	}{
		"a profile by uuid": {netconf.NetworkManager, netconf.Files{
			keyfiles + "bond0": "[connection]\nuuid=99\ntype=bond\ninterface-name=bond0\n", keyfiles + "eth1": member("eth1"), keyfiles + "eth2": member("eth2"),
		}, keyfiles + "eth2", "[connection]\nid=eth2\ntype=ethernet\ninterface-name=eth2\n"},
		"a profile that stays": {netconf.NetworkManager, netconf.Files{
			keyfiles + "bond0": "[connection]\nuuid=99\ntype=bond\ninterface-name=bond0\n", keyfiles + "eth1": member("eth1"),
		}, keyfiles + "eth1", member("eth1")},
		"an ifcfg by UUID": {netconf.Scripts, netconf.Files{
			ifcfgs + "ifcfg-bond0": "DEVICE=bond0\nUUID=99\n", ifcfgs + "ifcfg-eth2": "DEVICE=eth2\nMASTER_UUID=99\nSLAVE=yes\n",
		}, ifcfgs + "ifcfg-eth2", "DEVICE=eth2\n"},
		"an ifcfg by both":              {netconf.Scripts, netconf.Files{ifcfgs + "ifcfg-eth2": "DEVICE=eth2\nMASTER=bond0\nMASTER_UUID=99\nSLAVE=yes\n"}, ifcfgs + "ifcfg-eth2", "DEVICE=eth2\n"},
		"an ifcfg without DEVICE stays": {netconf.Scripts, netconf.Files{ifcfgs + "ifcfg-eth1": "ONBOOT=yes\nMASTER=bond0\nSLAVE=yes\n"}, ifcfgs + "ifcfg-eth1", "ONBOOT=yes\nMASTER=bond0\nSLAVE=yes\n"},
		"netplan's list": {netconf.Netplan, netconf.Files{plan: "network:\n  bonds:\n    bond0:\n      mtu: 9000\n      interfaces: [eth1, eth2]\n"},
			plan, "network:\n  bonds:\n    bond0:\n      mtu: 9000\n#weft       interfaces: [eth1, eth2]\n"},
	} {
		g, err := c.family.Keep(c.files, bond)
		if err != nil || g.Files[c.file] != c.want {
			t.Errorf("%s: %v\n%s", name, err, g.Files[c.file])
		}
		if again, err := c.family.Keep(g.Files, bond); err != nil || !maps.Equal(again.Files, g.Files) {
			t.Errorf("%s a second time: %v %q", name, err, again.Files)
		}
	}
}

// A switch that a family has on by itself is said where it is to be off, and one that
// stands in another spelling counts.
func TestSwitches(t *testing.T) {
	for name, c := range map[string]struct {
		family netconf.Family
		part   netconf.Part
		files  netconf.Files
		file   string
		want   string // a line that is there, or with "!" is not
	}{
		"down without ONBOOT": {netconf.Scripts, netconf.Link{Device: "eth0", Down: true}, netconf.Files{ifcfgs + "ifcfg-eth0": "DEVICE=eth0\n"}, ifcfgs + "ifcfg-eth0", "ONBOOT=no\n"},
		"reorder_hdr":         {netconf.Scripts, netconf.VLAN{Device: "v", Link: "eth0", ID: 5, Options: map[string]string{"reorder_hdr": "0"}}, netconf.Files{}, ifcfgs + "ifcfg-v", "REORDER_HDR=no\n"},
		"autoconnect":         {netconf.NetworkManager, netconf.Link{Device: "eth0"}, netconf.Files{keyfiles + "x": "[connection]\ninterface-name=eth0\nautoconnect=0\n"}, keyfiles + "x", "!autoconnect"},
		"activation-mode":     {netconf.Netplan, netconf.Link{Device: "eth0"}, netconf.Files{plan: "network:\n  ethernets:\n    eth0:\n      mtu: 1500\n      activation-mode: off\n"}, plan, "#weft       activation-mode: off\n"},
	} {
		g, err := c.family.Keep(c.files, c.part)
		line, not := strings.CutPrefix(c.want, "!")
		if err != nil || strings.Contains(g.Files[c.file], line) == not {
			t.Errorf("%s: %v\n%s", name, err, g.Files[c.file])
		}
	}
}
