package ovn

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
)

// central is a machine with OVN's two databases, whose servers listen where
// their Connection rows say. The host has 10.127.0.2 alone.
func central() *fake.Machine {
	m := fake.New()
	m.AddDatabase(host.Northbound)
	m.AddDatabase(host.Southbound)
	m.OnTransact(serveConnections)
	return m
}

// serveConnections is ovsdb-server's part: it opens the sockets of listeners.
func serveConnections(m *fake.Machine) {
	table := []string{"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"}
	for _, db := range []host.Database{host.Northbound, host.Southbound} {
		for _, c := range m.Rows(db, "Connection") {
			t, err := parseTarget(row.String(c, "target"))
			here := t.address == netip.MustParseAddr("10.127.0.2") || !t.address.IsValid()
			if err == nil && t.passive() && here {
				table = append(table, line(len(table)-1, t, netip.AddrPort{}, listening))
			}
		}
	}
	m.SetKernel("/proc/net/tcp", strings.Join(table, "\n"))
}

// line is a line of /proc/net/tcp.
func line(n int, t target, remote netip.AddrPort, state uint8) string {
	a := t.address
	if !a.IsValid() {
		a = netip.IPv4Unspecified()
	}
	return fmt.Sprintf("%4d: %s %s %02X 00000000:00000000 00:00000000 00000000     0        0 1234 1 0000000000000000 100 0 0 10 0",
		n, endpointText(netip.AddrPortFrom(a, t.port)), endpointText(remote), state)
}

func endpointText(e netip.AddrPort) string {
	if !e.IsValid() {
		return "00000000:0000"
	}
	raw := e.Addr().AsSlice()
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	return fmt.Sprintf("%s:%04X", strings.ToUpper(hex.EncodeToString(raw)), e.Port())
}

// northd is ovn-northd's part, as far as the probes look: bindings of ports,
// and the generation.
func northd(m *fake.Machine) {
	have := map[string]ovsdb.Row{}
	for _, b := range m.Rows(host.Southbound, "Port_Binding") {
		have[row.String(b, "logical_port")] = b
	}
	var tx row.Tx
	for i, p := range m.Rows(host.Northbound, "Logical_Switch_Port") {
		name := row.String(p, "name")
		if _, there := have[name]; there {
			delete(have, name)
			continue
		}
		datapath := fmt.Sprintf("datapath%d", i)
		tx.Insert("Datapath_Binding", datapath, ovsdb.Row{"tunnel_key": len(have) + i + 1})
		tx.Insert("Port_Binding", "", ovsdb.Row{"logical_port": name, "datapath": row.UUID(datapath), "tunnel_key": i + 1})
	}
	for _, gone := range have {
		tx.Delete("Port_Binding", row.ID(gone))
	}
	if !tx.Empty() {
		m.Transact(host.Southbound, tx.Operations()...)
	}
	var done row.Tx
	for _, g := range m.Rows(host.Northbound, "NB_Global") {
		asked, _ := row.Int(g, "nb_cfg")
		done.Update("NB_Global", row.ID(g), ovsdb.Row{"sb_cfg": asked})
	}
	m.Transact(host.Northbound, done.Operations()...)
}

// addChassis registers a chassis in the southbound database, as its
// ovn-controller does.
func addChassis(m *fake.Machine, name, hostname, ip string) {
	var tx row.Tx
	tx.Insert("Encap", "encap", ovsdb.Row{"type": "geneve", "ip": ip, "chassis_name": name})
	tx.Insert("Chassis", "chassis", ovsdb.Row{"name": name, "hostname": hostname, "encaps": row.UUIDs("encap")})
	tx.Insert("Chassis_Private", "", ovsdb.Row{"name": name, "chassis": row.UUIDs("chassis")})
	m.Transact(host.Southbound, tx.Operations()...)
}

// update sets columns of the rows of a table that have a name.
func update(db host.Database, table, column, name string, r ovsdb.Row) func(*fake.Machine) {
	return func(m *fake.Machine) {
		results := m.Transact(db, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: table, Where: []ovsdb.Condition{row.Is(column, name)}, Row: r})
		if results[0].Count == 0 {
			panic("no row of " + table + " has " + column + " " + name)
		}
	}
}

// setKey sets or, with an empty value, removes a key of a map column.
func setKey(db host.Database, table, column, name, mapColumn, key, value string) func(*fake.Machine) {
	return func(m *fake.Machine) {
		set := &value
		if value == "" {
			set = nil
		}
		where := []ovsdb.Condition{row.Is(column, name)}
		if column == "" {
			where = nil
		}
		results := m.Transact(db, ovsdb.Operation{
			Op: ovsdb.OperationMutate, Table: table, Where: where,
			Mutations: row.SetKeys(mapColumn, map[string]*string{key: set}),
		})
		if results[0].Count == 0 {
			panic("no row of " + table + " has " + column + " " + name)
		}
	}
}
