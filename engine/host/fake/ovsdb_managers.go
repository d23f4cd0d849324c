package fake

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// listening is ovsdb-server at its managers: a target that listens at an address
// of the host, or at all, has its port in the status.
func listening(m *Machine) {
	if !m.HasDatabase(host.OpenVSwitch) {
		return
	}
	for _, r := range m.Rows(host.OpenVSwitch, "Manager") {
		method, rest, _ := strings.Cut(row.String(r, "target"), ":")
		port, address, named := strings.Cut(rest, ":")
		status := map[string]string{}
		if (method == "ptcp" || method == "pssl") && (!named || m.hasAddress(strings.Trim(address, "[]"))) {
			status["bound_port"] = port
		}
		m.Transact(host.OpenVSwitch, ovsdb.Operation{
			Op: ovsdb.OperationUpdate, Table: "Manager", Where: []ovsdb.Condition{row.IsRow(row.ID(r))},
			Row: ovsdb.Row{"status": row.Strmap(status)},
		})
	}
}

// hasAddress says whether a link of the host's own namespace has an address.
func (m *Machine) hasAddress(address string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil || a.IsLoopback() {
		return err == nil
	}
	for _, name := range m.linkNames("") {
		if l, ok := m.Link("", name); ok && slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return true
		}
	}
	return false
}
