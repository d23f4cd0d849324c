package fake

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"
)

// commit does what RFC 7047 leaves to the end of a transaction: rows that
// nobody refers to are collected, dangling weak references dropped, and what
// must hold between rows is checked.
func (s *store) commit() error {
	if err := s.checkReferences(); err != nil {
		return err
	}
	s.collectGarbage()
	if err := s.dropWeakReferences(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.schema)) {
		if err := s.checkTable(s.schema[name]); err != nil {
			return err
		}
	}
	return nil
}

// eachReference calls visit for every reference of a kind in the database.
func (s *store) eachReference(visit func(t *table, id string, c *column, b base, to string)) {
	for _, t := range s.schema {
		for id, r := range s.rows[t.name] {
			for _, c := range t.columns {
				d := r[c.name]
				for i := range d.keys {
					if c.key.ref != "" {
						visit(t, id, c, c.key, d.keys[i].(ovsdb.UUID).GoUUID)
					}
					if c.value != nil && c.value.ref != "" {
						visit(t, id, c, *c.value, d.values[i].(ovsdb.UUID).GoUUID)
					}
				}
			}
		}
	}
}

func (s *store) checkReferences() (err error) {
	s.eachReference(func(t *table, id string, c *column, b base, to string) {
		if _, there := s.rows[b.ref][to]; !there && !b.weak {
			err = &refusal{"referential integrity violation", fmt.Sprintf(
				"Table %s column %s row %s references nonexistent row %s in table %s.", t.name, c.name, id, to, b.ref)}
		}
	})
	return err
}

func (s *store) collectGarbage() {
	for {
		used := map[string]bool{}
		s.eachReference(func(t *table, id string, _ *column, b base, to string) {
			if !b.weak && (b.ref != t.name || id != to) {
				used[to] = true
			}
		})
		collected := false
		for _, t := range s.schema {
			for id := range s.rows[t.name] {
				if !t.root && !used[id] {
					delete(s.rows[t.name], id)
					collected = true
				}
			}
		}
		if !collected {
			return
		}
	}
}

func (s *store) dropWeakReferences() (err error) {
	s.eachReference(func(t *table, id string, c *column, b base, to string) {
		if _, there := s.rows[b.ref][to]; there || !b.weak {
			return
		}
		d := s.rows[t.name][id][c.name]
		d.drop(ovsdb.UUID{GoUUID: to})
		if len(d.keys) < c.min {
			err = violation("%s of table %s would be empty", c.name, t.name)
		}
		s.set(t, id, c.name, d)
	})
	return err
}

func (s *store) checkTable(t *table) error {
	rows := s.rows[t.name]
	if t.maxRows > 0 && len(rows) > t.maxRows {
		return violation("transaction causes %q table to contain %d rows, greater than the schema-defined limit of %d row(s)", t.name, len(rows), t.maxRows)
	}
	for _, index := range t.indexes {
		seen := map[string]bool{}
		for _, r := range rows {
			parts := make([]string, len(index))
			for i, name := range index {
				parts[i] = fmt.Sprintf("%q", r[name].keys)
			}
			key := strings.Join(parts, ", ")
			if seen[key] {
				return violation("Transaction causes multiple rows in %q table to have identical values (%s) for index on columns %q.", t.name, key, strings.Join(index, ", "))
			}
			seen[key] = true
		}
	}
	return nil
}
