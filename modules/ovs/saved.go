package ovs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// saved is an object as the database holds it: its rows with every column, and
// the rows that only live through them. It is what undo of a removal inserts.
type saved struct {
	Rows []savedRow `json:"rows"`
	// Mirrors are those that refer to the port, though they do not live by it:
	// the database forgets the port in them.
	Mirrors []savedMirror `json:"mirrors,omitzero"`
}

type savedMirror struct {
	ID     string `json:"id"`
	Column string `json:"column"`
	Port   string `json:"port"` // the UUID that it had
}

type savedRow struct {
	Table string     `json:"table"`
	Row   row.Record `json:"row"`
}

// reportColumns are what ovs-vswitchd writes for itself; it will again.
func reportColumns() []string {
	return []string{
		"admin_state", "bfd_status", "bond_active_slave", "cfm_fault", "cfm_fault_status", "cfm_flap_count", "cfm_health",
		"cfm_remote_mpids", "cfm_remote_opstate", "datapath_id", "datapath_version", "duplex", "error", "ifindex", "is_connected",
		"lacp_current", "link_resets", "link_speed", "link_state", "mac_in_use", "mtu", "ofport", "role", "rstp_statistics",
		"rstp_status", "statistics", "status",
	}
}

// children are the columns of a table that keep other rows alive. A QoS lives
// by itself and is only referred to.
func children() map[string]map[string]string {
	return map[string]map[string]string{
		"Bridge": {"ports": "Port", "mirrors": "Mirror", "netflow": "NetFlow", "sflow": "sFlow", "ipfix": "IPFIX",
			"controller": "Controller", "flow_tables": "Flow_Table", "auto_attach": "AutoAttach"},
		"Port": {"interfaces": "Interface"},
	}
}

// save reads a row and all that lives through it.
func save(ctx context.Context, r host.OVSDBReader, table, id string) (*saved, error) {
	s := &saved{}
	if err := s.add(ctx, r, table, id); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *saved) add(ctx context.Context, r host.OVSDBReader, table, id string) error {
	results, err := r.Select(ctx, host.OpenVSwitch, row.Select(table, nil, row.IsRow(id)))
	if err != nil {
		return err
	}
	if len(results[0].Rows) != 1 {
		return fmt.Errorf("the row %s of table %s: %w", id, table, row.ErrChanged)
	}
	whole := results[0].Rows[0]
	s.Rows = append(s.Rows, savedRow{table, row.Record(whole)})
	if table == "Port" {
		if err := s.addMirrors(ctx, r, id); err != nil {
			return err
		}
	}
	below := children()[table]
	for _, column := range slices.Sorted(maps.Keys(below)) {
		ids := row.Refs(whole, column)
		if m := row.RefMap(whole, column); len(m) > 0 {
			ids = slices.Sorted(maps.Values(m))
		}
		for _, child := range ids {
			if err := s.add(ctx, r, below[column], child); err != nil {
				return err
			}
		}
	}
	return nil
}

// mirrorColumns are the columns of a mirror that refer to ports.
func mirrorColumns() []string { return []string{"select_src_port", "select_dst_port", "output_port"} }

func (s *saved) addMirrors(ctx context.Context, r host.OVSDBReader, port string) error {
	for _, column := range mirrorColumns() {
		results, err := r.Select(ctx, host.OpenVSwitch, row.Select("Mirror", []string{"_uuid"}, row.Includes(column, row.UUIDs(port))))
		if err != nil {
			return err
		}
		for _, m := range results[0].Rows {
			s.Mirrors = append(s.Mirrors, savedMirror{row.ID(m), column, port})
		}
	}
	return nil
}

// insert makes the rows again, under the name that it returns for the first.
func (s *saved) insert(tx *row.Tx) string { return s.insertAs(tx, "row") }

// insertAs does the same beside others in one transaction: the names of the rows
// begin with the prefix.
func (s *saved) insertAs(tx *row.Tx, prefix string) string {
	names := map[string]string{}
	for i, r := range s.Rows {
		names[row.ID(ovsdb.Row(r.Row))] = fmt.Sprintf("%s%d", prefix, i)
	}
	for _, r := range s.Rows {
		columns := r.Row.Insertable(reportColumns()...)
		for column, v := range columns {
			columns[column] = renamed(v, names)
		}
		tx.Insert(r.Table, names[row.ID(ovsdb.Row(r.Row))], columns)
	}
	for _, m := range s.Mirrors {
		if name, isMade := names[m.Port]; isMade {
			m.refer(tx, name)
		}
	}
	return prefix + "0"
}

// refer has a mirror refer to the port again: where it is still there, and has
// no other output by now.
func (m savedMirror) refer(tx *row.Tx, port string) {
	op := ovsdb.Operation{Op: ovsdb.OperationMutate, Table: "Mirror", Where: []ovsdb.Condition{row.IsRow(m.ID)}, Mutations: []ovsdb.Mutation{row.AddRefs(m.Column, port)}}
	if m.Column == "output_port" {
		op.Where = append(op.Where, row.Is(m.Column, row.Empty()))
	}
	tx.Add(op)
}

// digest tells whether two objects are the same, but for the UUIDs of their rows.
func (s *saved) digest() string {
	lines := []string{}
	for _, r := range s.Rows {
		columns := r.Row.Insertable(reportColumns()...)
		for column, v := range columns {
			columns[column] = blanked(v)
		}
		lines = append(lines, r.Table+" "+string(mustJSON(columns)))
	}
	slices.Sort(lines)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, "\n"))))
}

// blanked is a value without UUIDs.
func blanked(v any) any {
	switch v := v.(type) {
	case ovsdb.UUID:
		return "row"
	case ovsdb.OvsSet:
		out := make([]string, len(v.GoSet))
		for i, e := range v.GoSet {
			out[i] = fmt.Sprint(blanked(e))
		}
		slices.Sort(out)
		return out
	case ovsdb.OvsMap:
		out := map[string]string{}
		for k, e := range v.GoMap {
			out[fmt.Sprint(k)] = fmt.Sprint(blanked(e))
		}
		return out
	}
	return v
}

// renamed replaces references to rows that are made anew by their names.
func renamed(v any, names map[string]string) any {
	switch v := v.(type) {
	case ovsdb.UUID:
		if name, ok := names[v.GoUUID]; ok {
			return row.UUID(name)
		}
	case ovsdb.OvsSet:
		out := ovsdb.OvsSet{GoSet: make([]any, len(v.GoSet))}
		for i, e := range v.GoSet {
			out.GoSet[i] = renamed(e, names)
		}
		return out
	case ovsdb.OvsMap:
		out := ovsdb.OvsMap{GoMap: make(map[any]any, len(v.GoMap))}
		for k, e := range v.GoMap {
			out.GoMap[k] = renamed(e, names)
		}
		return out
	}
	return v
}

// with is what was saved with other values in the rows of one table.
func (s *saved) with(table string, values ovsdb.Row) *saved {
	out := *s
	out.Rows = slices.Clone(s.Rows)
	for i, r := range out.Rows {
		if r.Table == table {
			out.Rows[i].Row = maps.Clone(r.Row)
			maps.Copy(out.Rows[i].Row, row.Record(values))
		}
	}
	return &out
}

// only is what was saved of one table.
func (s *saved) only(table string) *saved {
	out := *s
	out.Rows = slices.DeleteFunc(slices.Clone(s.Rows), func(r savedRow) bool { return r.Table != table })
	return &out
}
