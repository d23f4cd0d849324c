package row

import "github.com/ovn-org/libovsdb/ovsdb"

// Set makes a set of strings, integers or booleans; of nothing an empty one,
// which also clears an optional column.
func Set[T string | int | bool](elements ...T) ovsdb.OvsSet {
	set := ovsdb.OvsSet{GoSet: make([]any, len(elements))}
	for i, e := range elements {
		set.GoSet[i] = e
	}
	return set
}

// Optional makes the set of one element that an optional column takes.
func Optional[T string | int | bool](value T) ovsdb.OvsSet { return Set(value) }

// Empty clears a set, a map or an optional column.
func Empty() ovsdb.OvsSet { return ovsdb.OvsSet{GoSet: []any{}} }

// UUID refers to a row by its UUID, or, where id is no UUID, to a row that
// the same transaction inserts under that name.
func UUID(id string) ovsdb.UUID { return ovsdb.UUID{GoUUID: id} }

// UUIDs makes a set of references of UUIDs and names, as [UUID] does.
func UUIDs(ids ...string) ovsdb.OvsSet {
	set := ovsdb.OvsSet{GoSet: make([]any, len(ids))}
	for i, id := range ids {
		set.GoSet[i] = UUID(id)
	}
	return set
}

// Strmap makes a map of strings.
func Strmap(m map[string]string) ovsdb.OvsMap {
	out := ovsdb.OvsMap{GoMap: make(map[any]any, len(m))}
	for k, v := range m {
		out.GoMap[k] = v
	}
	return out
}

// Is is the condition that a column equals a value, or, for a set or map,
// equals it as a whole.
func Is(column string, value any) ovsdb.Condition {
	return ovsdb.NewCondition(column, ovsdb.ConditionEqual, value)
}

// Includes is the condition that a set or map has all elements of value.
func Includes(column string, value any) ovsdb.Condition {
	return ovsdb.NewCondition(column, ovsdb.ConditionIncludes, value)
}

// IsRow is the condition that picks one row by its UUID.
func IsRow(id string) ovsdb.Condition { return Is("_uuid", UUID(id)) }

// Select reads columns (all, and _uuid and _version, where nil) of the rows
// that meet every condition.
func Select(table string, columns []string, where ...ovsdb.Condition) ovsdb.Operation {
	return ovsdb.Operation{Op: ovsdb.OperationSelect, Table: table, Columns: columns, Where: where}
}
