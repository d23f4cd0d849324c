package fake

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// AddOpenVSwitch puts a running Open vSwitch on the machine: its two services,
// its database, and an ovs-vswitchd that configures what the database says, or
// says in the columns ofport and error why it cannot.
func (m *Machine) AddOpenVSwitch() {
	m.WriteFile("/usr/sbin/ovsdb-server", "\x7fELF")
	m.WriteFile("/usr/sbin/ovs-vswitchd", "\x7fELF")
	m.WriteFile("/lib/systemd/system/ovsdb-server.service", Service("/usr/sbin/ovsdb-server"))
	m.WriteFile("/lib/systemd/system/ovs-vswitchd.service", Service("/usr/sbin/ovs-vswitchd"))
	m.WriteFile("/var/log/openvswitch/ovs-vswitchd.log", "")
	m.AddDatabase(host.OpenVSwitch)
	m.OnUnit("ovs-vswitchd.service", func(m *Machine, verb host.UnitVerb) error {
		if verb == host.Start {
			m.startVswitchd()
		}
		return nil
	})
	m.OnTransact(listening)
	m.OnTransact(vswitchd)
	m.Systemctl(host.Start, "ovsdb-server.service")
	m.Systemctl(host.Start, "ovs-vswitchd.service")
	m.SettleDatabases()
}

// startVswitchd does what happens only at a start: what it says of itself, and
// DPDK, which other_config:dpdk-init asks for.
func (m *Machine) startVswitchd() {
	if !m.HasDatabase(host.OpenVSwitch) {
		return
	}
	root := m.Rows(host.OpenVSwitch, "Open_vSwitch")[0]
	config, ids := row.Map(root, "other_config"), row.Map(root, "external_ids")
	if ids["system-id"] == "" { // ovs-ctl(8) makes one up where no file has it
		ids["system-id"] = "00000000-0000-4000-8000-00000000f00d"
	}
	dpdk := config["dpdk-init"] == "true" || config["dpdk-init"] == "try"
	version := "none"
	if dpdk {
		version = "DPDK 22.11.7"
	}
	m.Transact(host.OpenVSwitch, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: "Open_vSwitch", Row: ovsdb.Row{
		"external_ids": row.Strmap(ids), "ovs_version": row.Optional("3.1.0"), "db_version": row.Optional("8.3.1"),
		"system_type": row.Optional("debian"), "system_version": row.Optional("12"),
		"datapath_types":   row.Set("netdev", "system"),
		"iface_types":      row.Set("erspan", "geneve", "gre", "internal", "patch", "stt", "system", "tap", "vxlan"),
		"dpdk_initialized": dpdk, "dpdk_version": row.Optional(version),
	}})
}

// vswitchd is ovs-vswitchd at work. Where its service exists and is down,
// nothing happens.
func vswitchd(m *Machine) {
	if !m.HasDatabase(host.OpenVSwitch) || m.UnitState("ovs-vswitchd.service").ActiveState != "active" {
		return
	}
	v := switching{
		m:     m,
		ports: row.ByID(m.Rows(host.OpenVSwitch, "Port")), interfaces: row.ByID(m.Rows(host.OpenVSwitch, "Interface")),
		patches: map[string]string{}, devices: map[string]bool{}, tunnels: map[string]string{},
		dpdk: strings.HasPrefix(row.String(m.Rows(host.OpenVSwitch, "Open_vSwitch")[0], "dpdk_version"), "DPDK"),
	}
	bridges := m.Rows(host.OpenVSwitch, "Bridge")
	for _, b := range bridges {
		for _, i := range v.of(b) {
			if n, _ := row.Int(i, "ofport"); n > 0 {
				v.tunnels[tunnelIdentity(b, i)] = row.String(i, "name")
			}
			switch row.String(i, "type") {
			case "internal", "tap":
				v.devices[row.String(i, "name")] = true
			case "patch":
				v.patches[row.String(i, "name")] = datapathOf(b)
			}
		}
		for _, name := range v.fakeInterfaces(b) {
			v.devices[name] = true
		}
	}
	v.removeDevices()
	for _, b := range bridges {
		v.bridge(b)
	}
	root := m.Rows(host.OpenVSwitch, "Open_vSwitch")[0]
	v.write("Open_vSwitch", root, ovsdb.Row{"cur_cfg": root["next_cfg"]})
}

type switching struct {
	m                 *Machine
	ports, interfaces map[string]ovsdb.Row
	patches           map[string]string // types of the datapaths of patch ports, by name
	devices           map[string]bool   // names of the network devices that the switch makes
	dpdk              bool
	tunnels           map[string]string // names of the tunnels at work, by what packets are told apart by
}

// of returns the interfaces of a bridge, its own first.
func (v switching) of(bridge ovsdb.Row) []ovsdb.Row {
	var all []ovsdb.Row
	for _, p := range row.Refs(bridge, "ports") {
		for _, i := range row.Refs(v.ports[p], "interfaces") {
			all = append(all, v.interfaces[i])
		}
	}
	slices.SortFunc(all, func(a, b ovsdb.Row) int { return strings.Compare(row.String(a, "name"), row.String(b, "name")) })
	return all
}

func datapathOf(bridge ovsdb.Row) string {
	if kind := row.String(bridge, "datapath_type"); kind != "" {
		return kind
	}
	return "system"
}

// fakeInterfaces are the bonds of a bridge that want a device of their own name.
func (v switching) fakeInterfaces(bridge ovsdb.Row) []string {
	var names []string
	for _, id := range row.Refs(bridge, "ports") {
		p := v.ports[id]
		if on, _ := row.Bool(p, "bond_fake_iface"); on && len(row.Refs(p, "interfaces")) > 1 {
			names = append(names, row.String(p, "name"))
		}
	}
	return names
}

func (v switching) bridge(b ovsdb.Row) {
	for _, name := range v.fakeInterfaces(b) {
		space, link, there := v.find(name)
		if there && link.Kind == "tun" { // of a port that was there before
			v.m.RemoveLink(space, name)
			there = false
		}
		if !there {
			v.m.AddLink("", host.Link{Name: name, Kind: "openvswitch", MAC: macOf(name), Up: true})
		}
	}
	taken := map[int]bool{}
	for _, i := range v.of(b) {
		if n, _ := row.Int(i, "ofport"); n > 0 {
			taken[n] = true
		}
	}
	for _, i := range v.of(b) {
		v.write("Interface", i, v.configure(b, i, taken))
	}
	mac := macOf(row.String(b, "name"))
	if hw := row.Map(b, "other_config")["hwaddr"]; hw != "" {
		mac = strings.ToLower(hw)
	}
	v.write("Bridge", b, ovsdb.Row{"datapath_id": row.Optional("0000" + strings.ReplaceAll(mac, ":", ""))})
}

// configure returns the columns that tell how it went.
func (v switching) configure(bridge, i ovsdb.Row, taken map[int]bool) ovsdb.Row {
	name := row.String(i, "name")
	var mac any
	link, problem, usable := v.device(bridge, i)
	switch {
	case problem != "" && !usable:
		return ovsdb.Row{"ofport": row.Optional(-1), "error": row.Optional(problem), "mac_in_use": row.Empty(),
			"mtu": row.Empty(), "admin_state": row.Empty(), "link_state": row.Empty()}
	case link.MAC != "":
		mac = row.Optional(link.MAC)
	default:
		mac = row.Optional(macOf(name))
	}
	out := ovsdb.Row{"error": row.Empty(), "mac_in_use": mac, "mtu": row.Empty(), "ofport": row.Optional(ofport(bridge, i, taken))}
	if problem != "" {
		out["error"] = row.Optional(problem)
	}
	state := "up"
	if link.Name != "" {
		out["mtu"] = row.Optional(link.MTU)
		if !link.Up {
			state = "down"
		}
	}
	out["admin_state"], out["link_state"] = row.Optional(state), row.Optional(state)
	return out
}

// ofport keeps the number that is there, unless another was asked for.
func ofport(bridge, i ovsdb.Row, taken map[int]bool) int {
	if row.String(bridge, "name") == row.String(i, "name") {
		return 65534 // OFPP_LOCAL of OpenFlow 1.0
	}
	now, _ := row.Int(i, "ofport")
	if wanted, ok := row.Int(i, "ofport_request"); ok && (!taken[wanted] || wanted == now) {
		taken[wanted] = true
		return wanted
	}
	if now > 0 {
		return now
	}
	n := 1
	for taken[n] {
		n++
	}
	taken[n] = true
	return n
}

// device makes or finds the network device of an interface, and says what is
// wrong with it in the words of ovs-vswitchd 3.1, and whether it is used all
// the same.
func (v switching) device(bridge, i ovsdb.Row) (link host.Link, problem string, usable bool) {
	name, kind, options := row.String(i, "name"), row.String(i, "type"), row.Map(i, "options")
	switch kind {
	case "", "system":
		link, there := v.m.Link("", name)
		if !there {
			return link, "could not open network device " + name + " (No such device)", false
		}
		if n, asked := row.Int(i, "mtu_request"); asked && n >= 68 && n <= 65535 {
			v.m.SetLink("", name, host.LinkChange{MTU: n})
			link.MTU = n
		}
		return link, "", true
	case "internal", "tap":
		return v.ownDevice(bridge, i), "", true
	case "patch":
		peer := options["peer"]
		if peer == "" || peer == name {
			return link, name + ": patch type requires valid 'peer' argument", false
		}
		if datapath := datapathOf(bridge); v.patches[peer] != datapath {
			return link, "No usable peer '" + peer + "' exists in '" + datapath + "' datapath.", true
		}
		return link, "", true
	case "vxlan", "geneve", "gre", "stt", "erspan":
		id := tunnelIdentity(bridge, i)
		if other := v.tunnels[id]; other != "" && other != name {
			return link, "could not add network device " + name + " to ofproto (File exists)", false
		}
		v.tunnels[id] = name
		return link, "", true
	case "dpdk", "dpdkvhostuser", "dpdkvhostuserclient":
		if v.dpdk {
			return link, "", true
		}
	}
	return link, "could not open network device " + name + " (Address family not supported by protocol)", false
}

// tunnelIdentity is what packets that come in are told apart by: Open vSwitch
// makes no second tunnel with the same.
func tunnelIdentity(bridge, i ovsdb.Row) string {
	o := row.Map(i, "options")
	key := o["in_key"]
	if key == "" {
		key = o["key"]
	}
	number := func(text, otherwise string) string {
		if text == "" {
			text = otherwise
		}
		if n, err := strconv.ParseUint(text, 0, 64); err == nil {
			return strconv.FormatUint(n, 10)
		}
		return text
	}
	kind := row.String(i, "type")
	port := number(o["dst_port"], map[string]string{"vxlan": "4789", "geneve": "6081"}[kind])
	return strings.Join([]string{row.String(bridge, "datapath_type"), kind, o["remote_ip"], o["local_ip"], number(key, "0"), port}, " ")
}

// ownDevice makes a device of the switch: a tap with the userspace datapath,
// else one of the kernel's module. It may be in any namespace by now.
func (v switching) ownDevice(bridge, i ovsdb.Row) host.Link {
	name, kind := row.String(i, "name"), "openvswitch"
	if row.String(bridge, "datapath_type") == "netdev" {
		kind = "tun"
	}
	space, link, there := v.find(name)
	if there && link.Kind != kind && isOwn(link) {
		v.m.RemoveLink(space, name)
		there = false
	}
	change := host.LinkChange{}
	switch hw := row.Map(bridge, "other_config")["hwaddr"]; {
	case row.String(i, "mac") != "":
		change.MAC = strings.ToLower(row.String(i, "mac"))
	case name == row.String(bridge, "name") && hw != "":
		change.MAC = strings.ToLower(hw)
	case name == row.String(bridge, "name") || !there:
		change.MAC = macOf(name)
	}
	if !there {
		space = ""
		v.m.AddLink("", host.Link{Name: name, Kind: kind, MAC: change.MAC})
	}
	switch n, asked := row.Int(i, "mtu_request"); {
	case !asked:
		change.MTU = 1500 // the least of the bridge's NICs, were there any
	case n >= 68 && n <= 65521: // a tap takes no more
		change.MTU = n
	}
	v.m.SetLink(space, name, change)
	link, _ = v.m.Link(space, name)
	return link
}

func isOwn(l host.Link) bool { return l.Kind == "openvswitch" || l.Kind == "tun" }

func (v switching) spaces() []string {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	return append([]string{""}, v.m.net.names()...)
}

func (v switching) find(name string) (space string, link host.Link, there bool) {
	for _, space := range v.spaces() {
		if link, there := v.m.Link(space, name); there {
			return space, link, true
		}
	}
	return "", host.Link{}, false
}

// removeDevices takes away the devices whose interfaces are gone.
func (v switching) removeDevices() {
	for _, space := range v.spaces() {
		for _, name := range v.m.linkNames(space) {
			if link, ok := v.m.Link(space, name); ok && isOwn(link) && !v.devices[name] {
				v.m.RemoveLink(space, name)
			}
		}
	}
}

func (m *Machine) linkNames(space string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	if s := m.net.spaces[space]; s != nil {
		for _, d := range s.links {
			names = append(names, d.Name)
		}
	}
	return names
}

// write updates the columns of a row that differ, and says in the log what
// could not be done.
func (v switching) write(table string, r ovsdb.Row, columns ovsdb.Row) {
	var tx row.Tx
	tx.Update(table, row.ID(r), columns)
	v.m.Transact(host.OpenVSwitch, tx.Operations()...)
	n, _ := row.Int(columns, "ofport")
	if problem := row.String(columns, "error"); n < 0 && problem != row.String(r, "error") {
		log, _ := v.m.File("/var/log/openvswitch/ovs-vswitchd.log")
		lines := strings.Count(log, "\n")
		v.m.WriteFile("/var/log/openvswitch/ovs-vswitchd.log",
			log+fmt.Sprintf("2026-11-21T08:00:00.000Z|%05d|bridge|WARN|%s\n", lines+1, problem))
	}
}

// macOf is the address that a device of that name gets, the same each time.
func macOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	parts := []string{"0e"}
	for _, b := range sum[:5] {
		parts = append(parts, fmt.Sprintf("%02s", strconv.FormatInt(int64(b), 16)))
	}
	return strings.Join(parts, ":")
}
