package libvirt

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

func TestCardLaws(t *testing.T) {
	const object = host.VirtualDomain
	bridged := define(object, withCard(guest, otherCard))
	laws(t, steptest.Subject{
		Kind: cardKind(), Machine: hypervisor, Prepare: bridges, Borrows: "it tells of a card, and plugs none in",
		Policy: []string{"domain", "mac"}, Fleeting: []string{"target"}, // which card it is
		Found:   []steptest.Hand{hand("defined", bridged), hand("at work", bridged, order(host.VirtualStart, object))},
		Cases:   []steptest.Case{{Name: "asked", Spec: CardSpec{Domain: name, MAC: mac2}}},
		Touches: steptest.Touches{Queries: shown("list", "--all")},
		Clean:   slices.Concat(steptest.Run("virsh", "-q", "destroy", name), steptest.Run("virsh", "-q", "undefine", name)),
	})
}

// TestCardsAreTold: what Open vSwitch says counts while the machine runs, since
// another hand may have changed it under the guest.
func TestCardsAreTold(t *testing.T) {
	const uuid = "3b8e2a4e-3f0c-4b8a-9f55-0d5a7e0c1aff"
	spec := CardSpec{Domain: name, MAC: strings.ToUpper(mac2)}
	m := hypervisor()
	m.Define(host.VirtualDomain, name, withCard(guest, otherCard))
	told := func(what, want string) {
		t.Helper()
		f, err := checked(t, cardKind(), m, spec)
		if err != nil || f.Changed() || string(f.Outputs) != want {
			t.Errorf("%s: %s, want %s; %v, %v", what, f.Outputs, want, f.Deltas, err)
		}
	}
	told("defined", `{"uuid":"`+uuid+`","mac":"`+mac2+`","interface_id":"11111111-2222-4333-8444-555555555555"}`)
	m.Virsh(host.VirtualStart, host.VirtualDomain, name)
	m.Transact(host.OpenVSwitch, ovsdb.Operation{
		Op: ovsdb.OperationUpdate, Table: "Interface", Where: []ovsdb.Condition{row.Is("name", "weft-old")},
		Row: ovsdb.Row{"external_ids": row.Strmap(map[string]string{"iface-id": "by-hand"})},
	})
	told("at work", `{"uuid":"`+uuid+`","mac":"`+mac2+`","interface_id":"by-hand","target":"weft-old"}`)
}

func TestCardsThatAreNotThere(t *testing.T) {
	bare := hypervisor()
	bare.Define(host.VirtualDomain, name, guest)
	for what, c := range map[string]struct {
		m    *fake.Machine
		says string
	}{
		"no domain":   {hypervisor(), "there is no domain"},
		"no such":     {bare, "has no such card, but"},
		"no libvirtd": {fake.New(), ""},
	} {
		_, err := checked(t, cardKind(), c.m, CardSpec{Domain: name, MAC: "52:54:00:99:99:99"})
		if !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if p := (&CardSpec{Domain: name, MAC: "here"}).Validate(); len(p) != 1 || p[0].Path != "mac" {
		t.Errorf("%v", p)
	}
}
