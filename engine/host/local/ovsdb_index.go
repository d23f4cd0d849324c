package local

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// often is how many times a connection asks for rows by the same column before it
// keeps an index of it. ovsdb-server finds a row by its UUID alone, and looks at all
// rows of a table for any other condition: ten thousand ports, each found by its
// name, are a hundred million looks.
const often = 64

// A lookup is for rows by what is in a column of strings.
type lookup struct{ table, column string }

// An index says which rows have which value in a column. A monitor (RFC 7047, section
// 4.1.5) of that one column keeps it: a hundred bytes a row, once. It answers
// nothing by itself, see [connection.narrow].
type index struct {
	asked  int                 // while it is not kept
	kept   bool                // all rows are in it
	ids    map[string][]string // by value
	values map[string]string   // by row
}

// tableUpdates is what a monitor tells: by table and row. An absent New is a row
// that is gone.
type tableUpdates map[string]map[string]struct {
	New map[string]json.RawMessage `json:"new"`
}

// update takes what a monitor tells of the index's table.
func (x *index) update(at lookup, told tableUpdates) {
	for id, change := range told[at.table] {
		if was, known := x.values[id]; known {
			delete(x.values, id)
			if x.ids[was] = slices.DeleteFunc(x.ids[was], func(o string) bool { return o == id }); len(x.ids[was]) == 0 {
				delete(x.ids, was)
			}
		}
		var value string
		if raw, there := change.New[at.column]; there && json.Unmarshal(raw, &value) == nil { // else no string is there
			x.values[id] = value
			x.ids[value] = append(x.ids[value], id)
		}
	}
}

// monitorID is how updates name the monitor of an index.
func (at lookup) monitorID() json.RawMessage {
	b, _ := json.Marshal([]string{at.table, at.column}) // strings always can be
	return b
}

// notified takes the params of an update. The goroutine that reads calls it, so an
// update is in force before the answer that follows it is handed out.
func (c *connection) notified(params json.RawMessage) error {
	var (
		at   []string
		told tableUpdates
	)
	if err := json.Unmarshal(params, &[]any{&at, &told}); err != nil || len(at) != 2 {
		return fmt.Errorf("read an update of a monitor: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := lookup{at[0], at[1]}
	if x := c.indexes[p]; x != nil && x.kept {
		x.update(p, told)
	}
	return nil
}

// keepIndex asks for a monitor, and has its answer fill the index. A server that
// refuses is not asked again; nor is one that would not say when it cancels a monitor, as
// a member of a cluster does that is given a snapshot (ovsdb-server(7), section 4.1.17).
func (c *connection) keepIndex(ctx context.Context, db host.Database, at lookup) error {
	aware, err := c.call(ctx, "set_db_change_aware", json.RawMessage("[true]"))
	if err != nil || aware.refusal() != nil {
		return err
	}
	params, err := json.Marshal([]any{db, at.monitorID(), map[string]any{at.table: map[string]any{"columns": []string{at.column}}}})
	if err != nil {
		return err
	}
	_, err = c.exchange(ctx, "monitor", params, func(m message) {
		var told tableUpdates
		if m.refusal() != nil || json.Unmarshal(m.Result, &told) != nil {
			return
		}
		x := c.indexes[at]
		x.kept, x.ids, x.values = true, map[string][]string{}, map[string]string{}
		x.update(at, told)
	})
	return err
}

// wanted counts a look for rows by a value, and says whether an index is to be kept.
func (c *connection) wanted(at lookup) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.indexes[at]
	if x == nil {
		x = &index{}
		c.indexes[at] = x
	}
	x.asked++
	return x.asked == often
}

// byValue is the column, and the value in it, by which a select looks for rows.
func byValue(op ovsdb.Operation) (at lookup, value string, ok bool) {
	for _, w := range op.Where {
		if w.Function != ovsdb.ConditionEqual {
			continue
		}
		if w.Column == "_uuid" {
			return lookup{}, "", false
		}
		if text, is := w.Value.(string); is {
			at, value = lookup{op.Table, w.Column}, text
		}
	}
	return at, value, at.table != ""
}

// narrowed is a select with the only row that it can find, as far as an index knows.
type narrowed struct {
	ops   []ovsdb.Operation
	where []int    // of each of ops in what was asked
	ids   []string // by what was asked; "" where nothing is known or there is no such row
}

// narrow leaves out the selects that find nothing, and has the others name the row that
// they find beside what they ask of it.
func (c *connection) narrow(ops []ovsdb.Operation) narrowed {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := narrowed{ids: make([]string, len(ops))}
	for i, op := range ops {
		if at, value, ok := byValue(op); ok && c.indexes[at] != nil && c.indexes[at].kept {
			ids := c.indexes[at].ids[value]
			if len(ids) == 0 {
				continue
			}
			if len(ids) == 1 {
				n.ids[i] = ids[0]
				op.Where = append([]ovsdb.Condition{row.IsRow(ids[0])}, op.Where...)
			}
		}
		n.ops, n.where = append(n.ops, op), append(n.where, i)
	}
	return n
}

func (n narrowed) same(o narrowed) bool {
	return slices.Equal(n.where, o.where) && slices.Equal(n.ids, o.ids)
}

// selectBy runs selects, with the help of indexes where those are kept. The server
// tells of every change before it answers what comes after it, so an index that says
// after the answer what it said before was right; where it does not, it is asked again.
// What is answered is what the rows hold at that moment, as without an index.
func (d *OVSDB) selectBy(ctx context.Context, db host.Database, ops []ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	c, err := d.connect(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, op := range ops {
		if at, _, ok := byValue(op); ok && c.wanted(at) {
			if err := c.keepIndex(ctx, db, at); err != nil {
				return nil, fmt.Errorf("ask the database %s: %w", db, err)
			}
		}
	}
	for n := c.narrow(ops); ; {
		found, err := c.transact(ctx, db, n.ops)
		if err != nil {
			return nil, err
		}
		again := c.narrow(ops)
		if again.same(n) {
			results := make([]ovsdb.OperationResult, len(ops))
			for i, at := range n.where {
				results[at] = found[i]
			}
			return results, nil
		}
		n = again
	}
}
