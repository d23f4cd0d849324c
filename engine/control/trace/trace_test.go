package trace

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	gocmp "github.com/google/go-cmp/cmp"

	"weft/engine/wire"
)

// recorded is what the hosts of a lab said: files of questions with answers, the
// first that has a question counts.
type recorded struct {
	t       *testing.T
	answers map[string][]wire.Answer // by host and question, in order
	silent  map[string]bool          // hosts that are not reached
}

type recording struct {
	Host   string      `json:"host"`
	Ask    wire.Ask    `json:"ask"`
	Answer wire.Answer `json:"answer"`
}

func recordings(t testing.TB, name string) []recording {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []recording
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return all
}

func replay(t *testing.T, names ...string) *recorded {
	t.Helper()
	r := &recorded{t: t, answers: map[string][]wire.Answer{}, silent: map[string]bool{}}
	for _, name := range names {
		answers := map[string][]wire.Answer{}
		for _, one := range recordings(t, name) {
			key := question(one.Host, one.Ask)
			answers[key] = append(answers[key], one.Answer)
		}
		maps.Copy(answers, r.answers)
		r.answers = answers
	}
	return r
}

func question(host string, q wire.Ask) string {
	text, _ := json.Marshal(q)
	return host + " " + string(text)
}

// Ask answers each question as it was answered then, the last answer again and
// again.
func (r *recorded) Ask(_ context.Context, questions map[string][]wire.Ask) map[string][]wire.Answer {
	out := map[string][]wire.Answer{}
	for host, asked := range questions {
		if r.silent[host] {
			continue
		}
		for _, q := range asked {
			key := question(host, q)
			left := r.answers[key]
			if len(left) == 0 {
				if q.Rows == nil { // a host that has nothing of the kind was not recorded
					r.t.Errorf("not recorded: %s", key)
				}
				out[host] = append(out[host], wire.Answer{Absent: true, Error: "not there"})
				continue
			}
			out[host] = append(out[host], left[0])
			if len(left) > 1 {
				r.answers[key] = left[1:]
			}
		}
	}
	return out
}

// way shows a result in a few lines.
func way(r *Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s to %s\n", r.Packet, r.From, r.To)
	for _, h := range r.Hops {
		fmt.Fprintf(&b, "%s | %s | %s", h.State, h.Where, h.What)
		if h.Why != "" {
			fmt.Fprintf(&b, " | %s", h.Why)
		}
		for _, c := range h.Counted {
			fmt.Fprintf(&b, " | %+v", c)
		}
		b.WriteString("\n")
	}
	if r.Died != nil {
		fmt.Fprintf(&b, "do: %s\n", r.Died.Do)
	}
	return b.String()
}

var (
	gateway = []string{"h0", "h1", "h2", "outside"}
	overlay = []string{"ubuntu1", "ubuntu2", "ubuntu3"}
)

// The answers were recorded from the hosts of inventories/router-gateway.hcl and
// inventories/lab.hcl, whole and with something broken: what that was is in the
// comments. They are of OVN 23.03 and Open vSwitch 3.1.
func TestTrace(t *testing.T) {
	for _, c := range []struct {
		name     string // of the file, over that of the lab where nothing is broken
		from, to string
		options  Options
	}{
		{name: "across", from: "v0", to: "v1"},
		{name: "by-address", from: "172.16.1.10", to: "h1/v1"},
		{name: "outside", from: "v0", to: "198.51.100.1"},
		{name: "six", from: "fd00:1::10", to: "v1"},
		{name: "tcp", from: "v0", to: "v1", options: Options{Protocol: "tcp", Port: 80}},
		{name: "router", from: "v1", to: "172.16.2.254"},
		{name: "ping", from: "v0", to: "v1", options: Options{Ping: true}},
		{name: "silent", from: "v0", to: "v1", options: Options{Ping: true}}, // net.ipv4.icmp_echo_ignore_all=1 in v1
		{name: "acl", from: "v0", to: "v1"},                                  // ovn-nbctl --name=no-ping acl-add ls2 to-lport 1001 'outport=="v1" && icmp4' drop
		{name: "reject", from: "v0", to: "v1"},                               // acl-add ls1 from-lport 900 'inport=="v0" && icmp4' reject
		{name: "noroute", from: "v0", to: "198.51.100.1"},                    // lr-route-del lr1 0.0.0.0/0
		{name: "nexthop", from: "v0", to: "198.51.100.1"},                    // lr-route-add lr1 0.0.0.0/0 172.16.3.99
		{name: "spoof", from: "v0", to: "v1"},                                // attached-mac of v0 is another
		{name: "unbound", from: "v0", to: "v1"},                              // v1 without iface-id
		{name: "cut", from: "v0", to: "v1"},                                  // h1 without its underlay
		{name: "down", from: "v0", to: "v1"},                                 // ip link set v1 down on h1
		{name: "disabled", from: "v0", to: "v1"},                             // lsp-set-enabled v1 disabled
		{name: "disabledsource", from: "v0", to: "v1"},                       // lsp-set-enabled v0 disabled
		{name: "outsec", from: "v0", to: "v1"},                               // lsp-set-port-security v1 with another address
		{name: "insec", from: "v1", to: "v0"},                                // the same, the other way
		{name: "noflows", from: "v0", to: "v1"},                              // ovn-controller of h2 stopped
		{name: "own-network", from: "v0", to: "172.16.1.77"},
	} {
		t.Run(c.name, func(t *testing.T) { traced(t, "gateway", gateway, c.name, c.from, c.to, c.options) })
	}
	for _, c := range []struct {
		name, from, to string
		options        Options
	}{
		{name: "one-switch", from: "vm1", to: "vm2"},
		{name: "mallory", from: "mallory", to: "vm2"},
		// acl-add ls1 to-lport 1001 'outport=="ls1-vm2" && tcp.dst==7' allow-related, and all else dropped
		{name: "stateful", from: "vm1", to: "vm2", options: Options{Protocol: "tcp", Port: 7}},
		{name: "lost", from: "vm1", to: "vm2", options: Options{Ping: true}}, // ubuntu3 without its underlay
		{name: "forgotten", from: "vm1", to: "vm2"},                          // ovs-ofctl --strict del-flows br-int table=65,priority=100,reg15=0x2,metadata=0x1 on ubuntu3
		{name: "tag", from: "vm1", to: "vm2"},                                // ovs-vsctl set port eth1 tag=9 on ubuntu3
		{name: "othertag", from: "vm1", to: "vm2"},                           // ovs-vsctl set port br-phy tag=9 on ubuntu3
		{name: "gone", from: "vm1", to: "vm2"},                               // ovn-controller of ubuntu3 stopped
		{name: "arp", from: "vm1", to: "vm2"},                                // the same, after ovs-appctl tnl/neigh/flush on ubuntu2
	} {
		t.Run(c.name, func(t *testing.T) { traced(t, "overlay", overlay, c.name, c.from, c.to, c.options) })
	}
}

// traced compares a trace with testdata/NAME.golden.
func traced(t *testing.T, whole string, hosts []string, name, from, to string, o Options) {
	files := []string{whole}
	if _, err := os.Stat(filepath.Join("testdata", name+".json")); err == nil {
		files = []string{name, whole}
	}
	asker := replay(t, files...)
	o.From, o.To, o.Protocol = from, to, cmp.Or(o.Protocol, "icmp")
	synctest.Test(t, func(t *testing.T) { // waits cost nothing
		r, err := Run(context.Background(), hosts, asker, o)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, way(r))
		if r.Arrives != (r.Died == nil) {
			t.Errorf("arrives is %v, died is %v", r.Arrives, r.Died)
		}
	})
}

var update = flag.Bool("update", false, "write the golden files")

// golden compares with testdata/NAME.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(string(want), got); d != "" {
		t.Errorf("not as in %s:\n%s", file, d)
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		from, to string
		hosts    []string
		want     string
	}{
		{"nobody", "v1", gateway, `nothing is called "nobody"`},
		{"v0", "v0", gateway, "the same port"},
		{"198.51.100.1", "v0", gateway, "a trace begins at a guest"},
		{"v0", "h2/v1", gateway, `nothing is called "h2/v1"`},
		{"172.16.1.10", "fd00:2::11", gateway, "not of one family"},
		{"ls1-lr1", "v1", gateway, "ls1-lr1 has no address"},
		{"v0", "v1", []string{"h1", "h2"}, "no host that answered has a northbound database"},
	} {
		_, err := Run(context.Background(), c.hosts, replay(t, "gateway"), Options{From: c.from, To: c.to, Protocol: "icmp"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s to %s: %v, want %q", c.from, c.to, err, c.want)
		}
	}
}

// What a host that does not answer would have said is unknown, and is not said
// to be well.
func TestHostThatDoesNotAnswer(t *testing.T) {
	asker := replay(t, "gateway")
	asker.silent["h1"] = true
	r, err := Run(context.Background(), gateway, asker, Options{From: "v0", To: "v1", Protocol: "icmp"})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "not-reached", way(r))
}

// What was not recorded is made of what was: a word of the answers is another.
func TestAltered(t *testing.T) {
	for _, c := range []struct {
		what, file, to string
		host           string
		words          []string // old, new, …
		where, says    string
	}{
		{"flows that drop", "gateway", "v1", "h2", []string{"Datapath actions: set(eth", "Datapath actions: drop\\nMegaflow: set(eth"}, "br-int on h2", "the OpenFlow flows drop it at: "},
		{"flows that lead elsewhere", "gateway", "v1", "h2", []string{"tunneling to 177.1.1.2", "tunneling to 177.1.1.1", "dst=177.1.1.2", "dst=177.1.1.1"}, "br-int on h2", "it goes to 177.1.1.1, and not to h1 (177.1.1.2)"},
		{"a network without a bridge", "outside", "198.51.100.1", "h1", []string{"outNet:br-out", "other:br-out"}, "network outNet on h1", "no bridge is mapped to it"},
		{"a bridge that is gone", "outside", "198.51.100.1", "h1", []string{"outNet:br-out", "x:y, outNet:br-gone"}, "network outNet on h1", "it is mapped to br-gone, which is not there"},
		{"two ports with one address", "gateway", "v1", "h0", []string{`/* output to \"v1\", type \"\" */`, `/* output to \"v7\", type \"\" */`}, "ls2 egress", "it comes out at v7, and not at v1"},
		{"a gateway on no chassis", "outside", "198.51.100.1", "h0", []string{`"logical_port":"cr-lr1-ls3"`, `"logical_port":"cr-other"`}, "gateway cr-lr1-ls3", "on no chassis"},
		{"no flows", "gateway", "v1", "h0", []string{"gress(dp=", "(dp="}, "ls1 ingress", "no logical flow takes the packet in"},
		{"a guest's port that Open vSwitch could not make", "gateway", "v1", "h1", []string{`"name":"v1","ofport":3`, `"name":"v1","ofport":-1`}, "port v1 on h1", "could not make v1: it has no OpenFlow port"},
		{"flows of the destination that lead elsewhere", "gateway", "v1", "h1", []string{"    output:3\\n", "    output:1\\n"}, "br-int on h1", "and not of v1"},
		{"flows of the destination that drop", "gateway", "v1", "h1", []string{"Datapath actions: 7", "Datapath actions: drop"}, "br-int on h1", "drop what comes out of the tunnel at: table 65"},
		{"a destination whose Open vSwitch does not run", "gateway", "v1", "h1", []string{`"text":"Flow: icmp`, `"absent":true,"error":"no pidfile","text":"Flow: icmp`}, "br-int on h1", "ovs-vswitchd does not run there"},
		{"a tunnel from another address", "gateway", "v1", "h2", []string{"ipv4(src=177.1.1.3,", "ipv4(src=177.1.1.9,"}, "tunnel h2 to h1", "h2 sends from 177.1.1.9, and no tunnel of h1 is to that address"},
		{"a switch without a router", "gateway", "v1", "h0", []string{`["router-port","lr1-ls1"]`, `["router-port","gone"]`}, "ls1 router", "no router's port joins ls1"},
		{"a router of another network", "gateway", "v1", "h0", []string{`172.16.1.254/24`, `172.31.1.254/24`}, "ls1 router", "no router's port has a network with 172.16.1.10"},
	} {
		asker := replay(t, c.file, "gateway")
		altered := false
		for key, answers := range asker.answers {
			for i := range answers {
				text, _ := json.Marshal(answers[i])
				changed := plainJSON(strings.NewReplacer(c.words...).Replace(plainJSON(string(text))))
				if !strings.HasPrefix(key, c.host+" ") || changed == plainJSON(string(text)) {
					continue
				}
				altered, answers[i] = true, wire.Answer{}
				if err := json.Unmarshal([]byte(changed), &answers[i]); err != nil {
					t.Fatalf("%s: %v", c.what, err)
				}
			}
		}
		if !altered {
			t.Errorf("%s: nothing was altered", c.what)
		}
		r, err := Run(t.Context(), gateway, asker, Options{From: "v0", To: c.to, Protocol: "icmp"})
		if err != nil || r.Arrives || r.Died.Where != c.where || !strings.Contains(r.Died.What, c.says) || r.Died.Do == "" {
			t.Errorf("%s: %v\n%s", c.what, err, way(r))
		}
	}
}

// plainJSON has the signs that Go escapes as they are, to be found in texts.
func plainJSON(text string) string {
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(text)
}
