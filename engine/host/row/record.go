package row

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"
)

// Record is a row that a journal keeps, so that it can be made again. Its JSON
// is the notation of RFC 7047, and integers are int again after it was read.
type Record ovsdb.Row

// UnmarshalJSON reads what the row's own encoding wrote.
func (r *Record) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	if !json.Valid(b) {
		return errNotation // it would not stay inside the brackets below
	}
	results, err := Decode(slices.Concat([]byte(`[{"rows":[`), b, []byte(`]}]`)))
	if err != nil {
		return err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return errors.New("decode a recorded row: it is not one row")
	}
	*r = Record(results[0].Rows[0])
	return nil
}

// Insertable is the row as an insert takes it: without what only the server
// knows, and without the columns named.
func (r Record) Insertable(without ...string) ovsdb.Row {
	out := ovsdb.Row(maps.Clone(r))
	for _, column := range append(without, "_uuid", "_version") {
		delete(out, column)
	}
	return out
}
