// Package rowtest is the contract of the OVSDB door: the same transactions
// with the same results, on the fake databases and on ovsdb-server itself.
package rowtest

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// Contract walks the cases. Open returns a door to an Open_vSwitch database
// that has its root row and nothing else, and no ovs-vswitchd beside it.
func Contract(t *testing.T, open func(t *testing.T) host.OVSDB) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			p := player{t: t, door: open(t)}
			c.play(p)
		})
	}
}

type contractCase struct {
	name string
	play func(p player)
}

type player struct {
	t    *testing.T
	door host.OVSDB
}

// must commits what must succeed.
func (p player) must(build func(tx *row.Tx)) []ovsdb.OperationResult {
	p.t.Helper()
	results, err := p.commit(build)
	if err != nil {
		p.t.Fatal(err)
	}
	return results
}

func (p player) commit(build func(tx *row.Tx)) ([]ovsdb.OperationResult, error) {
	var tx row.Tx
	build(&tx)
	return tx.Commit(p.t.Context(), p.door, host.OpenVSwitch)
}

// refuse commits what must fail, and compares the error's kind and operation.
func (p player) refuse(kind, op, table string, build func(tx *row.Tx)) {
	p.t.Helper()
	before := p.everything()
	_, err := p.commit(build)
	refused, ok := errors.AsType[*host.OperationError](err)
	if !ok {
		p.t.Fatalf("not refused: %v", err)
	}
	if refused.Kind != kind || refused.Op != op || refused.Table != table {
		p.t.Errorf("refused as %q of %q %q, want %q of %q %q (%v)", refused.Kind, refused.Op, refused.Table, kind, op, table, err)
	}
	if after := p.everything(); !reflect.DeepEqual(before, after) {
		p.t.Errorf("a refused transaction changed the database:\n%v\n%v", before, after)
	}
}

func (p player) rows(table string, columns []string, where ...ovsdb.Condition) []ovsdb.Row {
	p.t.Helper()
	results, err := p.door.Select(p.t.Context(), host.OpenVSwitch, row.Select(table, columns, where...))
	if err != nil {
		p.t.Fatal(err)
	}
	return results[0].Rows
}

func (p player) names(table string, where ...ovsdb.Condition) string {
	p.t.Helper()
	names := []string{}
	for _, r := range p.rows(table, []string{"name"}, where...) {
		names = append(names, row.String(r, "name"))
	}
	set := row.Strings(ovsdb.Row{"x": row.Set(names...)}, "x")
	return strings.Join(set, " ")
}

func (p player) everything() map[string]map[string]ovsdb.Row {
	all := map[string]map[string]ovsdb.Row{}
	for _, table := range []string{"Open_vSwitch", "Bridge", "Port", "Interface", "Mirror", "QoS"} {
		all[table] = row.ByID(p.rows(table, []string{"_uuid", "external_ids"}))
	}
	return all
}

// want compares a column as it is on the wire.
func (p player) want(r ovsdb.Row, column string, value any) {
	p.t.Helper()
	if !reflect.DeepEqual(r[column], value) {
		p.t.Errorf("%s is %#v, want %#v", column, r[column], value)
	}
}

// bridge makes a bridge with its own port and returns the UUIDs.
func (p player) bridge(name string) (bridge, port string) {
	p.t.Helper()
	root := p.rows("Open_vSwitch", []string{"_uuid"})[0]
	p.must(func(tx *row.Tx) {
		tx.Insert("Interface", "i", ovsdb.Row{"name": name, "type": "internal"})
		tx.Insert("Port", "p", ovsdb.Row{"name": name, "interfaces": row.UUID("i")})
		tx.Insert("Bridge", "b", ovsdb.Row{"name": name, "ports": row.UUIDs("p")})
		tx.Mutate("Open_vSwitch", row.ID(root), row.AddRefs("bridges", "b"))
	})
	b := p.rows("Bridge", []string{"_uuid", "ports"}, row.Is("name", name))[0]
	return row.ID(b), row.Refs(b, "ports")[0]
}
