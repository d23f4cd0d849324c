package fake

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"
)

// A datum is the value of a column: a set of atoms, in order, each with a
// value where the column is a map. A scalar is a set of one. Atoms are string,
// int, float64, bool or ovsdb.UUID.
type datum struct {
	keys   []any
	values []any // in step with keys, of a map; else nil
}

// refusal is the error of an operation in the words of RFC 7047.
type refusal struct {
	kind    string
	details string
}

func (r *refusal) Error() string { return r.kind + ": " + r.details }

func violation(format string, args ...any) error {
	return &refusal{"constraint violation", fmt.Sprintf(format, args...)}
}

func syntax(format string, args ...any) error {
	return &refusal{"syntax error", fmt.Sprintf(format, args...)}
}

// defaultDatum is what a column holds that an insert left out.
func (c *column) defaultDatum() datum {
	if c.min == 0 {
		return datum{}
	}
	return datum{keys: []any{map[string]any{
		"string": "", "integer": 0, "real": 0.0, "boolean": false,
		"uuid": ovsdb.UUID{GoUUID: "00000000-0000-0000-0000-000000000000"},
	}[c.key.kind]}}
}

// parse reads a value in the notation of RFC 7047, section 5.1. Names are
// those of the rows that the transaction inserts.
func (c *column) parse(v any, names map[string]string) (datum, error) {
	d, err := c.parseAny(v, names)
	if err == nil && c.checkSize(d) != nil {
		err = syntax("%s: %d elements, where %d to %d are allowed", c.name, len(d.keys), c.min, c.max)
	}
	return d, err
}

func (c *column) checkSize(d datum) error {
	if len(d.keys) < c.min || len(d.keys) > c.max {
		return violation("%s: %d elements, where %d to %d are allowed", c.name, len(d.keys), c.min, c.max)
	}
	return nil
}

// parseAny is parse for a value of any number of elements.
func (c *column) parseAny(v any, names map[string]string) (datum, error) {
	members := []any{v}
	if list, ok := v.([]any); ok && len(list) == 2 && (list[0] == "set" || list[0] == "map") {
		inner, ok := list[1].([]any)
		if !ok || (list[0] == "map" && c.value == nil) || (list[0] == "set" && c.value != nil && len(inner) > 0) {
			return datum{}, syntax("%s: not a value of this column: %v", c.name, v)
		}
		members = inner
	} else if c.value != nil {
		return datum{}, syntax("%s: not a map: %v", c.name, v)
	}
	var d datum
	for _, m := range members {
		var value any
		if c.value != nil {
			pair, ok := m.([]any)
			if !ok || len(pair) != 2 {
				return d, syntax("%s: not a pair: %v", c.name, m)
			}
			var err error
			if value, err = c.value.parse(c.name, pair[1], names); err != nil {
				return d, err
			}
			m = pair[0]
		}
		key, err := c.key.parse(c.name, m, names)
		if err != nil {
			return d, err
		}
		if !d.put(key, value, c.value != nil) {
			return d, syntax("%s: %v is there twice", c.name, key)
		}
	}
	return d, nil
}

func (b base) parse(name string, v any, names map[string]string) (any, error) {
	a, err := b.atom(name, v, names)
	if err != nil {
		return nil, err
	}
	if s, ok := a.(string); ok && b.enum != nil && !slices.Contains(b.enum, s) {
		return nil, violation("%s: %q is not one of %s", name, s, strings.Join(b.enum, ", "))
	}
	if n, ok := a.(int); ok && b.ranged && (n < b.lo || n > b.hi) {
		return nil, violation("%s: %d is not in the valid range %d to %d", name, n, b.lo, b.hi)
	}
	return a, nil
}

func (b base) atom(name string, v any, names map[string]string) (any, error) {
	switch a := v.(type) {
	case string:
		if b.kind == "string" {
			return a, nil
		}
	case bool:
		if b.kind == "boolean" {
			return a, nil
		}
	case json.Number:
		if n, err := a.Int64(); err == nil && b.kind == "integer" {
			return int(n), nil
		}
		if f, err := a.Float64(); err == nil && b.kind == "real" {
			return f, nil
		}
	case []any:
		if b.kind != "uuid" || len(a) != 2 {
			break
		}
		id, _ := a[1].(string)
		if a[0] == "named-uuid" {
			id = names[id]
		}
		if ovsdb.IsValidUUID(id) {
			return ovsdb.UUID{GoUUID: id}, nil
		}
	}
	return nil, syntax("%s: expected %s, got %v", name, b.kind, v)
}

// put adds an element, unless its key is there.
func (d *datum) put(key, value any, isMap bool) bool {
	i, there := d.find(key)
	if there {
		return false
	}
	d.keys = slices.Insert(slices.Clone(d.keys), i, key)
	if isMap {
		d.values = slices.Insert(slices.Clone(d.values), i, value)
	}
	return true
}

// drop takes an element out, if it is there.
func (d *datum) drop(key any) {
	i, there := d.find(key)
	if !there {
		return
	}
	d.keys = slices.Delete(slices.Clone(d.keys), i, i+1)
	if d.values != nil {
		d.values = slices.Delete(slices.Clone(d.values), i, i+1)
	}
}

func (d datum) find(key any) (int, bool) {
	return slices.BinarySearchFunc(d.keys, key, compareAtoms)
}

func compareAtoms(a, b any) int {
	switch x := a.(type) {
	case string:
		return cmp.Compare(x, b.(string))
	case int:
		return cmp.Compare(x, b.(int))
	case float64:
		return cmp.Compare(x, b.(float64))
	case ovsdb.UUID:
		return cmp.Compare(x.GoUUID, b.(ovsdb.UUID).GoUUID)
	}
	return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
}

func (d datum) equal(o datum) bool {
	return slices.Equal(d.keys, o.keys) && slices.Equal(d.values, o.values)
}

// has says whether the element of o at i is in d.
func (d datum) has(o datum, i int) bool {
	at, there := d.find(o.keys[i])
	return there && (o.values == nil || d.values[at] == o.values[i])
}

func (d datum) count(o datum) int {
	n := 0
	for i := range o.keys {
		if d.has(o, i) {
			n++
		}
	}
	return n
}

// notation returns the value as a client gets it: a set of one as its element.
func (c *column) notation(d datum) any {
	if c.value != nil {
		m := ovsdb.OvsMap{GoMap: make(map[any]any, len(d.keys))}
		for i, k := range d.keys {
			m.GoMap[k] = d.values[i]
		}
		return m
	}
	if len(d.keys) == 1 {
		return d.keys[0]
	}
	return ovsdb.OvsSet{GoSet: append([]any{}, d.keys...)}
}

// holds evaluates a condition of RFC 7047, section 5.1.
func (c *column) holds(d datum, function string, want datum) (bool, error) {
	switch function {
	case "==":
		return d.equal(want), nil
	case "!=":
		return !d.equal(want), nil
	case "includes":
		return d.count(want) == len(want.keys), nil
	case "excludes":
		return d.count(want) == 0, nil
	}
	if c.max != 1 || c.value != nil || (c.key.kind != "integer" && c.key.kind != "real") || len(want.keys) != 1 {
		return false, syntax("%s: cannot be compared by %s", c.name, function)
	}
	if len(d.keys) == 0 {
		return false, nil
	}
	order := compareAtoms(d.keys[0], want.keys[0])
	switch function {
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	case ">=":
		return order >= 0, nil
	}
	return false, syntax("%s is no condition", function)
}
