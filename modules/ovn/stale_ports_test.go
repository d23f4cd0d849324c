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
		Kind: stalePortsKind(), Machine: twoSwitches, Borrows: "a step speaks of all ports; those that the hands make carry the prefix",
		Found: []steptest.Hand{{Name: "none", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")}, left},
		Cases: []steptest.Case{{
			Name: "asked", Spec: StalePortsSpec{Guests: map[string][]string{"ubuntu2": {livesID}, "ubuntu3": {}}},
			Drift:     []steptest.Hand{gone, other, guestHand("weft-laws-three", "ubuntu3/"+livesID)},
			Spellings: []steptest.Hand{elsewhere, byHand},
		}},
		Touches: steptest.Touches{Queries: slices.Concat(
			steptest.Run("sh", "-c", "ovn-nbctl --format=csv --no-headings --columns=name,type,addresses,tag,external_ids list Logical_Switch_Port | grep weft-laws- | sort"),
			steptest.Run("sh", "-c", "ovn-nbctl show weft-laws-a | sort"), steptest.Run("sh", "-c", "ovn-nbctl show weft-laws-b | sort"))},
		Clean: slices.Concat(
			steptest.Run(nbctl, "--may-exist", "ls-add", "weft-laws-a", "--", "--may-exist", "ls-add", "weft-laws-b"),
			steptest.Run(nbctl, "--if-exists", "lsp-del", "weft-laws-gone", "--", "--if-exists", "lsp-del", "weft-laws-lives", "--", "--if-exists", "lsp-del", "weft-laws-far"),
			steptest.Run(nbctl, "--if-exists", "lsp-del", "weft-laws-three", "--", "--if-exists", "lsp-del", "weft-laws-hand", "--", "--if-exists", "destroy", "Port_Group", "weft_laws")),
	})
}

func TestPortsThatStay(t *testing.T) {
	m := twoSwitches()
	for name, guest := range map[string]string{"far": "ubuntu9/" + goneID, "lives": "ubuntu2/" + livesID, "parent": "ubuntu2/" + goneID, "odd": goneID} {
		addPort("weft-laws-a", guestPort(name, guest))(m)
	}
	addPort("weft-laws-a", ovsdb.Row{"name": "container", "parent_name": row.Optional("parent")})(m)
	addPort("weft-laws-a", ovsdb.Row{"name": "other-site", "external_ids": row.Strmap(map[string]string{ownerKey: "prod/vm_attach.v0", vmKey: "ubuntu2/" + goneID})})(m)
	s := madeFor(t, stalePortsKind(), steptest.Prefix+"/ovn_stale_ports.a", "ovn_stale_ports.a", StalePortsSpec{Guests: map[string][]string{"ubuntu2": {livesID}}})
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil || f.Changed() {
		t.Fatalf("%v, %v", f.Deltas, err)
	}
	if said := strings.Join(f.Warnings, "\n"); len(f.Warnings) != 2 || !strings.Contains(said, "host ubuntu9 was not asked") || !strings.Contains(said, "port parent") {
		t.Errorf("warnings %q", f.Warnings)
	}
}

// TestAnotherPortOfAGoneGuest: what has the name by now is left.
func TestAnotherPortOfAGoneGuest(t *testing.T) {
	m := twoSwitches()
	addPort("weft-laws-a", guestPort("p", "ubuntu2/"+goneID))(m)
	s := madeFor(t, stalePortsKind(), steptest.Prefix+"/ovn_stale_ports.a", "ovn_stale_ports.a", StalePortsSpec{Guests: map[string][]string{"ubuntu2": {}}})
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
