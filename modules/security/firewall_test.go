package security

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	lawZone  = "weft-laws"
	lawTable = "weft_weft-laws"
	lawFile  = "/etc/nftables.d/weft-weft-laws.nft"
	lawUnit  = "weft-firewall-weft-laws.service"
)

func nftQuery(argv ...string) host.Command {
	return host.Command{Argv: append([]string{"nft"}, argv...)}
}

func TestFirewallLawsOfNftables(t *testing.T) {
	units := []string{unitDir + "/" + lawUnit, unitDir + "/multi-user.target.wants/" + lawUnit, unitDir + "/nftables.service.wants"}
	disable := steptest.Hand{Name: "rules.enabled", Fake: func(m *fake.Machine) { m.Systemctl(host.Disable, lawUnit) }, Host: steptest.Run("systemctl", "disable", lawUnit)}
	laws(t, steptest.Subject{
		Kind:    firewallKind(),
		Machine: nftMachine,
		Policy:  []string{"by", "services", "ports", "sources", "interfaces", "rich_rules", "target"},
		Found: []steptest.Hand{
			{Name: "absent"},
			{Name: "a table by hand", Fake: wrote(fakeNft+lawTable, canonicalNft("table inet "+lawTable+" {\n\tchain input {\n\t\ttcp dport 9 drop\n\t}\n}\n")),
				Host: []host.Command{{Argv: []string{"nft", "-f", "-"}, Stdin: []byte("table inet " + lawTable + " {\n\tchain input {\n\t\ttcp dport 9 drop\n\t}\n}\n")}}},
			{Name: "a file that is not loaded", Fake: wrote(lawFile, "# old\n"), Host: sequence(steptest.Run("mkdir", "-p", nftDir), typed(lawFile, "# old\n"))},
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: FirewallSpec{Zone: lawZone, By: "nftables", Services: []string{"ssh"}, Ports: []string{"6642/tcp", "6641/tcp", "49152-49215/tcp", "6081/udp"},
					Sources: []string{"10.200.0.7/16", "fd00::/64"}, Interfaces: []string{"eth9"}, Rules: []string{"  tcp dport { 8080, 80 } counter accept"}, Target: "drop"},
				Drift: []steptest.Hand{
					ran("rules.now", "nft", "add", "rule", "inet", lawTable, "zone", "tcp", "dport", "5", "accept"),
					ran("rules.now", "nft", "delete", "table", "inet", lawTable),
					{Name: "rules.file", Fake: wrote(lawFile, "# drift\n"), Host: typed(lawFile, "# drift\n")},
					{Name: "rules.file", Fake: func(m *fake.Machine) { m.Remove(lawFile) }, Host: steptest.Run("rm", lawFile)},
					disable,
				},
			},
			{Name: "lets in alone", Spec: FirewallSpec{Zone: lawZone, By: "nftables", Ports: []string{"6642/tcp"}, Sources: []string{"192.0.2.1"}}},
			{Name: "absent", Spec: FirewallSpec{Zone: lawZone, By: "nftables", State: step.Absent}, Drift: []steptest.Hand{
				{Name: "state", Fake: wrote(lawFile, "# again\n"), Host: sequence(steptest.Run("mkdir", "-p", nftDir), typed(lawFile, "# again\n"))},
			}},
		},
		Touches: steptest.Touches{Files: append(units, nftDir), Queries: []host.Command{nftQuery("-n", "-s", "list", "table", "inet", lawTable), nftQuery("list", "tables")}},
		Clean: sequence(
			steptest.Run("systemctl", "disable", lawUnit), steptest.Run("rm", "-rf", lawFile, unitDir+"/"+lawUnit), steptest.Run("rmdir", nftDir),
			steptest.Run("nft", "delete", "table", "inet", lawTable), steptest.Run("systemctl", "daemon-reload"),
		),
	})
}

func TestFirewallLawsOfFirewalld(t *testing.T) {
	const rule = `rule family="ipv4" source address="192.0.2.0/24" port port="99" protocol="tcp" accept`
	cmd := func(name string, options ...string) steptest.Hand {
		return ran(name, append([]string{"firewall-cmd", "-q", "--zone=public"}, options...)...)
	}
	both := func(name string, options ...string) steptest.Hand {
		h, p := cmd(name, options...), ran(name, append([]string{"firewall-cmd", "-q", "--permanent", "--zone=public"}, options...)...)
		return steptest.Hand{Name: name, Host: sequence(h.Host, p.Host), Fake: func(m *fake.Machine) { h.Fake(m); p.Fake(m) }}
	}
	lists := []host.Command{firewallCmd("public", runtime, "--list-all"), firewallCmd("public", permanent, "--list-all")}
	laws(t, steptest.Subject{
		Kind:    firewallKind(),
		Machine: firewalldMachine,
		Policy:  []string{"by", "rules", "target", "state"},
		Found: []steptest.Hand{
			{Name: "untouched"},
			cmd("in force alone", "--add-port=6642/tcp"),
			both("there", "--add-rich-rule="+rule),
		},
		Cases: []steptest.Case{
			{
				Name: "let in", Spec: FirewallSpec{Zone: "public", Services: []string{"http"}, Ports: []string{"6642/tcp", "6081/udp"}},
				Drift: []steptest.Hand{
					cmd("services", "--remove-service=http"), cmd("ports.6081/udp", "--remove-port=6081/udp"),
					ran("ports.6642/tcp", "firewall-cmd", "-q", "--permanent", "--zone=public", "--remove-port=6642/tcp"),
				},
			},
			{
				Name: "belongs", Spec: FirewallSpec{Zone: "public", Sources: []string{"198.51.100.0/24"}, Interfaces: []string{"eth9"},
					RichRules: []string{"rule family=ipv4 port port=99 protocol=tcp source address=192.0.2.0/24 accept"}},
				Drift: []steptest.Hand{
					cmd("sources", "--remove-source=198.51.100.0/24"), cmd("interfaces", "--remove-interface=eth9"), both("rich_rules", "--remove-rich-rule="+rule),
				},
			},
			{Name: "absent", Spec: FirewallSpec{Zone: "public", Ports: []string{"6642/tcp"}, RichRules: []string{rule}, State: step.Absent},
				Drift: []steptest.Hand{cmd("ports", "--add-port=6642/tcp")}},
		},
		Touches: steptest.Touches{Queries: lists},
		Clean: sequence(steptest.Run("systemctl", "start", "firewalld.service"),
			steptest.Run("firewall-cmd", "-q", "--permanent", "--load-zone-defaults=public"), steptest.Run("firewall-cmd", "-q", "--reload")),
		Borrows: "a zone of firewalld is made by a reload alone",
	})
}

// TestFirewallSevers: what may cut the way that weft came by is named, and what
// only lets in is not.
func TestFirewallSevers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		machine func() *fake.Machine
		spec    FirewallSpec
		want    []string
	}{
		{"drop", nftMachine, FirewallSpec{Zone: "a", Target: "drop"}, []string{"eth0"}},
		{"drop elsewhere", nftMachine, FirewallSpec{Zone: "a", Target: "drop", Interfaces: []string{"eth9"}}, []string{"eth9"}},
		{"lets in", nftMachine, FirewallSpec{Zone: "a", Ports: []string{"1/tcp"}}, nil},
		{"a rule", nftMachine, FirewallSpec{Zone: "a", Rules: []string{"tcp dport 22 drop"}}, []string{"eth0"}},
		{"a port", firewalldMachine, FirewallSpec{Zone: "public", Ports: []string{"1/tcp"}}, nil},
		{"a source", firewalldMachine, FirewallSpec{Zone: "public", Sources: []string{"10.0.0.0/8"}}, []string{"eth0"}},
		{"ssh shut", firewalldMachine, FirewallSpec{Zone: "public", Services: []string{"ssh"}, State: step.Absent}, []string{"eth0"}},
		{"a rule that drops", firewalldMachine, FirewallSpec{Zone: "public", RichRules: []string{"rule family=ipv4 drop"}}, []string{"eth0"}},
	} {
		f, err := check(t, firewallKind(), tt.machine(), tt.spec)
		if err != nil || !slices.Equal(f.Cost.Severs, tt.want) {
			t.Errorf("%s: severs %v, want %v (%v)", tt.name, f.Cost.Severs, tt.want, err)
		}
	}
}

func TestFirewallKeeper(t *testing.T) {
	m := firewalldMachine()
	if _, err := check(t, firewallKind(), m, FirewallSpec{Zone: "nosuch", Ports: []string{"1/tcp"}}); err == nil || !strings.Contains(err.Error(), "no zone nosuch") {
		t.Errorf("%v", err)
	}
	if _, err := check(t, firewallKind(), m, FirewallSpec{Zone: "public", Target: "drop"}); err == nil || !strings.Contains(err.Error(), "rich_rules") {
		t.Errorf("%v", err)
	}
	m.Systemctl(host.Stop, "firewalld.service")
	if _, err := check(t, firewallKind(), m, FirewallSpec{Zone: "public", Ports: []string{"1/tcp"}}); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("enabled, and not at work: %v", err)
	}
	if _, err := check(t, firewallKind(), bare(), FirewallSpec{Zone: "public", Ports: []string{"1/tcp"}}); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("neither: %v", err)
	}
	if _, err := check(t, firewallKind(), nftMachine(), FirewallSpec{Zone: "public", Rules: []string{"nonsense"}}); err == nil || !strings.Contains(err.Error(), "syntax error") {
		t.Errorf("a mistake in a rule: %v", err)
	}
}

func TestFirewallValidate(t *testing.T) {
	for want, spec := range map[string]FirewallSpec{
		"":              {Zone: "a", Ports: []string{"1/tcp", "5-9/sctp"}, Sources: []string{"10.0.0.1", "fd00::/8"}, Rules: []string{`tcp dport { 1, 2 } accept comment "a # }"`}},
		"zone":          {Zone: "a b"},
		"ports[0]":      {Zone: "a", Ports: []string{"70000/tcp"}},
		"ports[1]":      {Zone: "a", Ports: []string{"1/tcp", "9-5/tcp"}},
		"services[0]":   {Zone: "a", Services: []string{"--reload"}},
		"sources[0]":    {Zone: "a", Sources: []string{"10.0.0.0/99"}},
		"interfaces[0]": {Zone: "a", Interfaces: []string{"a b"}},
		"rich_rules[0]": {Zone: "a", RichRules: []string{"accept"}},
		"rules[0]":      {Zone: "a", Rules: []string{"accept } } table inet x { chain y {"}},
		"rules[1]":      {Zone: "a", Rules: []string{"accept", "accept; drop"}},
		"by":            {Zone: "a", By: "firewalld", Target: "drop"},
		"rich_rules":    {Zone: "a", RichRules: []string{"rule drop"}, Target: "drop"},
	} {
		if got := problems(&spec); got != want {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
}

func FuzzParseZone(f *testing.F) {
	f.Add("public (active)\n  target: default\n  ports: 1/tcp 2/udp\n  rich rules: \n\trule a\n\trule b\n")
	f.Add("\tx\n  :\n  rich rules: rule x\n")
	f.Fuzz(func(t *testing.T, text string) {
		for name, list := range parseZone(text) {
			for _, e := range list {
				if e == "" || strings.ContainsAny(e, "\n") {
					t.Errorf("%s has %q", name, e)
				}
			}
		}
	})
}
