package ovn

import (
	"fmt"
	"reflect"
	"strings"

	"weft/engine/step"
)

// fields are the attributes of a spec, by the names that playbooks have for them.
type fields struct {
	spec  reflect.Value
	shape shape
}

// A shape is where the attributes of a type are. It is read off the type once for all
// states of a step: that takes longer than to read a row.
type shape struct {
	places map[string]int
	named  []string // see [fields.names]
}

// fieldsOf wants a pointer to a spec.
func fieldsOf(spec any) fields { return fieldsIn(reflect.ValueOf(spec).Elem()) }

func fieldsIn(spec reflect.Value) fields { return fields{spec, shapeOf(spec.Type())} }

// of are the attributes of another state of the same type; it wants a pointer.
func (s shape) of(spec any) fields { return fields{reflect.ValueOf(spec).Elem(), s} }

func shapeOf(t reflect.Type) shape {
	s := shape{places: map[string]int{}}
	for i := range t.NumField() {
		f := step.FieldOf(t.Field(i))
		if f.Name == "" {
			continue
		}
		s.places[f.Name] = i
		if !f.Has("label") && !f.Has("found") && f.Name != "state" && f.Name != "adopt" {
			s.named = append(s.named, f.Name)
		}
	}
	return s
}

// names are all but those that say which object is meant and what becomes of it.
func (a fields) names() []string { return a.shape.named }

// field is a field by its attribute's name. A name that the spec does not have is
// our own mistake.
func (a fields) field(name string) reflect.Value {
	i, ok := a.shape.places[name]
	if !ok {
		panic(fmt.Sprintf("ovn: %s has no attribute %s", a.spec.Type(), name))
	}
	return a.spec.Field(i)
}

// pointer is a pointer to a field.
func (a fields) pointer(name string) any { return a.field(name).Addr().Interface() }

// text is an attribute that is one word; "" where it is left out or absent.
func (a fields) text(name string) string {
	switch f := a.pointer(name).(type) {
	case *string:
		return *f
	case *step.Attr[string]:
		return f.Or("")
	}
	panic("ovn: " + name + " is no text")
}

// managed says whether a playbook named the attribute.
func (a fields) managed(name string) bool {
	f := a.field(name)
	if m, ok := f.Interface().(interface{ Managed() bool }); ok {
		return m.Managed()
	}
	return f.Kind() != reflect.Slice && f.Kind() != reflect.Map || !f.IsNil()
}

// list is an attribute that names rows: one or several.
func (a fields) list(name string) []string {
	if f, ok := a.pointer(name).(*[]string); ok {
		return *f
	}
	if one := a.text(name); one != "" {
		return []string{one}
	}
	return nil
}

// setList answers an attribute that names rows.
func (a fields) setList(name string, list []string) {
	one := strings.Join(list, ", ") // more than one only where another hand was at it
	switch f := a.pointer(name).(type) {
	case *[]string:
		*f = append([]string{}, list...)
	case *string:
		*f = one
	case *step.Attr[string]:
		*f = step.None[string]()
		if one != "" {
			*f = step.Is(one)
		}
	}
}

// setKey gives a key of a map its value.
func (a fields) setKey(name, key, value string) {
	f := a.pointer(name).(*keys)
	*f = withKey(*f, key, value)
}

func (a fields) state() step.State     { return a.field("state").Interface().(step.State) }
func (a fields) setState(s step.State) { a.field("state").Set(reflect.ValueOf(s)) }

// adopt says whether a row of another may be had. Specs of rows that only their
// maker can tell from others do not ask.
func (a fields) adopt() bool {
	f := a.spec.FieldByName("Adopt")
	return f.IsValid() && f.Bool()
}

// found is what was read of the row; nil in what a playbook wants.
func (a fields) found() *rowFound {
	f, _ := a.field("found").Interface().(*rowFound)
	return f
}

func (a fields) setFound(f *rowFound) { a.field("found").Set(reflect.ValueOf(f)) }

// clear leaves nothing but what says which object is meant.
func (a fields) clear() {
	for _, name := range a.names() {
		a.field(name).SetZero()
	}
	a.setState(step.Absent)
	a.setFound(&rowFound{})
}
