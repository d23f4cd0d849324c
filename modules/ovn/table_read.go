package ovn

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// read fills have with what is there of the row that want means.
func (t *table) read(ctx context.Context, v host.View, o owner, want, have fields) error {
	have.clear()
	found, parent, err := t.find(ctx, v, o, want)
	if err != nil || found == nil {
		return err
	}
	if err := o.admit(t.title+" "+want.text("name"), found, want.adopt()); err != nil {
		return err
	}
	f := &rowFound{Tree: &tree{Table: t.name, Row: row.Record(found)}}
	if parent.Table != "" {
		f.Parent = &parent
	}
	have.setState(step.Present)
	have.setFound(f)
	for name := range t.columnsOf(want) {
		if want.managed(name) {
			t.take(have, want, name, found)
		}
	}
	for _, p := range t.parents {
		if p.table == parent.Table && p.column == parent.Column {
			have.setList(p.attribute, []string{p.nameOf(ovsdb.Row(parent.Row))})
		}
	}
	if err := t.readRelatives(ctx, v, want, have); err != nil {
		return err
	}
	return t.readBelow(ctx, v, o, want, have)
}

// find looks for the row: by its name, or by its owner, or as one that is the same to
// OVN. The row is nil where there is none. In the same transaction it looks at the rows
// above that are wanted, and at those that own the row which was seen the last time.
func (t *table) find(ctx context.Context, v host.View, o owner, want fields) (ovsdb.Row, tree, error) {
	ops := []ovsdb.Operation{row.Select(t.name, nil, o.mine())}
	if t.named != "" {
		ops[0] = row.Select(t.name, nil, row.Is(t.named, want.text("name")))
	}
	natural := t.sameAs(want)
	if natural != nil {
		ops = append(ops, row.Select(t.name, nil, natural...))
	}
	beside := len(ops)
	ops = append(ops, t.wantedAbove(want)...)
	owners := len(ops)
	if t.seen.row != "" {
		ops = append(ops, t.owners(t.seen.row)...)
	}
	results, err := selectRows(ctx, v.OVSDB, host.Northbound, ops...)
	if err != nil {
		return nil, tree{}, err
	}
	last := t.seen.row
	t.seen = seen{above: t.onlyAbove(want, results[beside:owners])}
	switch rows := results[0]; {
	case len(rows) > 1:
		return nil, tree{}, t.several(want.text("name"), len(rows))
	case len(rows) == 1:
		t.seen.row = row.ID(rows[0])
		if t.seen.row == last {
			found, owner := t.ownedBy(rows[0], results[owners:])
			return found, owner, nil
		}
		return t.withParent(ctx, v, rows[0])
	case natural == nil:
		return nil, tree{}, nil
	}
	for _, r := range results[1] {
		r, parent, err := t.withParent(ctx, v, r)
		if err != nil || r != nil && t.wants(want, parent) {
			return r, parent, err
		}
	}
	return nil, tree{}, nil
}

// wantedAbove are the selects for the parents that are wanted.
func (t *table) wantedAbove(want fields) (ops []ovsdb.Operation) {
	for _, p := range t.parents {
		if name := want.text(p.attribute); name != "" {
			ops = append(ops, row.Select(p.table, p.columns(), p.called(name)))
		}
	}
	return ops
}

// onlyAbove are the wanted parents of which there is one.
func (t *table) onlyAbove(want fields, found [][]ovsdb.Row) map[namedRow]string {
	above := map[namedRow]string{}
	for _, p := range t.parents {
		name := want.text(p.attribute)
		if name == "" {
			continue
		}
		if len(found[0]) == 1 {
			above[namedRow{p, name}] = row.ID(found[0][0])
		}
		found = found[1:]
	}
	return above
}

// several is what nobody can tell apart.
func (t *table) several(name string, n int) error {
	if t.named == "" {
		return fmt.Errorf("%d rows of %s say that this step made them; see `ovn-nbctl list %s`, and remove all but one", n, t.name, t.name)
	}
	return fmt.Errorf("%d rows of %s are named %q; see `ovn-nbctl find %s name=%s`, and rename or remove all but one", n, t.name, name, t.name, name)
}

// sameAs are the conditions that a row meets which is the same to OVN; nil where
// nothing is known to be.
func (t *table) sameAs(want fields) []ovsdb.Condition {
	var where []ovsdb.Condition
	for _, name := range t.natural {
		switch f := want.pointer(name).(type) {
		case *int:
			where = append(where, row.Is(t.columnOf(name), *f))
		default:
			text := want.text(name)
			if text == "" {
				return nil // a state to go back to, of which nothing was there
			}
			where = append(where, row.Is(t.columnOf(name), text))
		}
	}
	return where
}

// withParent is a row with the one that owns it.
func (t *table) withParent(ctx context.Context, v host.View, r ovsdb.Row) (ovsdb.Row, tree, error) {
	if len(t.parents) == 0 {
		return r, tree{}, nil
	}
	results, err := selectRows(ctx, v.OVSDB, host.Northbound, t.owners(row.ID(r))...)
	if err != nil {
		return nil, tree{}, err
	}
	found, owner := t.ownedBy(r, results)
	return found, owner, nil
}

// owners are the selects for the rows that own the one with that UUID.
func (t *table) owners(id string) []ovsdb.Operation {
	ops := make([]ovsdb.Operation, len(t.parents))
	for i, p := range t.parents {
		ops[i] = row.Select(p.table, p.columns(), row.Includes(p.column, row.UUIDs(id)))
	}
	return ops
}

// ownedBy is a row with the first of its owners. A row that was taken off between two
// reads is none: it is gone with the next commit.
func (t *table) ownedBy(r ovsdb.Row, owners [][]ovsdb.Row) (ovsdb.Row, tree) {
	for i, p := range t.parents {
		for _, on := range owners[i] {
			return r, tree{Table: p.table, Column: p.column, Row: row.Record(on)}
		}
	}
	if len(t.parents) == 0 {
		return r, tree{}
	}
	return nil, tree{}
}

// wants says whether a parent is the one that is wanted.
func (t *table) wants(want fields, parent tree) bool {
	return slices.ContainsFunc(t.parents, func(p relative) bool {
		return p.table == parent.Table && p.nameOf(ovsdb.Row(parent.Row)) == want.text(p.attribute)
	})
}

// readRelatives answers the attributes that name rows which the row refers to, or
// which refer to it; all of them where the row is to go, so that undo has them.
func (t *table) readRelatives(ctx context.Context, v host.View, want, have fields) error {
	f, there := have.found(), want.state().There()
	r := ovsdb.Row(f.Tree.Row)
	var ops []ovsdb.Operation
	var answers []func([]ovsdb.Row)
	f.Names = map[string][]string{}
	for _, attribute := range slices.Sorted(maps.Keys(t.refs)) {
		ref, managed := t.refs[attribute], want.managed(attribute)
		ids := row.Refs(r, ref.column)
		if managed && len(ids) == 0 {
			have.setList(attribute, nil)
		}
		if len(ids) == 0 || !managed && there {
			continue
		}
		ops = append(ops, row.Select(ref.table, ref.columns(), anyOf(ids)...))
		answers = append(answers, func(rows []ovsdb.Row) {
			rows = slices.DeleteFunc(rows, func(r ovsdb.Row) bool { return !slices.Contains(ids, row.ID(r)) })
			f.Names[attribute] = ref.namesOf(rows)
			if managed {
				have.setList(attribute, f.Names[attribute])
			}
		})
	}
	for _, h := range t.holders {
		managed := h.attribute != "" && want.managed(h.attribute)
		if !managed && there {
			continue
		}
		ops = append(ops, row.Select(h.table, h.columns(), row.Includes(h.column, row.UUIDs(row.ID(r)))))
		answers = append(answers, func(rows []ovsdb.Row) {
			for _, name := range h.namesOf(rows) {
				f.Holders = append(f.Holders, holder{h.table, h.column, name})
			}
			if managed {
				have.setList(h.attribute, h.namesOf(rows))
			}
		})
	}
	if len(ops) == 0 {
		return nil
	}
	results, err := selectRows(ctx, v.OVSDB, host.Northbound, ops...)
	if err != nil {
		return err
	}
	for i, answer := range answers {
		answer(results[i])
	}
	return nil
}

// anyOf is the condition that finds one row; of several all rows are read.
func anyOf(ids []string) []ovsdb.Condition {
	if len(ids) == 1 {
		return []ovsdb.Condition{row.IsRow(ids[0])}
	}
	return nil
}

func (r relative) namesOf(rows []ovsdb.Row) []string {
	out := make([]string, len(rows))
	for i, found := range rows {
		out[i] = r.nameOf(found)
	}
	slices.Sort(out)
	return out
}

// readBelow reads the rows that live with the row: those of attributes, and all where
// it is to go.
func (t *table) readBelow(ctx context.Context, v host.View, o owner, want, have fields) error {
	f := have.found()
	columns := map[string]string{}
	for column, owned := range strong(t.name) {
		if _, is := t.parts[column]; is && want.managed(column) || !want.state().There() {
			columns[column] = owned
		}
	}
	if err := grow(ctx, v, f.Tree, columns); err != nil {
		return err
	}
	for _, below := range f.Tree.Below {
		if r := ovsdb.Row(below.Row); below.Column == t.inUse && !o.ours(r) {
			return fmt.Errorf("its %s belongs to %s: remove that first", strings.TrimSpace(spoken(below.Table)+" "+row.String(r, "name")), whose(row.Map(r, "external_ids")))
		}
	}
	for attribute := range t.parts {
		if want.managed(attribute) {
			takeParts(have, attribute, f.Tree.Below)
		}
	}
	return nil
}

// grow reads the rows below a row, down to the last.
func grow(ctx context.Context, v host.View, at *tree, columns map[string]string) error {
	for _, column := range slices.Sorted(maps.Keys(columns)) {
		rows, err := rowsByID(ctx, v.OVSDB, host.Northbound, columns[column], row.Refs(ovsdb.Row(at.Row), column))
		if err != nil {
			return err
		}
		for _, r := range rows {
			below := tree{Table: columns[column], Column: column, Row: row.Record(r)}
			if err := grow(ctx, v, &below, strong(below.Table)); err != nil {
				return err
			}
			at.Below = append(at.Below, below)
		}
	}
	return nil
}

// few is how many rows are asked for by their names: the server looks at all rows of a
// table for each.
const few = 16

// byName are the UUIDs of rows by their names, of those that are asked for and maybe of
// others.
func (r relative) byName(ctx context.Context, v host.View, names []string) (map[string][]string, error) {
	var ops []ovsdb.Operation
	if len(names) > few {
		ops = append(ops, row.Select(r.table, r.columns()))
	} else {
		for _, name := range names {
			ops = append(ops, row.Select(r.table, r.columns(), r.called(name)))
		}
	}
	if len(ops) == 0 {
		return nil, nil
	}
	found, err := selectRows(ctx, v.OVSDB, host.Northbound, ops...)
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, one := range slices.Concat(found...) {
		out[r.nameOf(one)] = append(out[r.nameOf(one)], row.ID(one))
	}
	return out, nil
}

// needs says which row is missing that a step above may bring.
func (t *table) needs(ctx context.Context, v host.View, want fields) error {
	named := maps.Clone(t.refs)
	if named == nil {
		named = map[string]relative{}
	}
	for _, r := range slices.Concat(t.parents, t.holders) {
		if r.attribute != "" {
			named[r.attribute] = r
		}
	}
	for _, attribute := range slices.Sorted(maps.Keys(named)) {
		r, names := named[attribute], want.list(attribute)
		if len(names) == 1 && t.seen.above[namedRow{r, names[0]}] != "" {
			continue
		}
		found, err := r.byName(ctx, v, names)
		if err != nil {
			return err
		}
		for _, name := range names {
			if len(found[name]) == 0 {
				return r.missing(name)
			}
		}
	}
	if t.mentions == nil {
		return nil
	}
	return t.mentions(ctx, v, want)
}

// missing says that there is no row of a name.
func (r relative) missing(name string) error {
	return fmt.Errorf("there is no %s %q: %w", spoken(r.table), name, step.ErrNotYet)
}

// spoken is what messages call a row of a table that no kind of this step's keeps.
func spoken(table string) string { return strings.ToLower(strings.ReplaceAll(table, "_", " ")) }
