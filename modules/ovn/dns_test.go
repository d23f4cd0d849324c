package ovn

import (
	"errors"
	"maps"
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

func lawsDNS() handed { return handed{kind: "ovn_dns", table: "DNS"} }

// heldBy is a row of a table that others refer to, by a column of theirs.
func (h handed) heldBy(r ovsdb.Row, by ...parent) func(*fake.Machine) {
	return func(m *fake.Machine) {
		var tx row.Tx
		tx.Insert(h.table, "made", r)
		for _, p := range by {
			for _, on := range m.Rows(host.Northbound, p.table) {
				if row.String(on, "name") == p.name {
					tx.Mutate(p.table, row.ID(on), row.AddRefs(p.column, "made"))
				}
			}
		}
		m.Transact(host.Northbound, tx.Operations()...)
	}
}

// lawsSwitches make a real host like twoSwitches.
func lawsSwitches() []host.Command {
	return steptest.Run(nbctl, "--may-exist", "ls-add", "weft-laws-a", "--", "--may-exist", "ls-add", "weft-laws-b")
}

func dnsSubject() steptest.Subject {
	h := lawsDNS()
	onA, onB := parent{"Logical_Switch", "weft-laws-a", "dns_records"}, parent{"Logical_Switch", "weft-laws-b", "dns_records"}
	byHand := ovsdb.Row{
		"records":      row.Strmap(map[string]string{"vm1.weft.test": "10.9.0.1, 10.9.0.2", "old.weft.test": "10.9.0.3"}),
		"external_ids": owned(h.kind, "note", "kept"),
	}
	byHandCommands := steptest.Run(nbctl, "--id=@made", "create", "DNS", `records={"vm1.weft.test"="10.9.0.1, 10.9.0.2","old.weft.test"="10.9.0.3"}`,
		ownedText(h.kind, "note", "kept"), "--", "add", "Logical_Switch", "weft-laws-b", "dns_records", "@made")
	return steptest.Subject{
		Kind: dnsKind(), Machine: twoSwitches,
		Found: []steptest.Hand{
			{Name: "absent", Fake: h.heldBy(ovsdb.Row{"records": row.Strmap(map[string]string{"other": "10.0.0.1"})}, onA), Host: steptest.Run("true")},
			{Name: "different", Fake: h.heldBy(byHand, onB), Host: byHandCommands},
			{Name: "held by both", Fake: h.heldBy(byHand, onA, onB), Host: slices.Concat(byHandCommands, h.run("add", "Logical_Switch", "weft-laws-a", "dns_records", "@row"))},
		},
		Cases: []steptest.Case{
			{
				Name: "whole",
				Spec: DNSSpec{
					Records:  keys{"vm1.weft.test": step.Is("10.0.0.1 fd00::1"), "1.0.0.10.in-addr.arpa": step.Is("vm1.weft.test"), "old.weft.test": step.None[string]()},
					Switches: []string{"weft-laws-a"}, ExternalIDs: keys{"by": step.Is("weft")},
				},
				Drift: []steptest.Hand{
					h.key("records", "vm1.weft.test", "10.0.0.1"),
					h.key("records", "1.0.0.10.in-addr.arpa", ""),
					h.key("records", "old.weft.test", "10.0.0.9"),
					h.moved("switches", onA, onB),
					as("switches", h.moved("", onA)),
					h.key("external_ids", "by", "me"),
					h.removed(),
				},
				Spellings: []steptest.Hand{
					h.key("records", "vm1.weft.test", "FD00:0::1,  10.0.0.1"),
					h.key("records", "another.weft.test", "10.0.0.8"),
				},
			},
			{Name: "of nobody", Spec: DNSSpec{Switches: []string{}}, Drift: []steptest.Hand{{
				Name: "switches", Host: h.run("add", "Logical_Switch", "weft-laws-a", "dns_records", "@row"),
				Fake: h.moved("", onB, onA).Fake,
			}}},
			{Name: "absent", Spec: DNSSpec{State: step.Absent, Records: keys{"vm1.weft.test": step.Is("10.9.0.2 10.9.0.1")}}, Drift: []steptest.Hand{{Name: "state", Fake: h.heldBy(byHand, onB), Host: byHandCommands}}},
		},
		Touches: steptest.Touches{Queries: slices.Concat(h.shown("records", "external_ids"),
			steptest.Run("sh", "-c", `row=$(ovn-nbctl --bare --columns=_uuid find DNS "$1"); test -z "$row" || ovn-nbctl --bare --columns=name find Logical_Switch "dns_records{>=}$row" | sort`, "sh", lawsFind(h)))},
		Clean: slices.Concat(h.clean(), lawsSwitches()),
	}
}

func lawsFind(h handed) string {
	_, find := h.which()
	return find
}

func TestLawsDNS(t *testing.T) { laws(t, dnsSubject()) }

func TestDNSWaitsForItsSwitches(t *testing.T) {
	m := twoSwitches()
	_, err := made(t, dnsKind(), DNSSpec{Name: "d", Switches: []string{"weft-laws-a", "ls9"}}).Check(t.Context(), m.Host().View())
	if !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), `"ls9"`) {
		t.Errorf("records of a switch that is not there: %v", err)
	}
}

// A name in external_ids is what other kinds would refer to the row by.
func TestDNSRecordsAreLabelled(t *testing.T) {
	m := twoSwitches()
	converge(t, made(t, dnsKind(), DNSSpec{Name: "guests"}), m)
	if ids := row.Map(m.Rows(host.Northbound, "DNS")[0], "external_ids"); !maps.Equal(ids, map[string]string{nameKey: "guests", ownerKey: "lab/ovn_dns.a"}) {
		t.Errorf("external_ids are %v", ids)
	}
}

func TestDNSProblems(t *testing.T) {
	good := DNSSpec{Name: "guests", Switches: []string{"ls1"}, Records: keys{
		"vm1.example.org": step.Is("172.16.255.11,fd00::11"), "_srv": step.Is("10.0.0.1"), "gone.example.org": step.None[string](),
		"11.255.16.172.in-addr.arpa": step.Is("vm1.example.org"), "1.0.d.f.ip6.arpa": step.Is("vm1"),
	}}
	if p := good.Validate(); len(p) > 0 {
		t.Errorf("a good spec is refused: %v", p)
	}
	for name, answer := range map[string]string{
		"VM1": "10.0.0.1", "vm1.": "10.0.0.1", "": "10.0.0.1", "a..b": "10.0.0.1", strings.Repeat("a", 64): "10.0.0.1", "a b": "10.0.0.1",
		"vm1": "", "vm2": "10.0.0.1/24", "vm3": "vm1", "1.0.0.10.in-addr.arpa": "10.0.0.1", "2.0.0.10.in-addr.arpa": "a b", "3.0.0.10.in-addr.arpa": "A",
	} {
		s := DNSSpec{Name: "d", Records: keys{name: step.Is(answer)}}
		if p := s.Validate(); len(p) != 1 || p[0].Path != "records."+name {
			t.Errorf("%q = %q: %v", name, answer, p)
		}
	}
	for path, s := range map[string]DNSSpec{
		"switches":               {Name: "d", Switches: []string{"a", "a"}},
		"external_ids.weft-name": {Name: "d", ExternalIDs: keys{nameKey: step.Is("me")}},
	} {
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
}

func TestDNSAdvice(t *testing.T) {
	m := twoSwitches()
	idle := made(t, dnsKind(), DNSSpec{Name: "d", Switches: []string{}})
	converge(t, idle, m)
	if f, err := idle.Check(t.Context(), m.Host().View()); err != nil || len(f.Warnings) != 1 {
		t.Errorf("records of no switch: %v, %v", f.Warnings, err)
	}
	f, err := made(t, dnsKind(), DNSSpec{Name: "d", State: step.Absent}).Check(t.Context(), m.Host().View())
	if err != nil || f.Cost.Disruption == "" {
		t.Errorf("a removal: %v, %v", f.Cost, err)
	}
}
