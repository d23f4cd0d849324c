package fake

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/host/xmltree"
)

const (
	aDomain = `<domain type="kvm"><name>v0</name><memory unit="MiB">64</memory><os><type machine="q35">hvm</type></os><devices>
<interface type="network"><source network="n0" portgroup="vlan300"/></interface>
<interface type="bridge"><mac address="52:54:00:00:00:0A"/><source bridge="br0"/><virtualport type="openvswitch"/><target dev="vnet9"/></interface>
</devices></domain>`
	aNetwork = `<network><name>n0</name><forward mode="bridge"/><bridge name="br0"/><virtualport type="openvswitch"/>
<portgroup name="vlan300"><vlan trunk="yes"><tag id="300" nativeMode="untagged"/><tag id="301"/></vlan></portgroup></network>`
)

func switched() *Machine {
	m := New()
	m.AddOpenVSwitch()
	var tx row.Tx
	tx.Insert("Bridge", "bridge", ovsdb.Row{"name": "br0", "datapath_type": "netdev"})
	tx.Mutate("Open_vSwitch", row.ID(m.Rows(host.OpenVSwitch, "Open_vSwitch")[0]), row.AddRefs("bridges", "bridge"))
	m.Transact(host.OpenVSwitch, tx.Operations()...)
	m.AddLibvirt()
	m.Define(host.VirtualNetwork, "n0", aNetwork)
	m.Virsh(host.VirtualStart, host.VirtualNetwork, "n0")
	m.Define(host.VirtualDomain, "v0", aDomain)
	return m
}

// What libvirt 9 makes of a definition, and of Open vSwitch when it starts.
func TestLibvirtStartsADomain(t *testing.T) {
	m := switched()
	before := m.Snapshot()
	v, _ := m.VirtualState(host.VirtualDomain, "v0")
	n, err := xmltree.Parse(v.Defined)
	if err != nil {
		t.Fatal(err)
	}
	card := n.At("devices").All("interface")[1]
	for what, got := range map[string]string{
		"65536": n.At("memory").Text, "KiB": n.At("memory").Get("unit"), "pc-q35-7.2": n.At("os").At("type").Get("machine"),
		v.UUID: n.At("uuid").Text, "52:54:00:00:00:0a": card.At("mac").Get("address"), "": card.At("target").Get("dev"),
	} {
		if got != what {
			t.Errorf("defined: %q, want %q", got, what)
		}
	}
	m.Virsh(host.VirtualStart, host.VirtualDomain, "v0")
	var ports []string
	for _, p := range m.Rows(host.OpenVSwitch, "Port") {
		tag, _ := row.Int(p, "tag")
		ports = append(ports, row.String(p, "name")+" "+row.String(p, "vlan_mode")+" "+map[bool]string{true: "300"}[tag == 300])
	}
	if got := strings.Join(ports, ","); len(ports) != 2 || !strings.Contains(got, "vnet0 native-untagged 300") || !strings.Contains(got, "vnet1  ") {
		t.Errorf("ports: %s", got)
	}
	for _, i := range m.Rows(host.OpenVSwitch, "Interface") {
		ids := row.Map(i, "external_ids")
		if port, _ := row.Int(i, "ofport"); port < 1 || ids["vm-id"] != v.UUID || ids["iface-id"] == "" || ids["attached-mac"] == "" {
			t.Errorf("interface %s: port %d, %v", row.String(i, "name"), port, ids)
		}
	}
	m.Virsh(host.VirtualShutdown, host.VirtualDomain, "v0")
	if after := m.Snapshot(); after != before {
		t.Errorf("a start and a shutdown left something:\n%s", after)
	}
}

func TestLibvirtRefuses(t *testing.T) {
	m := switched()
	h := m.Host().Libvirt
	ctx := t.Context()
	for what, act := range map[string]func() error{
		"already exists with uuid": func() error {
			return h.Define(ctx, host.VirtualDomain, "v0", strings.Replace(aDomain, "<name>v0</name>", "<name>v0</name><uuid>11111111-2222-4333-8444-555555555555</uuid>", 1))
		},
		"doesn't support vlan": func() error {
			return h.Define(ctx, host.VirtualNetwork, "n1", strings.NewReplacer(`<virtualport type="openvswitch"/>`, "", "n0", "n1").Replace(aNetwork))
		},
		"no domain with matching name": func() error { return h.Order(ctx, host.VirtualStart, host.VirtualDomain, "v1") },
		"is not active": func() error {
			m.Virsh(host.VirtualDestroy, host.VirtualNetwork, "n0")
			return h.Order(ctx, host.VirtualStart, host.VirtualDomain, "v0")
		},
		"domain is not running": func() error { return h.Device(ctx, host.DeviceAttach, "v0", "<interface/>") },
	} {
		if err := act(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %s", err, what)
		}
	}
}

// A boot starts what starts by itself; a clone changes on its own.
func TestLibvirtBoots(t *testing.T) {
	m := switched()
	m.Virsh(host.VirtualAutostart, host.VirtualDomain, "v0")
	c := m.Clone()
	c.Reboot("another")
	if v, _ := c.VirtualState(host.VirtualDomain, "v0"); !v.Active {
		t.Error("it did not start with the boot")
	}
	if v, _ := m.VirtualState(host.VirtualDomain, "v0"); v.Active {
		t.Error("the clone's boot was this machine's")
	}
}

// All domains are listed, whether they run or are only defined or only run.
func TestLibvirtListsDomains(t *testing.T) {
	m := switched()
	door := m.Host().Libvirt
	v, _ := m.VirtualState(host.VirtualDomain, "v0")
	want := []host.DomainName{{Name: "v0", UUID: v.UUID}}
	for _, order := range []host.VirtualVerb{"", host.VirtualStart, host.VirtualUndefine} {
		if order != "" {
			m.Virsh(order, host.VirtualDomain, "v0")
		}
		if got, err := door.Domains(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("after %q: %v, %v", order, got, err)
		}
	}
	m.Virsh(host.VirtualDestroy, host.VirtualDomain, "v0")
	if got, err := door.Domains(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("after all went: %v, %v", got, err)
	}
	if _, err := New().Host().Libvirt.Domains(t.Context()); !errors.Is(err, host.ErrNotReady) {
		t.Errorf("without libvirtd: %v", err)
	}
}
