package netconf_test

import (
	"encoding/json"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/netconf"
)

const (
	keyfiles = "/etc/NetworkManager/system-connections/"
	ifcfgs   = "/etc/sysconfig/network-scripts/"
	main     = "/etc/network/interfaces"
	static   = "auto eth0\niface eth0 inet static\n\taddress 192.0.2.5/24\n"
	plan     = "/etc/netplan/01.yaml"
	nicText  = "DEVICE=eth0\nBOOTPROTO=none\nIPADDR=192.0.2.5\nPREFIX=24\n"
)

// What is not understood for sure is refused, by a file's name, and stays.
func TestRefused(t *testing.T) {
	mtu := netconf.Link{Device: "eth0", MTU: 9000}
	moved := netconf.Addresses{Device: "br0", Kind: "bridge", From: "eth0", Addresses: []netip.Prefix{prefix("192.0.2.5/24")}, Routes: []host.Route{}}
	routed := netconf.Addresses{Device: "eth0", Addresses: []netip.Prefix{prefix("192.0.2.5/24")}, Routes: []host.Route{{Destination: prefix("0.0.0.0/0"), Via: addr("192.0.2.1")}}}
	br0 := "[connection]\ntype=bridge\ninterface-name=br0\n"
	byMAC := "[connection]\nid=eth0\ntype=ethernet\n[ethernet]\nmac-address=02:00:00:00:00:09\n[ipv4]\nmethod=manual\naddress1=192.0.2.5/24\n"
	for name, c := range map[string]struct {
		family netconf.Family
		part   netconf.Part
		files  netconf.Files
		says   string // of the error
	}{
		"a profile without interface-name":   {netconf.NetworkManager, mtu, netconf.Files{keyfiles + "eth0.nmconnection": byMAC}, "eth0.nmconnection"},
		"a profile by MAC":                   {netconf.NetworkManager, mtu, netconf.Files{keyfiles + "uplink.nmconnection": byMAC}, "uplink.nmconnection"},
		"a profile below /run":               {netconf.NetworkManager, mtu, netconf.Files{"/run/NetworkManager/system-connections/x.nmconnection": "[connection]\ninterface-name=eth0\n"}, "/run/"},
		"two profiles":                       {netconf.NetworkManager, mtu, netconf.Files{keyfiles + "a": "[connection]\ninterface-name=eth0\n", keyfiles + "b": "[connection]\ninterface-name=eth0\n"}, "system-connections/b"},
		"a definition of many devices":       {netconf.Netplan, mtu, netconf.Files{plan: "network:\n  ethernets:\n    all-eth:\n      match:\n        name: eth*\n      dhcp4: true\n"}, plan + ", line 3"},
		"addresses from one of many":         {netconf.Netplan, moved, netconf.Files{plan: "network:\n  ethernets:\n    all-eth: {match: {name: \"eth*\"}, dhcp4: true}\n"}, plan + ", line 3"},
		"a definition by MAC":                {netconf.Netplan, mtu, netconf.Files{plan: "network:\n  ethernets:\n    lan:\n      match:\n        macaddress: \"02:00:00:00:00:09\"\n      addresses: [192.0.2.5/24]\n"}, plan + ", line 3"},
		"a definition by driver":             {netconf.Netplan, mtu, netconf.Files{plan: "network:\n  ethernets:\n    lan: {match: {driver: virtio_net}, dhcp4: true}\n"}, plan + ", line 3"},
		"an ifcfg by MAC":                    {netconf.Scripts, mtu, netconf.Files{ifcfgs + "ifcfg-uplink": "HWADDR=02:00:00:00:00:09\nBOOTPROTO=static\nIPADDR=192.0.2.5\nPREFIX=24\nONBOOT=yes\n"}, "ifcfg-uplink"},
		"addresses from an ifcfg by MAC":     {netconf.Scripts, moved, netconf.Files{ifcfgs + "ifcfg-uplink": "HWADDR=02:00:00:00:00:09\nIPADDR=192.0.2.5\n", ifcfgs + "ifcfg-br0": "DEVICE=br0\nTYPE=Bridge\n"}, "ifcfg-uplink"},
		"an ifcfg that exports":              {netconf.Scripts, mtu, netconf.Files{ifcfgs + "ifcfg-lan": "export DEVICE=eth0\n"}, "ifcfg-lan"},
		"an ifcfg with a condition":          {netconf.Scripts, mtu, netconf.Files{ifcfgs + "ifcfg-eth0": "DEVICE=eth0\nif [ -e /x ]; then\n  IPADDR=192.0.2.5\nelse\n  IPADDR=192.0.2.7\nfi\n"}, "ifcfg-eth0, line 2"},
		"two assignments a line":             {netconf.Scripts, parts()["one"], netconf.Files{ifcfgs + "ifcfg-eth0": "DEVICE=eth0\nBOOTPROTO=none; DNS1=192.0.2.53\n"}, "ifcfg-eth0, line 2"},
		"a command substituted":              {netconf.Scripts, mtu, netconf.Files{ifcfgs + "ifcfg-eth0": "DEVICE=eth0\nDNS1=$(resolve a b)\n"}, "ifcfg-eth0, line 2"},
		"a gateway of a device that goes":    {netconf.Ifupdown, netconf.Addresses{Device: "br0", From: "eth0", Addresses: parts()["one"].(netconf.Addresses).Addresses}, netconf.Files{main: static + "\tgateway 192.0.2.1\n"}, main + ", line 4"},
		"a gateway with a metric":            {netconf.Ifupdown, parts()["one"], netconf.Files{main: static + "\tgateway 192.0.2.1\n\tmetric 5\n"}, main + ", line 5"},
		"a route where routes are left":      {netconf.Ifupdown, parts()["one"], netconf.Files{main: static + "\tup ip -4 ro add default via 192.0.2.1\n"}, main + ", line 4"},
		"a route of another table":           {netconf.Ifupdown, parts()["dhcp"], netconf.Files{main: static + "\tup ip route add default via 192.0.2.254 table 100\n"}, main + ", line 4"},
		"a stanza that inherits":             {netconf.Ifupdown, parts()["dhcp"], netconf.Files{main: "iface base inet static\niface eth0 inherits base\n"}, main + ", line 2"},
		"a stanza that inherits, too":        {netconf.Ifupdown, parts()["dhcp"], netconf.Files{main: "iface eth0 inet static inherits base\n"}, main + ", line 1"},
		"a stanza of ifupdown2":              {netconf.Ifupdown, parts()["dhcp"], netconf.Files{main: "iface eth0\n\taddress 192.0.2.5/24\n"}, main + ", line 1"},
		"a stanza of another name":           {netconf.Ifupdown, parts()["dhcp"], netconf.Files{main: "auto eth0=lan\niface lan inet dhcp\n"}, main + ", line 1"},
		"another MTU":                        {netconf.Ifupdown, mtu, netconf.Files{main: static + "\tmtu 1400\n"}, main + ", line 4"},
		"another MTU by a command":           {netconf.Ifupdown, mtu, netconf.Files{main: static + "\tpost-up ip link set eth0 mtu 1400\n"}, main + ", line 4"},
		"another Ethernet address":           {netconf.Ifupdown, parts()["link"], netconf.Files{main: static + "\thwaddress ether 02:00:00:00:00:99\n"}, main + ", line 4"},
		"an address of another form":         {netconf.NetworkManager, parts()["one"], netconf.Files{keyfiles + "x": "[connection]\ninterface-name=eth0\n[ipv4]\nmethod=manual\naddress1=192.0.2.9;24;192.0.2.1;\n"}, keyfiles + "x: [ipv4] address1="},
		"a keyfile's route of a table":       {netconf.NetworkManager, routed, netconf.Files{keyfiles + "x": "[connection]\ninterface-name=eth0\n[ipv4]\nmethod=manual\nroute1=0.0.0.0/0,192.0.2.254\nroute1_options=table=100\n"}, "route1="},
		"a keyfile's route with an MTU":      {netconf.NetworkManager, moved, netconf.Files{keyfiles + "x": "[connection]\ninterface-name=eth0\n[ipv4]\nmethod=manual\nroute1=10.0.0.0/8,192.0.2.9,50\nroute1_options=mtu=1400\n", keyfiles + "b": br0}, "route1="},
		"DNS of a version that goes":         {netconf.NetworkManager, moved, netconf.Files{keyfiles + "x": "[connection]\ninterface-name=eth0\n[ipv6]\nmethod=manual\naddress1=fd00::5/64\ndns=2001:db8::53;\n", keyfiles + "b": br0 + "[ipv6]\nmethod=ignore\n"}, "dns="},
		"another DNS":                        {netconf.NetworkManager, moved, netconf.Files{keyfiles + "x": "[connection]\ninterface-name=eth0\n[ipv4]\nmethod=auto\ndns=192.0.2.53;\n", keyfiles + "b": br0 + "[ipv4]\ndns=192.0.2.54;\n"}, "dns="},
		"an ifcfg with another DNS":          {netconf.Scripts, moved, netconf.Files{ifcfgs + "ifcfg-eth0": nicText + "DNS1=192.0.2.53\n", ifcfgs + "ifcfg-br0": "DEVICE=br0\nDNS1=192.0.2.54\n"}, "DNS1="},
		"a script's route of a table":        {netconf.Scripts, routed, netconf.Files{ifcfgs + "ifcfg-eth0": nicText, ifcfgs + "route-eth0": "# x\ndefault via 192.0.2.254 table 100\n"}, "route-eth0, line 2"},
		"addresses from such":                {netconf.Scripts, moved, netconf.Files{ifcfgs + "ifcfg-eth0": nicText, ifcfgs + "route-eth0": "ADDRESS0=192.0.2.0\n"}, "route-eth0, line 1"},
		"netplan's route of a table":         {netconf.Netplan, routed, netconf.Files{plan: "network:\n  ethernets:\n    eth0:\n      routes:\n      - to: default\n        via: 192.0.2.254\n        table: 100\n"}, plan + ", line 7"},
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

// A symlink is read, and never replaced: neither now nor by an undo.
func TestSymlinks(t *testing.T) {
	for name, c := range map[string]struct {
		family netconf.Family
		text   string
	}{
		ifcfgs + "ifcfg-eth0":            {netconf.Scripts, nicText},
		keyfiles + "eth0.nmconnection":   {netconf.NetworkManager, "[connection]\ninterface-name=eth0\n[ipv4]\nmethod=manual\naddress1=192.0.2.9/24\n"},
		"/etc/netplan/01.yaml":           {netconf.Netplan, "network:\n  ethernets:\n    eth0:\n      addresses:\n      - 192.0.2.9/24\n"},
		"/etc/network/interfaces":        {netconf.Ifupdown, "auto eth0\niface eth0 inet static\n  address 192.0.2.9/24\n"},
		"/etc/network/interfaces.d/nics": {netconf.Ifupdown, "auto eth0\niface eth0 inet static\n  address 192.0.2.9/24\n"},
	} {
		m := fake.New()
		m.WriteFile("/etc/network/interfaces", "source /etc/network/interfaces.d/*\n")
		m.WriteFile("/srv/file", c.text)
		m.Symlink(name, "/srv/file")
		keep := func(f netconf.Files) (netconf.Goal, error) { return c.family.Keep(f, parts()["dhcp"]) }
		if s, err := netconf.Look(t.Context(), m.Host().View(), c.family, keep); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v %+v", name, err, s.Changes(netconf.State{}))
		}
		before := m.Snapshot()
		now, was := c.text, "x\n"
		s := netconf.State{Family: c.family, Files: map[string]netconf.File{name: {Now: &was, Goal: &now}}}
		if _, err := s.Back(t.Context(), m.Host()); err == nil || m.Snapshot() != before {
			t.Errorf("%s: undo: %v\n%s", name, err, m.Snapshot())
		}
	}
}

func TestDetectReadsSymlinks(t *testing.T) {
	m := fake.New()
	m.WriteFile("/usr/sbin/netplan", "x")
	m.WriteFile("/srv/file", "network: {}\n")
	m.Symlink("/etc/netplan/01.yaml", "/srv/file")
	if f, err := netconf.Detect(t.Context(), m.Host().View(), "eth0", netconf.NetworkdDaemon); f != netconf.Netplan || err != nil {
		t.Error(f, err)
	}
}

// A file that goes and comes back is as secret as it was, and whose it was.
func TestBackKeepsModeAndOwner(t *testing.T) {
	const name = ifcfgs + "ifcfg-eth0"
	m := fake.New()
	m.WriteFile(name, "# Made by weft, which sets its own keys and leaves others.\nDEVICE=eth0\nTYPE=Ethernet\nONBOOT=yes\nBOOTPROTO=none\nMTU=9000\n")
	m.Chmod(name, 0o600)
	m.Chown(name, "daemon", "daemon")
	before := m.Snapshot()
	s, err := netconf.Look(t.Context(), m.Host().View(), netconf.Scripts, func(f netconf.Files) (netconf.Goal, error) {
		return netconf.Scripts.Drop(f, netconf.Link{Device: "eth0"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(t.Context(), m.Host()); err != nil {
		t.Fatal(err)
	}
	if _, there := m.File(name); there {
		t.Fatal("it did not go")
	}
	var journal netconf.State
	if b, err := json.Marshal(s); err != nil || json.Unmarshal(b, &journal) != nil {
		t.Fatal(err)
	}
	if err := back(t, m, journal); err != nil {
		t.Fatal(err)
	}
	if after := m.Snapshot(); after != before {
		t.Errorf("left\n%s\nnot\n%s", after, before)
	}
}

// Profiles below /run are read, and those that NetworkManager made up mean nothing.
func TestGeneratedProfiles(t *testing.T) {
	m := fake.New()
	run := "/run/NetworkManager/system-connections/eth0.nmconnection"
	for text, fine := range map[string]bool{"[connection]\ninterface-name=eth0\n": false, "[connection]\ninterface-name=eth0\n[.nmmeta]\nnm-generated=true\n": true} {
		m.WriteFile(run, text)
		files, err := netconf.NetworkManager.Read(t.Context(), m.Host().View())
		if err != nil {
			t.Fatal(err)
		}
		if g, err := netconf.NetworkManager.Keep(files, parts()["link"]); (err == nil) != fine || g.Files[run] != text && fine {
			t.Errorf("%q: %v %q", text, err, g.Files)
		}
	}
}

// A step that leaves routes as they are keeps what went with the addresses.
func TestRoutesStayBesideAddresses(t *testing.T) {
	for _, family := range []netconf.Family{netconf.Ifupdown, netconf.NetworkManager, netconf.Scripts, netconf.Netplan} {
		routed := parts()["one"].(netconf.Addresses)
		routed.Routes = []host.Route{{Destination: prefix("10.0.0.0/8"), Via: addr("192.0.2.1"), Metric: 5}, {Destination: prefix("0.0.0.0/0"), Via: addr("192.0.2.1")}}
		first, err := family.Keep(netconf.Files{}, routed)
		if err != nil {
			t.Fatal(err)
		}
		if then, err := family.Keep(first.Files, parts()["one"]); err != nil || !maps.Equal(first.Files, then.Files) {
			t.Errorf("%s: %v\n%q\n%q", family, err, first.Files, then.Files)
		}
	}
	own := "/etc/network/interfaces.d/weft-then-address-eth0"
	route := "    up ip -4 route replace default via 192.0.2.1 dev $IFACE\n"
	first, err := netconf.Ifupdown.Keep(netconf.Files{main: static + "\tgateway 192.0.2.1\n"}, parts()["one"])
	if err != nil || strings.Count(first.Files[own], route) != 1 {
		t.Fatalf("%v %q", err, first.Files)
	}
	then, err := netconf.Ifupdown.Keep(first.Files, parts()["one"])
	if err != nil || !maps.Equal(first.Files, then.Files) {
		t.Errorf("again: %v %q", err, then.Files)
	}
	then.Files[main] = static + "\tgateway 192.0.2.9\n"
	again, err := netconf.Ifupdown.Keep(then.Files, parts()["one"])
	if err != nil || strings.Contains(again.Files[own], "192.0.2.1 ") || !strings.Contains(again.Files[own], "192.0.2.9") {
		t.Errorf("another gateway: %v %q", err, again.Files)
	}
}

// What is said of DNS moves with the addresses, beside what is there.
func TestDNSMoves(t *testing.T) {
	moved := netconf.Addresses{Device: "br0", Kind: "bridge", From: "eth0", Addresses: []netip.Prefix{prefix("192.0.2.5/24")}, Routes: []host.Route{}}
	for _, c := range []struct {
		family netconf.Family
		to     string
		files  netconf.Files
		want   []string
	}{
		{netconf.NetworkManager, keyfiles + "b", netconf.Files{
			keyfiles + "x": "[connection]\ninterface-name=eth0\n[ipv4]\nmethod=auto\ndns=192.0.2.53;\ndns-search=example.org;\n",
			keyfiles + "b": "[connection]\ntype=bridge\ninterface-name=br0\n[ipv4]\nmethod=disabled\ndns-priority=10\n",
		}, []string{"dns=192.0.2.53;\n", "dns-search=example.org;\n"}},
		{netconf.Scripts, ifcfgs + "ifcfg-br0", netconf.Files{
			ifcfgs + "ifcfg-eth0": nicText + "DNS1=192.0.2.53\nDOMAIN=example.org\n", ifcfgs + "ifcfg-br0": "DEVICE=br0\nTYPE=Bridge\nPEERDNS=no\n",
		}, []string{"DNS1=192.0.2.53\n", "DOMAIN=example.org\n", "PEERDNS=no\n"}},
	} {
		g, err := c.family.Keep(c.files, moved)
		for _, want := range c.want {
			if err != nil || !strings.Contains(g.Files[c.to], want) {
				t.Errorf("%s: %v %q has no %q", c.family, err, g.Files[c.to], want)
			}
		}
	}
}

// IPv6 of a profile that does not speak of it stays NetworkManager's.
func TestOtherVersionStays(t *testing.T) {
	name := keyfiles + "x"
	g, err := netconf.NetworkManager.Keep(netconf.Files{name: "[connection]\ninterface-name=eth0\n[ipv4]\nmethod=auto\n"}, parts()["one"])
	if err != nil || strings.Contains(g.Files[name], "ipv6") || !strings.Contains(g.Files[name], "192.0.2.5/24") {
		t.Errorf("%v %q", err, g.Files)
	}
}
