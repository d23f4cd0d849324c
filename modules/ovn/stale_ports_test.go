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

const (
	livesID = "5b0f1f0e-8d5c-4a39-9c1c-0d2f2a5b7e11"
	goneID  = "7c0f1f0e-8d5c-4a39-9c1c-0d2f2a5b7e12"
)

// guestPort is a port as the step that attaches a guest makes it.
func guestPort(name, guest string) ovsdb.Row {
	return ovsdb.Row{
		"name": name, "addresses": row.Set("02:ac:10:ff:00:11 172.16.255.11"), "tag": row.Optional(9),
		"external_ids": row.Strmap(map[string]string{ownerKey: steptest.Prefix + "/vm_attach.v0", vmKey: guest}),
	}
}

// asked are hosts with their guests; one without a list could not be asked.
func asked(guests map[string][]string) StalePortsSpec {
	return StalePortsSpec{Hosts: slices.Sorted(maps.Keys(guests)), Guests: guests}
}

func guestHand(name, guest string) steptest.Hand {
	return steptest.Hand{
		Name: "guests.stale." + name, Fake: addPort("weft-laws-a", guestPort(name, guest)),
		Host: steptest.Run(nbctl, "lsp-add", "weft-laws-a", name, "--", "set", "Logical_Switch_Port", name, `addresses="02:ac:10:ff:00:11 172.16.255.11"`, "tag=9",
			`external_ids:weft-owner="`+steptest.Prefix+`/vm_attach.v0"`, `external_ids:weft-vm="`+guest+`"`),
	}
}

// inGroup has a port group refer to a port.
func inGroup(port string) func(*fake.Machine) {
	return func(m *fake.Machine) {
		for _, p := range m.Rows(host.Northbound, portTable) {
			if row.String(p, "name") == port {
				addRow("Port_Group", ovsdb.Row{"name": "weft_laws", "ports": row.UUIDs(row.ID(p))})(m)
			}
		}
	}
}

func TestLawsStalePorts(t *testing.T) {
	gone, lives := guestHand("weft-laws-gone", "ubuntu2/"+goneID), guestHand("weft-laws-lives", "ubuntu2/"+strings.ToUpper(livesID))
	left := steptest.Hand{
		Name: "left behind", Fake: all(gone.Fake, lives.Fake, inGroup("weft-laws-gone")),
		Host: append(slices.Concat(gone.Host, lives.Host), steptest.Run(nbctl, "pg-add", "weft_laws", "weft-laws-gone")...),
	}
	other := guestHand("weft-laws-gone", "ubuntu2/"+goneID)
	other.Fake = addPort("weft-laws-b", guestPort("weft-laws-gone", "ubuntu2/"+goneID))
	other.Host = steptest.Run(append([]string{nbctl, "lsp-add", "weft-laws-b"}, other.Host[0].Argv[3:]...)...)
	elsewhere := guestHand("weft-laws-far", "ubuntu9/"+goneID)
	byHand := steptest.Hand{Name: "by hand", Fake: addPort("weft-laws-a", ovsdb.Row{"name": "weft-laws-hand", "external_ids": row.Strmap(map[string]string{vmKey: "ubuntu2/" + goneID})}),
		Host: steptest.Run(nbctl, "lsp-add", "weft-laws-a", "weft-laws-hand", "--", "set", "Logical_Switch_Port", "weft-laws-hand", `external_ids:weft-vm="ubuntu2/`+goneID+`"`)}
	laws(t, steptest.Subject{
		Kind: stalePortsKind(), Machine: twoSwitches, Borrows: "a step speaks of all ports; those that the hands make carry the prefix", Policy: []string{"hosts"}, // whom to believe
		Found: []steptest.Hand{{Name: "none", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")}, left},
		Cases: []steptest.Case{{
			Name: "asked", Spec: asked(map[string][]string{"ubuntu2": {livesID}, "ubuntu3": {}}),
			Drift:     []steptest.Hand{gone, other, guestHand("weft-laws-three", "ubuntu3/"+goneID)},
			Spellings: []steptest.Hand{elsewhere, byHand, guestHand("weft-laws-moved", "ubuntu3/"+livesID)},
		}},
		Touches: steptest.Touches{Queries: slices.Concat(
			steptest.Run("sh", "-c", "ovn-nbctl --format=csv --no-headings --columns=name,type,addresses,tag,external_ids list Logical_Switch_Port | grep weft-laws- | sort"),
			steptest.Run("sh", "-c", "ovn-nbctl show weft-laws-a | sort"), steptest.Run("sh", "-c", "ovn-nbctl show weft-laws-b | sort"))},
		Clean: slices.Concat(
			steptest.Run(nbctl, "--may-exist", "ls-add", "weft-laws-a", "--", "--may-exist", "ls-add", "weft-laws-b"),
			steptest.Run(nbctl, "--if-exists", "lsp-del", "weft-laws-gone", "--", "--if-exists", "lsp-del", "weft-laws-lives", "--", "--if-exists", "lsp-del", "weft-laws-far",
				"--", "--if-exists", "lsp-del", "weft-laws-moved"),
			steptest.Run(nbctl, "--if-exists", "lsp-del", "weft-laws-three", "--", "--if-exists", "lsp-del", "weft-laws-hand", "--", "--if-exists", "destroy", "Port_Group", "weft_laws")),
	})
}

// TestPortsThatStay: what is not provably dead, or not ours, stays.
func TestPortsThatStay(t *testing.T) {
	gone := guestPort("p", "ubuntu2/"+goneID)
	for _, c := range []struct {
		name   string
		guests map[string][]string
		ports  []ovsdb.Row
		said   []string // the warnings
	}{
		{"its guest is there", map[string][]string{"ubuntu2": {strings.ToUpper(goneID)}}, []ovsdb.Row{gone}, nil},
		{"its guest was moved", map[string][]string{"ubuntu2": {}, "ubuntu3": {goneID}}, []ovsdb.Row{gone}, nil},
		{"its guest was moved from a host that is lost", map[string][]string{"ubuntu2": nil, "ubuntu3": {goneID}}, []ovsdb.Row{gone}, nil},
		{"its host was not asked", map[string][]string{"ubuntu2": nil, "ubuntu3": {livesID}}, []ovsdb.Row{gone}, []string{"host ubuntu2 was not asked"}},
		{"another host was not asked", map[string][]string{"ubuntu2": {livesID}, "ubuntu3": nil}, []ovsdb.Row{gone}, []string{"host ubuntu3 was not asked"}},
		{"its host is none of those to ask", map[string][]string{"ubuntu3": {}}, []ovsdb.Row{gone}, []string{"host ubuntu2 was not asked"}},
		{"nobody is to be asked", map[string][]string{}, []ovsdb.Row{gone}, []string{"host ubuntu2 was not asked"}},
		{"it is up", map[string][]string{"ubuntu2": {}}, []ovsdb.Row{guestPort("p", "ubuntu2/"+goneID), {"name": "p", "up": row.Optional(true)}}, []string{"port p of guest ubuntu2/" + goneID + " is up"}},
		{"it carries a container's", map[string][]string{"ubuntu2": {}}, []ovsdb.Row{gone, {"name": "container", "parent_name": row.Optional("p")}}, []string{"port p of guest"}},
		{"its guest is not named whole", map[string][]string{"ubuntu2": {}}, []ovsdb.Row{guestPort("p", goneID)}, nil},
		{"its guest has no UUID", map[string][]string{"ubuntu2": {}}, []ovsdb.Row{guestPort("p", "ubuntu2/")}, nil},
		{"it is another site's", map[string][]string{"ubuntu2": {}}, []ovsdb.Row{{"name": "p", "external_ids": row.Strmap(map[string]string{ownerKey: "prod/vm_attach.v0", vmKey: "ubuntu2/" + goneID})}}, nil},
		{"it is nobody's", map[string][]string{"ubuntu2": {}}, []ovsdb.Row{{"name": "p", "external_ids": row.Strmap(map[string]string{vmKey: "ubuntu2/" + goneID})}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := twoSwitches()
			for _, p := range c.ports {
				if up, is := p["up"]; is {
					update(host.Northbound, portTable, "name", p["name"].(string), ovsdb.Row{"up": up})(m)
					continue
				}
				addPort("weft-laws-a", p)(m)
			}
			s := madeFor(t, stalePortsKind(), steptest.Prefix+"/ovn_stale_ports.a", "ovn_stale_ports.a", asked(c.guests))
			f, err := s.Check(t.Context(), m.Host().View())
			if err != nil || f.Changed() {
				t.Fatalf("%v, %v", f.Deltas, err)
			}
			if len(f.Warnings) != len(c.said) || len(c.said) > 0 && !strings.HasPrefix(f.Warnings[0], c.said[0]) {
				t.Errorf("warnings %q, want %q", f.Warnings, c.said)
			}
		})
	}
}

// TestAPortThatComesUpAgain: a port that an undo brings back comes up where its card
// is still there, and the undo is not at odds with that.
func TestAPortThatComesUpAgain(t *testing.T) {
	m := twoSwitches()
	addPort("weft-laws-a", guestPort("p", "ubuntu2/"+goneID))(m)
	s := madeFor(t, stalePortsKind(), steptest.Prefix+"/ovn_stale_ports.a", "ovn_stale_ports.a", asked(map[string][]string{"ubuntu2": {}}))
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil || !f.Changed() {
		t.Fatalf("%v, %v", f.Deltas, err)
	}
	converge(t, s, m)
	f.Settled = true
	for range 2 {
		if err := s.Undo(t.Context(), m.Host(), f); err != nil {
			t.Fatal(err)
		}
		update(host.Northbound, portTable, "name", "p", ovsdb.Row{"up": row.Optional(true)})(m)
	}
}

// TestAnotherPortOfAGoneGuest: what has the name by now is left.
func TestAnotherPortOfAGoneGuest(t *testing.T) {
	m := twoSwitches()
	addPort("weft-laws-a", guestPort("p", "ubuntu2/"+goneID))(m)
	s := madeFor(t, stalePortsKind(), steptest.Prefix+"/ovn_stale_ports.a", "ovn_stale_ports.a", asked(map[string][]string{"ubuntu2": {}}))
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	converge(t, s, m)
	f.Settled = true
	addPort("weft-laws-b", ovsdb.Row{"name": "p"})(m)
	before := m.Snapshot()
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) || m.Snapshot() != before {
		t.Errorf("undo where another port has the name: %v", err)
	}
}
