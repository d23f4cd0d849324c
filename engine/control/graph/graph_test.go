package graph

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weft/engine/host/topology"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not as it was: look at it, then -update", file)
	}
}

func drawn(t *testing.T, p Picture, f Format, d Detail) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Draw(&b, p, f, d); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func number(n int) *int { return &n }

func device(name string) topology.Interface { return topology.Interface{Name: name} }

func single(name string, i topology.Interface) topology.Port {
	i.Name = name
	return topology.Port{Name: name, Interfaces: []topology.Interface{i}}
}

func tunnelTo(name, remote string) topology.Port {
	return single(name, topology.Interface{Type: "geneve", Remote: remote, Key: "flow"})
}

// three are hosts with all that is drawn, and some of what goes wrong.
func three() Picture {
	h1 := &topology.Topology{
		Version: "3.1.0",
		Chassis: &topology.Chassis{Name: "c1", EncapTypes: []string{"geneve"}, EncapIPs: []string{"10.127.0.2"}, Mappings: map[string]string{"physnet301": "br-ext"}},
		Bridges: []topology.Bridge{
			{Name: "br-ext", Mirrors: []topology.Mirror{{Name: "m0", Port: "vlan302"}, {Name: "m1", VLAN: 9}}, Ports: []topology.Port{
				{Name: "bond0", Trunks: []int{11, 300, 301, 302}, Bond: &topology.Bond{Mode: "balance-tcp", LACP: "active"},
					Interfaces: []topology.Interface{device("eth2"), {Name: "eth3", Wrong: "LACP is not current"}}},
				single("patch-int", topology.Interface{Type: "patch", Peer: "patch-ext"}),
				{Name: "vlan302", Tag: number(302), FakeBridge: true, Interfaces: []topology.Interface{{Name: "vlan302", Type: "internal"}}},
			}},
			{Name: "br-int", FailMode: "secure", Ports: []topology.Port{
				tunnelTo("ovn-c2-0", "10.127.0.3"), tunnelTo("ovn-c3-0", "10.127.0.4"),
				single("patch-ext", topology.Interface{Type: "patch", Peer: "patch-int"}),
				single("vm1", topology.Interface{Logical: "ls1-vm1", Guest: "fake VM vm1"}),
			}},
		},
		Links: []topology.Link{
			{Name: "br-ext", MTU: 1500, Addresses: []string{"192.0.2.2/24"}},
			{Name: "eth0", MTU: 1500, Addresses: []string{"10.127.1.2/24"}}, {Name: "eth1", MTU: 9000, Addresses: []string{"10.127.0.2/25"}},
			{Name: "eth2", MTU: 1500, Master: "", State: ""}, {Name: "eth3", MTU: 1500}, {Name: "eth4", MTU: 1500, State: "down"},
			{Name: "vlan302", MTU: 1500, Addresses: []string{"172.16.2.2/24"}},
		},
		Logical: &topology.Logical{
			Routers: []topology.Router{{ID: "r", Name: "lr1", Ports: []topology.RouterPort{
				{Name: "lr1-ls1", Networks: []string{"172.16.255.254/24"}}, {Name: "lr1-ls3", Networks: []string{"172.16.3.254/24"}, Chassis: []string{"c1", "elsewhere"}}}}},
			Switches: []topology.Switch{
				{ID: "s1", Name: "ls1", Ports: []topology.SwitchPort{
					{Name: "ls1-lr1", Type: "router", Router: "lr1-ls1", Addresses: []string{"router"}},
					{Name: "ls1-vm1", Addresses: []string{"02:ac:10:ff:00:11 172.16.255.11"}},
					{Name: "ls1-vm9", Addresses: []string{"dynamic"}, Down: true}}},
				{ID: "s3", Name: "ls3", Ports: []topology.SwitchPort{
					{Name: "ls3-lr1", Type: "router", Router: "lr1-ls3"},
					{Name: "outside", Type: "localnet", Network: "physnet301", Tag: number(301), Addresses: []string{"unknown"}}}},
			},
		},
	}
	h2 := &topology.Topology{
		Version: "3.1.0",
		Bridges: []topology.Bridge{
			{Name: "br-int", FailMode: "secure", Controllers: []string{"tcp:192.0.2.9:6653"}, Ports: []topology.Port{tunnelTo("ovn-c1-0", "10.127.0.2"),
				single("vx0", topology.Interface{Type: "vxlan", Remote: "198.51.100.7", Key: "42"})}},
			{Name: "ovsbr0", Spanning: "rstp", Ports: []topology.Port{single("patch0-1", topology.Interface{Type: "patch", Peer: "patch1-0"}), single("patch0-2", topology.Interface{Type: "patch", Peer: "patch2-0"})}},
			{Name: "ovsbr1", Spanning: "rstp", Ports: []topology.Port{single("patch1-0", topology.Interface{Type: "patch", Peer: "patch0-1"}), single("patch1-2", topology.Interface{Type: "patch", Peer: "patch2-1", Wrong: "its peer is not there"})}},
			{Name: "ovsbr2", Spanning: "rstp", Wrong: "could not create datapath", Ports: []topology.Port{single("patch2-0", topology.Interface{Type: "patch", Peer: "patch0-2"})}},
		},
		Links: []topology.Link{{Name: "eth0", MTU: 1500, Addresses: []string{"10.127.1.3/24"}}, {Name: "eth1", MTU: 1500, Addresses: []string{"10.127.0.3/25"}}},
	}
	h3 := &topology.Topology{
		Version: "3.1.0", Bridges: []topology.Bridge{{Name: "br-int", FailMode: "secure"}},
		Links: []topology.Link{
			{Name: "bond0", Kind: "bond", MTU: 1500, Bond: &topology.Bond{Mode: "802.3ad", LACP: "active"}, Master: "br0"},
			{Name: "bond0.301", Kind: "vlan", Lower: "bond0", VLAN: 301, MTU: 1500, Master: "br301"},
			{Name: "br0", Kind: "bridge", MTU: 1500, Addresses: []string{"192.0.2.4/24"}}, {Name: "br301", Kind: "bridge", MTU: 1500},
			{Name: "eth0", MTU: 1500, Addresses: []string{"10.127.1.4/24"}}, {Name: "eth1", MTU: 1500, Addresses: []string{"10.127.0.4/25"}},
			{Name: "eth2", MTU: 1500, Master: "bond0"}, {Name: "eth3", MTU: 1500, Master: "bond0", State: "no carrier"},
			{Name: "gre0", Kind: "gre", State: "down"},
		},
		Unread: []string{"OVN's northbound database: connection reset by peer"},
	}
	return Picture{Title: "lab: what is there", Notes: []string{"one is as good as another"}, Hosts: []Host{
		{Name: "h1", Address: "10.127.1.2", Roles: []string{"central", "compute"}, Topology: h1},
		{Name: "h2", Address: "10.127.1.3", Roles: []string{"compute"}, Topology: h2},
		{Name: "h3", Address: "10.127.1.4", Roles: []string{"compute"}, Topology: h3},
	}}
}

// fleet are hosts that all have tunnels with one another, but for one pair.
func fleet(n int) Picture {
	p := Picture{Title: "prod: what is there"}
	for i := 1; i <= n; i++ {
		ports := []topology.Port{single("vm", topology.Interface{Logical: fmt.Sprintf("port%02d", i)})}
		for j := 1; j <= n; j++ {
			if i != j && (i != 3 || j != 7) && (i != 7 || j != 3) {
				ports = append(ports, tunnelTo(fmt.Sprintf("ovn-c%02d-0", j), fmt.Sprintf("10.0.0.%d", j)))
			}
		}
		top := &topology.Topology{
			Version: "3.1.0",
			Bridges: []topology.Bridge{
				{Name: "br-ext", Ports: []topology.Port{{Name: "bond0", Bond: &topology.Bond{Mode: "balance-tcp", LACP: "active"}, Interfaces: []topology.Interface{device("eth2"), device("eth3")}}}},
				{Name: "br-int", FailMode: "secure", Ports: ports}},
			Links: []topology.Link{{Name: "eth1", MTU: 1500, Addresses: []string{fmt.Sprintf("10.0.0.%d/24", i)}}},
		}
		if i == 5 {
			top.Bridges[0].Ports[0].Interfaces[1].Wrong = "no carrier"
		}
		h := Host{Name: fmt.Sprintf("compute%02d", i), Address: fmt.Sprintf("10.0.1.%d", i), Roles: []string{"compute"}, Topology: top}
		if i == n {
			h.Topology = nil
		}
		p.Hosts = append(p.Hosts, h)
	}
	ls := topology.Switch{ID: "s", Name: "ls1"}
	for i := 1; i <= n*4; i++ {
		ls.Ports = append(ls.Ports, topology.SwitchPort{Name: fmt.Sprintf("port%02d", i), Down: i == 9})
	}
	p.Hosts[0].Topology.Logical = &topology.Logical{Switches: []topology.Switch{ls}}
	p.Hosts[1].Topology.Logical = p.Hosts[0].Topology.Logical // a member of the cluster
	return p
}

func TestGolden(t *testing.T) {
	for name, p := range map[string]Picture{"three": three(), "thirty": fleet(30), "six": fleet(6), "star": star(8), "spokes": star(12), "empty": {Title: "nothing"}} {
		for suffix, format := range map[string]Format{"svg": SVG, "dot": DOT, "mmd": Mermaid} {
			t.Run(name+"."+suffix, func(t *testing.T) {
				golden(t, name+"."+suffix, drawn(t, p, format, Auto))
			})
		}
	}
}

// star are hosts that all have a tunnel with the first.
func star(n int) Picture {
	p := Picture{Title: "spokes"}
	for i := 1; i <= n; i++ {
		b := topology.Bridge{Name: "br0"}
		for j := 1; j <= n; j++ {
			if i != j && (i == 1 || j == 1) {
				b.Ports = append(b.Ports, single(fmt.Sprintf("vx%d", j), topology.Interface{Type: "vxlan", Remote: fmt.Sprintf("10.0.0.%d", j), Local: fmt.Sprintf("10.0.0.%d", i), Key: "7"}))
			}
		}
		p.Hosts = append(p.Hosts, Host{Name: fmt.Sprintf("site%d", i), Topology: &topology.Topology{Bridges: []topology.Bridge{b}}})
	}
	return p
}

func TestSamePictureSameBytes(t *testing.T) {
	for _, p := range []Picture{three(), fleet(30)} {
		for _, f := range []Format{SVG, DOT, Mermaid} {
			first := drawn(t, p, f, Full)
			for range 10 {
				if !bytes.Equal(first, drawn(t, p, f, Full)) {
					t.Fatalf("%s differs from one time to the next", f)
				}
			}
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	for _, err := range []error{
		Draw(io.Discard, Picture{}, "png", Auto),
		Draw(io.Discard, Picture{}, SVG, "some"),
	} {
		if err == nil {
			t.Error("no error")
		}
	}
}

// Nothing of an SVG lies outside of it, nor do the hosts lie on one another.
func TestNothingOutside(t *testing.T) {
	for _, p := range []Picture{three(), fleet(6), fleet(30), star(8)} {
		for _, d := range []Detail{Full, Summary} {
			text := string(drawn(t, p, SVG, d))
			width, height := 0, 0
			if _, err := fmt.Sscanf(text[strings.Index(text, "viewBox"):], `viewBox="0 0 %d %d"`, &width, &height); err != nil {
				t.Fatal(err)
			}
			var cards []area
			for line := range strings.Lines(text) {
				class, a := "", area{}
				if n, _ := fmt.Sscanf(line, `<rect class=%q x="%d" y="%d" width="%d" height="%d"`, &class, &a.x, &a.y, &a.w, &a.h); n != 5 {
					continue
				}
				if a.x < 0 || a.y < 0 || a.x+a.w > width || a.bottom() > height {
					t.Errorf("outside of %dx%d: %s", width, height, line)
				}
				if class != "card" && class != "lost" {
					continue
				}
				if slices.ContainsFunc(cards, a.touches) {
					t.Errorf("on another: %s", line)
				}
				cards = append(cards, a)
			}
			if len(cards) != len(p.Hosts)+1 {
				t.Errorf("%d cards of %d hosts", len(cards), len(p.Hosts))
			}
		}
	}
}

func TestWrap(t *testing.T) {
	for text, want := range map[string][]string{
		"":                 nil,
		"short":            {"short"},
		"a word and more":  {"a word", "and more"},
		"exactly8 fits":    {"exactly8", "fits"},
		"0123456789abcdef": {"01234567", "89abcdef"},
		"漢字漢字漢字":           {"漢字漢字", "漢字"},
		" a b c d e f g h i j k l m n o p q r s t u v w x y z ": {"a b c d", "e f g h", "i j k l", "m n o p", "q r s t", "u v w x…"},
	} {
		if got := wrap(text, 8); !slices.Equal(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestRanges(t *testing.T) {
	if got := ranges([]int{302, 11, 300, 301, 300, 4}); got != "4, 11, 300-302" {
		t.Error(got)
	}
}
