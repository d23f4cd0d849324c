package row

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
)

// Encode writes an operation as RFC 7047, section 5.2, wants it: members that
// an operation requires are there even where they are empty ("where": [] is
// every row; "rows": [] of a wait is no row).
func Encode(op ovsdb.Operation) ([]byte, error) {
	type plain ovsdb.Operation // without its own encoding, which leaves out what is empty
	b, err := json.Marshal(plain(op))
	if err != nil {
		return nil, fmt.Errorf("encode an OVSDB %s of table %s: %w", op.Op, op.Table, err)
	}
	missing := ""
	for _, member := range required(op) {
		missing += "," + member
	}
	return append(b[:len(b)-1], missing+"}"...), nil
}

// required are the members that an operation must have and that its encoding
// left out, since they are empty.
func required(op ovsdb.Operation) []string {
	var members []string
	switch op.Op {
	case ovsdb.OperationSelect, ovsdb.OperationUpdate, ovsdb.OperationMutate, ovsdb.OperationDelete, ovsdb.OperationWait:
		if len(op.Where) == 0 {
			members = append(members, `"where":[]`)
		}
	}
	switch {
	case (op.Op == ovsdb.OperationInsert || op.Op == ovsdb.OperationUpdate) && len(op.Row) == 0:
		members = append(members, `"row":{}`)
	case op.Op == ovsdb.OperationWait && len(op.Rows) == 0:
		members = append(members, `"rows":[]`)
	case op.Op == ovsdb.OperationMutate && len(op.Mutations) == 0:
		members = append(members, `"mutations":[]`)
	}
	return members
}

// Decode reads the result of a transaction: an array with an object for each
// operation, null for those after a failed one, and one more where the commit
// itself failed. Integers become int, other numbers float64, references
// [ovsdb.UUID], sets [ovsdb.OvsSet] and maps [ovsdb.OvsMap].
func Decode(b []byte) ([]ovsdb.OperationResult, error) {
	var raw []*struct {
		Count   json.Number
		Error   *string
		Details string
		UUID    any
		Rows    []map[string]any
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&raw); err != nil {
		return nil, fmt.Errorf("decode an OVSDB result: %w", err)
	}
	results := make([]ovsdb.OperationResult, len(raw))
	for i, r := range raw {
		if r == nil {
			continue
		}
		out := &results[i]
		out.Details = r.Details
		if r.Error != nil {
			out.Error = *r.Error
		}
		if r.Count != "" {
			n, err := r.Count.Int64()
			if err != nil {
				return nil, fmt.Errorf("decode an OVSDB result: %w", err)
			}
			out.Count = int(n)
		}
		if r.UUID != nil {
			id, err := decodeValue(r.UUID)
			if err != nil {
				return nil, err
			}
			out.UUID, _ = id.(ovsdb.UUID)
		}
		for _, columns := range r.Rows {
			decoded := make(ovsdb.Row, len(columns))
			for name, v := range columns {
				value, err := decodeValue(v)
				if err != nil {
					return nil, fmt.Errorf("column %q: %w", name, err)
				}
				decoded[name] = value
			}
			out.Rows = append(out.Rows, decoded)
		}
	}
	return results, nil
}

var errNotation = errors.New("a value that is not in the notation of RFC 7047")

func decodeValue(v any) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return decodeAtom(v)
	}
	if len(list) != 2 {
		return nil, errNotation
	}
	members, ok := list[1].([]any)
	switch {
	case list[0] == "set" && ok:
		set := ovsdb.OvsSet{GoSet: make([]any, len(members))}
		for i, m := range members {
			a, err := decodeAtom(m)
			if err != nil {
				return nil, err
			}
			set.GoSet[i] = a
		}
		return set, nil
	case list[0] == "map" && ok:
		return decodeMap(members)
	}
	return decodeAtom(v)
}

func decodeMap(pairs []any) (any, error) {
	m := ovsdb.OvsMap{GoMap: make(map[any]any, len(pairs))}
	for _, p := range pairs {
		pair, ok := p.([]any)
		if !ok || len(pair) != 2 {
			return nil, errNotation
		}
		k, err := decodeAtom(pair[0])
		if err != nil {
			return nil, err
		}
		if m.GoMap[k], err = decodeAtom(pair[1]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func decodeAtom(v any) (any, error) {
	switch a := v.(type) {
	case string, bool:
		return a, nil
	case json.Number:
		if n, err := a.Int64(); err == nil {
			return int(n), nil
		}
		f, err := a.Float64()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotation, err)
		}
		return f, nil
	case []any:
		if len(a) == 2 && (a[0] == "uuid" || a[0] == "named-uuid") {
			if id, ok := a[1].(string); ok {
				return ovsdb.UUID{GoUUID: id}, nil
			}
		}
	}
	return nil, errNotation
}

// Check returns the error that a transaction's results hold, as a
// [*host.OperationError] with the first operation that failed, or nil.
func Check(db host.Database, ops []ovsdb.Operation, results []ovsdb.OperationResult) error {
	for i, r := range results {
		if r.Error == "" {
			continue
		}
		failed := &host.OperationError{Database: db, Kind: r.Error, Details: r.Details}
		if i < len(ops) {
			failed.Op, failed.Table = ops[i].Op, ops[i].Table
		}
		return failed
	}
	if len(results) < len(ops) {
		return fmt.Errorf("%s answered %d of %d operations", db, len(results), len(ops))
	}
	return nil
}

// OnlySelects refuses operations that are no selects: a reading door takes
// nothing else.
func OnlySelects(ops []ovsdb.Operation) error {
	for _, op := range ops {
		if op.Op != ovsdb.OperationSelect {
			return fmt.Errorf("a select was promised, not %q of table %s", op.Op, op.Table)
		}
	}
	return nil
}
