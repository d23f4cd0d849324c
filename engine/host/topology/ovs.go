package topology

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// readTables reads tables whole. All columns are asked for, since older and
// newer schemas have fewer, and one that is missing would refuse the lot.
func readTables(ctx context.Context, db host.OVSDBReader, name host.Database, tables ...string) (map[string]map[string]ovsdb.Row, error) {
	ops := make([]ovsdb.Operation, len(tables))
	for i, t := range tables {
		ops[i] = row.Select(t, nil)
	}
	results, err := db.Select(ctx, name, ops...)
	if err != nil {
		return nil, err
	}
	out := map[string]map[string]ovsdb.Row{}
	for i, t := range tables {
		out[t] = row.ByID(results[i].Rows)
	}
	return out, nil
}

// following returns the rows that a column refers to, by name.
func following(r ovsdb.Row, column string, rows map[string]ovsdb.Row) []ovsdb.Row {
	var all []ovsdb.Row
	for _, id := range row.Refs(r, column) {
		if found, ok := rows[id]; ok {
			all = append(all, found)
		}
	}
	return byName(all)
}

// byName sorts rows. It sorts texts, for which the runner has the code already.
func byName(rows []ovsdb.Row) []ovsdb.Row {
	keyed := map[string]ovsdb.Row{}
	for _, r := range rows {
		keyed[row.String(r, "name")+"\x00"+row.ID(r)] = r
	}
	for i, key := range slices.Sorted(maps.Keys(keyed)) {
		rows[i] = keyed[key]
	}
	return rows
}

func (t *Topology) readOpenVSwitch(ctx context.Context, db host.OVSDBReader) error {
	tables, err := readTables(ctx, db, host.OpenVSwitch, "Open_vSwitch", "Bridge", "Port", "Interface", "Controller", "Mirror")
	if err != nil {
		return err
	}
	for _, root := range tables["Open_vSwitch"] {
		t.Version = row.String(root, "ovs_version")
		t.Chassis = chassisOf(row.Map(root, "external_ids"))
	}
	peers := map[string]string{} // of all patch ports
	for _, i := range tables["Interface"] {
		if row.String(i, "type") == "patch" {
			peers[row.String(i, "name")] = row.Map(i, "options")["peer"]
		}
	}
	for _, b := range byName(slices.Collect(maps.Values(tables["Bridge"]))) {
		bridge := Bridge{Name: row.String(b, "name"), FailMode: row.String(b, "fail_mode")}
		if d := row.String(b, "datapath_type"); d != "system" {
			bridge.Datapath = d
		}
		if bridge.FailMode == "standalone" {
			bridge.FailMode = ""
		}
		if on, _ := row.Bool(b, "stp_enable"); on {
			bridge.Spanning = "stp"
		}
		if on, _ := row.Bool(b, "rstp_enable"); on {
			bridge.Spanning = "rstp"
		}
		for _, c := range following(b, "controller", tables["Controller"]) {
			bridge.Controllers = append(bridge.Controllers, row.String(c, "target"))
		}
		slices.Sort(bridge.Controllers)
		for _, m := range following(b, "mirrors", tables["Mirror"]) {
			vlan, _ := row.Int(m, "output_vlan")
			port := row.String(tables["Port"][row.Ref(m, "output_port")], "name")
			bridge.Mirrors = append(bridge.Mirrors, Mirror{Name: row.String(m, "name"), Port: port, VLAN: vlan})
		}
		for _, p := range following(b, "ports", tables["Port"]) {
			port := portOf(p, tables["Interface"], peers)
			if port.Name != bridge.Name {
				bridge.Ports = append(bridge.Ports, port)
				continue
			}
			for _, i := range port.Interfaces {
				bridge.Wrong = i.Wrong
			}
		}
		t.Bridges = append(t.Bridges, bridge)
	}
	return nil
}

func portOf(p ovsdb.Row, interfaces map[string]ovsdb.Row, peers map[string]string) Port {
	port := Port{Name: row.String(p, "name"), VLANMode: row.String(p, "vlan_mode")}
	if tag, ok := row.Int(p, "tag"); ok {
		port.Tag = &tag
	}
	port.FakeBridge, _ = row.Bool(p, "fake_bridge")
	if trunks := row.Ints(p, "trunks"); len(trunks) > 0 {
		port.Trunks = trunks
	}
	for _, i := range following(p, "interfaces", interfaces) {
		port.Interfaces = append(port.Interfaces, interfaceOf(i, peers))
	}
	if len(port.Interfaces) < 2 {
		return port
	}
	port.Bond = &Bond{Mode: cmp.Or(row.String(p, "bond_mode"), "active-backup"), LACP: row.String(p, "lacp")}
	if port.Bond.LACP == "off" {
		port.Bond.LACP = ""
	}
	for n, i := range following(p, "interfaces", interfaces) {
		if current, known := row.Bool(i, "lacp_current"); known && !current && port.Bond.LACP != "" && port.Interfaces[n].Wrong == "" {
			port.Interfaces[n].Wrong = "LACP is not current"
		}
	}
	return port
}

func interfaceOf(i ovsdb.Row, peers map[string]string) Interface {
	options := row.Map(i, "options")
	out := Interface{Name: row.String(i, "name"), Type: row.String(i, "type"), Logical: row.Map(i, "external_ids")["iface-id"]}
	if out.Type == "system" {
		out.Type = ""
	}
	if Tunnel(out.Type) {
		out.Remote, out.Local, out.Key = options["remote_ip"], options["local_ip"], options["key"]
	}
	if out.Type == "patch" {
		out.Peer = options["peer"]
	}
	out.Wrong = wrong(i, out, peers)
	return out
}

// wrong says what Open vSwitch has against an interface. A patch port whose
// peer is gone has a port number and no error: it must be looked for.
func wrong(i ovsdb.Row, seen Interface, peers map[string]string) string {
	port, configured := row.Int(i, "ofport")
	back, there := peers[seen.Peer]
	switch {
	case row.String(i, "error") != "":
		return row.String(i, "error")
	case !configured:
		return "not configured: the log of ovs-vswitchd says why"
	case port < 0:
		return "no OpenFlow port number"
	case seen.Type == "patch" && !there:
		return "its peer is not there"
	case seen.Type == "patch" && back != seen.Name:
		return fmt.Sprintf("its peer leads to %q", back)
	case row.String(i, "admin_state") == "down" && seen.Type != "internal":
		return "down"
	case row.String(i, "link_state") == "down" && !Tunnel(seen.Type) && seen.Type != "internal":
		return "no carrier"
	case row.Map(i, "bfd_status")["state"] == "down":
		return "BFD is down"
	}
	return ""
}

// chassisOf reads what ovn-controller(8) does.
func chassisOf(ids map[string]string) *Chassis {
	types, ips := list(ids["ovn-encap-type"]), list(ids["ovn-encap-ip"])
	if len(types) == 0 && len(ips) == 0 && ids["ovn-remote"] == "" {
		return nil
	}
	c := &Chassis{Name: ids["system-id"], EncapTypes: types, EncapIPs: ips}
	for _, pair := range list(ids["ovn-bridge-mappings"]) {
		if network, bridge, ok := strings.Cut(pair, ":"); ok {
			if c.Mappings == nil {
				c.Mappings = map[string]string{}
			}
			c.Mappings[network] = bridge
		}
	}
	return c
}

// list splits a list with commas.
func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}
