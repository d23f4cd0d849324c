package ovn

import (
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

func lawsSet() handed { return handed{"ovn_address_set", "Address_Set", "weft.laws"} }

func addressSetSubject() steptest.Subject {
	h := lawsSet()
	byHand := ovsdb.Row{"name": h.name, "addresses": row.Set("10.9.0.1", "10.9.0.0/255.255.255.0"), "external_ids": owned(h.kind, "note", "kept")}
	byHandCommands := steptest.Run(nbctl, "create", h.table, "name="+h.name, `addresses="10.9.0.1","10.9.0.0/255.255.255.0"`, ownedText(h.kind, "note", "kept"))
	return steptest.Subject{
		Kind: addressSetKind(), Machine: central, Borrows: "a name that a match can say has no hyphen", Policy: []string{"adopt"},
		Found: []steptest.Hand{
			{Name: "absent", Fake: addRow(h.table, ovsdb.Row{"name": "other"}), Host: steptest.Run("true")},
			{Name: "different", Fake: addRow(h.table, byHand), Host: byHandCommands},
		},
		Cases: []steptest.Case{
			{
				Name: "whole",
				Spec: AddressSetSpec{Name: h.name, Addresses: []string{"10.0.0.5", "10.0.1.0/24"}, ExternalIDs: keys{"by": step.Is("weft")}},
				Drift: []steptest.Hand{
					h.drift("addresses", row.Set("10.0.0.5"), `"10.0.0.5"`),
					h.key("external_ids", "by", ""),
					h.removed(),
				},
				Spellings: []steptest.Hand{
					h.drift("addresses", row.Set("10.0.0.5/32", "10.0.1.0/255.255.255.0"), `"10.0.0.5/32","10.0.1.0/255.255.255.0"`),
					h.key("external_ids", "note", "mine"),
				},
			},
			{
				Name: "six", Spec: AddressSetSpec{Name: h.name, Addresses: []string{"fd00::5", "fd00:1::/64"}},
				Drift:     []steptest.Hand{h.drift("addresses", row.Set("fd00::5", "fd00::6"), `"fd00::5","fd00::6"`)},
				Spellings: []steptest.Hand{h.drift("addresses", row.Set("FD00:0::5", "fd00:1::/ffff:ffff:ffff:ffff::"), `"FD00:0::5","fd00:1::/ffff:ffff:ffff:ffff::"`)},
			},
			{
				Name: "emptied", Spec: AddressSetSpec{Name: h.name, Addresses: []string{}},
				Drift: []steptest.Hand{h.drift("addresses", row.Set("10.0.0.6"), `"10.0.0.6"`)},
			},
			{
				Name: "absent", Spec: AddressSetSpec{Name: h.name, State: step.Absent},
				Drift: []steptest.Hand{{Name: "state", Fake: addRow(h.table, byHand), Host: byHandCommands}},
			},
		},
		Touches: steptest.Touches{Queries: h.shown("name", "addresses", "external_ids")},
		Clean:   h.clean(),
	}
}

func TestLawsAddressSet(t *testing.T) { laws(t, addressSetSubject()) }

func TestAddressSetProblems(t *testing.T) {
	for _, good := range [][]string{
		nil, {}, {"10.0.0.1", "10.0.0.0/24", "10.0.1.0/255.255.255.0", "10.0.0.2/32", "0.0.0.1/0.0.0.255"},
		{"fd00::1", "fd00::/64", "fd00::/ffff::"}, {"02:ac:10:ff:00:11", "01:00:00:00:00:00/01:00:00:00:00:00"},
	} {
		s := AddressSetSpec{Name: "a.set_1", Addresses: good}
		if p := s.Validate(); len(p) > 0 {
			t.Errorf("%q: %v", good, p)
		}
	}
	for _, bad := range [][]string{
		{"10.0.0.5/24"}, {"10.0.0.1", "fd00::1"}, {"10.0.0.1", "02:ac:10:ff:00:11"}, {""}, {"$other"}, {"10.0.0.0/33"},
		{"10.0.0.0/fd00::"}, {"10.0.0.1/255.255.255.0"}, {"fe80::1%eth0"}, {"02:ac:10:ff:00:11/8"}, {"10.0.0.1 10.0.0.2"}, {"10.0.0.1", "10.0.0.1/32"}, {"10.0.0.1/"},
	} {
		s := AddressSetSpec{Name: "a", Addresses: bad}
		if p := s.Validate(); len(p) != 1 || p[0].Path != "addresses" {
			t.Errorf("%q: %v", bad, p)
		}
	}
	for _, name := range []string{"", "$a", "web-servers", "1a", "a b"} {
		s := AddressSetSpec{Name: name}
		if p := s.Validate(); len(p) != 1 || p[0].Path != "name" {
			t.Errorf("name %q: %v", name, p)
		}
	}
}

func TestCanonicalMember(t *testing.T) {
	for spelling, want := range map[string]string{
		"10.0.0.1/32": "10.0.0.1", "10.0.0.0/255.255.255.0": "10.0.0.0/24", "FD00::/FFFF::": "fd00::/16", "fd00:0::1/128": "fd00::1",
		"10.0.0.1/0.0.0.255": "10.0.0.1/0.0.0.255", "02:AC:10:ff:00:11": "02:ac:10:ff:00:11", "0.0.0.0/0.0.0.0": "0.0.0.0/0", "what": "what",
		"10.0.0.1/255.255.255.255": "10.0.0.1", "10.0.0.1/fd00::": "10.0.0.1/fd00::", " 10.0.0.1 ": "10.0.0.1",
	} {
		if got := canonicalMember(spelling); got != want {
			t.Errorf("%q became %q instead of %q", spelling, got, want)
		}
	}
}

func TestAddressSetInUseStays(t *testing.T) {
	m := central()
	s := made(t, addressSetKind(), AddressSetSpec{Name: "a", State: step.Absent, Adopt: true})
	var tx row.Tx
	tx.Insert("Address_Set", "set", ovsdb.Row{"name": "a"})
	tx.Insert("NAT", "nat", ovsdb.Row{"type": "snat", "external_ip": "192.0.2.1", "logical_ip": "10.0.0.0/24", "allowed_ext_ips": row.UUIDs("set")})
	tx.Insert("Logical_Router", "", ovsdb.Row{"name": "lr1", "nat": row.UUIDs("nat")})
	m.Transact(host.Northbound, tx.Operations()...)
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil || !strings.Contains(f.Cost.Disruption, "$a") {
		t.Fatalf("the check of a removal: %v, %v", f.Cost, err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err == nil || !strings.Contains(err.Error(), "referential integrity") {
		t.Errorf("a set that a NAT rule needs was removed: %v", err)
	}
}
