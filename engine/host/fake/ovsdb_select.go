package fake

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"
)

// where returns the UUIDs of the rows that meet all conditions, sorted.
func (s *store) where(t *table, conditions [][3]any, names map[string]string) ([]string, error) {
	found := slices.Sorted(maps.Keys(s.rows[t.name]))
	for _, cond := range conditions {
		name, _ := cond[0].(string)
		function, _ := cond[1].(string)
		c := t.column(name)
		if c == nil {
			return nil, &refusal{"unknown column", fmt.Sprintf("No column %s in table %s.", name, t.name)}
		}
		parse := c.parse
		if function == "includes" || function == "excludes" {
			parse = c.parseAny
		}
		want, err := parse(cond[2], names)
		if err != nil {
			return nil, err
		}
		kept := found[:0]
		for _, id := range found {
			ok, err := c.holds(s.rows[t.name][id][name], function, want)
			if err != nil {
				return nil, err
			}
			if ok {
				kept = append(kept, id)
			}
		}
		found = kept
	}
	return found, nil
}

func (t *table) columnsNamed(names []string) ([]*column, error) {
	if names == nil {
		return t.columns, nil
	}
	columns := make([]*column, len(names))
	for i, name := range names {
		if columns[i] = t.column(name); columns[i] == nil {
			return nil, &refusal{"unknown column", fmt.Sprintf("No column %s in table %s.", name, t.name)}
		}
	}
	return columns, nil
}

func (s *store) project(t *table, found, names []string) ([]ovsdb.Row, error) {
	columns, err := t.columnsNamed(names)
	if err != nil {
		return nil, err
	}
	rows := make([]ovsdb.Row, len(found))
	for i, id := range found {
		rows[i] = ovsdb.Row{}
		for _, c := range columns {
			rows[i][c.name] = c.notation(s.rows[t.name][id][c.name])
		}
	}
	return rows, nil
}

// wait compares the rows found with those of the operation, as sets. Nothing
// else happens in a fake while one waits, so a time limit changes nothing.
func (s *store) wait(t *table, found []string, op operation, names map[string]string) error {
	columns, err := t.columnsNamed(op.Columns)
	if err != nil {
		return err
	}
	wanted := make([]record, len(op.Rows))
	for i, r := range op.Rows {
		wanted[i] = record{}
		for _, c := range columns {
			wanted[i][c.name] = c.defaultDatum()
			if v, ok := r[c.name]; ok {
				if wanted[i][c.name], err = c.parse(v, names); err != nil {
					return err
				}
			}
		}
	}
	equal := s.sameRows(t, found, wanted, columns)
	if equal != (op.Until == "==") {
		return &refusal{"timed out", `"wait" timed out`}
	}
	return nil
}

func (s *store) sameRows(t *table, found []string, wanted []record, columns []*column) bool {
	same := func(a, b record) bool {
		return !slices.ContainsFunc(columns, func(c *column) bool { return !a[c.name].equal(b[c.name]) })
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(found, func(id string) bool { return same(s.rows[t.name][id], w) }) {
			return false
		}
	}
	for _, id := range found {
		if !slices.ContainsFunc(wanted, func(w record) bool { return same(s.rows[t.name][id], w) }) {
			return false
		}
	}
	return true
}
