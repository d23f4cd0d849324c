package language

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"weft/engine/step"
)

// form is what a value of a spec looks like on the wire.
type form int

const (
	formString form = iota
	formBool
	formInt
	formFloat
	formDuration // nanoseconds on the wire, "10s" in a playbook
	formList
	formMap
	formObject
	formAny
)

// shape describes a type of a spec, by reflection, once.
type shape struct {
	form   form
	absent bool         // a step.Attr: may be managed to be absent
	elem   *shape       // of lists and maps
	fields []*field     // of objects, in the order of the struct
	goType reflect.Type // without step.Attr
}

// field is an attribute of an object.
type field struct {
	step.Field
	shape    *shape
	required bool
	label    bool
	secret   bool
	host     bool   // names a host of the inventory
	steps    bool   // ref or trigger: the value is references to steps
	trigger  bool   // the references become the unit's triggers
	fallback []byte // JSON of the default, or nil
	enum     []string
	key      []byte // "name": as JSON
}

// inner is how a step.Attr shows what it holds.
type inner interface {
	Inner() any
	Absent() bool
	Managed() bool
}

// shapeOf describes a type. A type that no playbook can write is a mistake in
// the program and panics.
func shapeOf(t reflect.Type) *shape {
	if attr, ok := reflect.Zero(t).Interface().(inner); ok {
		held := reflect.TypeOf(attr.Inner())
		s := &shape{form: formAny}
		if held != nil {
			s = shapeOf(held)
		}
		s.absent = true
		return s
	}
	s := &shape{goType: t}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		s.form = formDuration
	case t == reflect.TypeFor[json.RawMessage]():
		s.form = formAny
	case reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()), t.Kind() == reflect.String:
		s.form = formString
	case t.Kind() == reflect.Bool:
		s.form = formBool
	case reflect.Int <= t.Kind() && t.Kind() <= reflect.Uint64:
		s.form = formInt
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		s.form = formFloat
	case t.Kind() == reflect.Slice:
		s.form, s.elem = formList, shapeOf(t.Elem())
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		s.form, s.elem = formMap, shapeOf(t.Elem())
	case t.Kind() == reflect.Pointer:
		return shapeOf(t.Elem())
	case t.Kind() == reflect.Struct:
		s.form, s.fields = formObject, fieldsOf(t)
	case t.Kind() == reflect.Interface:
		s.form = formAny
	default:
		panic(fmt.Sprintf("language: a spec with a field of type %s", t))
	}
	return s
}

func fieldsOf(t reflect.Type) []*field {
	var out []*field
	for i := range t.NumField() {
		f := step.FieldOf(t.Field(i))
		if f.Name == "" || f.Has("found") {
			continue
		}
		out = append(out, newField(t, f))
	}
	return out
}

func newField(owner reflect.Type, f step.Field) *field {
	out := &field{
		Field:    f,
		shape:    shapeOf(f.Type),
		required: f.Has("required"),
		label:    f.Has("label"),
		secret:   f.Has("secret"),
		host:     f.Has("host"),
		trigger:  f.Has("trigger"),
		steps:    f.Has("trigger") || f.Has("ref"),
		enum:     f.Enum(),
		key:      append(appendString(nil, f.Name), ':'),
	}
	if f.Default != "" {
		fallback, ok := defaultJSON(out.shape, f.Default)
		if !ok {
			panic(fmt.Sprintf("language: %s.%s has the default %q, which is not %s", owner, f.Name, f.Default, out.shape))
		}
		out.fallback = fallback
	}
	return out
}

func defaultJSON(s *shape, text string) ([]byte, bool) {
	switch s.form {
	case formString:
		return appendString(nil, text), true
	case formDuration:
		d, err := time.ParseDuration(text)
		return fmt.Append(nil, int64(d)), err == nil
	}
	value := reflect.New(s.goType)
	if err := json.Unmarshal([]byte(text), value.Interface()); err != nil {
		return nil, false
	}
	return []byte(text), true
}

func (s *shape) field(name string) *field {
	i := slices.IndexFunc(s.fields, func(f *field) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return s.fields[i]
}

func (s *shape) names() []string {
	out := make([]string, len(s.fields))
	for i, f := range s.fields {
		out[i] = f.Name
	}
	return out
}

// String names the shape in messages: "a list of strings".
func (s *shape) String() string {
	switch s.form {
	case formString:
		return "a string"
	case formBool:
		return "true or false"
	case formInt:
		return "a whole number"
	case formFloat:
		return "a number"
	case formDuration:
		return `a duration such as "10s"`
	case formList:
		return "a list of " + s.elem.plural()
	case formMap:
		return "a map of " + s.elem.plural()
	case formObject:
		return "an object"
	}
	return "a value"
}

func (s *shape) plural() string {
	switch s.form {
	case formString:
		return "strings"
	case formBool:
		return "true and false"
	case formInt:
		return "whole numbers"
	case formFloat:
		return "numbers"
	case formDuration:
		return "durations"
	case formList:
		return "lists of " + s.elem.plural()
	case formMap:
		return "maps of " + s.elem.plural()
	case formObject:
		return "objects"
	}
	return "values"
}
