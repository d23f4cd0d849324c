package ovs

import (
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
	"weft/engine/step"
)

// Reading: each answers an attribute of a spec from a column, or leaves it
// unmanaged where want does.

func readString(want step.Attr[string], r ovsdb.Row, column string) step.Attr[string] {
	s, ok := row.OptionalString(r, column)
	if !want.Managed() {
		return step.Attr[string]{}
	}
	if !ok || s == "" { // a plain string column says none by ""
		return step.None[string]()
	}
	return step.Is(s)
}

func readInt(want step.Attr[int], r ovsdb.Row, column string) step.Attr[int] {
	n, ok := row.Int(r, column)
	if !want.Managed() {
		return step.Attr[int]{}
	}
	if !ok || n == 0 && want.Absent() {
		return step.None[int]()
	}
	return step.Is(n)
}

func readBool(want step.Attr[bool], r ovsdb.Row, column string) step.Attr[bool] {
	b, _ := row.Bool(r, column)
	if !want.Managed() {
		return step.Attr[bool]{}
	}
	if !b && want.Absent() {
		return step.None[bool]()
	}
	return step.Is(b)
}

func readKeys(want map[string]step.Attr[string], r ovsdb.Row, column string) map[string]step.Attr[string] {
	have := row.Map(r, column)
	var out map[string]step.Attr[string]
	for k := range managedKeys(want) {
		if out == nil {
			out = map[string]step.Attr[string]{}
		}
		out[k] = step.None[string]()
		if v, ok := have[k]; ok {
			out[k] = step.Is(v)
		}
	}
	return out
}

func managedKeys(keys map[string]step.Attr[string]) map[string]step.Attr[string] {
	keys = maps.Clone(keys)
	maps.DeleteFunc(keys, func(_ string, v step.Attr[string]) bool { return !v.Managed() })
	return keys
}

func readInts(want []int, r ovsdb.Row, column string) []int {
	if want == nil {
		return nil
	}
	return row.Ints(r, column)
}

func readStrings(want []string, r ovsdb.Row, column string) []string {
	if want == nil {
		return nil
	}
	return row.Strings(r, column)
}

// allKeys manages every key that a column holds.
func allKeys(r ovsdb.Row, column string, without ...string) map[string]step.Attr[string] {
	out := map[string]step.Attr[string]{}
	for k := range row.Map(r, column) {
		if !slices.Contains(without, k) {
			out[k] = step.None[string]()
		}
	}
	return out
}

// columns collects what an update of one row sets. Attributes that want leaves
// out are not touched.
type columns struct {
	row       ovsdb.Row
	mutations []ovsdb.Mutation
}

func newColumns() *columns { return &columns{row: ovsdb.Row{}} }

// optional sets an optional column.
func optional[T string | int | bool](c *columns, column string, want step.Attr[T]) {
	if v, ok := want.Get(); ok {
		c.row[column] = row.Optional(v)
	} else if want.Managed() {
		c.row[column] = row.Empty()
	}
}

// plain sets a column that always has a value; absent is its zero.
func plain[T string | int | bool](c *columns, column string, want step.Attr[T]) {
	var zero T
	if want.Managed() {
		c.row[column] = want.Or(zero)
	}
}

func set[T string | int](c *columns, column string, want []T) {
	if want != nil {
		c.row[column] = row.Set(want...)
	}
}

func (c *columns) keys(column string, want map[string]step.Attr[string]) {
	keys := map[string]*string{}
	for k, v := range managedKeys(want) {
		keys[k] = nil
		if value, ok := v.Get(); ok {
			keys[k] = &value
		}
	}
	c.mutations = append(c.mutations, row.SetKeys(column, keys)...)
}

// apply adds the changes to a transaction, guarded by what was read.
func (c *columns) apply(tx *row.Tx, table string, read ovsdb.Row) {
	guarded := map[string]bool{}
	for name := range c.row {
		guarded[name] = true
	}
	for _, m := range c.mutations {
		guarded[m.Column] = true
	}
	if len(guarded) == 0 {
		return
	}
	tx.Guard(table, read, slices.Sorted(maps.Keys(guarded))...)
	if len(c.row) > 0 {
		tx.Update(table, row.ID(read), c.row)
	}
	if len(c.mutations) > 0 {
		tx.Mutate(table, row.ID(read), c.mutations...)
	}
}

// insertable is the columns as an insert takes them.
func (c *columns) insertable(r ovsdb.Row) ovsdb.Row {
	out := maps.Clone(c.row)
	maps.Copy(out, r)
	for _, m := range c.mutations {
		if m.Mutator == ovsdb.MutateOperationInsert {
			out[m.Column] = m.Value
		}
	}
	return out
}

// sameMAC compares two spellings of an address.
func sameMAC(a, b string) bool { return strings.EqualFold(strings.ReplaceAll(a, "-", ":"), b) }
