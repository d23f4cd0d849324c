package netconf

import (
	"maps"
	"net/netip"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"weft/engine/host"
)

// What this reads of YAML, a whole library reads in the same way.
func FuzzYAML(f *testing.F) {
	for _, seed := range []string{
		"network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: true, addresses: [192.0.2.5/24, \"2001:db8::1/64\"]}\n",
		"---\na:\n- b\n- c: d\n  e: 'it''s'\n- - f\n# end\n", "a: [\n  b,\n  c ] # d\ne: ~\n", "a:\n  b: c\n d: e\n", "a: b: c", "a: &x b", "\"a b\": c#d", "- a\n-\n  b: c\n", "a: |\n b\n", "[a]: b\n", "a:\n-\n- b\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseYAML(text)
		if err != nil {
			return
		}
		var whole yaml.Node
		if err := yaml.Unmarshal([]byte(text), &whole); err != nil {
			t.Fatalf("%q is read, and is none: %v", text, err)
		}
		if len(whole.Content) == 0 {
			if n.kind != null {
				t.Fatalf("%q is empty", text)
			}
			return
		}
		if want := whole.Content[0]; !alike(n, want) {
			t.Fatalf("%q is read as %+v", text, n)
		}
	})
}

func alike(n *node, want *yaml.Node) bool {
	switch want.Kind {
	case yaml.ScalarNode:
		if n.kind == null {
			return want.Tag == "!!null"
		}
		return n.kind == scalar && n.scalar == want.Value
	case yaml.SequenceNode:
		if n.kind != sequence || len(n.items) != len(want.Content) {
			return false
		}
		for i := range n.items {
			if !alike(n.items[i], want.Content[i]) {
				return false
			}
		}
		return true
	case yaml.MappingNode:
		if n.kind != mapping || 2*len(n.pairs) != len(want.Content) {
			return false
		}
		for i, p := range n.pairs {
			if p.key != want.Content[2*i].Value || !alike(p.value, want.Content[2*i+1]) {
				return false
			}
		}
		return true
	}
	return false
}

func FuzzKeys(f *testing.F) {
	f.Add("[connection]\nid = x\n\n# c\n[ipv4]\nmethod=auto")
	f.Add("DEVICE=\"eth0\" # up\nOVS_EXTRA='set a b\\\n  c'\nA=$(x)\nB=\"\\\"\nC=d;e=f\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range []syntax{keyfile{}, shell{}} {
			k := parseKeys(s, text)
			if k.String() != text {
				t.Fatalf("%q became %q", text, k.String())
			}
			for _, value := range []string{"plain", "two words", `a "b" 'c' $d \e`} {
				k := parseKeys(s, text)
				k.set("ipv9", "WEFT", value)
				again := parseKeys(s, k.String())
				if _, isShell := s.(shell); isShell {
					k.set("", "WEFT", value)
					again = parseKeys(s, k.String())
					if got, _ := again.get("", "WEFT"); got != value && !unclosed(text) {
						t.Fatalf("%q with %q has %q:\n%s", text, value, got, k)
					}
				} else if got, _ := again.get("ipv9", "WEFT"); got != value {
					t.Fatalf("%q with %q has %q:\n%s", text, value, got, k)
				}
			}
		}
	})
}

// One change and none is that change; twice the same is once.
func FuzzMerge(f *testing.F) {
	f.Add("a\nb\nc\n", "a\nx\nc\n", "a\nb\nc\nd\n")
	f.Add("", "a", "b")
	f.Add("a\na\n", "a\n", "a\na\na\n")
	f.Fuzz(func(t *testing.T, base, a, b string) {
		if len(base)+len(a)+len(b) > 4000 {
			return
		}
		for _, c := range []struct{ x, y, want string }{{a, base, a}, {base, b, b}, {a, a, a}} {
			if got, ok := merge(base, c.x, c.y); !ok || got != c.want {
				t.Fatalf("of %q, %q and %q: %q %v", base, c.x, c.y, got, ok)
			}
		}
		one, ok := merge(base, a, b)
		other, ok2 := merge(base, b, a)
		if ok != ok2 || ok && one != other {
			t.Fatalf("of %q, %q and %q: %q or %q", base, a, b, one, other)
		}
	})
}

// Whatever stands in a file, a part is kept in it once and for all, and what
// was changed can be taken back.
func FuzzKeep(f *testing.F) {
	f.Add("[connection]\ninterface-name=eth0\n[ipv4]\nmethod=manual\naddress1=192.0.2.5/24,192.0.2.1\nroute1=10.0.0.0/8,192.0.2.1,5\n")
	f.Add("DEVICE=eth0\nIPADDR=192.0.2.5\nNETMASK=255.255.255.0\nGATEWAY=192.0.2.1\nMASTER=bond0\nBONDING_OPTS=\"mode=1\"\n")
	f.Add("network:\n  ethernets:\n    eth0:\n      addresses:\n      - 192.0.2.5/24\n      dhcp4: true\n    nic:\n      match: {name: eth*}\n      routes: [{to: default}]\n")
	f.Add("DEVICE=eth0\nTYPE=OVSPort\nOVS_OPTIONS=\"tag=7 -- set interface $DEVICE mtu_request=1400\"\nOVS_EXTRA='set port eth0 trunks=[1,2] -- --id=@a create controller target=\"tcp:1.2.3.4\" -- set-controller eth0 x'\n")
	f.Add("[connection]\ntype=ovs-port\ninterface-name=eth0\nmaster=br0\nslave-type=ovs-bridge\n[ovs-port]\ntag=3\n")
	f.Add("network:\n  bridges:\n    br0:\n      openvswitch: {fail-mode: secure}\n      interfaces: [eth0]\n")
	f.Add("auto eth0\niface eth0 inet static\n  address 192.0.2.5/24\n")
	at := map[Family]string{
		NetworkManager: keyfileDirectory + "/a.nmconnection", Scripts: scriptDirectory + "/ifcfg-eth0",
		Netplan: netplanDirectory + "/50-a.yaml", Ifupdown: "/etc/network/interfaces",
	}
	parts := []Part{
		Link{Device: "eth0", MTU: 9000},
		Addresses{Device: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24")}, Routes: []host.Route{{Destination: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.1")}}},
		Addresses{Device: "br0", From: "eth0", DHCP: true},
		Bond{Device: "bond0", Members: []string{"eth0"}, Options: map[string]string{"mode": "active-backup"}},
		Bridge{Device: "br0", Members: []string{"eth0"}},
		OVSBridge{
			Device: "eth0", Bridge: []OVSColumn{{"fail_mode", "", "secure"}, {"other_config", "hwaddr", "02:00:00:00:00:01"}, {"external_ids", "a", ""}},
			Controllers: []OVSController{{Target: "tcp:192.0.2.9:6653"}}, Own: OVSDevice{Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24")}},
		},
		OVSPort{Device: "eth0", Bridge: "br0", Port: []OVSColumn{{"tag", "", "5"}, {"trunks", "", ""}}, Interfaces: []OVSInterface{{Name: "eth0"}}},
		OVSPort{Device: "bond0", Bridge: "br0", Port: []OVSColumn{{"lacp", "", "active"}}, Interfaces: []OVSInterface{{Name: "eth0"}, {Name: "eth1"}}, Replaces: []string{"eth0", "eth1"}},
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 2000 || strings.Contains(text, "\r") {
			return
		}
		for family, name := range at {
			for _, p := range parts {
				found := Files{name: text}
				goal, err := family.Keep(found, p)
				if err != nil {
					continue
				}
				again, err := family.Keep(goal.Files, p)
				if err != nil || !maps.Equal(again.Files, goal.Files) {
					t.Fatalf("%s of %#v: %v\n%q then\n%q", family, p, err, goal.Files, again.Files)
				}
				if back, ok := (File{Now: content(found, name), Goal: content(goal.Files, name)}).back(content(goal.Files, name)); !ok || text != *back {
					t.Fatalf("%q did not come back", text)
				}
			}
		}
	})
}
