package trace

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"weft/engine/wire"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, addr(text))
	}
	return all
}

// Newer versions of OVN evaluate ACLs in one table and carry the verdict out in the
// next; the one that decided is named.
func TestBlamed(t *testing.T) {
	got := readLogicalTrace(`# icmp

ingress(dp="ls1", inport="vm1")
-------------------------------
 8. ls_in_acl_eval (northd.c:6588): inport == "vm1" && ip4, priority 2001, uuid 5a5757c6
    reg8[17] = 1;
    next;
 9. ls_in_acl_action (northd.c:6600): reg8[17] == 1, priority 1000, uuid b888dadd
    reg8[16] = 0;
    drop;
`)
	if s := blamed(got.stages); s.uuid != "5a5757c6" {
		t.Errorf("blamed is %+v", s)
	}
	if !got.stages[1].drops() {
		t.Error("the verdict is not seen")
	}
}

// A table without a flow that matches ends the packet; what a router sends in its
// stead is not the packet.
func TestReadLogicalTrace(t *testing.T) {
	missed := readLogicalTrace("ingress(dp=\"lr \\\"1\\\"\", inport=\"a\")\n---\n 3. lr_in_ip_input (northd.c:1): no match, implicit drop\n")
	if len(missed.stages) != 1 || !missed.stages[0].drops() || missed.stages[0].datapath != `lr "1"` {
		t.Errorf("got %+v", missed)
	}
	asked := readLogicalTrace(`ingress(dp="lr1", inport="a")
21. lr_in_arp_request (northd.c:1): eth.dst == 00:00:00:00:00:00 && ip4, priority 100, uuid 00000001
    arp { eth.dst = ff:ff:ff:ff:ff:ff; output; };

arp
---
    output;
    /* output to "vm2", type "" */
`)
	if asked.generated != "arp" || asked.reaches("vm2") {
		t.Errorf("got %+v", asked)
	}
}

// The kernel's datapath says where a tunnel leads in another way than the
// userspace one.
func TestReadFlowTrace(t *testing.T) {
	for _, c := range []struct {
		text, whither string
		dropped       bool
	}{
		{"Datapath actions: set(tunnel(tun_id=0x3,dst=177.1.1.2,ttl=64,tp_dst=6081,geneve({class=0x102}),flags(df|csum|key))),1", "177.1.1.2", false},
		{"Datapath actions: set(tunnel(tun_id=0x3,ipv6_dst=fd00::2,ttl=64,flags(df))),1", "fd00::2", false},
		{"Datapath actions: tnl_push(tnl_port(4),header(size=70,eth(dst=2a:f3:00:b5:36:4a),ipv6(src=fd00::1,dst=fd00::2,label=0)),out_port(1)),2", "fd00::2", false},
		{"Datapath actions: ct(commit,zone=4),recirc(0x1)\nDatapath actions: drop", "no tunnel", true},
		{"Datapath actions: 3", "no tunnel", false},
		{"ofproto/trace: nothing", "no tunnel", true},
	} {
		got := readFlowTrace(c.text)
		if got.whither() != c.whither || got.dropped() != c.dropped {
			t.Errorf("%s: to %s, dropped %v", c.text, got.whither(), got.dropped())
		}
	}
}

func TestPacketSpellings(t *testing.T) {
	p := packet{from: addr("fd00:1::10"), to: addr("fd00:2::11"), mac: "02:00:00:00:00:01", nextMAC: "02:00:00:00:00:02", protocol: "udp", port: 53}
	want := `inport == "a\"b" && eth.src == 02:00:00:00:00:01 && eth.dst == 02:00:00:00:00:02 && ip6.src == fd00:1::10 && ip6.dst == fd00:2::11 && ip.ttl == 64 && udp.src == 49152 && udp.dst == 53`
	if got := p.logical(`a"b`); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = "in_port=3,udp6,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,ipv6_src=fd00:1::10,ipv6_dst=fd00:2::11,nw_ttl=64,udp_src=49152,udp_dst=53"
	if got := p.frame().openFlow(3); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What is wrong with a tunnel is told of either end.
func TestTunnelEnds(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(a, b *machine)
		want   string
	}{
		{"nothing", func(_, _ *machine) {}, ""},
		{"none", func(a, _ *machine) { a.ifaces = nil }, "a has no tunnel to b (192.0.2.2)"},
		{"none back", func(_, b *machine) { b.ifaces = nil }, "b has no tunnel to a (192.0.2.1)"},
		{"on another bridge", func(a, _ *machine) { a.ifaces[0].bridge = "br0" }, "a has no tunnel to b"},
		{"an address that is not registered", func(a, _ *machine) { a.encaps = "192.0.2.9" }, "a is told ovn-encap-ip=192.0.2.9, and the others know it as 192.0.2.1"},
		{"several addresses", func(a, _ *machine) { a.encaps = "192.0.2.1,192.0.2.1" }, ""},
		{"not made", func(a, _ *machine) { a.ifaces[0].number, a.ifaces[0].wrong = -1, "File exists" }, "could not make ovn-b-0: File exists"},
		{"not made yet", func(a, _ *machine) { a.ifaces[0].number = 0 }, "could not make ovn-b-0: it has no OpenFlow port"},
		{"from another address", func(_, b *machine) { b.ifaces[0].local = "192.0.2.7" }, "ovn-a-0 of b sends from 192.0.2.7, and the others expect 192.0.2.2"},
		{"no carrier", func(a, _ *machine) { a.ifaces[0].outlet, a.ifaces[0].outletState = "eth1", "down" }, "leaves by eth1, which has no carrier"},
		{"BFD", func(a, _ *machine) { a.ifaces[0].bfdState, a.ifaces[0].bfd = "down", "Control Detection Time Expired" }, "is down: Control Detection Time Expired"},
	} {
		a := &machine{name: "a", chassis: "A", bridge: "br-int", encaps: "192.0.2.1", ifaces: []iface{{name: "ovn-b-0", kind: "geneve", bridge: "br-int", number: 1, remote: "192.0.2.2"}}}
		b := &machine{name: "b", chassis: "B", bridge: "br-int", encaps: "192.0.2.2", ifaces: []iface{{name: "ovn-a-0", kind: "geneve", bridge: "br-int", number: 1, remote: "192.0.2.1"}}}
		c.change(a, b)
		tr := &tracer{network: &network{machines: []*machine{a, b}, chassis: map[string]chassis{
			"A": {name: "A", encaps: []string{"192.0.2.1"}}, "B": {name: "B", encaps: []string{"192.0.2.2"}},
		}}}
		tr.tunnel("A", "B")
		r := tr.result()
		if r.Arrives != (c.want == "") || r.Died != nil && (!strings.Contains(r.Died.What, c.want) || r.Died.Do == "") {
			t.Errorf("%s: %+v", c.what, r.Hops)
		}
	}
}

// A packet goes by the chassis of the gateways on its way.
func TestStops(t *testing.T) {
	n := &network{bound: map[string]string{"vm1": "A", "cr-out": "B", "gw-join": "C", "join-gw": "C", "vm2": "A"}}
	from, to := end{port: &logicalPort{name: "vm1"}}, end{port: &logicalPort{name: "vm2"}}
	for _, c := range []struct {
		says string
		want []string
	}{
		{"", []string{"A"}},
		{`/* Replacing type "chassisredirect" outport "cr-out" with distributed port "out". */`, []string{"A", "B", "A"}},
		{"/* output to \"join-gw\", type \"l3gateway\" */\n/* output to \"gw-join\", type \"l3gateway\" */", []string{"A", "C", "A"}},
		{`/* Replacing type "chassisredirect" outport "cr-nowhere" with distributed port "nowhere". */`, nil},
	} {
		tr := &tracer{network: n, from: from, to: to, logical: readLogicalTrace("ingress(dp=\"lr1\", inport=\"a\")\n" + c.says)}
		if got := tr.stops(); !slices.Equal(got, c.want) || tr.died() != (c.want == nil) {
			t.Errorf("%s: by %v", c.says, got)
		}
	}
}

// A network outside may be behind the guest's own switch, and have any address.
func TestStranger(t *testing.T) {
	guest := &logicalPort{name: "vm1", switchID: "1", sw: "ls1"}
	outlet := &logicalPort{name: "outlet", kind: "localnet", switchID: "1"}
	router := &logicalPort{name: "ls1-r", kind: "router", switchID: "1", options: map[string]string{"router-port": "r-ls1"}}
	elsewhere := &logicalPort{name: "outlet2", kind: "localnet", switchID: "2"}
	for _, c := range []struct {
		to, want string
		ports    []*logicalPort
	}{
		{"10.0.0.7", "outlet", []*logicalPort{guest, outlet}},
		{"10.0.0.7", "outlet", []*logicalPort{guest, outlet, router}},
		{"192.0.2.1", "outlet", []*logicalPort{guest, outlet}},
		{"192.0.2.1", "", []*logicalPort{guest, outlet, router}},
		{"10.0.0.7", "", []*logicalPort{guest, elsewhere, router}},
	} {
		tr := &tracer{network: &network{ports: c.ports, routers: []routerPort{{name: "r-ls1", networks: []string{"10.0.0.1/24"}}}},
			from: end{port: guest}, packet: packet{from: addr("10.0.0.2"), to: addr(c.to)}}
		if got := tr.stranger(); got != c.want {
			t.Errorf("%s among %d ports: %q, want %q", c.to, len(c.ports), got, c.want)
		}
	}
}

// Names in commands that are proposed are words of a shell.
func TestArgument(t *testing.T) {
	for name, want := range map[string]string{
		"ls1-vm1": "ls1-vm1", "": "''", "a b": "'a b'", "-x": "'-x'", "$(id)": "'$(id)'", "it's": `'it'\''s'`,
	} {
		if got := argument(name); got != want {
			t.Errorf("%q is %s, want %s", name, got, want)
		}
	}
}

// A guest whose MAC is not its port's hears nothing of what is sent to it.
func TestGuestWithAnotherMAC(t *testing.T) {
	port := &logicalPort{name: "vm2", switchID: "1", addresses: []address{{"02:00:00:00:00:02", addrs("10.0.0.2")}}}
	for mac, dies := range map[string]bool{"02:00:00:00:00:02": false, "02:00:00:00:00:66": true, "": false} {
		m := &machine{name: "b", chassis: "B", bridge: "br-int", ifaces: []iface{{name: "tap2", id: "vm2", bridge: "br-int", number: 3, mac: mac}}}
		n := &network{machines: []*machine{m}, ports: []*logicalPort{port}, bound: map[string]string{"vm2": "B"}}
		tr := &tracer{network: n, from: end{port: &logicalPort{name: "vm1", switchID: "1"}}, to: n.end(port)}
		if !tr.nextHop() || tr.packet.nextMAC != "02:00:00:00:00:02" {
			t.Errorf("with %q, packets go to %s", mac, tr.packet.nextMAC)
		}
		tr.destination([]string{"B"})
		if r := tr.result(); r.Arrives == dies || dies && r.Died.Where != "guest vm2" {
			t.Errorf("with %q: %+v", mac, r.Hops)
		}
	}
}

// A host that cannot be read is named, and hides no other.
func TestUnreadHost(t *testing.T) {
	asker := replay(t, "gateway")
	for key, answers := range asker.answers {
		if strings.HasPrefix(key, "h1 ") && strings.Contains(key, `"Bridge"`) {
			answers[0] = wire.Answer{Error: "select Bridge: the schema has no such column"}
		}
	}
	r, err := Run(t.Context(), gateway, asker, Options{From: "v0", To: "v1", Protocol: "icmp"})
	if err != nil || !r.Arrives || r.Hops[0].Where != "host h1" || r.Hops[0].State != Unknown || !strings.Contains(r.Hops[0].What, "no such column") {
		t.Errorf("%+v, %v", r, err)
	}
}

// Guests are told apart by their hosts where names are not enough.
func TestFind(t *testing.T) {
	n := &network{
		ports: []*logicalPort{
			{name: "p1", sw: "ls1", addresses: []address{{"02:00:00:00:00:01", addrs("10.0.0.1")}}},
			{name: "p2", sw: "ls2", addresses: []address{{"02:00:00:00:00:02", addrs("10.0.0.1")}}},
			{name: "p3", sw: "ls2", addresses: []address{{"02:00:00:00:00:03", addrs("10.0.0.3")}}},
		},
		machines: []*machine{
			{name: "a", chassis: "A", bridge: "br-int", ifaces: []iface{{name: "tap0", id: "p1", bridge: "br-int"}, {name: "tap1", id: "gone", bridge: "br-int"}}},
			{name: "b", chassis: "B", bridge: "br-int", ifaces: []iface{{name: "tap0", id: "p2", bridge: "br-int", mac: "02:00:00:00:00:AA"}}},
		},
		routers: []routerPort{{name: "r1", networks: []string{"10.0.0.254/24"}}},
	}
	for _, c := range []struct{ name, want, mistake string }{
		{name: "p1", want: "p1"},
		{name: "b/tap0", want: "p2"},
		{name: "10.0.0.3", want: "p3"},
		{name: "10.0.0.254", want: "10.0.0.254"},
		{name: "tap0", mistake: "say a/tap0 or b/tap0"},
		{name: "10.0.0.1", mistake: "say p1 or p2"},
		{name: "tap1", mistake: `the logical port "gone" (iface-id)`},
		{name: "none", mistake: `nothing is called "none"`},
	} {
		e, err := n.find(c.name)
		switch {
		case c.mistake != "" && (err == nil || !strings.Contains(err.Error(), c.mistake)):
			t.Errorf("%s: %v, want %q", c.name, err, c.mistake)
		case c.mistake == "" && (err != nil || e.called() != c.want):
			t.Errorf("%s is %s, %v", c.name, e.called(), err)
		}
	}
	if e, _ := n.find("b/tap0"); e.own() != "02:00:00:00:00:aa" {
		t.Errorf("the guest's own Ethernet address is %s", e.own())
	}
	if e, _ := n.find("10.0.0.254"); e.router != "r1" {
		t.Errorf("the router's port is %q", e.router)
	}
}
