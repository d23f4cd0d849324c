package step

import (
	"reflect"
	"slices"
	"sort"
	"strings"
)

// Compare is the Diff of most resources: every managed attribute of want
// against have, in the order of the struct's fields. Structs are compared
// field by field, maps key by key (a key that want leaves out is unmanaged, as
// is a nil slice), lists as wholes, lists tagged "set" without their order.
//
// Where one of the two is absent (a field of type [State]) there is a delta
// for the state, and with have absent one for each managed attribute.
// Attributes tagged label, ref, trigger or found are never compared.
func Compare[S any](have, want S) []Delta {
	return compare(reflect.ValueOf(have), reflect.ValueOf(want))
}

func compare(h, w reflect.Value) []Delta {
	hs, ws := stateOf(h), stateOf(w)
	switch {
	case ws == Absent && hs == Absent:
		return nil
	case ws == Absent:
		return []Delta{Change("state", Present, nil)}
	case hs == Absent:
		deltas := []Delta{Change("state", nil, Present)}
		for _, d := range compareStruct("", reflect.Zero(h.Type()), w) {
			d.From = nil
			deltas = append(deltas, d)
		}
		return deltas
	}
	return compareStruct("", h, w)
}

var stateType = reflect.TypeFor[State]()

func stateOf(v reflect.Value) State {
	for i := range v.NumField() {
		if v.Type().Field(i).Type == stateType && v.Field(i).String() == string(Absent) {
			return Absent
		}
	}
	return Present
}

func compareStruct(prefix string, have, want reflect.Value) []Delta {
	var deltas []Delta
	for i := range want.NumField() {
		f := FieldOf(want.Type().Field(i))
		if f.Name == "" || f.Type == stateType || f.Has("label") || f.Has("ref") || f.Has("trigger") || f.Has("found") {
			continue
		}
		deltas = append(deltas, compareValue(prefix+f.Name, f, have.Field(i), want.Field(i))...)
	}
	return deltas
}

func compareValue(path string, f Field, have, want reflect.Value) []Delta {
	if w, ok := want.Interface().(interface{ attribute() (bool, bool, any) }); ok {
		managed, wantSet, wantValue := w.attribute()
		if !managed {
			return nil
		}
		_, haveSet, haveValue := have.Interface().(interface{ attribute() (bool, bool, any) }).attribute()
		switch {
		case !wantSet && !haveSet:
			return nil
		case !wantSet:
			return secretly(f, Change(path, haveValue, nil))
		case !haveSet:
			return secretly(f, Change(path, nil, wantValue))
		}
		return compareValue(path, f, reflect.ValueOf(haveValue), reflect.ValueOf(wantValue))
	}
	switch want.Kind() {
	case reflect.Struct:
		return compareStruct(path+".", have, want)
	case reflect.Map:
		return compareMap(path, f, have, want)
	case reflect.Slice:
		if want.IsNil() {
			return nil
		}
		if equalLists(f, have, want) {
			return nil
		}
		if have.Len() == 0 {
			return secretly(f, Change(path, nil, want.Interface()))
		}
		if want.Len() == 0 {
			return secretly(f, Change(path, have.Interface(), nil))
		}
	default:
		if reflect.DeepEqual(have.Interface(), want.Interface()) {
			return nil
		}
	}
	return secretly(f, Change(path, have.Interface(), want.Interface()))
}

func compareMap(path string, f Field, have, want reflect.Value) []Delta {
	keys := want.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	var deltas []Delta
	for _, k := range keys {
		h := have.MapIndex(k)
		if !h.IsValid() {
			h = reflect.Zero(want.Type().Elem())
		}
		deltas = append(deltas, compareValue(path+"."+k.String(), f, h, want.MapIndex(k))...)
	}
	return deltas
}

func equalLists(f Field, have, want reflect.Value) bool {
	if have.Len() != want.Len() {
		return false
	}
	if !f.Has("set") {
		return have.Len() == 0 || reflect.DeepEqual(have.Interface(), want.Interface())
	}
	return slices.Equal(sortedJSON(have), sortedJSON(want))
}

func sortedJSON(list reflect.Value) []string {
	out := make([]string, list.Len())
	for i := range out {
		out[i] = string(mustJSON(list.Index(i).Interface()))
	}
	slices.Sort(out)
	return out
}

func secretly(f Field, d Delta) []Delta {
	d.Secret = f.Has("secret")
	return []Delta{d}
}

// A Field is an attribute of a spec as its tags describe it.
type Field struct {
	Name    string // from the json tag; empty where the field is no attribute
	Type    reflect.Type
	Doc     string
	Default string
	options []string
}

// FieldOf reads the tags of a struct's field.
func FieldOf(f reflect.StructField) Field {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" || !f.IsExported() {
		name = ""
	}
	out := Field{Name: name, Type: f.Type, Doc: f.Tag.Get("doc"), Default: f.Tag.Get("default")}
	if tag := f.Tag.Get("weft"); tag != "" {
		out.options = strings.Split(tag, ",")
	}
	return out
}

// Has says whether the weft tag has an option: "required", "set", ….
func (f Field) Has(option string) bool { return slices.Contains(f.options, option) }

// Enum returns the values that the field may have, or nil for any.
func (f Field) Enum() []string {
	if f.Type == stateType {
		return []string{string(Present), string(Absent)}
	}
	for _, o := range f.options {
		if list, ok := strings.CutPrefix(o, "enum="); ok {
			return strings.Split(list, "|")
		}
	}
	return nil
}
