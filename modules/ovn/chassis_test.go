package ovn

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	oldID = "old-id"
	newID = "weft-laws-id"
	vsctl = "ovs-vsctl"
)

// compute is a chassis in the making: Open vSwitch with the name it gave
// itself, and an ovn-controller that is not running.
func compute() *fake.Machine {
	m := fake.New()
	m.AddDatabase(host.OpenVSwitch)
	m.WriteFile("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
	m.WriteFile(idFile, oldID+"\n")
	m.Mkdir("/etc/ovn")
	setID("system-id", oldID)(m)
	setID("hostname", "compute1")(m)
	setID("rundir", "/var/run/openvswitch")(m)
	m.WriteFile("/lib/systemd/system/"+controllerUnit, fake.Service("/usr/bin/ovn-controller"))
	return m
}

// running is a compute whose ovn-controller runs.
func running(m *fake.Machine) { m.Systemctl(host.Start, controllerUnit) }

// controller is ovn-controller's part: at its start it registers the chassis
// that the database names, at its end it removes that one, whatever it had
// registered. The southbound database is a directory here.
func controller(m *fake.Machine, verb host.UnitVerb) error {
	row := "/southbound/" + externalIDsOf(m)[systemID]
	if verb == host.Start {
		m.WriteFile(row, "")
	} else {
		m.Remove(row)
	}
	return nil
}

func externalIDsOf(m *fake.Machine) map[string]string {
	return row.Map(m.Rows(host.OpenVSwitch, "Open_vSwitch")[0], "external_ids")
}

func setID(key, value string) func(*fake.Machine) {
	return setKey(host.OpenVSwitch, "Open_vSwitch", "", "", "external_ids", key, value)
}

// idDrift is drift of an attribute by its key.
func idDrift(path, key, value string) steptest.Hand {
	h := steptest.Hand{Name: path, Fake: setID(key, value), Host: steptest.Run(vsctl, "set", "Open_vSwitch", ".", "external_ids:"+key+`="`+value+`"`)}
	if value == "" {
		h.Host = steptest.Run(vsctl, "remove", "Open_vSwitch", ".", "external_ids", key)
	}
	return h
}

func chassisSubject() steptest.Subject {
	byHand := map[string]string{
		"ovn-remote": "tcp:10.0.0.9:6642,tcp:10.0.0.8:6642", "ovn-encap-type": "vxlan,geneve", "ovn-encap-ip": "10.0.0.3",
		"ovn-monitor-all": "Yes", "ovn-remote-probe-interval": "never", "ovn-bridge-mappings": "physnet1:br-a,physnet301:br-old",
		"ovn-encap-csum": "false", "ovn-cms-options": "enable-chassis-as-gw",
	}
	configured := func(m *fake.Machine) {
		for k, v := range byHand {
			setID(k, v)(m)
		}
	}
	var configuredCommand []host.Command
	for k, v := range byHand {
		configuredCommand = append(configuredCommand, steptest.Run(vsctl, "set", "Open_vSwitch", ".", "external_ids:"+k+`="`+v+`"`)...)
	}
	start := steptest.Run("systemctl", "start", controllerUnit)
	noFile := func(m *fake.Machine) { m.Remove(idFile) }
	return steptest.Subject{
		Kind: chassisKind(), Machine: compute, Borrows: "a host is one chassis",
		Found: []steptest.Hand{
			{Name: "bare", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
			{Name: "different", Fake: configured, Host: configuredCommand},
			{Name: "running", Fake: all(configured, running), Host: append(slices.Clone(configuredCommand), start...)},
			{Name: "without file", Fake: noFile, Host: steptest.Run("rm", idFile)},
			{Name: "nameless", Fake: all(noFile, setID(systemID, ""))},
			{Name: "two names", Fake: all(configured, running, func(m *fake.Machine) { m.WriteFile(idFile, "third-id\n") })},
		},
		Cases: []steptest.Case{
			{
				Name: "whole",
				Spec: ChassisSpec{
					SystemID: step.Is(newID), Hostname: step.Is("ubuntu2"), Remote: []string{"tcp:10.127.0.2:6642", "tcp:10.127.0.5:6642"},
					EncapType: step.Is("geneve,vxlan"), EncapIP: step.Is("10.127.0.3"), MonitorAll: step.Is(true),
					RemoteProbeInterval: step.Is(60000), OpenflowProbeInterval: step.Is(60), Bridge: step.Is("br-int"),
					BridgeDatapathType: step.Is("netdev"), BridgeMappings: keys{"physnet301": step.Is("br-ext"), "physnet9": step.None[string]()},
					ExternalIDs: keys{"ovn-encap-csum": step.Is("true"), "ovn-is-interconn": step.None[string]()},
				},
				Drift: []steptest.Hand{
					idDrift("system_id", systemID, "drifted"),
					idDrift("hostname", "hostname", "other"),
					idDrift("remote", "ovn-remote", "tcp:10.127.0.2:6642"),
					idDrift("encap_type", "ovn-encap-type", "geneve"),
					idDrift("encap_ip", "ovn-encap-ip", "10.127.0.4"),
					idDrift("monitor_all", "ovn-monitor-all", "1"),
					idDrift("remote_probe_interval", "ovn-remote-probe-interval", "6000"),
					idDrift("openflow_probe_interval", "ovn-openflow-probe-interval", ""),
					idDrift("bridge", "ovn-bridge", "br-other"),
					idDrift("bridge_datapath_type", "ovn-bridge-datapath-type", ""),
					idDrift("bridge_mappings.physnet301", "ovn-bridge-mappings", "physnet1:br-a"),
					idDrift("bridge_mappings.physnet9", "ovn-bridge-mappings", "physnet9:br-z,physnet301:br-ext"),
					idDrift("external_ids.ovn-encap-csum", "ovn-encap-csum", "false"),
					idDrift("external_ids.ovn-is-interconn", "ovn-is-interconn", "true"),
				},
				Spellings: []steptest.Hand{
					idDrift("remote", "ovn-remote", "tcp:10.127.0.5:6642,tcp:10.127.0.2:6642"),
					idDrift("encap_type", "ovn-encap-type", "vxlan,geneve"),
					idDrift("monitor_all", "ovn-monitor-all", "TRUE"),
					idDrift("remote_probe_interval", "ovn-remote-probe-interval", "060000"),
					idDrift("bridge_mappings", "ovn-bridge-mappings", "physnet301:br-ext,physnet1:br-a"),
					{Name: "file without a newline", Fake: func(m *fake.Machine) { m.WriteFile(idFile, newID) }, Host: steptest.Run("truncate", "-s", "-1", idFile)},
				},
			},
			{Name: "kept name", Spec: ChassisSpec{EncapIP: step.Is("10.127.0.3")}},
			{Name: "less", Spec: ChassisSpec{Remote: []string{}, EncapIP: step.None[string](), MonitorAll: step.Is(false), BridgeMappings: keys{"physnet301": step.None[string](), "physnet1": step.None[string]()}}},
		},
		Touches: steptest.Touches{
			Files: []string{idFile}, Units: []string{controllerUnit},
			Queries: steptest.Run(vsctl, "--columns=external_ids", "list", "Open_vSwitch"),
		},
		Clean: slices.Concat(
			steptest.Run("systemctl", "stop", controllerUnit),
			steptest.Run("systemctl", "reset-failed", controllerUnit), // the limit of starts in ten seconds
			steptest.Run(vsctl, "clear", "Open_vSwitch", ".", "external_ids"),
			steptest.Run(vsctl, "set", "Open_vSwitch", ".", "external_ids:system-id="+oldID),
			[]host.Command{{Argv: []string{"tee", idFile}, Stdin: []byte(oldID + "\n")}}),
	}
}

func TestLawsChassis(t *testing.T) { laws(t, chassisSubject()) }

// TestChassisIsRenamedWithoutALeftover is the endless "OVNSB commit failed" of
// a name that changes under a running ovn-controller.
func TestChassisIsRenamedWithoutALeftover(t *testing.T) {
	for cut := 0; cut < 7; cut++ {
		m := compute()
		m.OnUnit(controllerUnit, controller)
		running(m)
		s := made(t, chassisKind(), ChassisSpec{SystemID: step.Is(newID)})
		f, err := s.Check(t.Context(), m.Host().View())
		if err != nil || !strings.Contains(f.Cost.Disruption, oldID) {
			t.Fatalf("the plan does not say what a new name costs: %q, %v", f.Cost.Disruption, err)
		}
		effects := 0
		_ = s.Apply(t.Context(), host.Observe(m.Host(), killAt(cut, &effects)), f)
		converge(t, s, m)
		if file, _ := m.File(idFile); strings.TrimSpace(file) != newID || externalIDsOf(m)[systemID] != newID {
			t.Errorf("killed at %d: file %q, database %q", cut, file, externalIDsOf(m)[systemID])
		}
		rows, err := m.Host().Files.List(t.Context(), "/southbound")
		if err != nil || len(rows) != 1 || rows[0] != newID {
			t.Errorf("killed at %d: chassis rows %v, %v", cut, rows, err)
		}
		if u := m.UnitState(controllerUnit); u.ActiveState != "active" {
			t.Errorf("killed at %d: ovn-controller is %s", cut, u.ActiveState)
		}
		if mark, there := externalIDsOf(m)[movingKey]; there {
			t.Errorf("killed at %d: the mark %q was left", cut, mark)
		}
	}
}

// TestChassisKeepsItsName is requirement 18: equal after reboots, and after the
// database was lost.
func TestChassisKeepsItsName(t *testing.T) {
	for name, c := range map[string]struct {
		hand func(*fake.Machine)
		want string
	}{
		"as Open vSwitch named it": {func(*fake.Machine) {}, oldID},
		"file lost":                {func(m *fake.Machine) { m.Remove(idFile) }, oldID},
		"database lost":            {setID(systemID, ""), oldID},
		"the file wins":            {setID(systemID, "other"), oldID},
		"nameless":                 {all(setID(systemID, ""), func(m *fake.Machine) { m.Remove(idFile) }), "b31d2c7f-9c7a-8a7f"},
	} {
		m := compute()
		c.hand(m)
		s := made(t, chassisKind(), ChassisSpec{})
		f, err := s.Check(t.Context(), m.Host().View())
		if err != nil {
			t.Fatal(err)
		}
		planned := systemIDOf(t, f)
		converge(t, s, m)
		file, _ := m.File(idFile)
		if strings.TrimSpace(file) != planned || externalIDsOf(m)[systemID] != planned {
			t.Errorf("%s: planned %q, file %q, database %q", name, planned, file, externalIDsOf(m)[systemID])
		}
		if name != "nameless" && planned != c.want {
			t.Errorf("%s: %q, want %q", name, planned, c.want)
		}
		if name == "nameless" && (len(planned) != 36 || planned[14] != '8') {
			t.Errorf("%s: %q is no UUID of version 8", name, planned)
		}
	}
}

func TestChassisFileIsDriftToo(t *testing.T) {
	m := compute()
	s := made(t, chassisKind(), ChassisSpec{SystemID: step.Is(newID)})
	first, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	converge(t, s, m)
	m.WriteFile(idFile, "by-hand\n")
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil || len(f.Deltas) != 1 || f.Deltas[0].Path != "id_file" {
		t.Fatalf("%v, %v", f.Deltas, err)
	}
	first.Settled = true
	if err := s.Undo(t.Context(), m.Host(), first); err == nil {
		t.Error("undo did not report the file that another hand wrote")
	}
	if file, _ := m.File(idFile); file != "by-hand\n" {
		t.Errorf("undo took the other hand's file: %q", file)
	}
	if got := externalIDsOf(m)[systemID]; got != oldID {
		t.Errorf("undo left the name %q", got)
	}
}

func TestChassisOverrideIsNamed(t *testing.T) {
	m := compute()
	m.WriteFile(overrideFile, "override\n")
	f, err := made(t, chassisKind(), ChassisSpec{SystemID: step.Is(newID)}).Check(t.Context(), m.Host().View())
	if err != nil || len(f.Warnings) != 1 || systemIDOf(t, f) != "override" {
		t.Errorf("%v, %s, %v", f.Warnings, f.Outputs, err)
	}
}

func TestChassisWarnsOfMappingsToNoBridge(t *testing.T) {
	m := compute()
	spec := ChassisSpec{BridgeMappings: keys{"physnet301": step.Is("br-ext"), "physnet9": step.None[string]()}}
	s := made(t, chassisKind(), spec)
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "bridge br-ext is not there: localnet and l2gateway ports of physnet301") {
		t.Errorf("a mapping to no bridge: %v, %v", f.Warnings, err)
	}
	var tx row.Tx
	tx.Insert("Interface", "interface", ovsdb.Row{"name": "br-ext", "type": "internal"})
	tx.Insert("Port", "port", ovsdb.Row{"name": "br-ext", "interfaces": row.UUIDs("interface")})
	tx.Insert("Bridge", "bridge", ovsdb.Row{"name": "br-ext", "ports": row.UUIDs("port")})
	tx.Mutate("Open_vSwitch", row.ID(m.Rows(host.OpenVSwitch, "Open_vSwitch")[0]), row.AddRefs("bridges", "bridge"))
	m.Transact(host.OpenVSwitch, tx.Operations()...)
	if f, err = s.Check(t.Context(), m.Host().View()); err != nil || len(f.Warnings) != 0 {
		t.Errorf("the bridge is there: %v, %v", f.Warnings, err)
	}
}

func TestChassisSpecProblems(t *testing.T) {
	for path, s := range map[string]ChassisSpec{
		"remote":                  {Remote: []string{"ptcp:6642"}},
		"encap_type":              {EncapType: step.Is("gre")},
		"encap_ip":                {EncapIP: step.Is("10.127.0.3/25")},
		"system_id":               {SystemID: step.Is("a b")},
		"remote_probe_interval":   {RemoteProbeInterval: step.Is(-1)},
		"bridge_mappings.p":       {BridgeMappings: keys{"p": step.Is("br,x")}},
		"external_ids.ovn-bridge": {ExternalIDs: keys{"ovn-bridge": step.Is("br-int")}},
	} {
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
}

func systemIDOf(t *testing.T, f step.Finding) string {
	t.Helper()
	var out ChassisOutputs
	if err := json.Unmarshal(f.Outputs, &out); err != nil {
		t.Fatal(err)
	}
	return out.SystemID
}
