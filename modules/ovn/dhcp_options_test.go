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

func dhcpSubject() steptest.Subject {
	h := handed{kind: "ovn_dhcp_options", table: "DHCP_Options"}
	// A port has them, which is to have them again where they come back.
	byHand := func(m *fake.Machine) {
		var tx row.Tx
		tx.Insert("DHCP_Options", "dhcp", ovsdb.Row{"cidr": "10.9.0.0/24", "options": row.Strmap(map[string]string{"server_id": "10.9.0.1", "mtu": "1400"}), "external_ids": owned(h.kind, nameKey, "old")})
		tx.Insert(portTable, "port", ovsdb.Row{"name": "weft-laws-vm", "dhcpv4_options": row.UUIDs("dhcp")})
		tx.Insert("Logical_Switch", "", ovsdb.Row{"name": "weft-laws-ls", "ports": row.UUIDs("port")})
		m.Transact(host.Northbound, tx.Operations()...)
	}
	byHandCommands := steptest.Run(nbctl,
		"--", "--id=@dhcp", "create", h.table, `cidr="10.9.0.0/24"`, `options:server_id="10.9.0.1"`, "options:mtu=1400", ownedText(h.kind, nameKey, "old"),
		"--", "ls-add", "weft-laws-ls", "--", "lsp-add", "weft-laws-ls", "weft-laws-vm", "--", "set", "Logical_Switch_Port", "weft-laws-vm", "dhcpv4_options=@dhcp")
	v4 := keys{"server_id": step.Is("10.0.0.1"), "server_mac": step.Is("02:00:00:00:00:01"), "lease_time": step.Is("3600"), "mtu": step.None[string]()}
	again := steptest.Hand{Name: "state", Host: slices.Concat(steptest.Run(nbctl, "--if-exists", "ls-del", "weft-laws-ls"), byHandCommands), Fake: func(m *fake.Machine) {
		var tx row.Tx
		for _, ls := range m.Rows(host.Northbound, "Logical_Switch") {
			tx.Delete("Logical_Switch", row.ID(ls))
		}
		m.Transact(host.Northbound, tx.Operations()...)
		byHand(m)
	}}
	return steptest.Subject{
		Kind: dhcpOptionsKind(), Machine: central,
		Found: []steptest.Hand{
			{Name: "absent", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
			{Name: "different", Fake: byHand, Host: byHandCommands},
		},
		Cases: []steptest.Case{
			{
				Name: "v4", Spec: DHCPOptionsSpec{CIDR: "10.0.0.0/24", Options: v4, ExternalIDs: keys{"by": step.Is("weft")}},
				Drift: []steptest.Hand{
					h.drift("cidr", "10.1.0.0/24", `"10.1.0.0/24"`), h.key("options", "server_id", "10.0.0.2"), h.key("options", "lease_time", ""), h.key("options", "mtu", "9000"),
					h.key("external_ids", "by", ""), h.key("external_ids", nameKey, "another"), h.removed(),
				},
			},
			{Name: "v6", Spec: DHCPOptionsSpec{CIDR: "fd00::/64", Options: keys{"server_id": step.Is("02:00:00:00:00:01")}}, Spellings: []steptest.Hand{h.drift("cidr", "FD00:0::/64", `"FD00:0::/64"`)}},
			{Name: "absent", Spec: DHCPOptionsSpec{CIDR: "10.9.0.0/24", State: step.Absent}, Drift: []steptest.Hand{again}},
		},
		Touches: steptest.Touches{Queries: slices.Concat(h.shown("cidr", "options", "external_ids"),
			steptest.Run("sh", "-c", `ovn-nbctl --if-exists get Logical_Switch_Port weft-laws-vm dhcpv4_options | grep -c -- -`+" || true"))},
		Clean: slices.Concat(h.clean(), steptest.Run(nbctl, "--if-exists", "ls-del", "weft-laws-ls")),
	}
}

func TestLawsDHCPOptions(t *testing.T) { laws(t, dhcpSubject()) }

// A port names them as the playbook does, and waits for them.
func TestPortHasDHCPOptions(t *testing.T) {
	m := twoSwitches()
	port := SwitchPortSpec{Name: "vm", Switch: "weft-laws-a", DHCPv4: step.Is("v4")}
	if _, err := made(t, switchPortKind(), port).Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), `"v4"`) {
		t.Errorf("without the options: %v", err)
	}
	for _, name := range []string{"v4", "v4b"} {
		spec := DHCPOptionsSpec{Name: name, CIDR: "10.0.0.0/24", Options: keys{"server_id": step.Is("10.0.0.1")}}
		converge(t, madeFor(t, dhcpOptionsKind(), "lab/"+name, name, spec), m)
	}
	has := func(want string) {
		t.Helper()
		for _, d := range m.Rows(host.Northbound, "DHCP_Options") {
			p := m.Rows(host.Northbound, portTable)[0]
			if is := slices.Contains(row.Refs(p, "dhcpv4_options"), row.ID(d)); is != (row.Map(d, "external_ids")[nameKey] == want) {
				t.Errorf("want %q: %v of %v", want, p["dhcpv4_options"], d)
			}
		}
	}
	converge(t, made(t, switchPortKind(), port), m)
	has("v4")
	port.DHCPv4 = step.Is("v4b")
	converge(t, made(t, switchPortKind(), port), m)
	has("v4b")
	port.DHCPv4 = step.None[string]()
	converge(t, made(t, switchPortKind(), port), m)
	has("")
}

func TestDHCPOptionsProblems(t *testing.T) {
	good := DHCPOptionsSpec{Name: "v4", CIDR: "10.0.0.0/24", Options: keys{"server_id": step.Is("10.0.0.1"), "server_mac": step.Is("02:00:00:00:00:01"), "lease_time": step.Is("3600")}}
	if p := good.Validate(); len(p) > 0 {
		t.Errorf("good options are refused: %v", p)
	}
	for want, change := range map[string]func(*DHCPOptionsSpec){
		"cidr":                  func(s *DHCPOptionsSpec) { s.CIDR = "10.0.0.0" },
		"cidr:bits":             func(s *DHCPOptionsSpec) { s.CIDR = "10.0.0.1/24" },
		"options":               func(s *DHCPOptionsSpec) { s.Options = withKey(s.Options, "lease_time", "") },
		"options.server_mac":    func(s *DHCPOptionsSpec) { s.Options = withKey(s.Options, "server_mac", "x") },
		"options.server_id":     func(s *DHCPOptionsSpec) { s.Options = withKey(s.Options, "server_id", "router") },
		"options.server_id:six": func(s *DHCPOptionsSpec) { s.CIDR = "fd00::/64" },
	} {
		s := good
		change(&s)
		path, _, _ := strings.Cut(want, ":")
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", want, p)
		}
	}
}
