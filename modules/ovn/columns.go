package ovn

import (
	"reflect"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
	"weft/engine/step"
)

// columnOf is the column that an attribute is; "" where it is none.
func (t *table) columnOf(attribute string) string {
	if _, is := t.refs[attribute]; is {
		return ""
	}
	if _, is := t.parts[attribute]; is {
		return ""
	}
	for _, r := range slices.Concat(t.parents, t.holders) {
		if r.attribute == attribute {
			return ""
		}
	}
	if column, ok := t.columns[attribute]; ok {
		return column
	}
	return attribute
}

// columnsOf are the attributes of a spec that are columns.
func (t *table) columnsOf(a fields) map[string]string {
	out := map[string]string{}
	for _, name := range a.names() {
		if column := t.columnOf(name); column != "" {
			out[name] = column
		}
	}
	return out
}

// take answers an attribute that is a column, where want manages it, and in want's
// spelling where that means the same.
func (t *table) take(have, want fields, name string, r ovsdb.Row) {
	column := t.columnOf(name)
	switch w := want.pointer(name).(type) {
	case *string:
		*have.pointer(name).(*string) = t.like(name, row.String(r, column), *w)
	case *int:
		n, _ := row.Int(r, column)
		*have.pointer(name).(*int) = n
	case *step.Attr[string]:
		v, there := row.OptionalString(r, column)
		*have.pointer(name).(*step.Attr[string]) = taken(*w, t.like(name, v, w.Or("")), there, t.unset[name])
	case *step.Attr[int]:
		v, there := row.Int(r, column)
		*have.pointer(name).(*step.Attr[int]) = taken(*w, v, there, t.unset[name])
	case *step.Attr[bool]:
		v, there := row.Bool(r, column)
		*have.pointer(name).(*step.Attr[bool]) = taken(*w, v, there, t.unset[name])
	case *[]string:
		if *w != nil {
			*have.pointer(name).(*[]string) = t.spelledLike(name, row.Strings(r, column), *w)
		}
	case *[]int:
		if *w != nil {
			*have.pointer(name).(*[]int) = append([]int{}, row.Ints(r, column)...)
		}
	case *keys:
		*have.pointer(name).(*keys) = t.spelledKeys(name, keysLike(*w, row.Map(r, column)), *w)
	default:
		panic("ovn: no column is of the type of " + name)
	}
}

// taken answers an attribute from a column. One that is empty is absent, or what
// unset says; so is the zero of a column that always has a value.
func taken[T comparable](want step.Attr[T], v T, there bool, unset any) step.Attr[T] {
	var zero T
	switch empty := !there || v == zero && want.Absent(); {
	case !want.Managed():
		return step.Attr[T]{}
	case !empty:
		return step.Is(v)
	case want.Absent() || unset == nil:
		return step.None[T]()
	default:
		return step.Is(unset.(T))
	}
}

// like is a value as one of the spellings has it, where one means the same.
func (t *table) like(name, value string, spellings ...string) string {
	mean, ok := t.means[name]
	for _, s := range spellings {
		if ok && mean(s) == mean(value) {
			return s
		}
	}
	return value
}

// spelledLike is like for each element of a list, which may have thousands.
func (t *table) spelledLike(name string, list []string, spellings ...[]string) []string {
	mean, ok := t.means[name]
	if !ok {
		return append([]string{}, list...)
	}
	known := map[string]string{}
	for _, s := range slices.Concat(spellings...) {
		if _, earlier := known[mean(s)]; !earlier {
			known[mean(s)] = s
		}
	}
	out := make([]string, len(list))
	for i, element := range list {
		if out[i], ok = known[mean(element)]; !ok {
			out[i] = element
		}
	}
	return out
}

// spelledKeys is like for each value of a map.
func (t *table) spelledKeys(name string, have, want keys) keys {
	for key, h := range have {
		if v, there := h.Get(); there {
			have[key] = step.Is(t.like(name, v, want[key].Or("")))
		}
	}
	return have
}

// value is what a column gets for an attribute. What was recorded of it comes back as
// it was, where it means what is wanted; now is what the column has, whose spellings
// stay.
func (t *table) value(want fields, name string, recorded, now ovsdb.Row) any {
	column := t.columnOf(name)
	if raw, ok := recorded[column]; ok {
		back := fields{reflect.New(want.spec.Type()).Elem(), want.shape}
		t.take(back, want, name, recorded)
		if reflect.DeepEqual(back.field(name).Interface(), want.field(name).Interface()) {
			return raw
		}
	}
	switch w := want.pointer(name).(type) {
	case *string:
		return *w
	case *int:
		return *w
	case *step.Attr[string]:
		return valueOf(*w, t.empty(name, ""))
	case *step.Attr[int]:
		return valueOf(*w, t.empty(name, 0))
	case *step.Attr[bool]:
		return valueOf(*w, t.empty(name, false))
	case *[]string:
		return row.Set(t.spelledLike(name, *w, row.Strings(recorded, column), row.Strings(now, column))...)
	case *[]int:
		return row.Set(*w...)
	}
	panic("ovn: no column is of the type of " + name)
}

// empty is what the column of an attribute has that is absent.
func (t *table) empty(name string, zero any) any {
	if slices.Contains(t.always, name) {
		return zero
	}
	return row.Empty()
}

func valueOf[T string | int | bool](a step.Attr[T], empty any) any {
	if v, ok := a.Get(); ok {
		return row.Optional(v)
	}
	return empty
}

// setColumns puts the attributes that differ into an update, and into mutations what
// are keys of maps. Of a row that is not there, now is nil.
func (t *table) setColumns(have, want fields, recorded, now ovsdb.Row) (columns ovsdb.Row, mutations []ovsdb.Mutation) {
	columns = ovsdb.Row{}
	for name, column := range t.columnsOf(want) {
		if k, ok := want.pointer(name).(*keys); ok {
			mutations = append(mutations, row.SetKeys(column, changedKeys(*have.pointer(name).(*keys), *k))...)
			continue
		}
		if !want.managed(name) || reflect.DeepEqual(have.field(name).Interface(), want.field(name).Interface()) {
			continue
		}
		columns[column] = t.value(want, name, recorded, now)
	}
	return columns, mutations
}

// fresh is the row of what is not there: of a record where there is one, else of the
// attributes.
func (t *table) fresh(want fields) ovsdb.Row {
	out, recorded := ovsdb.Row{}, ovsdb.Row{}
	if f := want.found(); f != nil && f.Tree != nil {
		recorded = ovsdb.Row(f.Tree.Row)
		out = f.Tree.Row.Insertable(hidden(t.name)...)
		for column := range strong(t.name) {
			delete(out, column)
		}
	}
	if t.named != "" {
		out[t.named] = want.text("name")
	}
	for name, column := range t.columnsOf(want) {
		switch w := want.pointer(name).(type) {
		case *keys:
			out[column] = row.Strmap(t.merged(name, row.Map(out, column), *w))
		default:
			empty := want.managed(name) && isAbsent(want.field(name))
			switch {
			case !want.managed(name):
			case empty && recorded[column] == nil: // what the database has unasked
			default:
				out[column] = t.value(want, name, recorded, recorded)
			}
		}
	}
	return out
}

// merged is a map with the keys that are wanted. What means the same stays as it was.
func (t *table) merged(name string, recorded map[string]string, want keys) map[string]string {
	for key, w := range want {
		v, set := w.Get()
		was, there := recorded[key]
		switch {
		case !set:
			delete(recorded, key)
		case !there || t.like(name, was, v) != v:
			recorded[key] = v
		}
	}
	return recorded
}

func isAbsent(f reflect.Value) bool {
	a, ok := f.Interface().(interface{ Absent() bool })
	return ok && a.Absent()
}
