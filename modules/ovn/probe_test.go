package ovn

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
)

// overlay is a central with two chassis that keep up, and a port that is bound
// to the first.
func overlay() *fake.Machine {
	m := central()
	m.OnTransact(northd)
	addChassis(m, "id-2", "ubuntu2", "10.127.0.3")
	addChassis(m, "id-3", "ubuntu3", "10.127.0.4")
	addSwitch("ls1", nil, nil)(m)
	addPort("ls1", ovsdb.Row{"name": "vm1"})(m)
	bind("vm1", "id-2", true)(m)
	update(host.Northbound, "NB_Global", "name", "", ovsdb.Row{"nb_cfg": 7})(m)
	update(host.Southbound, "Chassis_Private", "name", "id-2", ovsdb.Row{"nb_cfg": 7})(m)
	update(host.Southbound, "Chassis_Private", "name", "id-3", ovsdb.Row{"nb_cfg": 6})(m)
	return m
}

func bind(port, chassis string, up bool) func(*fake.Machine) {
	return func(m *fake.Machine) {
		for _, c := range m.Rows(host.Southbound, "Chassis") {
			if row.String(c, "name") == chassis {
				update(host.Southbound, "Port_Binding", "logical_port", port, ovsdb.Row{"chassis": row.UUIDs(row.ID(c)), "up": row.Optional(up)})(m)
			}
		}
	}
}

// probed runs a probe that has no time to wait.
func probed(t *testing.T, p step.Prober, m *fake.Machine) (string, error) {
	t.Helper()
	report, err := p.Probe(t.Context(), m.Host().View())
	if err != nil && !errors.As(err, new(*step.ProbeError)) {
		t.Errorf("%v is no ProbeError", err)
	}
	return report.Summary + string(report.Outputs), err
}

const briefly = time.Millisecond

func TestProbePort(t *testing.T) {
	unbound := func(m *fake.Machine) {
		update(host.Southbound, "Port_Binding", "logical_port", "vm1", ovsdb.Row{"chassis": row.Empty()})(m)
	}
	for name, c := range map[string]struct {
		spec ProbePortSpec
		hand func(*fake.Machine)
		seen string // in the error; empty where the probe holds
	}{
		"anywhere":          {ProbePortSpec{Up: true}, nil, ""},
		"by name":           {ProbePortSpec{Up: true, Chassis: step.Is("id-2")}, nil, ""},
		"by hostname":       {ProbePortSpec{Up: true, Chassis: step.Is("ubuntu2"), Generation: true}, nil, ""},
		"elsewhere":         {ProbePortSpec{Chassis: step.Is("ubuntu3")}, nil, "bound to id-2 (ubuntu2)"},
		"no such chassis":   {ProbePortSpec{Chassis: step.Is("ubuntu9")}, nil, "chassis id-2, id-3"},
		"not there":         {ProbePortSpec{Port: "vm9"}, nil, "none in the southbound database"},
		"not bound":         {ProbePortSpec{}, unbound, "not bound"},
		"down":              {ProbePortSpec{Up: true}, bind("vm1", "id-2", false), "down"},
		"down is enough":    {ProbePortSpec{Up: false}, bind("vm1", "id-2", false), ""},
		"stale":             {ProbePortSpec{Generation: true}, bind("vm1", "id-3", true), "generation 6"},
		"nobody asked":      {ProbePortSpec{Generation: true}, update(host.Northbound, "NB_Global", "name", "", ovsdb.Row{"nb_cfg": 0}), "nobody ever asked"},
		"gone with its row": {ProbePortSpec{Generation: true}, removeRows(host.Southbound, "Chassis_Private"), "generation 0"},
	} {
		m := overlay()
		if c.hand != nil {
			c.hand(m)
		}
		c.spec.Timeout = briefly
		if c.spec.Port == "" {
			c.spec.Port = "vm1"
		}
		got, err := probed(t, c.spec, m)
		switch {
		case c.seen == "" && (err != nil || !strings.Contains(got, `"chassis":"id-2","hostname":"ubuntu2","tunnel_key":1`)):
			t.Errorf("%s: %q, %v", name, got, err)
		case c.seen != "" && (err == nil || !strings.Contains(err.Error(), c.seen)):
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func removeRows(db host.Database, table string) func(*fake.Machine) {
	return func(m *fake.Machine) {
		m.Transact(db, ovsdb.Operation{Op: ovsdb.OperationDelete, Table: table})
	}
}

// What a generation took is told where both ends of it are of the same one, and no clock
// is behind.
func TestProbeLatency(t *testing.T) {
	for name, c := range map[string]struct {
		began, done int
		want        string
	}{
		"told":            {1700000000000, 1700000000034, `"latency":34`},
		"an old OVN":      {0, 0, ""},
		"northd is old":   {0, 1700000000034, ""},
		"clocks go apart": {1700000000034, 1700000000000, ""},
	} {
		m := overlay()
		update(host.Northbound, "NB_Global", "name", "", ovsdb.Row{"nb_cfg_timestamp": c.began})(m)
		update(host.Southbound, "Chassis_Private", "name", "id-2", ovsdb.Row{"nb_cfg_timestamp": c.done})(m)
		for _, spec := range []step.Prober{
			ProbePortSpec{Port: "vm1", Generation: true, Timeout: briefly},
			ProbeChassisSpec{Chassis: "id-2", Generation: true, Timeout: briefly},
		} {
			got, err := probed(t, spec, m)
			if err != nil || !strings.Contains(got, c.want) || c.want == "" && strings.Contains(got, "latency") {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}
}

func TestProbeWaits(t *testing.T) {
	m := overlay()
	bind("vm1", "id-2", false)(m)
	done := make(chan error)
	go func() {
		_, err := ProbePortSpec{Port: "vm1", Up: true, Timeout: time.Minute}.Probe(t.Context(), m.Host().View())
		done <- err
	}()
	bind("vm1", "id-2", true)(m)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestProbeChassis(t *testing.T) {
	twin := func(m *fake.Machine) { addChassis(m, "id-old", "ubuntu2", "10.127.0.9") }
	for name, c := range map[string]struct {
		spec ProbeChassisSpec
		hand func(*fake.Machine)
		seen string
	}{
		"there":           {ProbeChassisSpec{Chassis: "ubuntu2", EncapIP: step.Is("10.127.0.3"), EncapType: step.Is("geneve"), Generation: true}, nil, ""},
		"by name":         {ProbeChassisSpec{Chassis: "id-2"}, nil, ""},
		"name beats twin": {ProbeChassisSpec{Chassis: "id-2"}, twin, ""},
		"twins":           {ProbeChassisSpec{Chassis: "ubuntu2"}, twin, "2 chassis with that hostname: id-2, id-old"},
		"not there":       {ProbeChassisSpec{Chassis: "ubuntu1"}, nil, "chassis id-2, id-3"},
		"another address": {ProbeChassisSpec{Chassis: "ubuntu2", EncapIP: step.Is("10.0.0.3")}, nil, "geneve at 10.127.0.3"},
		"another tunnel":  {ProbeChassisSpec{Chassis: "ubuntu2", EncapType: step.Is("vxlan")}, nil, "geneve at 10.127.0.3"},
		"stale":           {ProbeChassisSpec{Chassis: "id-3", Generation: true}, nil, "generation 6"},
	} {
		m := overlay()
		if c.hand != nil {
			c.hand(m)
		}
		c.spec.Timeout = briefly
		got, err := probed(t, c.spec, m)
		switch {
		case c.seen == "" && (err != nil || !strings.Contains(got, `{"name":"id-2"}`)):
			t.Errorf("%s: %q, %v", name, got, err)
		case c.seen != "" && (err == nil || !strings.Contains(err.Error(), c.seen)):
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestProbeRemote(t *testing.T) {
	own, err := parseTarget("tcp:10.127.0.3:49153")
	if err != nil {
		t.Fatal(err)
	}
	connected := func(remote string, state uint8) func(*fake.Machine) {
		return func(m *fake.Machine) {
			m.SetKernel("/proc/net/tcp", "head\n"+line(0, own, netip.MustParseAddrPort(remote), state))
		}
	}
	for name, c := range map[string]struct {
		remote []string
		hand   func(*fake.Machine)
		want   bool
	}{
		"its own":      {nil, connected("10.127.0.2:6642", established), true},
		"named":        {[]string{"ssl:10.9.9.9:6642", "tcp:10.127.0.2:6642"}, connected("10.127.0.2:6642", established), true},
		"half open":    {nil, connected("10.127.0.2:6642", 0x02), false},
		"northbound":   {nil, connected("10.127.0.2:6641", established), false},
		"another host": {nil, connected("10.127.0.9:6642", established), false},
	} {
		m := compute()
		setID("ovn-remote", "tcp:10.127.0.5:6642,tcp:10.127.0.2:6642")(m)
		c.hand(m)
		_, err := probed(t, ProbeRemoteSpec{Remote: c.remote, Timeout: briefly}, m)
		if (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// dialling is a kernel whose only connection is another one at each look, as where an
// end is refused and dials again.
type dialling struct {
	host.KernelReader
	port *uint16
}

func (d dialling) Get(_ context.Context, path string) (string, error) {
	if path != "/proc/net/tcp" {
		return "", fs.ErrNotExist
	}
	*d.port++
	own := target{method: "tcp", address: netip.MustParseAddr("10.127.0.3"), port: *d.port}
	return "head\n" + line(0, own, netip.MustParseAddrPort("10.127.0.2:6642"), established), nil
}

func TestProbeRemoteWithTLSWaitsForMoreThanTCP(t *testing.T) {
	m := compute()
	v := m.Host().View()
	m.SetKernel("/proc/net/tcp", "head\n"+line(0, target{address: netip.MustParseAddr("10.127.0.3"), port: 49153}, netip.MustParseAddrPort("10.127.0.2:6642"), established))
	secure := ProbeRemoteSpec{Remote: []string{"ssl:10.127.0.2:6642"}, Timeout: time.Minute}
	began := time.Now()
	if _, err := secure.Probe(t.Context(), v); err != nil || time.Since(began) < handshake {
		t.Errorf("a connection that stands, after %v: %v", time.Since(began), err)
	}
	v.Kernel = dialling{v.Kernel, new(uint16)}
	secure.Timeout = handshake + 300*time.Millisecond
	_, err := secure.Probe(t.Context(), v)
	if e, ok := errors.AsType[*step.ProbeError](err); !ok || e.Seen != "one that does not last" || !strings.Contains(e.Hint, "certificate") {
		t.Errorf("one that is dialled again and again: %v", err)
	}
}

func TestProbeKindsMakeProbers(t *testing.T) {
	for _, k := range []step.Kind{probePortKind(), probeChassisKind(), probeRemoteKind()} {
		if _, err := k.Probe(step.Unit{Address: k.Name + ".a", Spec: json.RawMessage(`{"timeout":1}`)}); err != nil {
			t.Error(err)
		}
		if _, err := k.Probe(step.Unit{Spec: json.RawMessage(`{"typo":1}`)}); err == nil {
			t.Errorf("%s takes an attribute that it does not have", k.Name)
		}
	}
	for path, problems := range map[string][]step.Problem{
		"timeout":  (&ProbePortSpec{Port: "p"}).Validate(),
		"encap_ip": (&ProbeChassisSpec{Chassis: "c", EncapIP: step.Is("x"), Timeout: 1}).Validate(),
		"remote":   (&ProbeRemoteSpec{Remote: []string{"ptcp:1"}, Timeout: 1}).Validate(),
	} {
		if len(problems) != 1 || problems[0].Path != path {
			t.Errorf("%s: %v", path, problems)
		}
	}
}
