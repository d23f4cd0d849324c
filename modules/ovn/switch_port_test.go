package ovn

import (
	"errors"
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

const lawsPort = steptest.Prefix

// twoSwitches is a central with the switches that the laws put ports on.
func twoSwitches() *fake.Machine {
	m := central()
	addSwitch("weft-laws-a", nil, nil)(m)
	addSwitch("weft-laws-b", nil, nil)(m)
	return m
}

func movePort(to string) func(*fake.Machine) {
	return func(m *fake.Machine) {
		var tx row.Tx
		for _, p := range m.Rows(host.Northbound, "Logical_Switch_Port") {
			if row.String(p, "name") != lawsPort {
				continue
			}
			for _, s := range m.Rows(host.Northbound, "Logical_Switch") {
				if row.String(s, "name") == to {
					tx.Mutate("Logical_Switch", row.ID(s), row.AddRefs("ports", row.ID(p)))
				} else {
					tx.Mutate("Logical_Switch", row.ID(s), row.RemoveRefs("ports", row.ID(p)))
				}
			}
		}
		m.Transact(host.Northbound, tx.Operations()...)
	}
}

func removePort(m *fake.Machine) {
	var tx row.Tx
	for _, p := range m.Rows(host.Northbound, "Logical_Switch_Port") {
		for _, s := range m.Rows(host.Northbound, "Logical_Switch") {
			if row.String(p, "name") == lawsPort && slices.Contains(row.Refs(s, "ports"), row.ID(p)) {
				tx.Mutate("Logical_Switch", row.ID(s), row.RemoveRefs("ports", row.ID(p)))
			}
		}
	}
	m.Transact(host.Northbound, tx.Operations()...)
}

// handPort is a port of the step's, spelled as hands do, with a column and
// keys that no step manages.
func handPort() ovsdb.Row {
	return ovsdb.Row{
		"name": lawsPort, "type": "localnet", "addresses": row.Set("02:AC:10:FF:00:11   172.16.255.11", "unknown"),
		"port_security": row.Set("02:AC:10:FF:00:11"), "enabled": row.Optional(true), "tag": row.Optional(9),
		"options": row.Strmap(map[string]string{"network_name": "old", "mcast_flood": "true"}), "dynamic_addresses": row.Optional("02:00:00:00:00:01 10.0.0.9"),
		"external_ids": row.Strmap(map[string]string{ownerKey: lawsOwner("ovn_switch_port"), "note": "kept"}),
	}
}

func handPortCommands() []host.Command {
	return steptest.Run(nbctl, "lsp-add", "weft-laws-b", lawsPort, "--", "set", "Logical_Switch_Port", lawsPort,
		"type=localnet", `addresses="02:AC:10:FF:00:11   172.16.255.11",unknown`, `port_security="02:AC:10:FF:00:11"`,
		"enabled=true", "tag=9", "options:network_name=old", "options:mcast_flood=true",
		`external_ids:weft-owner="`+lawsOwner("ovn_switch_port")+`"`, "external_ids:note=kept")
}

// column is drift of a column, by hand and by ovn-nbctl.
func portDrift(path string, value any, text string) steptest.Hand {
	return steptest.Hand{
		Name: path, Fake: update(host.Northbound, "Logical_Switch_Port", "name", lawsPort, ovsdb.Row{path: value}),
		// Once ovn-northd is through: it copies tag_request to tag.
		Host: steptest.Run(nbctl, "--timeout=30", "--wait=sb", "set", "Logical_Switch_Port", lawsPort, path+"="+text),
	}
}

// onFake leaves out the half that a real host would not let stand.
func onFake(h steptest.Hand) steptest.Hand {
	h.Host = nil
	return h
}

func portKeyDrift(column, key, value string) steptest.Hand {
	h := steptest.Hand{
		Name: column + "." + key, Fake: setKey(host.Northbound, "Logical_Switch_Port", "name", lawsPort, column, key, value),
		Host: steptest.Run(nbctl, "set", "Logical_Switch_Port", lawsPort, column+":"+key+"="+value),
	}
	if value == "" {
		h.Host = steptest.Run(nbctl, "remove", "Logical_Switch_Port", lawsPort, column, key)
	}
	return h
}

func portSubject() steptest.Subject {
	removed := steptest.Hand{Name: "state", Fake: removePort, Host: steptest.Run(nbctl, "lsp-del", lawsPort)}
	return steptest.Subject{
		Kind: switchPortKind(), Machine: twoSwitches, Policy: []string{"adopt", "dhcpv4_options", "dhcpv6_options", "ha_chassis_group"}, // TestPortHasDHCPOptions, TestRouterPortInAGroup
		Found: []steptest.Hand{
			{Name: "absent", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
			{Name: "different", Fake: addPort("weft-laws-b", handPort()), Host: handPortCommands()},
		},
		Cases: []steptest.Case{
			{
				Name: "vif",
				Spec: SwitchPortSpec{
					Switch: "weft-laws-a", Type: step.Is(""), Addresses: []string{"02:ac:10:ff:00:11 172.16.255.11"},
					PortSecurity: []string{"02:ac:10:ff:00:11 172.16.255.0/24"}, Enabled: step.Is(true),
					Tag: step.None[int](), Options: keys{"requested-chassis": step.Is("ubuntu2"), "network_name": step.None[string]()},
				},
				Drift: []steptest.Hand{
					{Name: "switch", Fake: movePort("weft-laws-b"), Host: steptest.Run(nbctl, "lsp-del", lawsPort, "--", "lsp-add", "weft-laws-b", lawsPort, "--", "set", "Logical_Switch_Port", lawsPort, `external_ids:weft-owner="`+lawsOwner("ovn_switch_port")+`"`)},
					portDrift("type", "localport", "localport"),
					portDrift("addresses", row.Set("unknown"), "unknown"),
					portDrift("port_security", row.Empty(), "[]"),
					portDrift("enabled", row.Optional(false), "false"),
					portDrift("tag", row.Optional(12), "12"),
					portKeyDrift("options", "requested-chassis", "elsewhere"),
					portKeyDrift("options", "network_name", "physnet9"),
					removed,
				},
				Spellings: []steptest.Hand{
					portDrift("addresses", row.Set("02:AC:10:FF:00:11  172.16.255.11"), `"02:AC:10:FF:00:11  172.16.255.11"`),
					portDrift("port_security", row.Set("02:AC:10:ff:00:11 172.16.255.0/24"), `"02:AC:10:ff:00:11 172.16.255.0/24"`),
					portDrift("enabled", row.Empty(), "[]"),
					portKeyDrift("external_ids", "note", "mine"),
				},
			},
			{
				Name: "nested",
				Spec: SwitchPortSpec{
					Switch: "weft-laws-b", ParentName: step.Is("weft-laws-vm"), TagRequest: step.Is(5), Tag: step.Is(5),
					ExternalIDs: keys{"pod": step.Is("web")}, Enabled: step.Is(false),
				},
				Drift: []steptest.Hand{
					portDrift("parent_name", row.Empty(), "[]"),
					portDrift("tag_request", row.Optional(6), "6"),
					onFake(portDrift("tag", row.Empty(), "[]")), // ovn-northd puts it back from tag_request
					portDrift("enabled", row.Empty(), "[]"),
					portKeyDrift("external_ids", "pod", ""),
				},
			},
			{
				Name: "absent", Spec: SwitchPortSpec{Switch: "weft-laws-a", State: step.Absent},
				Drift: []steptest.Hand{{Name: "state", Fake: addPort("weft-laws-b", handPort()), Host: handPortCommands()}},
			},
		},
		Touches: steptest.Touches{Queries: slices.Concat(
			nbTables("Logical_Switch_Port", "name", "type", "addresses", "port_security", "options", "parent_name", "tag", "tag_request", "enabled", "external_ids"),
			steptest.Run(nbctl, "show", "weft-laws-a"), steptest.Run(nbctl, "show", "weft-laws-b"))},
		Clean: slices.Concat(
			steptest.Run(nbctl, "--may-exist", "ls-add", "weft-laws-a"), steptest.Run(nbctl, "--may-exist", "ls-add", "weft-laws-b"),
			steptest.Run(nbctl, "--if-exists", "lsp-del", lawsPort)),
	}
}

func TestLawsSwitchPort(t *testing.T) { laws(t, portSubject()) }

func TestPortWaitsForItsSwitch(t *testing.T) {
	m := central()
	_, err := made(t, switchPortKind(), SwitchPortSpec{Name: "p1", Switch: "ls1"}).Check(t.Context(), m.Host().View())
	if !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), `"ls1"`) {
		t.Errorf("a port without its switch: %v", err)
	}
	f, err := made(t, switchPortKind(), SwitchPortSpec{Name: "p1", Switch: "ls1", State: step.Absent}).Check(t.Context(), m.Host().View())
	if err != nil || f.Changed() {
		t.Errorf("a port that should be absent needs no switch: %v, %v", f.Deltas, err)
	}
}

func TestParentPortStaysWhileItIsOne(t *testing.T) {
	m := central()
	addSwitch("ls1", nil, nil)(m)
	owned := row.Strmap(map[string]string{ownerKey: "lab/ovn_switch_port.a"})
	addPort("ls1", ovsdb.Row{"name": "vm", "external_ids": owned})(m)
	addPort("ls1", ovsdb.Row{"name": "container", "parent_name": row.Optional("vm")})(m)
	_, err := made(t, switchPortKind(), SwitchPortSpec{Name: "vm", Switch: "ls1", State: step.Absent}).Check(t.Context(), m.Host().View())
	if !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), "container") { // a step above may remove that
		t.Errorf("the parent of a port may be removed: %v", err)
	}
}

func TestPortSpecProblems(t *testing.T) {
	good := SwitchPortSpec{Name: "p", Switch: "ls1", Addresses: []string{"02:ac:10:ff:00:11 172.16.255.11 fd00::1", "unknown", "dynamic", "02:ac:10:ff:00:11 dynamic", "dynamic 10.0.0.1", "router"}, PortSecurity: []string{"02:ac:10:ff:00:11", "02:ac:10:ff:00:11 172.16.255.0/24 fd00::1"}}
	if p := good.Validate(); len(p) > 0 {
		t.Errorf("a good spec is refused: %v", p)
	}
	for want, change := range map[string]func(*SwitchPortSpec){
		"addresses":               func(s *SwitchPortSpec) { s.Addresses = []string{"02:ac:10:ff:00 172.16.255.11"} },
		"addresses:ip":            func(s *SwitchPortSpec) { s.Addresses = []string{"02:ac:10:ff:00:11 172.16.255.11/24"} },
		"addresses:empty":         func(s *SwitchPortSpec) { s.Addresses = []string{""} },
		"port_security":           func(s *SwitchPortSpec) { s.PortSecurity = []string{"unknown"} },
		"port_security:ip":        func(s *SwitchPortSpec) { s.PortSecurity = []string{"02:ac:10:ff:00:11 172.16.255"} },
		"name":                    func(s *SwitchPortSpec) { s.Name = "a b" },
		"name:none":               func(s *SwitchPortSpec) { s.Name = "none" },
		"switch":                  func(s *SwitchPortSpec) { s.Switch = "" },
		"type":                    func(s *SwitchPortSpec) { s.Type = step.Is("vif") },
		"options":                 func(s *SwitchPortSpec) { s.Type = step.Is("l2gateway") },
		"tag":                     func(s *SwitchPortSpec) { s.Tag = step.Is(4096) },
		"tag_request":             func(s *SwitchPortSpec) { s.TagRequest = step.Is(-1) },
		"external_ids.weft-owner": func(s *SwitchPortSpec) { s.ExternalIDs = keys{ownerKey: step.Is("me")} },
	} {
		s := good
		change(&s)
		path, _, _ := strings.Cut(want, ":")
		if p := s.Validate(); len(p) == 0 || p[0].Path != path {
			t.Errorf("%s: %v", want, p)
		}
	}
}
