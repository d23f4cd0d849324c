package netconf_test

import (
	"strings"
	"testing"

	"weft/engine/host/netconf"
)

const madeBy = "# Made by weft, which sets its own keys and leaves others.\n"

// A file that another hand made is never removed: what is to be absent is refused, as
// it would be back after a boot.
func TestDropRefused(t *testing.T) {
	bond := netconf.Bond{Device: "bond0"}
	for name, c := range map[string]struct {
		family netconf.Family
		part   netconf.Part
		files  netconf.Files
	}{
		"netplan's bond":       {netconf.Netplan, bond, netconf.Files{plan: "network:\n  bonds:\n    bond0:\n      interfaces: [eth1, eth2]\n"}},
		"ifupdown's bond":      {netconf.Ifupdown, bond, netconf.Files{main: "auto bond0\niface bond0 inet manual\n bond-slaves eth1\n"}},
		"a profile":            {netconf.NetworkManager, bond, netconf.Files{keyfiles + "bond0": "[connection]\nuuid=9\ntype=bond\ninterface-name=bond0\n"}},
		"an ifcfg":             {netconf.Scripts, bond, netconf.Files{ifcfgs + "ifcfg-bond0": "DEVICE=bond0\nTYPE=Bond\n"}},
		"routes of a made one": {netconf.Scripts, bond, netconf.Files{ifcfgs + "ifcfg-bond0": madeBy + "DEVICE=bond0\n", ifcfgs + "route-bond0": "10.0.0.0/8 via 192.0.2.1\n"}},
		"DNS of a made one":    {netconf.NetworkManager, parts()["one"], netconf.Files{keyfiles + "eth0": madeBy + "[connection]\ninterface-name=eth0\n[ipv4]\nmethod=manual\ndns=192.0.2.53;\n"}},
	} {
		if g, err := c.family.Drop(c.files, c.part); err == nil {
			t.Errorf("%s: %q", name, g.Files)
		}
	}
}

// What weft made of a device goes, a profile that NetworkManager wrote anew and routes
// included.
func TestDropMade(t *testing.T) {
	for _, family := range []netconf.Family{netconf.Ifupdown, netconf.NetworkManager, netconf.Scripts, netconf.Netplan} {
		bond := netconf.Bond{Device: "bond0"}
		kept, err := family.Keep(netconf.Files{}, bond)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range kept.Files {
			kept.Files[name] = strings.TrimPrefix(text, madeBy)
			if family == netconf.Scripts {
				kept.Files[name] = text
				kept.Files[ifcfgs+"route-bond0"] = "# The routes of bond0, written by weft, which overwrites changes.\n"
			}
		}
		if g, err := family.Drop(kept.Files, bond); err != nil || len(g.Files) > 0 {
			t.Errorf("%s: %v %q", family, err, g.Files)
		}
	}
}

// Keys that another hand put into a profile that weft made stay.
func TestDropKeepsOthers(t *testing.T) {
	name := keyfiles + "eth0.nmconnection"
	text := madeBy + "\n[connection]\ninterface-name=eth0\n\n[ethernet]\nmtu=9000\nwake-on-lan=64\n\n[ipv4]\nmethod=manual\naddress1=192.0.2.5/24\nrouting-rule1=priority 5 from 1.2.3.4 table 7\n"
	files := netconf.Files{name: text}
	link, err := netconf.NetworkManager.Drop(files, netconf.Link{Device: "eth0"})
	if want := strings.Replace(text, "mtu=9000\n", "", 1); err != nil || link.Files[name] != want {
		t.Errorf("link: %v %q", err, link.Files)
	}
	addresses, err := netconf.NetworkManager.Drop(files, netconf.Addresses{Device: "eth0"})
	if got := addresses.Files[name]; err != nil || !strings.Contains(got, "routing-rule1=") || !strings.Contains(got, "wake-on-lan=") || strings.Contains(got, "address1") {
		t.Errorf("addresses: %v %q", err, got)
	}
}
