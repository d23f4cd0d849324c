package language

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"weft/engine/host"
	"weft/engine/step"
)

// outputsShape describes what expressions may ask of a step's outputs or of a
// host's facts: an object type made by reflection, and what of it is secret.
type outputsShape struct {
	names   []string
	types   map[string]cty.Type
	secrets map[string]bool
}

func outputsOf(zero any) *outputsShape {
	out := &outputsShape{types: map[string]cty.Type{}, secrets: map[string]bool{}}
	if zero == nil {
		return out
	}
	t := reflect.TypeOf(zero)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for i := range t.NumField() {
		f := step.FieldOf(t.Field(i))
		if f.Name == "" {
			continue
		}
		out.names = append(out.names, f.Name)
		out.types[f.Name] = valueType(f.Type)
		out.secrets[f.Name] = f.Has("secret")
	}
	return out
}

// valueType is the type that a Go type's JSON has in expressions.
func valueType(t reflect.Type) cty.Type {
	if attr, ok := reflect.Zero(t).Interface().(inner); ok {
		return valueType(reflect.TypeOf(attr.Inner()))
	}
	switch t.Kind() {
	case reflect.String:
		return cty.String
	case reflect.Bool:
		return cty.Bool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64:
		return cty.Number
	case reflect.Slice:
		return cty.List(valueType(t.Elem()))
	case reflect.Map:
		return cty.Map(valueType(t.Elem()))
	case reflect.Pointer:
		return valueType(t.Elem())
	case reflect.Struct:
		attrs := map[string]cty.Type{}
		for i := range t.NumField() {
			if f := step.FieldOf(t.Field(i)); f.Name != "" {
				attrs[f.Name] = valueType(f.Type)
			}
		}
		return cty.Object(attrs)
	}
	panic(fmt.Sprintf("language: outputs or facts with a field of type %s", t))
}

// outputsKnown is an output that every step with outputs has: whether the others
// could be had. It is unknown until that is decided: true once all are known, false
// once the host is lost to the run.
const outputsKnown = "known"

// value makes the object of outputs. Nil is all unknown, JSON null a step that
// was left out: all null. A key that is not there is unknown, and stays so where the
// host is lost.
func (o *outputsShape) value(raw json.RawMessage, lost bool) (cty.Value, error) {
	var have map[string]json.RawMessage
	if raw != nil {
		if err := json.Unmarshal(raw, &have); err != nil {
			return cty.DynamicVal, fmt.Errorf("outputs that are no object: %w", err)
		}
	}
	attrs := make(map[string]cty.Value, len(o.names)+1)
	attrs[outputsKnown] = cty.True
	for _, name := range o.names {
		v, ok := have[name]
		switch {
		case raw != nil && have == nil:
			attrs[name] = cty.NullVal(o.types[name])
		case !ok:
			attrs[name], attrs[outputsKnown] = cty.UnknownVal(o.types[name]), cty.UnknownVal(cty.Bool)
		default:
			decoded, err := ctyjson.Unmarshal(v, o.types[name])
			if err != nil {
				return cty.DynamicVal, fmt.Errorf("output %s: %w", name, err)
			}
			attrs[name] = decoded
		}
		if o.secrets[name] {
			attrs[name] = attrs[name].Mark(sensitive)
		}
	}
	if lost && !attrs[outputsKnown].IsKnown() {
		attrs[outputsKnown] = cty.False
	}
	return cty.ObjectVal(attrs), nil
}

// factsValue makes host.facts with the named facts alone: packages are many,
// and few playbooks ask for them. Nil facts are unknown.
func factsValue(o *outputsShape, facts *host.Facts, named map[string]bool) cty.Value {
	attrs := make(map[string]cty.Value, len(named))
	for name := range named {
		attrs[name] = cty.DynamicVal
		if t, ok := o.types[name]; ok {
			attrs[name] = cty.UnknownVal(t)
		}
		if facts == nil {
			continue
		}
		v := reflect.ValueOf(*facts)
		for i := range v.NumField() {
			if step.FieldOf(v.Type().Field(i)).Name == name {
				attrs[name] = goValue(v.Field(i), o.types[name])
			}
		}
	}
	return cty.ObjectVal(attrs)
}

// goValue makes a value of plain Go data of the type that valueType gave.
func goValue(v reflect.Value, t cty.Type) cty.Value {
	switch v.Kind() {
	case reflect.String:
		return cty.StringVal(v.String())
	case reflect.Bool:
		return cty.BoolVal(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return cty.NumberIntVal(v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return cty.NumberUIntVal(v.Uint())
	case reflect.Float32, reflect.Float64:
		return cty.NumberFloatVal(v.Float())
	case reflect.Pointer:
		if v.IsNil() {
			return cty.NullVal(t)
		}
		return goValue(v.Elem(), t)
	case reflect.Slice:
		return goList(v, t)
	case reflect.Map:
		if v.Len() == 0 {
			return cty.MapValEmpty(t.ElementType())
		}
		elems := make(map[string]cty.Value, v.Len())
		for it := v.MapRange(); it.Next(); {
			elems[it.Key().String()] = goValue(it.Value(), t.ElementType())
		}
		return cty.MapVal(elems)
	case reflect.Struct:
		attrs := map[string]cty.Value{}
		for i := range v.NumField() {
			if f := step.FieldOf(v.Type().Field(i)); f.Name != "" {
				attrs[f.Name] = goValue(v.Field(i), t.AttributeType(f.Name))
			}
		}
		return cty.ObjectVal(attrs)
	}
	panic(fmt.Sprintf("language: facts with a field of type %s", v.Type()))
}

func goList(v reflect.Value, t cty.Type) cty.Value {
	if v.Len() == 0 {
		return cty.ListValEmpty(t.ElementType())
	}
	elems := make([]cty.Value, v.Len())
	for i := range elems {
		elems[i] = goValue(v.Index(i), t.ElementType())
	}
	return cty.ListVal(elems)
}
