package libvirt

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/host/xmltree"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// guest is a domain of a step of the same site, with a card of its own.
var guest = strings.Replace(strings.Replace(tiny, `<memory unit="MiB">`, "<name>weft-laws</name><uuid>3b8e2a4e-3f0c-4b8a-9f55-0d5a7e0c1aff</uuid>"+tagged("libvirt_domain")+`<memory unit="MiB">`, 1),
	`<graphics type="vnc" port="-1" autoport="yes" passwd="canary"/>`, "", 1)

// otherCard is the card of the laws with other values.
const otherCard = `<interface type="bridge">
  <mac address="52:54:00:00:77:02"/>
  <source bridge="weft-laws1"/>
  <vlan><tag id="7"/></vlan>
  <virtualport type="openvswitch"><parameters interfaceid="11111111-2222-4333-8444-555555555555" profileid="kept"/></virtualport>
  <target dev="weft-old"/>
  <model type="e1000"/>
  <mtu size="1400"/>
  <bandwidth><inbound average="1000"/></bandwidth>
  <address type="pci" domain="0x0000" bus="0x00" slot="0x07" function="0x0"/>
</interface>`

const lawsNet = `<network><name>weft-laws</name><forward mode="bridge"/><bridge name="weft-laws0"/><virtualport type="openvswitch"/>
<portgroup name="vlan300"><vlan><tag id="300"/></vlan></portgroup><portgroup name="vlan301"><vlan><tag id="301"/></vlan></portgroup></network>`

// defineNetwork has another hand define a network and start it.
func defineNetwork(called string) steptest.Hand {
	text := strings.Replace(lawsNet, name, called, 1)
	return steptest.Hand{
		Fake: func(m *fake.Machine) {
			m.Define(host.VirtualNetwork, called, text)
			m.Virsh(host.VirtualStart, host.VirtualNetwork, called)
		},
		Host: []host.Command{
			{Argv: []string{"virsh", "-q", "net-define", "/dev/stdin"}, Stdin: []byte(text)}, {Argv: []string{"virsh", "-q", "net-start", called}},
		},
	}
}

func withCard(domain, card string) string {
	return strings.Replace(domain, `<memballoon`, card+`<memballoon`, 1)
}

func interfaceSubject() steptest.Subject {
	const object = host.VirtualDomain
	network := hand("networks", defineNetwork(name), defineNetwork(name+"-2"))
	bare, carded, start := define(object, guest), define(object, withCard(guest, otherCard)), order(host.VirtualStart, object)
	plug := steptest.Hand{Fake: func(m *fake.Machine) { m.Device(host.DeviceAttach, name, otherCard) }}
	unplug := steptest.Hand{Fake: func(m *fake.Machine) { m.Device(host.DeviceDetach, name, otherCard) }}
	onFake := func(named string, parts ...steptest.Hand) steptest.Hand {
		h := hand(named, parts...) // a guest without a system lets go of no card
		h.Host = nil
		return h
	}
	card := func(change func(n *xmltree.Node), sed string) steptest.Hand {
		return edit(object, func(n *xmltree.Node) { change(nicOf(n, mac2)) }, "/77:02/,/<.interface/{"+sed+"}")
	}
	return steptest.Subject{
		Kind:     interfaceKind(),
		Machine:  hypervisor,
		Prepare:  bridges,
		Policy:   []string{"domain", "mac", "adopt", "release_timeout"}, // the first two say which it is
		Fleeting: []string{"interface_id", "target"},
		Found: []steptest.Hand{
			hand("absent", network, bare),
			hand("different", network, carded),
			onFake("absent, at work", network, bare, start),
			onFake("different, at work", network, carded, start),
			onFake("plugged in alone", network, bare, start, plug),
			onFake("defined alone", network, carded, start, unplug),
		},
		Cases: []steptest.Case{
			{
				Name: "over a bridge",
				Spec: map[string]any{
					"domain": name, "mac": strings.ToUpper(mac2), "bridge": "weft-laws0", "virtualport": "openvswitch", "interface_id": "3B8E2A4E-3f0c-4b8a-9f55-0d5a7e0c1a11",
					"tag": 300, "model": "virtio", "mtu": 1450, "target": "weft-card",
				},
				Drift: []steptest.Hand{
					hand("bridge", card(func(n *xmltree.Node) { n.At("source").Set("bridge", "weft-laws1") }, "s/weft-laws0/weft-laws1/")),
					hand("virtualport", card(func(n *xmltree.Node) { n.Remove(n.At("virtualport")); n.At("source").Set("bridge", "weft-laws2") }, "/<virtualport/,/<.virtualport/d;s/weft-laws0/weft-laws2/")),
					hand("interface_id", card(func(n *xmltree.Node) {
						n.At("virtualport").At("parameters").Set("interfaceid", "11111111-2222-4333-8444-555555555555")
					}, "s/3b8e2a4e-3f0c-4b8a-9f55-0d5a7e0c1a11/11111111-2222-4333-8444-555555555555/")),
					hand("tag", card(func(n *xmltree.Node) { n.At("vlan").At("tag").Set("id", "301") }, "s/id='300'/id='301'/")),
					hand("model", card(func(n *xmltree.Node) { n.At("model").Set("type", "e1000") }, "s/type='virtio'/type='e1000'/")),
					hand("mtu", card(func(n *xmltree.Node) { n.At("mtu").Set("size", "1400") }, "s/1450/1400/")),
					hand("target", card(func(n *xmltree.Node) { n.At("target").Set("dev", "weft-x") }, "s/weft-card/weft-x/")),
					hand("state", edit(object, func(n *xmltree.Node) { n.At("devices").Remove(nicOf(n, mac2)) }, "$!N;/<interface.*77:02/,/<.interface/d;P;D")),
				},
				Spellings: []steptest.Hand{hand("what another hand adds", card(func(n *xmltree.Node) { n.Child("link").Set("state", "up") }, "s/<model/<link state='up'\\/><model/"))},
			},
			{
				Name: "on a network",
				Spec: map[string]any{"domain": name, "mac": mac2, "network": name, "portgroup": "vlan300", "tag": nil},
				Drift: []steptest.Hand{
					hand("portgroup", card(func(n *xmltree.Node) { n.At("source").Set("portgroup", "vlan301") }, "s/vlan300/vlan301/")),
					hand("network", card(func(n *xmltree.Node) { n.At("source").Set("network", "weft-laws-2") }, "s/network='weft-laws'/network='weft-laws-2'/")),
				},
			},
			{
				Name: "absent", Spec: map[string]any{"domain": name, "mac": mac2, "state": "absent"},
				Drift: []steptest.Hand{hand("state", carded)},
			},
		},
		Touches: steptest.Touches{Queries: slices.Concat(shown("dumpxml", "--inactive", name), shown("domstate", name))},
		Clean: slices.Concat(steptest.Run("virsh", "-q", "destroy", name), steptest.Run("virsh", "-q", "undefine", name),
			steptest.Run("virsh", "-q", "net-destroy", name), steptest.Run("virsh", "-q", "net-undefine", name),
			steptest.Run("virsh", "-q", "net-destroy", name+"-2"), steptest.Run("virsh", "-q", "net-undefine", name+"-2")),
	}
}

func TestInterfaceLaws(t *testing.T) { laws(t, interfaceSubject()) }

func TestInterfaceValidate(t *testing.T) {
	for _, c := range []struct{ spec, want string }{
		{`{"domain": "v", "mac": "52-54-00-00-00-01", "bridge": "b"}`, "is no address of a network card"},
		{`{"domain": "v", "mac": "53:54:00:00:00:01", "bridge": "b"}`, "is no address of a network card"},
		{`{"domain": "", "mac": "52:54:00:00:00:01", "bridge": "b"}`, "is no name that libvirt takes"},
		{`{"domain": "v", "mac": "52:54:00:00:00:01"}`, "is missing"},
		{`{"domain": "v", "mac": "52:54:00:00:00:01", "bridge": "b", "network": "n"}`, "stands beside network"},
		{`{"domain": "v", "mac": "52:54:00:00:00:01", "bridge": "b", "portgroup": "n"}`, "needs network"},
		{`{"domain": "v", "mac": "52:54:00:00:00:01", "bridge": "b", "interface_id": "n"}`, `needs virtualport = "openvswitch"`},
		{`{"domain": "v", "mac": "52:54:00:00:00:01", "bridge": "b", "target": "vnet1"}`, "is no name that libvirt keeps"},
		{`{"domain": "v", "mac": "52:54:00:00:00:01", "bridge": "b", "tag": 0}`, "is no VLAN"},
		{`{"domain": "v", "mac": "52:54:00:00:00:01", "bridge": "b", "release_timeout": "-1s"}`, "is no length of time"},
	} {
		var s InterfaceSpec
		if err := json.Unmarshal([]byte(c.spec), &s); err != nil {
			t.Fatal(err)
		}
		if p := s.Validate(); len(p) != 1 || p[0].Message != c.want {
			t.Errorf("%s: %v, want %s", c.spec, p, c.want)
		}
	}
}

// The name of the port is what Open vSwitch says: another hand may have changed
// it under the guest.
func TestInterfaceOutputs(t *testing.T) {
	m := hypervisor()
	m.Define(host.VirtualDomain, name, withCard(guest, otherCard))
	m.Virsh(host.VirtualStart, host.VirtualDomain, name)
	m.Transact(host.OpenVSwitch, ovsdb.Operation{
		Op: ovsdb.OperationUpdate, Table: "Interface", Where: []ovsdb.Condition{row.Is("name", "weft-old")},
		Row: ovsdb.Row{"external_ids": row.Strmap(map[string]string{"iface-id": "by-hand"})},
	})
	f, err := checked(t, interfaceKind(), m, map[string]any{"domain": name, "mac": mac2, "bridge": "weft-laws1"})
	if want := `{"interface_id":"by-hand","mac":"52:54:00:00:77:02","target":"weft-old"}`; err != nil || string(f.Outputs) != want {
		t.Errorf("%v: %s, want %s", err, f.Outputs, want)
	}
}

// The port is called the same now and after the next start: OVN's port has that
// name.
func TestInterfaceKeepsItsID(t *testing.T) {
	m := hypervisor()
	m.Define(host.VirtualDomain, name, guest)
	m.Virsh(host.VirtualStart, host.VirtualDomain, name)
	spec := map[string]any{"domain": name, "mac": mac2, "bridge": "weft-laws0", "virtualport": "openvswitch"}
	id := func() string {
		t.Helper()
		apply(t, interfaceKind(), m, spec)
		f, err := checked(t, interfaceKind(), m, spec)
		if err != nil || f.Changed() {
			t.Fatalf("%v, %v", f.Deltas, err)
		}
		return string(f.Outputs)
	}
	first := id()
	v, _ := m.VirtualState(host.VirtualDomain, name)
	m.Device(host.DeviceDetach, name, nicOf(parse(t, v.Live), mac2).String())
	if again := id(); again != first {
		t.Errorf("plugged in again, it is %s; it was %s", again, first)
	}
	m.Define(host.VirtualDomain, name, guest) // plugged in alone
	if again := id(); again != first {
		t.Errorf("defined again, it is %s; it was %s", again, first)
	}
}

func TestInterfaceRefuses(t *testing.T) {
	spec := map[string]any{"domain": name, "mac": mac2, "bridge": "weft-laws0"}
	if _, err := checked(t, interfaceKind(), hypervisor(), spec); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("without the domain: %v", err)
	}
	m := hypervisor()
	m.Define(host.VirtualDomain, name, strings.Replace(guest, "weft-laws/libvirt", "elsewhere/libvirt", 1))
	if _, err := checked(t, interfaceKind(), m, spec); err == nil || !strings.Contains(err.Error(), `belongs to the weft step "elsewhere/libvirt_domain.weft-laws"`) {
		t.Errorf("a domain of another site: %v", err)
	}
	spec["adopt"] = true
	if f, err := checked(t, interfaceKind(), m, spec); err != nil || !f.Changed() {
		t.Errorf("adopted: %v, %v", f.Deltas, err)
	}
}
