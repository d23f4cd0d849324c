package network

import (
	"net/netip"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step/steptest"
)

// hypervisor is a machine with Open vSwitch and two bridges.
func hypervisor() *fake.Machine {
	m := fake.New()
	m.AddDatabase(host.OpenVSwitch)
	withBridges(m)
	m.OnTransact(vswitchd)
	return m
}

func withBridges(m *fake.Machine) {
	root := m.Rows(host.OpenVSwitch, "Open_vSwitch")[0]
	var tx row.Tx
	tx.Insert("Bridge", "int", ovsdb.Row{"name": "br-int"})
	tx.Insert("Bridge", "other", ovsdb.Row{"name": "br-other"})
	tx.Mutate("Open_vSwitch", row.ID(root), row.AddRefs("bridges", "int", "other"))
	m.Transact(host.OpenVSwitch, tx.Operations()...)
}

// vswitchd is ovs-vswitchd's part: it makes the links of internal ports, takes
// those away whose row is gone, and numbers the ports. It works when the
// database changes, so a veth counts as there from the start.
func vswitchd(m *fake.Machine) {
	var tx row.Tx
	internal := []string{}
	for i, r := range m.Rows(host.OpenVSwitch, "Interface") {
		name := row.String(r, "name")
		if row.String(r, "type") == "internal" {
			internal = append(internal, name)
			if !hasTap(m, name) {
				m.AddLink("", host.Link{Name: name, Kind: "tun"})
			}
		}
		if row.String(r, "error") == "" {
			tx.Update("Interface", row.ID(r), ovsdb.Row{"ofport": row.Optional(i + 1)})
		}
	}
	for _, namespace := range []string{"", vm} {
		for _, name := range []string{vm, "p1"} {
			if l, there := m.Link(namespace, name); there && l.Kind == "tun" && !slices.Contains(internal, name) {
				m.RemoveLink(namespace, name)
			}
		}
	}
	if !tx.Empty() {
		m.Transact(host.OpenVSwitch, tx.Operations()...)
	}
}

func hasTap(m *fake.Machine, name string) bool {
	for _, namespace := range []string{"", vm} {
		if l, there := m.Link(namespace, name); there && l.Kind == "tun" {
			return true
		}
	}
	return false
}

// vm is the name of the fake VM of the laws.
const vm = steptest.Prefix

// address is drift of a link in the VM, by hand.
func set(namespace, name string, c host.LinkChange) func(*fake.Machine) {
	return func(m *fake.Machine) { m.SetLink(namespace, name, c) }
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// plug gives a bridge a port, as ovs-vsctl does.
func plug(bridge, port, kind string, ids map[string]string) func(*fake.Machine) {
	return func(m *fake.Machine) {
		var tx row.Tx
		tx.Insert("Interface", "iface", ovsdb.Row{"name": port, "type": kind, "external_ids": row.Strmap(ids), "mtu_request": row.Optional(1400)})
		tx.Insert("Port", "port", ovsdb.Row{"name": port, "interfaces": row.UUIDs("iface"), "tag": row.Optional(9)})
		for _, b := range m.Rows(host.OpenVSwitch, "Bridge") {
			if row.String(b, "name") == bridge {
				tx.Mutate("Bridge", row.ID(b), row.AddRefs("ports", "port"))
			}
		}
		m.Transact(host.OpenVSwitch, tx.Operations()...)
	}
}

// unplug takes a port from all bridges.
func unplug(port string) func(*fake.Machine) {
	return func(m *fake.Machine) {
		var tx row.Tx
		for _, p := range m.Rows(host.OpenVSwitch, "Port") {
			for _, b := range m.Rows(host.OpenVSwitch, "Bridge") {
				if row.String(p, "name") == port && slices.Contains(row.Refs(b, "ports"), row.ID(p)) {
					tx.Mutate("Bridge", row.ID(b), row.RemoveRefs("ports", row.ID(p)))
				}
			}
		}
		m.Transact(host.OpenVSwitch, tx.Operations()...)
	}
}

func all(hands ...func(*fake.Machine)) func(*fake.Machine) {
	return func(m *fake.Machine) {
		for _, h := range hands {
			h(m)
		}
	}
}
