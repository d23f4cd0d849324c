package network

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/frame"
	"weft/engine/step"
)

// icmpFrame is a ping on a wire, in a VLAN where it is not 0.
func icmpFrame(source, destination string, vlan int, sender, target netip.Addr) []byte {
	hw := func(text string) []byte {
		mac, err := net.ParseMAC(text)
		if err != nil {
			panic(err)
		}
		return mac
	}
	b := binary.BigEndian.AppendUint16(append(hw(destination), hw(source)...), frame.IPv4)
	ip := make([]byte, 20, 28)
	ip[0], ip[9] = 0x45, frame.ICMP
	copy(ip[12:], sender.AsSlice())
	copy(ip[16:], target.AsSlice())
	b = append(append(b, ip...), 8, 0, 0, 0, 0, 0, 0, 0)
	if vlan != 0 {
		b = frame.WithTag(b, 0, uint16(vlan))
	}
	return b
}

// trunked is a host with a guest in each of two VLANs, and a trunk.
type trunked struct {
	tag     int  // that the flow has on the trunk
	back    bool // the switch carries the flow to its target and back
	answer  bool // and the guest hears it
	inside  bool // the flow stays on the host
	leak    bool // the flow floods into the other VLAN
	dead    bool // the other VLAN's own flow
	deaf    bool // the other VLAN's own frames go elsewhere
	twin    bool // the other VLAN's guest has the same MAC, and both cross the trunk
	lost    int
	crossed string // the member that frames leave by
}

const (
	mac300, mac301, macFar = "02:00:00:00:03:00", "02:00:00:00:03:01", "02:00:00:00:00:0f"
	everyone               = "ff:ff:ff:ff:ff:ff"
)

func (h trunked) machine() *fake.Machine {
	m := fake.New()
	for _, name := range []string{"eth1", "eth2"} {
		m.AddLink("", host.Link{Name: name, Up: true})
	}
	for space, l := range map[string]host.Link{
		"guest300": {Name: "eth0", MAC: mac300, Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("172.30.0.10/24")}},
		"guest301": {Name: "eth0", MAC: mac301, Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("172.30.1.10/24")}},
	} {
		m.AddNamespace(space)
		m.AddLink(space, l)
	}
	m.OnPing(func(m *fake.Machine, p host.Ping) host.PingReport {
		r := host.PingReport{Sent: p.Count}
		if p.Namespace == "guest301" {
			if !h.dead {
				r.Received = p.Count
			}
			if !h.dead && !h.deaf {
				m.Frame("guest301", "eth0", host.In, icmpFrame(macFar, mac301, 0, p.Target, netip.MustParseAddr("172.30.1.10")))
			}
			if h.twin {
				m.Frame("", "eth1", host.Out, icmpFrame(mac300, macFar, 301, netip.MustParseAddr("172.30.1.10"), p.Target))
			}
			m.LoseFrames("guest301", "eth0", h.lost)
			return r
		}
		to := macFar
		if p.Target == netip.MustParseAddr("172.30.0.255") {
			to = everyone
		}
		own := p.Source // or else the kernel's choice, which may be another
		for range p.Count {
			m.Frame("guest300", "eth0", host.Out, icmpFrame(mac300, to, 0, own, p.Target))
			if h.inside {
				continue
			}
			m.Frame("", h.crossed, host.Out, icmpFrame(mac300, to, h.tag, own, p.Target))
			if h.leak && to == everyone {
				m.Frame("guest301", "eth0", host.In, icmpFrame(mac300, to, 0, own, p.Target))
			}
			if h.back && to == macFar {
				m.Frame("", "eth2", host.In, icmpFrame(macFar, mac300, h.tag, p.Target, own))
			}
			if h.answer && to == macFar {
				r.Received++
			}
		}
		return r
	})
	return m
}

func TestProbeVLAN(t *testing.T) {
	well := trunked{tag: 300, back: true, answer: true, crossed: "eth1"}
	with := func(change func(*trunked)) trunked { h := well; change(&h); return h }
	for name, c := range map[string]struct {
		host trunked
		seen string // in the error, or, after "ok:", in the report
	}{
		"well":         {well, "ok:6 frames out and 3 in on eth1, eth2, all with tag 300; nothing of them in guest301"},
		"other member": {with(func(h *trunked) { h.crossed = "eth2" }), "ok:6 frames out"},
		"other tag":    {with(func(h *trunked) { h.tag = 301 }), "6 of 6 without it; all frames there: 9 vlan 301 ICMP"},
		"no tag":       {with(func(h *trunked) { h.tag = 0 }), "6 of 6 without it"},
		"inside":       {with(func(h *trunked) { h.inside = true }), "none of them, but no frame at all"},
		"switch drops": {with(func(h *trunked) { h.back, h.answer = false, false }), "6 out and none in"},
		"host drops":   {with(func(h *trunked) { h.answer = false }), "6 out and 3 in, and no answer at the guest"},
		"like a twin":  {with(func(h *trunked) { h.twin = true }), "ok:6 frames out and 3 in"},
		"near":         {with(func(h *trunked) { h.back = false }), "came by no trunk"},
		"leak":         {with(func(h *trunked) { h.leak = true }), "nothing of 172.30.0.10 (" + mac300 + ") on eth0 in namespace guest301, saw 3 of"},
		"dead other":   {with(func(h *trunked) { h.dead = true }), "silence says nothing"},
		"deaf other":   {with(func(h *trunked) { h.deaf = true }), "frames of its own on eth0"},
		"too busy":     {with(func(h *trunked) { h.lost = 5 }), "10 lost"},
	} {
		spec := ProbeVLANSpec{
			VLAN: 300, Trunk: []string{"eth1", "eth2"}, Timeout: briefly,
			Flow: FlowSpec{"guest300", "172.30.0.1"}, Others: []FlowSpec{{"guest301", "172.30.1.1"}},
		}
		if p := spec.Validate(); len(p) > 0 {
			t.Errorf("%s: refused: %v", name, p)
		}
		r, err := spec.Probe(t.Context(), c.host.machine().Host().View())
		judge(t, name, r, err, c.seen)
	}
}

// judge compares what a probe said with what it should say: a part of its
// error, or, after "ok:", of its report.
func judge(t *testing.T, name string, r step.Report, err error, seen string) {
	t.Helper()
	if want, ok := strings.CutPrefix(seen, "ok:"); ok && (err != nil || !strings.Contains(r.Summary, want)) {
		t.Errorf("%s: %q, %v", name, r.Summary, err)
	} else if !ok && (!errors.As(err, new(*step.ProbeError)) || !strings.Contains(err.Error(), seen)) {
		t.Errorf("%s: %q, %v", name, r.Summary, err)
	}
}

func TestProbeVLANPlaces(t *testing.T) {
	h := trunked{tag: 300, back: true, answer: true, crossed: "eth1"}
	for name, c := range map[string]struct {
		change func(*ProbeVLANSpec)
		seen   string
	}{
		"no such link":  {func(s *ProbeVLANSpec) { s.Trunk = []string{"eth1", "dpdk0"} }, "no such link"},
		"no others":     {func(s *ProbeVLANSpec) { s.Others = nil }, "ok:all with tag 300"},
		"behind":        {func(s *ProbeVLANSpec) { s.Flow.Target = "203.0.113.1" }, "a route to 203.0.113.1"},
		"itself":        {func(s *ProbeVLANSpec) { s.Others = []FlowSpec{{"guest300", "172.30.0.2"}} }, "it would hear itself"},
		"through a way": {func(s *ProbeVLANSpec) { s.Flow.Target = "198.51.100.1" }, "in the subnet of"},
	} {
		m := h.machine()
		m.SetLink("guest300", "eth0", host.LinkChange{AddRoutes: []host.Route{{Destination: netip.MustParsePrefix("198.51.100.0/24"), Via: netip.MustParseAddr("172.30.0.1"), Link: "eth0"}}})
		spec := ProbeVLANSpec{VLAN: 300, Trunk: []string{"eth1", "eth2"}, Timeout: briefly, Flow: FlowSpec{"guest300", "172.30.0.1"}, Others: []FlowSpec{{"guest301", "172.30.1.1"}}}
		c.change(&spec)
		r, err := spec.Probe(t.Context(), m.Host().View())
		judge(t, name, r, err, c.seen)
	}
}

func TestEverybody(t *testing.T) {
	for subnet, want := range map[string]string{
		"172.30.0.10/24": "172.30.0.255", "10.1.2.3/20": "10.1.15.255", "10.0.0.1/31": "10.0.0.1", "2001:db8::1/64": "ff02::1%eth0",
	} {
		if got := everybody(netip.MustParsePrefix(subnet), "eth0").String(); got != want {
			t.Errorf("%s: %s, not %s", subnet, got, want)
		}
	}
}

func TestProbeCapture(t *testing.T) {
	well := trunked{tag: 300, crossed: "eth1"}
	traffic := step.Is(TrafficSpec{Namespace: "guest300", Target: "172.30.0.255"})
	vlan := func(id int) HeaderSpec { return HeaderSpec{VLAN: step.Is(id)} }
	control := step.Is(ControlSpec{Namespace: "guest301", Target: "172.30.1.1"})
	guest := step.Is(WitnessSpec{Namespace: "guest300", Link: "eth0"})
	from300 := HeaderSpec{SourceMAC: step.Is(mac300), EtherType: step.Is("ipv4"), Protocol: step.Is("icmp"), Destination: step.Is("172.30.0.0/24")}
	for name, c := range map[string]struct {
		host trunked
		spec ProbeCaptureSpec
		seen string
	}{
		"seen":            {well, ProbeCaptureSpec{Link: "eth1", Match: vlan(300), Traffic: traffic}, "ok:5 of 5 frames (5 vlan 300 ICMP) on eth1"},
		"exactly":         {well, ProbeCaptureSpec{Link: "eth1", Match: from300, Traffic: traffic, Count: 5, Direction: "out"}, "ok:5 of 5"},
		"too few":         {well, ProbeCaptureSpec{Link: "eth1", Match: from300, Traffic: traffic, Count: 6}, "of its own pings to 172.30.0.255 0 of 5"},
		"other direction": {well, ProbeCaptureSpec{Link: "eth1", Match: from300, Traffic: traffic, Direction: "in"}, "nothing at all crosses it"},
		"other tag":       {well, ProbeCaptureSpec{Link: "eth1", Match: vlan(301), Traffic: traffic}, "0 of 5 frames (5 vlan 300 ICMP)"},
		"no traffic":      {well, ProbeCaptureSpec{Link: "eth1"}, "nothing at all"},
		"no link":         {well, ProbeCaptureSpec{Link: "dpdk0"}, "no such link"},
		"none, witnessed": {well, ProbeCaptureSpec{Link: "eth2", Match: from300, Traffic: traffic, Expect: "none", Witness: guest}, "ok:0 of 0 frames on eth2, 5 on eth0 in namespace guest300 meanwhile"},
		"none, inside":    {well, ProbeCaptureSpec{Link: "eth1", Inner: step.Is(from300), Traffic: traffic, Expect: "none", Witness: guest}, "ok:0 of 5 frames (5 vlan 300 ICMP) on eth1, 5 on"},
		"none, otherwise": {well, ProbeCaptureSpec{Link: "eth2", Match: vlan(300), Traffic: traffic, Expect: "none", Witness: step.Is(WitnessSpec{Link: "eth1", Match: step.Is(from300)})}, "ok:5 on eth1 meanwhile"},
		"none, sent not":  {well, ProbeCaptureSpec{Link: "eth2", Match: from300, Expect: "none", Witness: guest}, "are not sent at all"},
		"none, controlled": {well, ProbeCaptureSpec{Link: "eth0", Namespace: "guest301", Match: from300, Traffic: traffic, Expect: "none", Control: control},
			"ok:0 of 2 frames (2 ICMP) on eth0 in namespace guest301"},
		"none, dead": {trunked{dead: true}, ProbeCaptureSpec{Link: "eth2", Expect: "none", Control: control}, "silence says nothing"},
		"none, leak": {trunked{tag: 300, crossed: "eth1", leak: true}, ProbeCaptureSpec{Link: "eth0", Namespace: "guest301", Match: from300, Traffic: traffic, Expect: "none", Control: control}, "saw 5 of 7 frames"},
		"none, busy": {trunked{tag: 300, crossed: "eth1", lost: 1}, ProbeCaptureSpec{Link: "eth0", Namespace: "guest301", Match: from300, Expect: "none", Control: control}, "2 lost"},
	} {
		c.spec.Timeout, c.spec.Listen = briefly, briefly
		if c.spec.Traffic.Managed() {
			c.spec.Listen = time.Second // five pings, which the fake answers at once
		}
		if c.spec.Expect == "" {
			c.spec.Expect = "frames"
		}
		if c.spec.Direction == "" {
			c.spec.Direction = "any"
		}
		c.spec.Count = max(1, c.spec.Count)
		m := c.host.machine()
		r, err := c.spec.Probe(t.Context(), m.Host().View())
		judge(t, name, r, err, c.seen)
	}
}

// TestCaptureEndsWithEnough: a round is no longer than it must be.
func TestCaptureEndsWithEnough(t *testing.T) {
	m := trunked{}.machine()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			m.Frame("", "eth1", host.In, icmpFrame(macFar, mac300, 300, netip.MustParseAddr("172.30.0.1"), netip.MustParseAddr("172.30.0.10")))
			runtime.Gosched()
		}
	}()
	spec := ProbeCaptureSpec{Link: "eth1", Direction: "any", Expect: "frames", Count: 3, Listen: time.Minute, Timeout: time.Minute}
	began := time.Now()
	if _, err := spec.Probe(ctx, m.Host().View()); err != nil || time.Since(began) > 20*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

func TestHeaders(t *testing.T) {
	id, vni := 0, 7
	all := HeaderSpec{
		SourceMAC: step.Is("02:00:00:00:00:AA"), DestinationMAC: step.Is("02-00-00-00-00-bb"), VLAN: step.Is(0), EtherType: step.Is("0x0800"),
		Source: step.Is("10.1.2.3/8"), Destination: step.Is("2001:db8::1"), Protocol: step.Is("UDP"), SourcePort: step.Is(1), Port: step.Is(6081), VNI: step.Is(7),
	}
	want := frame.Match{
		Source: "02:00:00:00:00:aa", Destination: "02:00:00:00:00:bb", VLAN: &id, EtherType: frame.IPv4, From: netip.MustParsePrefix("10.0.0.0/8"),
		To: netip.MustParsePrefix("2001:db8::1/128"), Protocol: frame.UDP, FromPort: 1, ToPort: 6081, VNI: &vni,
	}
	got, problems := all.match("match")
	if len(problems) > 0 || *got.VLAN != 0 || *got.VNI != 7 {
		t.Fatalf("%+v, %v", got, problems)
	}
	want.VLAN, want.VNI = got.VLAN, got.VNI
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if none, problems := (HeaderSpec{}).match("match"); len(problems) > 0 || none != (frame.Match{}) {
		t.Errorf("of nothing: %+v, %v", none, problems)
	}
	for path, s := range map[string]HeaderSpec{
		"source_mac": {SourceMAC: step.Is("x")}, "destination_mac": {DestinationMAC: step.Is("02:00:00:00:00:00:00:01")}, "vlan": {VLAN: step.Is(4095)},
		"ethertype": {EtherType: step.Is("46")}, "source": {Source: step.Is("host")}, "destination": {Destination: step.Is("10.0.0.1/40")},
		"protocol": {Protocol: step.Is("256")}, "source_port": {SourcePort: step.Is(0)}, "port": {Port: step.Is(65536)}, "vni": {VNI: step.Is(-1)},
	} {
		if _, p := s.match("inner"); len(p) != 1 || p[0].Path != "inner."+path {
			t.Errorf("%s: %v", path, p)
		}
	}
}

func TestProbeCaptureProblems(t *testing.T) {
	for path, change := range map[string]func(*ProbeCaptureSpec){
		"link":           func(s *ProbeCaptureSpec) { s.Link = "" },
		"count":          func(s *ProbeCaptureSpec) { s.Count = 0 },
		"match.vlan":     func(s *ProbeCaptureSpec) { s.Match.VLAN = step.Is(-1) },
		"inner.port":     func(s *ProbeCaptureSpec) { s.Inner = step.Is(HeaderSpec{Port: step.Is(-1)}) },
		"traffic.target": func(s *ProbeCaptureSpec) { s.Traffic = step.Is(TrafficSpec{Target: "x"}) },
		"traffic.size":   func(s *ProbeCaptureSpec) { s.Traffic = step.Is(TrafficSpec{Target: "10.0.0.1", Size: -1}) },
		"witness.match.vlan": func(s *ProbeCaptureSpec) {
			s.Expect, s.Witness = "none", step.Is(WitnessSpec{Link: "eth2", Match: step.Is(HeaderSpec{VLAN: step.Is(-1)})})
		},
		"witness":        func(s *ProbeCaptureSpec) { s.Expect = "none" },
		"control":        func(s *ProbeCaptureSpec) { s.Control = step.Is(ControlSpec{Target: "10.0.0.1"}) },
		"control.target": func(s *ProbeCaptureSpec) { s.Expect, s.Control = "none", step.Is(ControlSpec{Target: "x"}) },
		"listen":         func(s *ProbeCaptureSpec) { s.Listen = 10 },
	} {
		s := ProbeCaptureSpec{Link: "eth1", Expect: "frames", Count: 1, Listen: 1, Timeout: 2}
		change(&s)
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
	for name, w := range map[string]WitnessSpec{"itself": {Link: "eth1"}} {
		s := ProbeCaptureSpec{Link: "eth1", Expect: "none", Count: 1, Listen: 1, Timeout: 2, Witness: step.Is(w)}
		if p := s.Validate(); len(p) != 1 || p[0].Path != "witness" {
			t.Errorf("%s: %v", name, p)
		}
	}
}

func TestProbeVLANProblems(t *testing.T) {
	for path, change := range map[string]func(*ProbeVLANSpec){
		"vlan":             func(s *ProbeVLANSpec) { s.VLAN = 4095 },
		"trunk":            func(s *ProbeVLANSpec) { s.Trunk = nil },
		"flow.target":      func(s *ProbeVLANSpec) { s.Flow.Target = "" },
		"others[0].target": func(s *ProbeVLANSpec) { s.Others = []FlowSpec{{"b", "x"}} },
		"others[0]":        func(s *ProbeVLANSpec) { s.Others = []FlowSpec{s.Flow} },
		"timeout":          func(s *ProbeVLANSpec) { s.Timeout = 0 },
	} {
		s := ProbeVLANSpec{VLAN: 1, Trunk: []string{"eth1"}, Flow: FlowSpec{"a", "10.0.0.1"}, Timeout: 1}
		change(&s)
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
}
