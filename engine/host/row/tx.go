package row

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
)

// ErrChanged says that a row that a transaction was decided on is no longer
// what was read. Nothing was changed; read again.
var ErrChanged = errors.New("another hand changed it meanwhile")

// A Tx is a transaction in the making. The zero value is empty. Names given to
// Insert may be used as references anywhere in the same transaction.
type Tx struct {
	ops  []ovsdb.Operation
	want []int // rows that an operation must touch; -1 where it does not matter
}

const anyCount = -1

// Add adds any other operation.
func (t *Tx) Add(op ovsdb.Operation) { t.add(op, anyCount) }

func (t *Tx) add(op ovsdb.Operation, want int) {
	t.ops = append(t.ops, op)
	t.want = append(t.want, want)
}

// Operations returns what was collected.
func (t *Tx) Operations() []ovsdb.Operation { return slices.Clone(t.ops) }

// Empty says whether nothing was collected.
func (t *Tx) Empty() bool { return len(t.ops) == 0 }

// Insert makes a row. The name refers to it within the transaction; letters,
// digits and underscores, not beginning with a digit. It may be empty.
func (t *Tx) Insert(table, name string, r ovsdb.Row) {
	t.add(ovsdb.Operation{Op: ovsdb.OperationInsert, Table: table, UUIDName: name, Row: r}, anyCount)
}

// Update sets columns of the row with that UUID.
func (t *Tx) Update(table, id string, r ovsdb.Row) {
	t.add(ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: table, Where: []ovsdb.Condition{IsRow(id)}, Row: r}, 1)
}

// UpdateAll sets columns of every row of a table, whose number is known to the
// caller: 1 for a root table like Open_vSwitch.
func (t *Tx) UpdateAll(table string, rows int, r ovsdb.Row) {
	t.add(ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: table, Row: r}, rows)
}

// Mutate changes columns of the row with that UUID.
func (t *Tx) Mutate(table, id string, mutations ...ovsdb.Mutation) {
	t.add(ovsdb.Operation{Op: ovsdb.OperationMutate, Table: table, Where: []ovsdb.Condition{IsRow(id)}, Mutations: mutations}, 1)
}

// Delete removes the row with that UUID.
func (t *Tx) Delete(table, id string) {
	t.add(ovsdb.Operation{Op: ovsdb.OperationDelete, Table: table, Where: []ovsdb.Condition{IsRow(id)}}, 1)
}

// Guard makes the transaction fail with [ErrChanged] unless the columns of
// the row are still those that were read. The row must have its _uuid.
func (t *Tx) Guard(table string, r ovsdb.Row, columns ...string) {
	seen := ovsdb.Row{}
	for _, c := range columns {
		seen[c] = r[c]
	}
	t.wait(table, []ovsdb.Condition{IsRow(ID(r))}, columns, []ovsdb.Row{seen})
}

// GuardNone makes the transaction fail with [ErrChanged] if a row meets the
// conditions: what is about to be made must not be there.
func (t *Tx) GuardNone(table string, where ...ovsdb.Condition) {
	t.wait(table, where, []string{"_uuid"}, []ovsdb.Row{})
}

// GuardOnly makes the transaction fail with [ErrChanged] unless one row meets the
// conditions, and is the one with that UUID.
func (t *Tx) GuardOnly(table, id string, where ...ovsdb.Condition) {
	t.wait(table, where, []string{"_uuid"}, []ovsdb.Row{{"_uuid": UUID(id)}})
}

func (t *Tx) wait(table string, where []ovsdb.Condition, columns []string, rows []ovsdb.Row) {
	now := 0
	t.add(ovsdb.Operation{
		Op: ovsdb.OperationWait, Table: table, Where: where, Columns: columns,
		Until: string(ovsdb.WaitConditionEqual), Rows: rows, Timeout: &now,
	}, anyCount)
}

// Comment says in the database's log who did it and why.
func (t *Tx) Comment(text string) {
	t.add(ovsdb.Operation{Op: ovsdb.OperationComment, Comment: &text}, anyCount)
}

// Read adds a select to the transaction; its rows see the operations before
// it. It returns the place of its result.
func (t *Tx) Read(table string, columns []string, where ...ovsdb.Condition) int {
	t.add(Select(table, columns, where...), anyCount)
	return len(t.ops) - 1
}

// Commit runs the transaction; an empty one does nothing. The error wraps
// [ErrChanged] where a guard failed, and a [*host.OperationError] where the
// database refused an operation. An operation that touched another number of
// rows than it must is an error too, though the rest of the transaction is
// done by then: guard what must not vanish.
func (t *Tx) Commit(ctx context.Context, w host.OVSDBWriter, db host.Database) ([]ovsdb.OperationResult, error) {
	if t.Empty() {
		return nil, nil
	}
	results, err := w.Transact(ctx, db, t.ops...)
	if refused, ok := errors.AsType[*host.OperationError](err); ok && refused.Op == ovsdb.OperationWait {
		return nil, fmt.Errorf("%s, table %s: %w (%w)", db, refused.Table, ErrChanged, err)
	}
	if err != nil {
		return nil, err
	}
	for i, want := range t.want {
		if want != anyCount && results[i].Count != want {
			return results, fmt.Errorf("%s, table %s: %s touched %d rows instead of %d; read again", db, t.ops[i].Table, t.ops[i].Op, results[i].Count, want)
		}
	}
	return results, nil
}

// SetKeys is the mutations that give keys of a map column their values:
// a nil value removes the key. Keys left out stay.
func SetKeys(column string, keys map[string]*string) []ovsdb.Mutation {
	drop, add := []any{}, map[string]string{}
	for k, v := range keys {
		drop = append(drop, k)
		if v != nil {
			add[k] = *v
		}
	}
	if len(drop) == 0 {
		return nil
	}
	mutations := []ovsdb.Mutation{*ovsdb.NewMutation(column, ovsdb.MutateOperationDelete, ovsdb.OvsSet{GoSet: drop})}
	if len(add) > 0 {
		mutations = append(mutations, *ovsdb.NewMutation(column, ovsdb.MutateOperationInsert, Strmap(add)))
	}
	return mutations
}

// AddRefs is the mutation that adds references to a set of them.
func AddRefs(column string, ids ...string) ovsdb.Mutation {
	return *ovsdb.NewMutation(column, ovsdb.MutateOperationInsert, UUIDs(ids...))
}

// RemoveRefs is the mutation that takes references out of a set of them.
func RemoveRefs(column string, ids ...string) ovsdb.Mutation {
	return *ovsdb.NewMutation(column, ovsdb.MutateOperationDelete, UUIDs(ids...))
}

// Increment is the mutation that adds one to a counter like next_cfg.
func Increment(column string) ovsdb.Mutation {
	return *ovsdb.NewMutation(column, ovsdb.MutateOperationAdd, 1)
}
