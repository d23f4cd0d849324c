package netconf_test

import (
	"maps"
	"strings"
	"testing"

	"weft/engine/host/netconf"
)

const (
	keyfiles = "/etc/NetworkManager/system-connections/"
	ifcfgs   = "/etc/sysconfig/network-scripts/"
	nicText  = "DEVICE=eth0\nBOOTPROTO=none\nIPADDR=192.0.2.5\nPREFIX=24\n"
)

// What is not understood for sure is refused, by a file's name, and stays.
func TestRefused(t *testing.T) {
	mtu := netconf.Link{Device: "eth0", MTU: 9000}
	byMAC := "[connection]\nid=eth0\ntype=ethernet\n[ethernet]\nmac-address=02:00:00:00:00:09\n[ipv4]\nmethod=manual\naddress1=192.0.2.5/24\n"
	for name, c := range map[string]struct {
		family netconf.Family
		part   netconf.Part
		files  netconf.Files
		says   string // of the error
	}{
		"a profile without interface-name":   {netconf.NetworkManager, mtu, netconf.Files{keyfiles + "eth0.nmconnection": byMAC}, "eth0.nmconnection"},
		"an ifcfg with the line ends of DOS": {netconf.Scripts, mtu, netconf.Files{ifcfgs + "ifcfg-eth0": strings.ReplaceAll(nicText, "\n", "\r\n")}, "ifcfg-eth0"},
		"an ifcfg with a variable":           {netconf.Scripts, mtu, netconf.Files{ifcfgs + "ifcfg-eth0": "D=eth0\nDEVICE=$D\n"}, "ifcfg-eth0"},
		"an ifcfg of another device":         {netconf.Scripts, mtu, netconf.Files{ifcfgs + "ifcfg-eth0": "DEVICE=eth1\n"}, "ifcfg-eth0"},
	} {
		t.Run(name, func(t *testing.T) {
			found := maps.Clone(c.files)
			g, err := c.family.Keep(c.files, c.part)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v %q", err, g.Files)
			}
			if !maps.Equal(found, c.files) {
				t.Error("the files that were found are changed")
			}
		})
	}
}
