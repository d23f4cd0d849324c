package row

import (
	"fmt"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"
)

// ID returns the row's UUID, or "" where it was not among the columns asked
// for.
func ID(r ovsdb.Row) string { return Ref(r, "_uuid") }

// atoms returns the elements of a column: of a set its members, of a scalar
// itself.
func atoms(r ovsdb.Row, column string) []any {
	switch v := r[column].(type) {
	case nil, ovsdb.OvsMap:
		return nil
	case ovsdb.OvsSet:
		return v.GoSet
	default:
		return []any{v}
	}
}

// elements returns the elements of a column that are of type T.
func elements[T any](r ovsdb.Row, column string, read func(any) (T, bool)) []T {
	out := []T{}
	for _, a := range atoms(r, column) {
		if v, ok := read(a); ok {
			out = append(out, v)
		}
	}
	return out
}

func first[T any](list []T) (v T, ok bool) {
	if len(list) == 0 {
		return v, false
	}
	return list[0], true
}

func asString(a any) (string, bool) {
	s, ok := a.(string)
	return s, ok
}

func asBool(a any) (bool, bool) {
	b, ok := a.(bool)
	return b, ok
}

func asInt(a any) (int, bool) {
	switch n := a.(type) {
	case int:
		return n, true
	case float64:
		return int(n), n == float64(int(n))
	}
	return 0, false
}

func asRef(a any) (string, bool) {
	u, ok := a.(ovsdb.UUID)
	return u.GoUUID, ok
}

// String returns a string, or "" where an optional column is empty. Where the
// two differ, use [OptionalString].
func String(r ovsdb.Row, column string) string {
	s, _ := OptionalString(r, column)
	return s
}

// OptionalString returns a string and whether there is one.
func OptionalString(r ovsdb.Row, column string) (string, bool) {
	return first(elements(r, column, asString))
}

// Int returns an integer and whether there is one.
func Int(r ovsdb.Row, column string) (int, bool) { return first(elements(r, column, asInt)) }

// Bool returns a boolean and whether there is one.
func Bool(r ovsdb.Row, column string) (value, ok bool) { return first(elements(r, column, asBool)) }

// Ref returns the UUID of an optional or scalar reference, or "".
func Ref(r ovsdb.Row, column string) string {
	id, _ := first(elements(r, column, asRef))
	return id
}

// Strings returns a set of strings, sorted; never nil.
func Strings(r ovsdb.Row, column string) []string { return sorted(elements(r, column, asString)) }

// Ints returns a set of integers, sorted; never nil.
func Ints(r ovsdb.Row, column string) []int { return sorted(elements(r, column, asInt)) }

// Refs returns the UUIDs of a set of references, sorted; never nil.
func Refs(r ovsdb.Row, column string) []string { return sorted(elements(r, column, asRef)) }

func sorted[T string | int](list []T) []T {
	slices.Sort(list)
	return list
}

// Map returns a map of strings; never nil. Keys and values of other types
// (statistics) are shown as text.
func Map(r ovsdb.Row, column string) map[string]string {
	out := map[string]string{}
	m, _ := r[column].(ovsdb.OvsMap)
	for k, v := range m.GoMap {
		out[fmt.Sprint(k)] = fmt.Sprint(v)
	}
	return out
}

// RefMap returns a map from strings to references, as in
// Open_vSwitch.datapaths; never nil.
func RefMap(r ovsdb.Row, column string) map[string]string {
	out := map[string]string{}
	m, _ := r[column].(ovsdb.OvsMap)
	for k, v := range m.GoMap {
		if id, ok := asRef(v); ok {
			out[fmt.Sprint(k)] = id
		}
	}
	return out
}

// ByID indexes rows by their UUIDs.
func ByID(rows []ovsdb.Row) map[string]ovsdb.Row {
	out := make(map[string]ovsdb.Row, len(rows))
	for _, r := range rows {
		out[ID(r)] = r
	}
	return out
}
