package fake

import (
	"fmt"
	"strconv"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/host/xmltree"
)

// startVirtual starts what is defined. The caller holds the lock of libvirtd.
func (m *Machine) startVirtual(object host.VirtualObject, v *virtual) error {
	live := v.defined.Clone()
	if object == host.VirtualDomain {
		for i, nic := range live.At("devices").All("interface") {
			if err := m.plug(v.uuid, nic); err != nil {
				for _, plugged := range live.At("devices").All("interface")[:i] {
					m.unplug(plugged)
				}
				return err
			}
		}
		for _, g := range live.At("devices").All("graphics") {
			if g.Get("autoport") == "yes" {
				g.Set("port", "5900")
			}
		}
	}
	v.live = live
	return nil
}

// stopVirtual ends what runs. The caller holds the lock of libvirtd.
func (m *Machine) stopVirtual(v *virtual) {
	for _, nic := range v.live.At("devices").All("interface") {
		m.unplug(nic)
	}
	v.live = nil
}

// device changes a device of a domain that runs; it knows network cards alone.
func (m *Machine) device(verb host.DeviceVerb, domain, text string) error {
	nic, err := xmltree.Parse(text)
	if err != nil {
		return err
	}
	m.libvirt.mu.Lock()
	defer m.libvirt.mu.Unlock()
	v := m.libvirt.objects[host.VirtualDomain][domain]
	if v == nil || v.live == nil {
		return fmt.Errorf("operation invalid: domain is not running")
	}
	devices := v.live.At("devices")
	mac := nic.At("mac").Get("address")
	there := nicOf(devices, mac)
	if verb == host.DeviceAttach {
		if there != nil {
			return fmt.Errorf("operation failed: MAC address %s is in use", mac)
		}
		if port := nic.At("virtualport"); port.Get("type") == "openvswitch" { // made up anew, as at each definition
			fill(port.Child("parameters"), "interfaceid", uuidOf(mac+" plugged in"))
		}
		normaliseNIC(devices, nic)
		if err := m.plug(v.uuid, nic); err != nil {
			return err
		}
		devices.Add(nic)
		return nil
	}
	if there == nil {
		return fmt.Errorf("operation failed: no device matching MAC address %s found", mac)
	}
	if verb == host.DeviceUpdate && there.At("model").Get("type") != nic.At("model").Get("type") {
		return fmt.Errorf("operation not supported: cannot modify network device model")
	}
	m.unplug(there)
	if verb == host.DeviceDetach {
		devices.Remove(there)
		return nil
	}
	address := there.At("address")
	*there = *nic
	if there.At("address") == nil {
		there.Add(address)
	}
	normaliseNIC(devices, there)
	return m.plug(v.uuid, there)
}

func nicOf(devices *xmltree.Node, mac string) *xmltree.Node {
	for _, nic := range devices.All("interface") {
		if nic.At("mac").Get("address") == mac {
			return nic
		}
	}
	return nil
}

// plug makes the tap of a network card and puts it into its bridge, as the
// network says where it names one. The live definition then shows what became
// of it.
func (m *Machine) plug(uuid string, nic *xmltree.Node) error {
	if nic.Get("type") == "vhostuser" {
		return nil // its socket is the switch's to dial
	}
	source, vlan, port := nic.Child("source"), nic.At("vlan"), nic.At("virtualport")
	if name := source.Get("network"); nic.Get("type") == "network" {
		network := m.libvirt.objects[host.VirtualNetwork][name]
		if network == nil {
			return fmt.Errorf("network not found: no network with matching name '%s'", name)
		}
		if network.live == nil {
			return fmt.Errorf("internal error: network '%s' is not active", name)
		}
		group := portgroupOf(network.live, source.Get("portgroup"))
		if group == nil && source.Get("portgroup") != "" {
			return fmt.Errorf("internal error: network '%s' doesn't have a portgroup named '%s'", name, source.Get("portgroup"))
		}
		if of := network.live.At("virtualport"); of != nil {
			nic.Child("virtualport").Set("type", of.Get("type"))
			port = nic.At("virtualport")
			fill(port.Child("parameters"), "interfaceid", uuidOf(nic.At("mac").Get("address")))
		}
		if tags := group.At("vlan"); vlan == nil && tags != nil {
			vlan = nic.Add(tags.Clone())
		}
		nic.Set("type", "bridge")
		source.Set("bridge", network.live.At("bridge").Get("name"))
	}
	target := nic.Child("target")
	if target.Get("dev") == "" {
		target.Set("dev", m.freeTap())
	}
	return m.join(uuid, nic, source.Get("bridge"), target.Get("dev"), vlan, port)
}

func portgroupOf(network *xmltree.Node, name string) *xmltree.Node {
	for _, g := range network.All("portgroup") {
		if g.Get("name") == name || name == "" && g.Get("default") == "yes" {
			return g
		}
	}
	return nil
}

func (m *Machine) freeTap() string {
	for n := 0; ; n++ {
		name := "vnet" + strconv.Itoa(n)
		if _, there := m.Link("", name); !there {
			return name
		}
	}
}

// join puts a new tap into a bridge of the kernel or of Open vSwitch.
func (m *Machine) join(uuid string, nic *xmltree.Node, bridge, tap string, vlan, port *xmltree.Node) error {
	link := host.Link{Name: tap, Kind: "tap", Up: true, MAC: "fe" + nic.At("mac").Get("address")[2:]}
	if n, err := strconv.Atoi(nic.At("mtu").Get("size")); err == nil {
		link.MTU = n
	}
	if port.Get("type") != "openvswitch" {
		if _, there := m.Link("", bridge); !there {
			return fmt.Errorf("cannot get interface MTU on '%s': No such device", bridge)
		}
		link.Master = bridge
		m.AddLink("", link)
		return nil
	}
	if !m.HasDatabase(host.OpenVSwitch) {
		return fmt.Errorf("internal error: Unable to add port %s to OVS bridge %s", tap, bridge)
	}
	for _, b := range m.Rows(host.OpenVSwitch, "Bridge") {
		if row.String(b, "name") != bridge {
			continue
		}
		m.AddLink("", link)
		m.Transact(host.OpenVSwitch, portOf(b, uuid, nic, tap, vlan, port)...)
		return nil
	}
	return fmt.Errorf("internal error: Unable to add port %s to OVS bridge %s", tap, bridge)
}

// portOf is what libvirt has ovs-vsctl(8) write for a network card.
func portOf(bridge ovsdb.Row, uuid string, nic *xmltree.Node, tap string, vlan, port *xmltree.Node) []ovsdb.Operation {
	ids := map[string]string{
		"attached-mac": nic.At("mac").Get("address"), "iface-id": port.At("parameters").Get("interfaceid"),
		"vm-id": uuid, "iface-status": "active",
	}
	if profile := port.At("parameters").Get("profileid"); profile != "" {
		ids["port-profile"] = profile
	}
	columns := ovsdb.Row{"name": tap, "interfaces": row.UUIDs("interface")}
	var trunks []int
	for _, tag := range vlan.All("tag") {
		id, _ := strconv.Atoi(tag.Get("id"))
		switch mode := tag.Get("nativeMode"); {
		case vlan.Get("trunk") == "yes" || len(vlan.All("tag")) > 1:
			trunks = append(trunks, id)
			if mode != "" {
				columns["vlan_mode"], columns["tag"] = row.Optional("native-"+mode), row.Optional(id)
			}
		default:
			columns["tag"] = row.Optional(id)
		}
	}
	if len(trunks) > 0 {
		columns["trunks"] = row.Set(trunks...)
		if columns["vlan_mode"] == nil {
			columns["vlan_mode"] = row.Optional("trunk")
		}
	}
	var tx row.Tx
	tx.Insert("Interface", "interface", ovsdb.Row{"name": tap, "external_ids": row.Strmap(ids)})
	tx.Insert("Port", "port", columns)
	tx.Mutate("Bridge", row.ID(bridge), row.AddRefs("ports", "port"))
	return tx.Operations()
}

// unplug takes the tap of a network card away.
func (m *Machine) unplug(nic *xmltree.Node) {
	tap := nic.At("target").Get("dev")
	if m.HasDatabase(host.OpenVSwitch) {
		var tx row.Tx
		for _, p := range m.Rows(host.OpenVSwitch, "Port") {
			if row.String(p, "name") != tap {
				continue
			}
			for _, b := range m.Rows(host.OpenVSwitch, "Bridge") {
				tx.Mutate("Bridge", row.ID(b), row.RemoveRefs("ports", row.ID(p)))
			}
		}
		if !tx.Empty() {
			m.Transact(host.OpenVSwitch, tx.Operations()...)
		}
	}
	m.RemoveLink("", tap)
	m.SettleDatabases()
}
