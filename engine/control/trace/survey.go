package trace

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/wire"
)

// tables are what every host is asked: those without a database say that it is
// absent. The columns are in every schema since OVN 20.12 and Open vSwitch 2.13.
func tables() []wire.Rows {
	return []wire.Rows{
		{Database: host.OpenVSwitch, Table: "Open_vSwitch", Columns: []string{"external_ids"}},
		{Database: host.OpenVSwitch, Table: "Bridge", Columns: []string{"name", "ports", "datapath_type"}},
		{Database: host.OpenVSwitch, Table: "Port", Columns: []string{"name", "interfaces", "tag"}},
		{Database: host.OpenVSwitch, Table: "Interface", Columns: []string{"name", "type", "ofport", "error", "admin_state", "link_state",
			"options", "external_ids", "bfd", "bfd_status", "status"}},
		{Database: host.Northbound, Table: "Logical_Switch", Columns: []string{"name", "ports"}},
		{Database: host.Northbound, Table: "Logical_Switch_Port", Columns: []string{"name", "type", "addresses", "dynamic_addresses",
			"port_security", "options", "enabled"}},
		{Database: host.Northbound, Table: "Logical_Router_Port", Columns: []string{"name", "mac", "networks"}},
		{Database: host.Southbound, Table: "Chassis", Columns: []string{"name", "hostname", "encaps"}},
		{Database: host.Southbound, Table: "Encap", Columns: []string{"type", "ip"}},
		{Database: host.Southbound, Table: "Port_Binding", Columns: []string{"logical_port", "chassis"}},
	}
}

// rows are the rows of a host by database and table.
type rows map[host.Database]map[string][]ovsdb.Row

// network is what all hosts said.
type network struct {
	machines []*machine
	central  string // the host whose OVN databases these are
	ports    []*logicalPort
	routers  []routerPort
	chassis  map[string]chassis // by name
	bound    map[string]string  // the name of the chassis by logical port, where there is one
	unread   []unread
}

// unread is a host whose databases could not be read, and why.
type unread struct{ host, why string }

// machine is a host that answered.
type machine struct {
	name     string
	chassis  string // its name as one: system-id
	bridge   string // the integration bridge
	encaps   string // ovn-encap-ip
	mappings string // ovn-bridge-mappings
	mute     bool   // its Open vSwitch does not run
	// userspace says that the integration bridge's datapath is Open vSwitch's own,
	// which makes tunnels itself.
	userspace bool
	bridges   []string
	ifaces    []iface
}

// iface is an interface of Open vSwitch.
type iface struct {
	name, kind, bridge  string
	number              int // ofport; 0 where there is none yet
	tag                 int // the VLAN of an access port
	wrong               string
	down                bool
	id, mac             string // iface-id and attached-mac
	local, remote       string // of a tunnel
	bfd, bfdState       string // the latter is empty where BFD is off
	outlet, outletState string // what a tunnel's packets leave by
}

// logicalPort is a port of a logical switch.
type logicalPort struct {
	name, kind, sw string // the last is the name of its switch, which others may have too
	switchID       string
	addresses      []address
	security       []string
	options        map[string]string
	disabled       bool
}

// routerPort is a port of a logical router.
type routerPort struct {
	name, mac string
	networks  []string
}

type chassis struct {
	name, hostname string
	encaps         []string
}

// asks are the questions of the first round.
func asks() []wire.Ask {
	var all []wire.Ask
	for _, t := range tables() {
		all = append(all, wire.Ask{Rows: &t})
	}
	return all
}

// surveyed makes the network of the answers to asks, of hosts in order.
func surveyed(hosts []string, answers map[string][]wire.Answer) (*network, error) {
	n := &network{chassis: map[string]chassis{}, bound: map[string]string{}}
	for _, name := range hosts {
		said, ok := answers[name]
		if !ok {
			continue
		}
		r := rows{}
		failed := ""
		for i, t := range tables() {
			if r[t.Database] == nil {
				r[t.Database] = map[string][]ovsdb.Row{}
			}
			for _, record := range said[i].Rows {
				r[t.Database][t.Table] = append(r[t.Database][t.Table], ovsdb.Row(record))
			}
			if said[i].Error != "" && !said[i].Absent {
				failed = said[i].Error
			}
		}
		if failed != "" {
			n.unread = append(n.unread, unread{name, failed})
			continue
		}
		m := machineOf(name, r[host.OpenVSwitch])
		m.mute = said[0].Absent
		n.machines = append(n.machines, m)
		if n.central == "" && len(r[host.Northbound]["Logical_Switch"]) > 0 {
			n.central = name
			n.readLogical(r[host.Northbound])
			n.readBound(r[host.Southbound])
		}
	}
	switch {
	case n.central == "" && len(n.unread) > 0:
		return nil, fmt.Errorf("the network cannot be read: %s: %s", n.unread[0].host, n.unread[0].why)
	case n.central == "":
		return nil, fmt.Errorf("no host that answered has a northbound database with a logical switch: is OVN's central among them (see --limit)?")
	}
	return n, nil
}

func machineOf(name string, tables map[string][]ovsdb.Row) *machine {
	m := &machine{name: name, bridge: "br-int"}
	for _, root := range tables["Open_vSwitch"] {
		ids := row.Map(root, "external_ids")
		m.chassis, m.encaps, m.mappings = ids["system-id"], ids["ovn-encap-ip"], ids["ovn-bridge-mappings"]
		if b := ids["ovn-bridge"]; b != "" {
			m.bridge = b
		}
	}
	ports, interfaces := row.ByID(tables["Port"]), row.ByID(tables["Interface"])
	for _, b := range tables["Bridge"] {
		m.bridges = append(m.bridges, row.String(b, "name"))
		m.userspace = m.userspace || row.String(b, "name") == m.bridge && row.String(b, "datapath_type") == "netdev"
		for _, p := range row.Refs(b, "ports") {
			tag, _ := row.Int(ports[p], "tag")
			for _, id := range row.Refs(ports[p], "interfaces") {
				i := ifaceOf(interfaces[id], row.String(b, "name"))
				i.tag = tag
				m.ifaces = append(m.ifaces, i)
			}
		}
	}
	slices.SortFunc(m.ifaces, func(a, b iface) int { return compare(a.name, b.name) })
	return m
}

func ifaceOf(r ovsdb.Row, bridge string) iface {
	ids, options, status := row.Map(r, "external_ids"), row.Map(r, "options"), row.Map(r, "status")
	i := iface{
		name: row.String(r, "name"), kind: row.String(r, "type"), bridge: bridge, wrong: row.String(r, "error"),
		down: row.String(r, "admin_state") == "down" || row.String(r, "link_state") == "down",
		id:   ids["iface-id"], mac: ids["attached-mac"], local: options["local_ip"], remote: options["remote_ip"],
		outlet: status["tunnel_egress_iface"], outletState: status["tunnel_egress_iface_carrier"],
	}
	i.number, _ = row.Int(r, "ofport")
	if row.Map(r, "bfd")["enable"] == "true" {
		said := row.Map(r, "bfd_status")
		i.bfdState, i.bfd = said["state"], said["diagnostic"]
	}
	return i
}

func (n *network) readLogical(tables map[string][]ovsdb.Row) {
	ports := row.ByID(tables["Logical_Switch_Port"])
	for _, s := range tables["Logical_Switch"] {
		for _, id := range row.Refs(s, "ports") {
			r := ports[id]
			p := &logicalPort{
				name: row.String(r, "name"), kind: row.String(r, "type"), sw: row.String(s, "name"), switchID: row.ID(s),
				security: row.Strings(r, "port_security"), options: row.Map(r, "options"),
			}
			for _, text := range append(row.Strings(r, "addresses"), row.Strings(r, "dynamic_addresses")...) {
				if a, ok := readAddress(text); ok {
					p.addresses = append(p.addresses, a)
				}
			}
			enabled, said := row.Bool(r, "enabled")
			p.disabled = said && !enabled
			n.ports = append(n.ports, p)
		}
	}
	slices.SortFunc(n.ports, func(a, b *logicalPort) int { return compare(a.name, b.name) })
	for _, r := range tables["Logical_Router_Port"] {
		n.routers = append(n.routers, routerPort{row.String(r, "name"), row.String(r, "mac"), row.Strings(r, "networks")})
	}
	slices.SortFunc(n.routers, func(a, b routerPort) int { return compare(a.name, b.name) })
}

func (n *network) readBound(tables map[string][]ovsdb.Row) {
	encaps := row.ByID(tables["Encap"])
	names := map[string]string{} // by the id of the row
	for _, r := range tables["Chassis"] {
		c := chassis{name: row.String(r, "name"), hostname: row.String(r, "hostname")}
		for _, id := range row.Refs(r, "encaps") {
			if ip := row.String(encaps[id], "ip"); ip != "" && !slices.Contains(c.encaps, ip) {
				c.encaps = append(c.encaps, ip)
			}
		}
		slices.Sort(c.encaps)
		n.chassis[c.name], names[row.ID(r)] = c, c.name
	}
	for _, r := range tables["Port_Binding"] {
		if name, ok := names[row.Ref(r, "chassis")]; ok {
			n.bound[row.String(r, "logical_port")] = name
		}
	}
}

// port is nil where there is none of the name.
func (n *network) port(name string) *logicalPort {
	for _, p := range n.ports {
		if p.name == name {
			return p
		}
	}
	return nil
}

// on is the host of a chassis, or nil where it did not answer.
func (n *network) on(chassis string) *machine {
	for _, m := range n.machines {
		if m.chassis == chassis && chassis != "" {
			return m
		}
	}
	return nil
}

// called is what people call a chassis: the inventory's name of the host, else
// its hostname.
func (n *network) called(chassis string) string {
	if m := n.on(chassis); m != nil {
		return m.name
	}
	if c := n.chassis[chassis]; c.hostname != "" {
		return c.hostname
	}
	return chassis
}

// plugged are the interfaces that say they are a logical port's, by host.
func (n *network) plugged(port string) map[*machine]iface {
	found := map[*machine]iface{}
	for _, m := range n.machines {
		for _, i := range m.ifaces {
			if i.id == port {
				found[m] = i
			}
		}
	}
	return found
}

// mute says on which hosts no Open vSwitch runs, after a semicolon; "" where one
// does on all.
func (n *network) mute() string {
	var names []string
	for _, m := range n.machines {
		if m.mute {
			names = append(names, m.name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; no Open vSwitch runs on " + strings.Join(names, ", ")
}

// hostsOf are the names of machines, sorted.
func hostsOf(found map[*machine]iface) []string {
	var names []string
	for m := range maps.Keys(found) {
		names = append(names, m.name)
	}
	slices.Sort(names)
	return names
}
