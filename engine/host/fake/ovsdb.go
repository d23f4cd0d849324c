package fake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// A DatabaseHook is a daemon's work: it looks at the databases and the rest of
// the machine, and writes what the daemon would. It is called after every
// transaction until it changes nothing more.
type DatabaseHook func(m *Machine)

// databases is what listens on the machine's OVSDB sockets.
type databases struct {
	mu       sync.Mutex
	stores   map[host.Database]*store
	hooks    []DatabaseHook
	commits  int  // transactions that changed something
	settling bool // hooks are at work
}

func newDatabases() *databases {
	return &databases{stores: map[host.Database]*store{}}
}

func (d *databases) clone() *databases {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := newDatabases()
	c.hooks = slices.Clone(d.hooks)
	for name, s := range d.stores {
		c.stores[name] = s.clone()
	}
	return c
}

// AddDatabase starts an empty database with its root row, if it has one table
// that wants it (Open_vSwitch, NB_Global, SB_Global).
func (m *Machine) AddDatabase(db host.Database) {
	d := m.databases
	d.mu.Lock()
	d.stores[db] = newStore(schemaOf(db))
	d.mu.Unlock()
	for _, t := range d.stores[db].schema {
		if t.root && t.maxRows == 1 {
			m.Transact(db, ovsdb.Operation{Op: ovsdb.OperationInsert, Table: t.name})
		}
	}
}

// RemoveDatabase takes a database and its socket away.
func (m *Machine) RemoveDatabase(db host.Database) {
	m.databases.mu.Lock()
	defer m.databases.mu.Unlock()
	delete(m.databases.stores, db)
}

// HasDatabase says whether a database runs.
func (m *Machine) HasDatabase(db host.Database) bool {
	m.databases.mu.Lock()
	defer m.databases.mu.Unlock()
	return m.databases.stores[db] != nil
}

// OnTransact adds a daemon. Hooks run in the order they were added.
func (m *Machine) OnTransact(h DatabaseHook) {
	m.databases.mu.Lock()
	m.databases.hooks = append(m.databases.hooks, h)
	m.databases.mu.Unlock()
	m.SettleDatabases()
}

// Transact is the hand of root at a database: it panics where the database
// refuses. Daemons use it too.
func (m *Machine) Transact(db host.Database, ops ...ovsdb.Operation) []ovsdb.OperationResult {
	results, err := m.databases.transact(m, db, ops)
	must(err)
	return results
}

// Rows returns all rows of a table with all columns, by UUID.
func (m *Machine) Rows(db host.Database, table string) []ovsdb.Row {
	return m.Transact(db, row.Select(table, nil))[0].Rows
}

// SettleDatabases lets the daemons look at the machine, after a change that
// was none of a database's.
func (m *Machine) SettleDatabases() {
	d := m.databases
	d.mu.Lock()
	if d.settling {
		d.mu.Unlock()
		return
	}
	d.settling = true
	hooks := d.hooks
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.settling = false
		d.mu.Unlock()
	}()
	for range 20 {
		before := d.generation()
		for _, h := range hooks {
			h(m)
		}
		if d.generation() == before {
			return
		}
	}
	panic("fake: the daemons of the databases never come to rest")
}

func (d *databases) generation() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.commits
}

func (d *databases) transact(m *Machine, db host.Database, ops []ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	results, changed, err := d.run(db, ops)
	if changed {
		m.SettleDatabases()
	}
	return results, err
}

func (d *databases) run(db host.Database, ops []ovsdb.Operation) (results []ovsdb.OperationResult, changed bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stores[db]
	if s == nil {
		return nil, false, fmt.Errorf("connect to the database %s: its socket is not there: %w", db, host.ErrNotReady)
	}
	after, results := s.transact(ops)
	if err := row.Check(db, ops, results); err != nil {
		return nil, false, err
	}
	if changed = after != s && !s.equal(after); changed {
		d.stores[db] = after
		d.commits++
	}
	return results, changed, nil
}

func (s *store) equal(o *store) bool {
	return maps.EqualFunc(s.rows, o.rows, func(a, b map[string]record) bool {
		return maps.EqualFunc(a, b, func(x, y record) bool {
			return maps.EqualFunc(x, y, datum.equal)
		})
	})
}

// door is the databases as a module sees them.
func (d *databases) door(m *Machine) host.OVSDB { return ovsdbDoor{m} }

type ovsdbDoor struct{ m *Machine }

func (d ovsdbDoor) Select(ctx context.Context, db host.Database, ops ...ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := row.OnlySelects(ops); err != nil {
		return nil, err
	}
	return d.m.databases.transact(d.m, db, ops)
}

func (d ovsdbDoor) Transact(ctx context.Context, db host.Database, ops ...ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	defer d.m.effects.begin()()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return d.m.databases.transact(d.m, db, ops)
}

// render shows the databases as text, a line a row: without UUIDs, which
// differ each time a row is made, and without what daemons write for
// themselves. References show what they refer to.
func (d *databases) render(b *strings.Builder) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, db := range slices.Sorted(maps.Keys(d.stores)) {
		s := d.stores[db]
		for _, name := range slices.Sorted(maps.Keys(s.schema)) {
			lines := []string{}
			for _, r := range s.rows[name] {
				lines = append(lines, s.line(s.schema[name], r))
			}
			slices.Sort(lines)
			for _, l := range lines {
				fmt.Fprintf(b, "ovsdb %s %s %s\n", db, name, l)
			}
		}
	}
}

func (s *store) line(t *table, r record) string {
	parts := []string{}
	for _, c := range t.columns {
		d := r[c.name]
		if c.name == "_uuid" || c.daemon || d.equal(c.defaultDatum()) {
			continue
		}
		elements := make([]string, len(d.keys))
		for i, k := range d.keys {
			elements[i] = s.show(c.key, k)
			if c.value != nil {
				elements[i] += "=" + s.show(*c.value, d.values[i])
			}
		}
		slices.Sort(elements)
		parts = append(parts, c.name+"="+strings.Join(elements, ","))
	}
	return strings.Join(parts, " ")
}

// show writes an atom: a reference as the index of its row, or as the whole
// row where the table has no index.
func (s *store) show(b base, a any) string {
	id, isRef := a.(ovsdb.UUID)
	if !isRef || b.ref == "" {
		return fmt.Sprintf("%#v", a)
	}
	t, r := s.schema[b.ref], s.rows[b.ref][id.GoUUID]
	if len(t.indexes) == 0 {
		return "{" + s.line(t, r) + "}"
	}
	parts := []string{}
	for _, name := range t.indexes[0] {
		for _, k := range r[name].keys {
			parts = append(parts, s.show(t.column(name).key, k))
		}
	}
	return "<" + strings.Join(parts, " ") + ">"
}
