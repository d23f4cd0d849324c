package network

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
)

const briefly = time.Millisecond

// wire is a machine with two VMs; answering says how many of a series come
// back, by the namespace it starts from.
func wire(answering map[string]int) *fake.Machine {
	m := fake.New()
	m.AddNamespace("vm1")
	m.AddNamespace("mallory")
	m.OnPing(func(_ *fake.Machine, p host.Ping) host.PingReport {
		if p.DontFragment && p.Size > 1414 {
			return host.PingReport{Sent: p.Count, Refused: "message too long"}
		}
		return host.PingReport{Sent: p.Count, Received: min(answering[p.Namespace], p.Count), Average: time.Millisecond}
	})
	m.OnExchange(func(_ *fake.Machine, e host.Exchange) host.ExchangeReport {
		return host.ExchangeReport{Bytes: min(answering[e.Namespace], e.Bytes), Elapsed: time.Millisecond}
	})
	return m
}

func TestProbePing(t *testing.T) {
	spoof := ProbePingSpec{Namespace: "mallory", Expect: "silence", Control: step.Is(ControlSpec{Namespace: "vm1", Target: "10.0.0.2"})}
	for name, c := range map[string]struct {
		spec      ProbePingSpec
		answering map[string]int
		seen      string // in the error; empty where the probe holds
	}{
		"all":            {ProbePingSpec{Namespace: "vm1"}, map[string]int{"vm1": 10}, ""},
		"none":           {ProbePingSpec{Namespace: "vm1"}, nil, "0 of 10 answered"},
		"one lost":       {ProbePingSpec{Namespace: "vm1"}, map[string]int{"vm1": 9}, "9 of 10 answered"},
		"one may":        {ProbePingSpec{Namespace: "vm1", Loss: 10}, map[string]int{"vm1": 9}, ""},
		"two may not":    {ProbePingSpec{Namespace: "vm1", Loss: 10}, map[string]int{"vm1": 8}, "8 of 10 answered"},
		"fits":           {ProbePingSpec{Namespace: "vm1", Size: 1414, DontFragment: true}, map[string]int{"vm1": 10}, ""},
		"does not fit":   {ProbePingSpec{Namespace: "vm1", Size: 1415, DontFragment: true}, map[string]int{"vm1": 10}, "do not fit"},
		"silent":         {spoof, map[string]int{"vm1": 1}, ""},
		"not silent":     {spoof, map[string]int{"vm1": 1, "mallory": 1}, "1 of 10 answered"},
		"all is silent":  {spoof, nil, "silence says nothing"},
		"own namespace":  {ProbePingSpec{}, map[string]int{"": 10}, ""},
		"from elsewhere": {ProbePingSpec{Source: step.Is("10.0.0.1")}, map[string]int{"": 10}, ""},
	} {
		c.spec.Target, c.spec.Count, c.spec.Timeout = "10.0.0.9", 10, briefly
		if c.spec.Expect == "" {
			c.spec.Expect = "answer"
		}
		if p := c.spec.Validate(); len(p) > 0 {
			t.Errorf("%s: refused: %v", name, p)
		}
		_, err := c.spec.Probe(t.Context(), wire(c.answering).Host().View())
		if c.seen == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.seen != "" && (!errors.As(err, new(*step.ProbeError)) || !strings.Contains(err.Error(), c.seen)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSilenceWantsItsControlAfterwards is the path that dies in between: the
// silence is its, and not the security's.
func TestSilenceWantsItsControlAfterwards(t *testing.T) {
	m := wire(nil)
	pings := 0
	m.OnPing(func(_ *fake.Machine, p host.Ping) host.PingReport {
		pings++
		return host.PingReport{Sent: p.Count, Received: map[bool]int{true: 1}[pings == 1]}
	})
	spec := ProbePingSpec{Namespace: "mallory", Target: "10.0.0.9", Count: 1, Expect: "silence", Control: step.Is(ControlSpec{Namespace: "vm1", Target: "10.0.0.2"}), Timeout: briefly}
	if _, err := spec.Probe(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), "after the silence") {
		t.Errorf("got %v", err)
	}
}

// unsent is a namespace whose packets do not leave.
type unsent struct{ host.Packets }

func (u unsent) Ping(ctx context.Context, p host.Ping) (host.PingReport, error) {
	if p.Namespace == "mallory" {
		return host.PingReport{Refused: "network is unreachable"}, nil
	}
	return u.Packets.Ping(ctx, p)
}

func TestUnsentIsNotSilent(t *testing.T) {
	v := wire(map[string]int{"vm1": 1}).Host().View()
	v.Packets = unsent{v.Packets}
	spec := ProbePingSpec{Namespace: "mallory", Target: "10.0.0.9", Count: 1, Expect: "silence", Control: step.Is(ControlSpec{Namespace: "vm1", Target: "10.0.0.2"}), Timeout: briefly}
	if _, err := spec.Probe(t.Context(), v); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("got %v", err)
	}
}

// TestFirstPacketsMayBeLost is a tunnel that is only now being made.
func TestFirstPacketsMayBeLost(t *testing.T) {
	m := wire(nil)
	rounds := 0
	m.OnPing(func(_ *fake.Machine, p host.Ping) host.PingReport {
		rounds++
		return host.PingReport{Sent: p.Count, Received: min(rounds, p.Count)}
	})
	spec := ProbePingSpec{Target: "10.0.0.9", Count: 2, Expect: "answer", Timeout: time.Minute}
	if _, err := spec.Probe(t.Context(), m.Host().View()); err != nil || rounds != 2 {
		t.Errorf("%d rounds, %v", rounds, err)
	}
}

func TestProbeTCP(t *testing.T) {
	for name, c := range map[string]struct {
		back int
		seen string
	}{"whole": {5000, ""}, "nothing": {0, "does something listen"}, "a part": {1448, "MTU"}} {
		spec := ProbeTCPSpec{Namespace: "vm1", Target: "10.0.0.9:7", Bytes: 5000, Timeout: briefly}
		_, err := spec.Probe(t.Context(), wire(map[string]int{"vm1": c.back}).Host().View())
		if (c.seen == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.seen) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProbeProblems(t *testing.T) {
	good := ProbePingSpec{Target: "10.0.0.9", Count: 1, Expect: "answer", Timeout: time.Second}
	for path, change := range map[string]func(*ProbePingSpec){
		"target":         func(s *ProbePingSpec) { s.Target = "vm1" },
		"source":         func(s *ProbePingSpec) { s.Source = step.Is("10.0.0.1/24") },
		"count":          func(s *ProbePingSpec) { s.Count = 0 },
		"loss":           func(s *ProbePingSpec) { s.Loss = 100 },
		"size":           func(s *ProbePingSpec) { s.Size = -1 },
		"timeout":        func(s *ProbePingSpec) { s.Timeout = 0 },
		"control":        func(s *ProbePingSpec) { s.Expect = "silence" },
		"control.target": func(s *ProbePingSpec) { s.Expect, s.Control = "silence", step.Is(ControlSpec{Target: "x"}) },
	} {
		s := good
		change(&s)
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
	for path, s := range map[string]ProbeTCPSpec{
		"target":  {Target: "10.0.0.9", Bytes: 1, Timeout: 1},
		"bytes":   {Target: "10.0.0.9:7", Timeout: 1},
		"timeout": {Target: "10.0.0.9:7", Bytes: 1},
	} {
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
}
