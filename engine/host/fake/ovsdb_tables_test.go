package fake

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
)

// TestTablesAgainstSchemas compares the descriptions with the schema files
// that Open vSwitch and OVN install, where they are installed. A newer schema
// may have more columns; what we describe must be as it says.
func TestTablesAgainstSchemas(t *testing.T) {
	for db, file := range map[host.Database]string{
		host.OpenVSwitch: "/usr/share/openvswitch/vswitch.ovsschema",
		host.Northbound:  "/usr/share/ovn/ovn-nb.ovsschema",
		host.Southbound:  "/usr/share/ovn/ovn-sb.ovsschema",
	} {
		t.Run(string(db), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Skipf("the schema is not installed: %v", err)
			}
			var real ovsdb.DatabaseSchema
			if err := json.Unmarshal(b, &real); err != nil {
				t.Fatal(err)
			}
			for name, ours := range schemaOf(db) {
				compareTable(t, ours, real.Tables[name], name)
			}
		})
	}
}

func compareTable(t *testing.T, ours *table, real ovsdb.TableSchema, name string) {
	if real.Columns == nil {
		t.Errorf("there is no table %s", name)
		return
	}
	if ours.root != real.IsRoot || !slices.EqualFunc(ours.indexes, real.Indexes, slices.Equal[[]string]) {
		t.Errorf("%s: root or indexes differ: %v, %v", name, real.IsRoot, real.Indexes)
	}
	for _, c := range ours.columns {
		column := real.Columns[c.name]
		switch {
		case c.name == "_uuid":
		case column == nil:
			t.Errorf("%s has no column %s", name, c.name)
		case column.Mutable() == c.immutable:
			t.Errorf("%s.%s: mutable differs", name, c.name)
		default:
			compareColumn(t, name+"."+c.name, c, column)
		}
	}
}

func compareColumn(t *testing.T, name string, ours *column, real *ovsdb.ColumnSchema) {
	shape := real.TypeObj
	if shape == nil { // an atomic type
		shape = &ovsdb.ColumnType{Key: &ovsdb.BaseType{Type: real.Type}}
	}
	most := shape.Max()
	if most == ovsdb.Unlimited || most > 4000 {
		most = unlimited
	}
	if shape.Min() != ours.min || most != ours.max || (shape.Value != nil) != (ours.value != nil) {
		t.Errorf("%s: %d to %d elements, map %t", name, shape.Min(), shape.Max(), shape.Value != nil)
	}
	bases := [][2]any{{ours.key, shape.Key}}
	if ours.value != nil && shape.Value != nil {
		bases = append(bases, [2]any{*ours.value, shape.Value})
	}
	for _, pair := range bases {
		b, r := pair[0].(base), pair[1].(*ovsdb.BaseType)
		ref, _ := r.RefTable()
		kind, _ := r.RefType()
		if b.kind != r.Type || b.ref != ref || b.ref != "" && b.weak != (kind == "weak") || len(b.enum) != len(r.Enum) {
			t.Errorf("%s: %s %q %s %v", name, r.Type, ref, kind, r.Enum)
		}
	}
}
