package ovn

import (
	"maps"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
	"weft/engine/step"
)

// keys are the keys of a map column that a spec manages.
type keys = map[string]step.Attr[string]

// keysLike answers the keys that want manages.
func keysLike(want keys, column map[string]string) keys {
	if want == nil {
		return nil
	}
	have := keys{}
	for key := range want {
		have[key] = step.None[string]()
		if v, ok := column[key]; ok {
			have[key] = step.Is(v)
		}
	}
	return have
}

// changedKeys are the keys of want that are not so in have, as [row.SetKeys]
// takes them.
func changedKeys(have, want keys) map[string]*string {
	changed := map[string]*string{}
	for key, w := range want {
		h := have[key]
		wantValue, set := w.Get()
		haveValue, there := h.Get()
		switch {
		case !w.Managed(), set == there && wantValue == haveValue:
		case set:
			changed[key] = &wantValue
		default:
			changed[key] = nil
		}
	}
	return changed
}

// values are the keys that have one.
func values(k keys) map[string]string {
	out := map[string]string{}
	for key, a := range k {
		if v, ok := a.Get(); ok {
			out[key] = v
		}
	}
	return out
}

// withKey is k and one more.
func withKey(k keys, key, value string) keys {
	out := maps.Clone(k)
	if out == nil {
		out = keys{}
	}
	out[key] = step.Is(value)
	return out
}

// names are the values of a column of strings over rows, sorted.
func names(rows []ovsdb.Row, column string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = row.String(r, column)
	}
	slices.Sort(out)
	return out
}

// optional answers an attribute from an optional column, where want manages it.
func optional[T any](want step.Attr[T], column func() (T, bool)) step.Attr[T] {
	if !want.Managed() {
		return step.Attr[T]{}
	}
	if v, ok := column(); ok {
		return step.Is(v)
	}
	return step.None[T]()
}

func setOf[T string | int | bool](a step.Attr[T]) ovsdb.OvsSet {
	if v, ok := a.Get(); ok {
		return row.Optional(v)
	}
	return row.Empty()
}
