package network

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
)

func testdata(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/lacp/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const ourPartner = "7e:aa:f6:97:34:4a"

// TestReadShow reads what ovs-vswitchd 3.1 said.
func TestReadShow(t *testing.T) {
	leg := func(name string, change func(*lacpMember)) lacpMember {
		m := lacpMember{Name: name, Heard: current, Attached: true, Enabled: true, Partner: ourPartner, PartnerKey: 5, PartnerTakes: true}
		change(&m)
		return m
	}
	as := func(*lacpMember) {}
	alone := func(m *lacpMember) { *m = lacpMember{Name: m.Name, Heard: defaulted} }
	enabled := "member pa0: enabled\n  active member\nmember pa1: "
	for name, c := range map[string]struct {
		lacp, bond string
		want       []lacpMember
	}{
		"negotiated": {testdata(t, "ovs-negotiated"), testdata(t, "ovs-negotiated-bond"), []lacpMember{leg("pa0", as), leg("pa1", as)}},
		"leg down":   {testdata(t, "ovs-leg-down"), testdata(t, "ovs-leg-down-bond"), []lacpMember{leg("pa0", as), leg("pa1", alone)}},
		"two partners": {testdata(t, "ovs-two-partners"), enabled + "disabled", []lacpMember{leg("pa0", func(m *lacpMember) { m.PartnerKey = 7 }), leg("pa1", func(m *lacpMember) {
			m.Attached, m.Enabled, m.Partner, m.PartnerKey = false, false, "be:ae:81:e4:df:4f", 1
		})}},
		"before 2.15": {
			strings.ReplaceAll(testdata(t, "ovs-negotiated"), "member", "slave"), strings.ReplaceAll(testdata(t, "ovs-negotiated-bond"), "member", "slave"),
			[]lacpMember{leg("pa0", as), leg("pa1", as)},
		},
	} {
		if got := readShow(c.lacp, c.bond).Members; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// state replaces the n-th state of a port in a file of /proc/net/bonding.
func state(text string, n int, value string) string {
	parts := strings.Split(text, "port state: 63")
	for i := range parts[1:] {
		s := "63"
		if i == n {
			s = value
		}
		parts[i] += "port state: " + s
	}
	return strings.Join(parts, "")
}

// TestReadBonding reads what the driver of Linux 6.1 said, and what it may say
// beside that.
func TestReadBonding(t *testing.T) {
	text := testdata(t, "linux-negotiated")
	good := lacpMember{Name: "v1", Heard: current, Attached: true, Enabled: true, Partner: "3a:e5:24:7d:23:6c", PartnerKey: 15, PartnerTakes: true}
	with := func(change func(*lacpMember)) lacpMember { m := good; change(&m); return m }
	second := strings.LastIndex(text, "Slave Interface")
	change := func(old, now string) string { return text[:second] + strings.Replace(text[second:], old, now, 1) }
	for name, c := range map[string]struct {
		text string
		want lacpMember
	}{
		"negotiated":   {text, good},
		"silent":       {testdata(t, "linux-silent-leg"), lacpMember{Name: "v1", Heard: defaulted, PartnerKey: 1}},
		"leg down":     {testdata(t, "linux-leg-down"), lacpMember{Name: "v1", Heard: current, Down: true, Partner: "ee:34:66:71:85:c5", PartnerKey: 15}},
		"two partners": {testdata(t, "linux-two-partners"), lacpMember{Name: "v1", Heard: current, Partner: "ee:34:66:71:85:c5", PartnerKey: 15}},
		"expired":      {state(text, 2, "191"), with(func(m *lacpMember) { m.Heard = expired })},
		"held out":     {state(text, 3, "15"), with(func(m *lacpMember) { m.PartnerTakes = false })},
		"other group":  {change("Aggregator ID: 1", "Aggregator ID: 2"), with(func(m *lacpMember) { m.Attached = false })},
		"no carrier":   {change("MII Status: up", "MII Status: down"), with(func(m *lacpMember) { m.Down, m.Enabled = true, false })},
		"shown to users": {
			text[:strings.Index(text, "details")] + "\n" + text[second:][:strings.Index(text[second:], "details")], lacpMember{Name: "v1"},
		},
	} {
		b := readBonding(c.text)
		if !strings.Contains(b.Mode, "802.3ad") || len(b.Members) != 2 || b.Members[1] != c.want {
			t.Errorf("%s: got %+v, want %+v", name, b, c.want)
		}
	}
}

// switchWith is a machine whose Open vSwitch has bond0 of pa0 and pa1.
func switchWith(lacp, bond string) *fake.Machine {
	m := fake.New()
	m.AddOpenVSwitch()
	for _, name := range []string{"pa0", "pa1"} {
		m.AddLink("", host.Link{Name: name, Up: true})
	}
	root := row.ID(m.Rows(host.OpenVSwitch, "Open_vSwitch")[0])
	m.Transact(host.OpenVSwitch,
		insert("Interface", "i0", ovsdb.Row{"name": "pa0"}), insert("Interface", "i1", ovsdb.Row{"name": "pa1"}),
		insert("Port", "p", ovsdb.Row{"name": "bond0", "interfaces": row.UUIDs("i0", "i1")}),
		insert("Bridge", "b", ovsdb.Row{"name": "br0", "ports": row.UUIDs("p")}),
		ovsdb.Operation{Op: ovsdb.OperationMutate, Table: "Open_vSwitch", Where: []ovsdb.Condition{row.IsRow(root)}, Mutations: []ovsdb.Mutation{row.AddRefs("bridges", "b")}})
	m.OnAsk(func(_ *fake.Machine, daemon, command string, args []string) (string, error) {
		lacp, stats, _ := strings.Cut(lacp, "---- bond0 statistics ----\n")
		said := map[string]string{"lacp/show": lacp, "bond/show": bond, "lacp/show-stats": stats}[command]
		if said == "" || len(args) != 1 || args[0] != "bond0" {
			return "", &host.DaemonError{Daemon: daemon, Command: command, Said: "no such bond"}
		}
		return said, nil
	})
	return m
}

func insert(table, name string, r ovsdb.Row) ovsdb.Operation {
	return ovsdb.Operation{Op: ovsdb.OperationInsert, Table: table, UUIDName: name, Row: r}
}

func TestProbeLACP(t *testing.T) {
	enabled := testdata(t, "ovs-negotiated-bond")
	negotiated := testdata(t, "ovs-negotiated")
	kernel := func(text string) *fake.Machine {
		m := fake.New()
		m.SetKernel("/proc/net/bonding/bond0", text)
		return m
	}
	linux := testdata(t, "linux-negotiated")
	pulled := switchWith(negotiated, enabled)
	down := false
	pulled.SetLink("", "pa1", host.LinkChange{Up: &down})
	for name, c := range map[string]struct {
		m    *fake.Machine
		spec ProbeLACPSpec
		seen string // in the error, or, after "ok:", in the report
	}{
		"negotiated":    {switchWith(negotiated, enabled), ProbeLACPSpec{Members: []string{"pa1", "pa0"}, Partner: step.Is(strings.ToUpper(ourPartner))}, "ok:pa0, pa1 current and enabled, partner " + ourPartner},
		"leg down":      {switchWith(testdata(t, "ovs-leg-down"), testdata(t, "ovs-leg-down-bond")), ProbeLACPSpec{}, "pa1 hears no LACPDU"},
		"leg may":       {switchWith(testdata(t, "ovs-leg-down"), testdata(t, "ovs-leg-down-bond")), ProbeLACPSpec{Minimum: step.Is(1)}, "ok:pa0 current"},
		"no carrier":    {pulled, ProbeLACPSpec{}, "pa1 has no carrier"},
		"two partners":  {switchWith(testdata(t, "ovs-two-partners"), enabled), ProbeLACPSpec{}, "pa1 is detached: its partner be:ae:81:e4:df:4f"},
		"two that take": {switchWith(strings.Replace(testdata(t, "ovs-two-partners"), "detached", "attached", 1), enabled), ProbeLACPSpec{Minimum: step.Is(1)}, "pa1 at be:ae:81:e4:df:4f key 1"},
		"two groups":    {switchWith(strings.Replace(negotiated, "partner key: 5", "partner key: 9", 1), enabled), ProbeLACPSpec{}, "pa0 at " + ourPartner + " key 9"},
		"silent":        {switchWith(testdata(t, "ovs-silent"), enabled), ProbeLACPSpec{Minimum: step.Is(1)}, "pa0 hears no LACPDU"},
		"damaged": {switchWith(testdata(t, "ovs-silent")+"---- bond0 statistics ----\n\nmember: pa0:\n  TX PDUs: 6\n  RX PDUs: 5\n  RX Bad PDUs: 5\n\nmember: pa1:\n  RX Bad PDUs: 0\n", enabled),
			ProbeLACPSpec{}, "pa0 got 5 LACPDUs that it could not read: cut short or damaged on the way, by its NIC's driver or the cable; pa1 hears no LACPDU"},
		"expired":        {switchWith(strings.Replace(negotiated, "current", "expired", 1), enabled), ProbeLACPSpec{}, "any more"},
		"held out":       {switchWith(strings.Replace(negotiated, "partner state: activity timeout aggregation synchronized collecting distributing", "partner state: activity", 1), enabled), ProbeLACPSpec{}, "pa0 is held out"},
		"not enabled":    {switchWith(negotiated, strings.Replace(enabled, "pa1: enabled", "pa1: disabled", 1)), ProbeLACPSpec{}, "pa1 is current but not enabled"},
		"other partner":  {switchWith(negotiated, enabled), ProbeLACPSpec{Partner: step.Is("02:00:00:00:00:99")}, "not 02:00:00:00:00:99"},
		"other members":  {switchWith(negotiated, enabled), ProbeLACPSpec{Members: []string{"pa0"}}, "members pa0, pa1"},
		"unheard of":     {switchWith(strings.Replace(negotiated, "current", "strange", 1), enabled), ProbeLACPSpec{}, `"strange"`},
		"without LACP":   {switchWith("", enabled), ProbeLACPSpec{}, "without it, mode balance-tcp"},
		"no bond":        {switchWith("", ""), ProbeLACPSpec{}, "a port that is none"},
		"nothing at all": {fake.New(), ProbeLACPSpec{}, "saw none"},
		"no members":     {switchWith("---- bond0 ----\n", "bond_mode: balance-tcp\n"), ProbeLACPSpec{}, "no members"},
		"kernel":         {kernel(linux), ProbeLACPSpec{Members: []string{"v0", "v1"}}, "ok:v0, v1 current"},
		"kernel, one":    {kernel(state(linux, 0, "69")), ProbeLACPSpec{}, "v0 hears no LACPDU"},
		"kernel, silent": {kernel(testdata(t, "linux-silent-leg")), ProbeLACPSpec{}, "v1 hears no LACPDU"},
		"kernel, split":  {kernel(testdata(t, "linux-two-partners")), ProbeLACPSpec{}, "v1 is detached: its partner ee:34:66:71:85:c5"},
		"kernel, pulled": {kernel(testdata(t, "linux-leg-down")), ProbeLACPSpec{}, "v1 has no carrier"},
		"kernel, old":    {kernel(linux[:strings.Index(linux, "details")]), ProbeLACPSpec{}, "older than 4.2"},
		"kernel, xor":    {kernel(strings.Replace(linux, "IEEE 802.3ad Dynamic link aggregation", "load balancing (xor)", 1)), ProbeLACPSpec{}, "mode load balancing (xor)"},
	} {
		c.spec.Bond, c.spec.Timeout = "bond0", briefly
		if p := c.spec.Validate(); len(p) > 0 {
			t.Errorf("%s: refused: %v", name, p)
		}
		before := c.m.Snapshot()
		r, err := c.spec.Probe(t.Context(), c.m.Host().View())
		if want, ok := strings.CutPrefix(c.seen, "ok:"); ok && (err != nil || !strings.Contains(r.Summary, want)) {
			t.Errorf("%s: %q, %v", name, r.Summary, err)
		} else if !ok && (!errors.As(err, new(*step.ProbeError)) || !strings.Contains(err.Error(), c.seen)) {
			t.Errorf("%s: %q, %v", name, r.Summary, err)
		}
		if c.m.Snapshot() != before {
			t.Errorf("%s: the probe changed the machine", name)
		}
	}
}

func TestProbeLACPOutputs(t *testing.T) {
	spec := ProbeLACPSpec{Bond: "bond0", Timeout: briefly}
	r, err := spec.Probe(t.Context(), switchWith(testdata(t, "ovs-negotiated"), testdata(t, "ovs-negotiated-bond")).Host().View())
	if want := `{"partner":"` + ourPartner + `","members":["pa0","pa1"]}`; err != nil || string(r.Outputs) != want {
		t.Errorf("got %s, %v", r.Outputs, err)
	}
}

func TestProbeLACPProblems(t *testing.T) {
	for path, change := range map[string]func(*ProbeLACPSpec){
		"bond":    func(s *ProbeLACPSpec) { s.Bond = "../x" },
		"partner": func(s *ProbeLACPSpec) { s.Partner = step.Is("switch1") },
		"minimum": func(s *ProbeLACPSpec) { s.Minimum, s.Members = step.Is(2), []string{"a"} },
		"timeout": func(s *ProbeLACPSpec) { s.Timeout = 0 },
	} {
		s := ProbeLACPSpec{Bond: "bond0", Timeout: 1}
		change(&s)
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
}

func FuzzReadShow(f *testing.F) {
	f.Add(testdata(f, "ovs-negotiated"), testdata(f, "ovs-negotiated-bond"))
	f.Add(testdata(f, "ovs-two-partners"), testdata(f, "ovs-leg-down-bond"))
	f.Add("member: : \nmember:\npartner key: x", "member  : enabled")
	f.Fuzz(func(t *testing.T, lacp, bond string) {
		b := readShow(lacp, bond)
		b.readDamaged(bond)
		neverGoodUnheard(t, b)
	})
}

func FuzzReadBonding(f *testing.F) {
	f.Add(testdata(f, "linux-negotiated"))
	f.Add("Slave Interface: \ndetails actor lacp pdu:\nport state: 300\nAggregator ID:\n")
	f.Fuzz(func(t *testing.T, text string) { neverGoodUnheard(t, readBonding(text)) })
}

// neverGoodUnheard: a member is good only where a partner is said to be there.
func neverGoodUnheard(t *testing.T, b lacpBond) {
	t.Helper()
	for _, m := range b.Members {
		if m.good() != ((ProbeLACPSpec{}).fault(m) == "") {
			t.Errorf("%+v: good is %t, and its fault %q", m, m.good(), (ProbeLACPSpec{}).fault(m))
		}
		if m.good() && (m.Partner == "" || m.Partner == nobody) {
			t.Errorf("%+v is good without a partner", m)
		}
	}
}
