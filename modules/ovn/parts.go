package ovn

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
)

// partRows are the rows that an attribute wants, each with the columns of its
// element's attributes.
func partRows(a fields, attribute string) []ovsdb.Row {
	list := a.field(attribute)
	out := make([]ovsdb.Row, list.Len())
	for i := range out {
		one := fieldsIn(list.Index(i))
		out[i] = ovsdb.Row{}
		for _, name := range one.names() {
			switch f := one.pointer(name).(type) {
			case *map[string]string:
				out[i][name] = row.Strmap(*f)
			default:
				out[i][name] = one.field(name).Interface()
			}
		}
	}
	return out
}

// takeParts answers an attribute whose elements are rows, in an order that does not
// depend on their UUIDs: two reads of the same rows are the same.
func takeParts(have fields, attribute string, below []tree) {
	var found []reflect.Value
	for _, b := range below {
		if b.Column != attribute {
			continue
		}
		one := fieldsIn(reflect.New(have.field(attribute).Type().Elem()).Elem())
		for _, name := range one.names() {
			switch f := one.pointer(name).(type) {
			case *string:
				*f = row.String(ovsdb.Row(b.Row), name)
			case *int:
				*f, _ = row.Int(ovsdb.Row(b.Row), name)
			case *map[string]string:
				*f = row.Map(ovsdb.Row(b.Row), name)
			default:
				panic("ovn: no column is of the type of " + name)
			}
		}
		found = append(found, one.spec)
	}
	slices.SortFunc(found, func(a, b reflect.Value) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	list := have.field(attribute)
	list.Set(reflect.Append(reflect.MakeSlice(list.Type(), 0, len(found)), found...))
}

// is says whether a row is what an element wants.
func is(r row.Record, element ovsdb.Row) bool {
	for column, value := range element {
		if _, isMap := value.(ovsdb.OvsMap); isMap {
			if !maps.Equal(row.Map(ovsdb.Row(r), column), row.Map(element, column)) {
				return false
			}
			continue
		}
		a, _ := json.Marshal(r[column])
		b, _ := json.Marshal(value)
		if string(a) != string(b) {
			return false
		}
	}
	return true
}

// insertParts makes the rows of elements, of records where there are such.
func (w *writing) insertParts(attribute string, p part, wanted []ovsdb.Row) (names []string) {
	var recorded []tree
	if f := w.want.found(); f != nil && f.Tree != nil {
		recorded = f.Tree.Below
	}
	for _, element := range wanted {
		fresh := element
		if p.more != nil {
			fresh = p.more(w.want.text("name"), element)
		}
		for _, was := range recorded {
			if was.Column == attribute && is(was.Row, element) {
				fresh = was.Row.Insertable()
			}
		}
		name := w.newName()
		w.tx.Insert(p.table, name, fresh)
		names = append(names, name)
	}
	return names
}

// changeParts takes rows out that no element wants, and makes those that are missing.
func (w *writing) changeParts(attribute string, p part) {
	f := w.have.found()
	id := row.ID(ovsdb.Row(f.Tree.Row))
	missing := partRows(w.want, attribute)
	var gone []string
	for _, b := range f.Tree.Below {
		if b.Column != attribute {
			continue
		}
		kept := false
		for i, element := range missing {
			if is(b.Row, element) {
				missing, kept = append(missing[:i:i], missing[i+1:]...), true
				break
			}
		}
		if !kept {
			gone = append(gone, row.ID(ovsdb.Row(b.Row)))
		}
	}
	if len(gone) > 0 {
		w.tx.Mutate(w.name, id, row.RemoveRefs(attribute, gone...))
	}
	if len(missing) > 0 {
		w.tx.Mutate(w.name, id, row.AddRefs(attribute, w.insertParts(attribute, p, missing)...))
	}
}
