package ovn

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// commit runs a change of the northbound database and asks for a new
// generation in the same transaction, so that a probe can tell when it is in
// force.
func commit(ctx context.Context, h host.Host, tx *row.Tx) ([]ovsdb.OperationResult, error) {
	tx.Add(ovsdb.Operation{Op: ovsdb.OperationMutate, Table: "NB_Global", Mutations: []ovsdb.Mutation{row.Increment("nb_cfg")}}) // of its only row
	results, err := tx.Commit(ctx, h.OVSDB, host.Northbound)
	return results, conflicts(results, err)
}

// conflicts tells an undo that another hand was there: the transaction was decided
// on what is so no longer, takes a row away that is needed by now, or makes one of a
// name that another has by now.
func conflicts(_ []ovsdb.OperationResult, err error) error {
	refused, _ := errors.AsType[*host.OperationError](err)
	if errors.Is(err, row.ErrChanged) || refused != nil && (refused.Kind == "referential integrity violation" || nameTaken(refused)) {
		return fmt.Errorf("%w (%w)", err, step.ErrConflict)
	}
	return err
}

// nameTaken says whether a row was refused since another of its table has its name: the
// database says so at the commit, and names no operation.
func nameTaken(refused *host.OperationError) bool {
	return refused.Op == "" && refused.Kind == "constraint violation" && strings.Contains(refused.Details, "identical values")
}

// selectRows are the rows that each select found.
func selectRows(ctx context.Context, db host.OVSDBReader, name host.Database, ops ...ovsdb.Operation) ([][]ovsdb.Row, error) {
	results, err := db.Select(ctx, name, ops...)
	if err != nil {
		return nil, err
	}
	rows := make([][]ovsdb.Row, len(ops))
	for i := range ops {
		rows[i] = results[i].Rows
	}
	return rows, nil
}

// rowsByID reads rows of a table by their UUIDs, in one transaction.
func rowsByID(ctx context.Context, db host.OVSDBReader, name host.Database, table string, ids []string) ([]ovsdb.Row, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ops := make([]ovsdb.Operation, len(ids))
	for i, id := range ids {
		ops[i] = row.Select(table, nil, row.IsRow(id))
	}
	found, err := selectRows(ctx, db, name, ops...)
	if err != nil {
		return nil, err
	}
	var rows []ovsdb.Row
	for _, f := range found {
		rows = append(rows, f...)
	}
	return rows, nil
}

// usedError says that a row cannot go while others refer to it. A step above may
// take these away; to an undo they are another hand's.
type usedError struct {
	what  string
	names []string
}

// Error names what refers to it.
func (e *usedError) Error() string {
	return fmt.Sprintf("%s %s refers to it, and must go first or refer to another", e.what, strings.Join(e.names, ", "))
}

// Is makes the error a step.ErrNotYet and a step.ErrConflict.
func (e *usedError) Is(target error) bool {
	return target == step.ErrNotYet || target == step.ErrConflict
}
