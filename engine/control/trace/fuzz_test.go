package trace

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// recordedTexts are the answers of a program or to a command of a daemon, the last
// lines of each: a fuzzer gets nowhere with long ones.
func recordedTexts(f *testing.F, of string, names ...string) []string {
	var all []string
	for _, name := range names {
		for _, one := range recordings(f, name) {
			asked := append([]string{}, one.Ask.Query...)
			if one.Ask.Daemon != nil {
				asked = append(asked, one.Ask.Daemon.Command)
			}
			if slices.Contains(asked, of) {
				lines := strings.SplitAfter(one.Answer.Text, "\n")
				all = append(all, strings.Join(lines[max(0, len(lines)-20):], ""))
			}
		}
	}
	return all
}

// What ovn-trace says may be anything: names of ports, and so lines, are others'
// to choose.
func FuzzLogicalTrace(f *testing.F) {
	for _, text := range recordedTexts(f, "ovn-trace", "gateway", "nexthop", "acl", "reject", "outside") {
		f.Add(text)
	}
	f.Add("ingress(dp=\"a\\\"b\", inport=\"\\u00e9\")\n 0. ls_in_x: no match, implicit drop\n")
	f.Fuzz(func(t *testing.T, text string) {
		got := readLogicalTrace(text)
		for i, s := range got.stages {
			if s.name == "" || s.table < 0 || s.table > 999 || s.uuid != "" && len(s.uuid) != 8 {
				t.Errorf("stage %d is %+v", i, s)
			}
			if where(s) == "" || flowOf(s) == "" {
				t.Errorf("stage %d has no name", i)
			}
		}
		if lines := strings.Count(text, "\n") + 1; len(got.stages)+len(got.outputs) > lines {
			t.Errorf("%d stages and %d outputs of %d lines", len(got.stages), len(got.outputs), lines)
		}
	})
}

func FuzzFlowTrace(f *testing.F) {
	for _, text := range recordedTexts(f, "ofproto/trace", "gateway", "arp", "six", "outside") {
		f.Add(text)
	}
	f.Add("Datapath actions: set(tunnel(tun_id=0x3,dst=177.1.1.2,ttl=64,tp_dst=6081,flags(df|csum|key))),1\n>>>> recursion too deep\n")
	f.Fuzz(func(t *testing.T, text string) {
		got := readFlowTrace(text)
		for _, ip := range got.remotes {
			if !ip.IsValid() {
				t.Errorf("a tunnel to nowhere in %q", text)
			}
		}
		for _, o := range got.outputs {
			if o.port < 0 || o.port > 99999 {
				t.Errorf("out of %+v", o)
			}
		}
		if got.actions != "" && !strings.Contains(text, "Datapath actions: ") {
			t.Errorf("actions of %q", text)
		}
	})
}

// What one host says goes into a question to another: whatever it is, that is one flow.
func FuzzCarried(f *testing.F) {
	for _, text := range recordedTexts(f, "ofproto/trace", "gateway", "six", "overlay") {
		for line := range strings.Lines(text) {
			if actions, ok := strings.CutPrefix(line, "Datapath actions: "); ok {
				f.Add(icmpFlow, strings.TrimSpace(actions))
			}
		}
	}
	f.Add("tcp6,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,ipv6_src=fd00::1,ipv6_dst=fd00::2,nw_ttl=64,tp_src=1,tp_dst=80", "clone(set(tunnel(tun_id=0x3,ipv6_src=fe80::1%eth0,ipv6_dst=fd00::2)),1),push_vlan(vid=9,pcp=0),2")
	flow := regexp.MustCompile(`^in_port=1,(icmp|tcp|udp)6?(,[a-z_0-9]+=[0-9a-f.:]+(x[0-9a-f]+)?)+$`)
	f.Fuzz(func(t *testing.T, fields, actions string) {
		read, _ := readFrame(fields)
		for _, c := range carriedBy(read, actions) {
			if c.frame.valid() && !flow.MatchString(c.openFlow(1)) {
				t.Errorf("%q and %q became %q", fields, actions, c.openFlow(1))
			}
			if !c.remote.IsValid() || c.tag < 0 || c.tag > 4095 {
				t.Errorf("in the tunnel is %+v", c)
			}
		}
	})
}

func FuzzCounts(f *testing.F) {
	for _, text := range recordedTexts(f, "dump-ports", "ping") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for port, c := range readCounts(text) {
			if port < 0 || port > 99999 || min(c.rx, c.tx, c.dropped, c.errors) < 0 {
				t.Errorf("port %d counted %+v", port, c)
			}
		}
	})
}

func FuzzAddress(f *testing.F) {
	for _, text := range []string{"02:ac:10:ff:00:11 172.16.255.11", "unknown", "router", "dynamic", "02:ac:10:ff:00:11 dynamic", "02:AC:10:FF:00:11 fd00::1/64 10.0.0.1", "0000.5e00.5301"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, ok := readAddress(text)
		if ok && len(a.mac) != len("02:ac:10:ff:00:11") {
			t.Errorf("%q became %q", text, a.mac)
		}
		for _, ip := range a.ips {
			if !ip.IsValid() || ip.Is4In6() {
				t.Errorf("%q has %v", text, ip)
			}
		}
	})
}
