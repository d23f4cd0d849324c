package fake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
)

// store is the content of one database.
type store struct {
	schema schema
	rows   map[string]map[string]record // by table and UUID
	serial int                          // counts the rows ever made
}

// record is a row. It is replaced, never changed.
type record map[string]datum

func newStore(s schema) *store {
	st := &store{schema: s, rows: map[string]map[string]record{}}
	for name := range s {
		st.rows[name] = map[string]record{}
	}
	return st
}

func (s *store) clone() *store {
	c := *s
	c.rows = make(map[string]map[string]record, len(s.rows))
	for name, rows := range s.rows {
		c.rows[name] = maps.Clone(rows)
	}
	return &c
}

// operation is an operation as it is on the wire.
type operation struct {
	Op        string
	Table     string
	Row       map[string]any
	Rows      []map[string]any
	Columns   []string
	Mutations [][3]any
	Where     [][3]any
	Until     string
	Timeout   *int
	UUIDName  string `json:"uuid-name"`
}

// transact runs operations on a copy and returns it with the results. After a
// failure the copy is nil and the last result says why. Selects need no copy.
func (s *store) transact(ops []ovsdb.Operation) (*store, []ovsdb.OperationResult) {
	work, reads := s, row.OnlySelects(ops) == nil
	if !reads {
		work = s.clone()
	}
	parsed, names, err := work.prepare(ops)
	if err != nil {
		return nil, []ovsdb.OperationResult{resultOf(err)}
	}
	results := make([]ovsdb.OperationResult, len(ops))
	for i, op := range parsed {
		if results[i], err = work.run(op, names); err != nil {
			results[i] = resultOf(err)
			return nil, results
		}
	}
	if reads {
		return s, results
	}
	if err := work.commit(); err != nil {
		return nil, append(results, resultOf(err))
	}
	return work, results
}

func resultOf(err error) ovsdb.OperationResult {
	if r, ok := errors.AsType[*refusal](err); ok {
		return ovsdb.OperationResult{Error: r.kind, Details: r.details}
	}
	return ovsdb.OperationResult{Error: "syntax error", Details: err.Error()}
}

// prepare takes operations through the wire's notation, and gives each named
// row its UUID, since a name may be used before the insert.
func (s *store) prepare(ops []ovsdb.Operation) ([]operation, map[string]string, error) {
	parsed, names := make([]operation, len(ops)), map[string]string{}
	for i, op := range ops {
		b, err := row.Encode(op)
		if err != nil {
			return nil, nil, err
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&parsed[i]); err != nil {
			return nil, nil, err
		}
		if name := op.UUIDName; op.Op == ovsdb.OperationInsert && name != "" {
			if names[name] != "" {
				return nil, nil, &refusal{"duplicate uuid-name", name}
			}
			names[name] = s.newUUID()
		}
	}
	return parsed, names, nil
}

// newUUID makes UUIDs that are the same in every run of a test.
func (s *store) newUUID() string {
	s.serial++
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", s.serial)
}

func (s *store) run(op operation, names map[string]string) (ovsdb.OperationResult, error) {
	switch op.Op {
	case ovsdb.OperationComment:
		return ovsdb.OperationResult{}, nil
	case ovsdb.OperationAbort:
		return ovsdb.OperationResult{}, &refusal{"aborted", "aborted by request"}
	}
	t := s.schema[op.Table]
	if t == nil {
		return ovsdb.OperationResult{}, syntax("No table named %s.", op.Table)
	}
	if op.Op == ovsdb.OperationInsert {
		return s.insert(t, op, names)
	}
	found, err := s.where(t, op.Where, names)
	if err != nil {
		return ovsdb.OperationResult{}, err
	}
	switch op.Op {
	case ovsdb.OperationSelect:
		rows, err := s.project(t, found, op.Columns)
		return ovsdb.OperationResult{Rows: rows}, err
	case ovsdb.OperationWait:
		return ovsdb.OperationResult{}, s.wait(t, found, op, names)
	case ovsdb.OperationDelete:
		for _, id := range found {
			delete(s.rows[t.name], id)
		}
		return ovsdb.OperationResult{Count: len(found)}, nil
	case ovsdb.OperationUpdate:
		return ovsdb.OperationResult{Count: len(found)}, s.update(t, found, op.Row, names)
	case ovsdb.OperationMutate:
		return ovsdb.OperationResult{Count: len(found)}, s.mutate(t, found, op.Mutations, names)
	}
	return ovsdb.OperationResult{}, syntax("No operation %q.", op.Op)
}

func (s *store) insert(t *table, op operation, names map[string]string) (ovsdb.OperationResult, error) {
	id := names[op.UUIDName]
	if op.UUIDName == "" {
		id = s.newUUID()
	}
	r := record{}
	for _, c := range t.columns {
		r[c.name] = c.defaultDatum()
	}
	r["_uuid"] = datum{keys: []any{ovsdb.UUID{GoUUID: id}}}
	for name, v := range op.Row {
		c, err := t.writable(name)
		if err != nil {
			return ovsdb.OperationResult{}, err
		}
		if r[name], err = c.parse(v, names); err != nil {
			return ovsdb.OperationResult{}, err
		}
	}
	s.rows[t.name][id] = r
	return ovsdb.OperationResult{UUID: ovsdb.UUID{GoUUID: id}}, nil
}

func (t *table) writable(name string) (*column, error) {
	c := t.column(name)
	if c == nil || name == "_uuid" {
		return nil, &refusal{"unknown column", fmt.Sprintf("No column %s in table %s.", name, t.name)}
	}
	return c, nil
}

func (s *store) update(t *table, found []string, columns map[string]any, names map[string]string) error {
	for name, v := range columns {
		c, err := t.writable(name)
		if err != nil {
			return err
		}
		if c.immutable {
			return violation("Cannot update immutable column %s in table %s.", name, t.name)
		}
		d, err := c.parse(v, names)
		if err != nil {
			return err
		}
		for _, id := range found {
			s.set(t, id, name, d)
		}
	}
	return nil
}

func (s *store) set(t *table, id, name string, d datum) {
	r := maps.Clone(s.rows[t.name][id])
	r[name] = d
	s.rows[t.name][id] = r
}

func (s *store) mutate(t *table, found []string, mutations [][3]any, names map[string]string) error {
	for _, m := range mutations {
		name, _ := m[0].(string)
		mutator, _ := m[1].(string)
		c, err := t.writable(name)
		if err != nil {
			return err
		}
		if c.immutable {
			return violation("Cannot mutate immutable column %s in table %s.", name, t.name)
		}
		for _, id := range found {
			d, err := c.mutated(s.rows[t.name][id][name], mutator, m[2], names)
			if err != nil {
				return err
			}
			s.set(t, id, name, d)
		}
	}
	return nil
}

func (c *column) mutated(d datum, mutator string, arg any, names map[string]string) (datum, error) {
	switch mutator {
	case "insert":
		add, err := c.parseAny(arg, names)
		if err != nil {
			return d, err
		}
		for i, key := range add.keys {
			var value any
			if c.value != nil {
				value = add.values[i]
			}
			d.put(key, value, c.value != nil) // a key that is there keeps its value
		}
		return d, c.checkSize(d)
	case "delete":
		drop, err := c.deletions(arg, names)
		if err != nil {
			return d, err
		}
		for i, key := range drop.keys {
			if d.has(drop, i) {
				d.drop(key)
			}
		}
		return d, c.checkSize(d)
	}
	return c.computed(d, mutator, arg)
}

// deletions reads the argument of a delete: of a map the pairs, or only keys.
func (c *column) deletions(arg any, names map[string]string) (datum, error) {
	if list, ok := arg.([]any); c.value == nil || ok && len(list) == 2 && list[0] == "map" {
		return c.parseAny(arg, names)
	}
	keys := column{name: c.name, key: c.key}
	return keys.parseAny(arg, names)
}

func (c *column) computed(d datum, mutator string, arg any) (datum, error) {
	n, err := c.key.atom(c.name, arg, nil)
	by, ok := n.(int)
	if err != nil || !ok || c.value != nil {
		return d, syntax("%s: cannot be changed by %s", c.name, mutator)
	}
	out := datum{}
	for _, k := range d.keys {
		v := k.(int)
		switch {
		case mutator == "+=":
			v += by
		case mutator == "-=":
			v -= by
		case mutator == "*=":
			v *= by
		case by == 0:
			return d, &refusal{"domain error", "Division by zero."}
		case mutator == "/=":
			v /= by
		case mutator == "%=":
			v %= by
		default:
			return d, syntax("%s is no mutator", mutator)
		}
		if c.key.ranged && (v < c.key.lo || v > c.key.hi) {
			return d, violation("%s: %d is not in the valid range %d to %d", c.name, v, c.key.lo, c.key.hi)
		}
		out.put(v, nil, false)
	}
	return out, nil
}
