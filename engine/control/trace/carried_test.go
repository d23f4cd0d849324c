package trace

import (
	"reflect"
	"strings"
	"testing"
)

const icmpFlow = "icmp,in_port=3,vlan_tci=0x0000,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.1.1,nw_dst=10.0.2.2,nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no,icmp_type=8,icmp_code=0"

// What a tunnel carries is what the datapath made of the packet until then. The first
// two are of Open vSwitch 3.1, in userspace and in the kernel.
func TestCarried(t *testing.T) {
	const inner = "icmp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.1.1,nw_dst=10.0.2.2,nw_ttl=64,icmp_type=8,icmp_code=0"
	for _, c := range []struct {
		what, flow, actions string
		want                []string // as ofproto/trace takes it, without the port
	}{
		{"no tunnel", icmpFlow, "set(ipv4(ttl=63)),5", nil},
		{"userspace", icmpFlow, "set(eth(src=02:00:00:00:00:03,dst=02:00:00:00:00:04)),set(ipv4(ttl=63)),tnl_push(tnl_port(4),header(size=58,type=5,eth(dst=2a:f3:00:b5:36:4a,src=6a:90:55:a5:6a:47,dl_type=0x0800),ipv4(src=177.1.1.3,dst=177.1.1.2,proto=17,tos=0,ttl=64,frag=0x4000),udp(src=0,dst=6081,csum=0xffff),geneve(crit,vni=0x2,options({class=0x102,type=0x80,len=4,0x20001}))),out_port(1)),2",
			[]string{"icmp,dl_src=02:00:00:00:00:03,dl_dst=02:00:00:00:00:04,nw_src=10.0.1.1,nw_dst=10.0.2.2,nw_ttl=63,icmp_type=8,icmp_code=0,tun_id=0x2,tun_metadata0=0x20001,tun_src=177.1.1.3,tun_dst=177.1.1.2"}},
		{"kernel", icmpFlow, "set(tunnel(tun_id=0x3,dst=177.1.1.2,ttl=64,tp_dst=6081,geneve({class=0x102,type=0x80,len=4,0x10002}),flags(df|csum|key))),set(ipv4(ttl=63)),1",
			[]string{strings.Replace(inner, "ttl=64", "ttl=63", 1) + ",tun_id=0x3,tun_metadata0=0x10002,tun_dst=177.1.1.2"}},
		{"VXLAN over IPv6", icmpFlow, "set(tunnel(tun_id=0x1001,ipv6_src=fd00::1,ipv6_dst=fd00::2,ttl=64,tp_dst=4789,flags(df|csum|key))),1",
			[]string{inner + ",tun_id=0x1001,tun_ipv6_src=fd00::1,tun_ipv6_dst=fd00::2"}},
		{"a copy is changed, and the packet is not", icmpFlow, "clone(set(ipv4(ttl=1)),set(tunnel(tun_id=0x3,dst=177.1.1.2,flags(key))),1),set(tunnel(tun_id=0x4,dst=177.1.1.3,flags(key))),1",
			[]string{strings.Replace(inner, "ttl=64", "ttl=1", 1) + ",tun_id=0x3,tun_dst=177.1.1.2", inner + ",tun_id=0x4,tun_dst=177.1.1.3"}},
		{"NAT of part of an address leaves the rest", "tcp6,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,ipv6_src=fd00::1,ipv6_dst=fd00::2,nw_ttl=64,tp_src=49152,tp_dst=80,tcp_flags=0",
			"set(tcp(dst=8080/0xffff)),set(ipv6(hlimit=63)),set(tunnel(tun_id=0x3,dst=177.1.1.2,flags(key))),1",
			[]string{"tcp6,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,ipv6_src=fd00::1,ipv6_dst=fd00::2,nw_ttl=63,tcp_src=49152,tcp_dst=8080,tun_id=0x3,tun_dst=177.1.1.2"}},
		{"what is small enough", icmpFlow, "check_pkt_len(size=1442,gt(set(ipv4(ttl=9)),userspace(pid=1,controller(reason=1))),le(set(tunnel(tun_id=0x3,dst=177.1.1.2,flags(key))),1))",
			[]string{inner + ",tun_id=0x3,tun_dst=177.1.1.2"}},
	} {
		f, ok := readFrame(c.flow)
		if !ok {
			t.Errorf("%s: %q is no frame", c.what, c.flow)
		}
		var got []string
		for _, one := range carriedBy(f, c.actions) {
			_, flow, _ := strings.Cut(one.openFlow(1), ",")
			got = append(got, flow)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", c.what, got, c.want)
		}
	}
}

// A frame that was changed in a way that cannot be read is not made up.
func TestCarriedUnread(t *testing.T) {
	f, _ := readFrame(icmpFlow)
	for _, actions := range []string{"set(eth(src=nonsense)),set(tunnel(tun_id=0x3,dst=177.1.1.2)),1", "set(ipv4(ttl=999)),set(tunnel(tun_id=0x3,dst=177.1.1.2)),1"} {
		if got := carriedBy(f, actions); len(got) != 1 || got[0].frame.valid() {
			t.Errorf("%s: %+v", actions, got)
		}
	}
	for _, flow := range []string{"", "arp,dl_src=02:00:00:00:00:01", strings.Replace(icmpFlow, "nw_src=10.0.1.1", "ipv6_src=fd00::1", 1), strings.Replace(icmpFlow, "icmp,", "icmp6,", 1), strings.Replace(icmpFlow, "10.0.2.2", "$(id)", 1)} {
		if f, ok := readFrame(flow); ok {
			t.Errorf("%q became %+v", flow, f)
		}
	}
}

// The bridges of userspace tunnels are told apart from the integration bridge, which
// goes on after them.
func TestOutputs(t *testing.T) {
	got := readFlowTrace(`Flow: icmp,in_port=2

bridge("br-int")
----------------
39. reg15=0x2, priority 100
    output:1
     -> output to native tunnel

    bridge("br-phy")
    ----------------
         0. in_port=LOCAL, priority 1
            output:7
    output:5
    resubmit(,40)
40. priority 1
    output:3

Final flow: unchanged
Datapath actions: 4,5
`)
	if want := []outlet{{"br-int", 1}, {"br-phy", 7}, {"br-int", 5}, {"br-int", 3}}; !reflect.DeepEqual(got.outputs, want) || got.last != "table 40, priority 1" {
		t.Errorf("out of %v, last %q", got.outputs, got.last)
	}
}

// Ports of a datapath that cannot count drops say so, and no drops are told of them.
func TestReadCounts(t *testing.T) {
	got := readCounts(`OFPST_PORT reply (OF1.3) (xid=0x2): 2 ports
  port  1: rx pkts=5, bytes=700, drop=?, errs=?, frame=?, over=?, crc=?
           tx pkts=10, bytes=1400, drop=?, errs=?, coll=?
           duration=3.1s
  port  2: rx pkts=8, bytes=700, drop=1, errs=2, frame=0, over=0, crc=0
           tx pkts=9, bytes=700, drop=30, errs=4, coll=0
`)
	if want := (counts{1: {rx: 5, tx: 10}, 2: {rx: 8, tx: 9, dropped: 31, errors: 6}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}
