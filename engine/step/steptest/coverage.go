package steptest

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"weft/engine/step"
)

// coverage says what the subject or its kind leaves out.
func (s Subject) coverage() []Violation {
	tr := &trial{subject: s}
	s.described(tr)
	attributes := leaves(s.Kind.Spec)
	managed, drifted := map[string]bool{}, map[string]bool{}
	for _, c := range s.Cases {
		spec, err := s.managedBy(c)
		if err != nil {
			tr.fail(0, "%v", err)
			return tr.broken
		}
		maps.Copy(managed, spec)
		for _, d := range c.Drift {
			drifted[d.Name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if slices.Contains(s.Policy, name) {
			continue
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(managed)), within(name)) {
			tr.fail(4, "no case manages %s", name)
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(drifted)), within(name)) {
			tr.fail(4, "no drift of %s", name)
		}
	}
	for name := range drifted {
		top, _, _ := strings.Cut(name, ".")
		if !slices.ContainsFunc(slices.Collect(maps.Keys(attributes)), within(top)) {
			tr.fail(0, "drift of %s, which is no attribute that is compared", name)
		}
	}
	return tr.broken
}

// within matches an attribute and its parts.
func within(name string) func(string) bool {
	return func(path string) bool { return path == name || strings.HasPrefix(path, name+".") }
}

// described holds the kind to what the reference needs.
func (s Subject) described(tr *trial) {
	k := s.Kind
	if k.Name == "" || k.Summary == "" || k.Doc == "" || k.Example == "" {
		tr.fail(0, "the kind lacks its name, summary, doc or example")
	}
	var undocumented func(prefix string, t reflect.Type)
	undocumented = func(prefix string, t reflect.Type) {
		for i := range t.NumField() {
			f := step.FieldOf(t.Field(i))
			if f.Name == "" || f.Has("found") {
				continue
			}
			if f.Doc == "" {
				tr.fail(0, "%s has no doc tag", prefix+f.Name)
			}
			if inner := inside(f.Type); inner.Kind() == reflect.Struct {
				undocumented(prefix+f.Name+".", inner)
			}
		}
	}
	for _, described := range []any{k.Spec, k.Outputs} {
		if described != nil {
			undocumented("", reflect.TypeOf(described))
		}
	}
}

// inside sees through attributes, pointers, lists and maps to what they hold.
func inside(t reflect.Type) reflect.Type {
	if a, ok := reflect.Zero(t).Interface().(interface{ Inner() any }); ok {
		if in := reflect.TypeOf(a.Inner()); in != nil {
			return inside(in)
		}
		return t
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return inside(t.Elem())
	}
	return t
}

// leaves are the attributes of a struct that a check compares, by path; a
// struct inside counts by its fields, a map and a list as one.
func leaves(spec any) map[string]bool {
	out := map[string]bool{}
	if spec == nil {
		return out
	}
	var walk func(prefix string, t reflect.Type)
	walk = func(prefix string, t reflect.Type) {
		for i := range t.NumField() {
			f := step.FieldOf(t.Field(i))
			if f.Name == "" || f.Has("label") || f.Has("ref") || f.Has("trigger") || f.Has("found") {
				continue
			}
			if inner := inside(f.Type); inner.Kind() == reflect.Struct && f.Type.Kind() != reflect.Slice && f.Type.Kind() != reflect.Map {
				walk(prefix+f.Name+".", inner)
				continue
			}
			out[prefix+f.Name] = true
		}
	}
	walk("", reflect.TypeOf(spec))
	return out
}

// managedBy are the paths that a case sets. What is left out, or is an empty
// string, list or map, is not managed by it.
func (s Subject) managedBy(c Case) (map[string]bool, error) {
	u, err := s.Unit(c)
	if err != nil {
		return nil, err
	}
	if v, err := decoded(s.Kind.Spec, u.Spec); err != nil {
		return nil, err
	} else if v, ok := v.(step.Validator); ok {
		if problems := v.Validate(); len(problems) > 0 {
			return nil, &invalid{c.Name, problems[0]}
		}
	}
	var tree map[string]any
	if err := json.Unmarshal(u.Spec, &tree); err != nil {
		return nil, err
	}
	out := map[string]bool{}
	if hasState(s.Kind.Spec) { // the field is "state" in every kind
		out["state"] = true
		if tree["state"] == string(step.Absent) {
			return out, nil
		}
	}
	var walk func(prefix string, tree map[string]any)
	walk = func(prefix string, tree map[string]any) {
		for name, v := range tree {
			out[prefix+name] = true
			if sub, ok := v.(map[string]any); ok {
				walk(prefix+name+".", sub)
			}
		}
	}
	walk("", tree)
	return out, nil
}

// decoded is a pointer to the kind's spec with the unit's attributes.
func decoded(zero any, spec json.RawMessage) (any, error) {
	v := reflect.New(reflect.TypeOf(zero))
	return v.Interface(), json.Unmarshal(spec, v.Interface())
}

func hasState(spec any) bool {
	t := reflect.TypeOf(spec)
	for i := range t.NumField() {
		if t.Field(i).Type == reflect.TypeFor[step.State]() {
			return true
		}
	}
	return false
}

type invalid struct {
	name    string
	problem step.Problem
}

func (e *invalid) Error() string {
	return "the spec of case " + e.name + " is refused: " + e.problem.Path + " " + e.problem.Message
}
