package ovn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// write makes want of have, in one transaction.
func (t *table) write(ctx context.Context, h host.Host, o owner, have, want fields) error {
	w := writing{table: t, view: h.View(), owner: o, have: have, want: want}
	var err error
	switch there := have.state().There(); {
	case !want.state().There() && !there:
		return nil
	case !want.state().There():
		err = w.remove()
	case !there:
		err = w.insert(ctx)
	default:
		err = w.change(ctx)
	}
	if err != nil || w.tx.Empty() {
		return err
	}
	results, err := commit(ctx, h, &w.tx)
	if err != nil {
		return err
	}
	for i, op := range w.tx.Operations() {
		if op.Op == ovsdb.OperationInsert && op.Table == t.name {
			t.seen.row = results[i].UUID.GoUUID
		}
	}
	return nil
}

// writing is one transaction in the making.
type writing struct {
	*table
	view       host.View
	owner      owner
	have, want fields
	tx         row.Tx
	inserted   int
}

// newName names a row within the transaction.
func (w *writing) newName() string {
	w.inserted++
	return fmt.Sprintf("row%d", w.inserted)
}

// guard keeps the transaction from overwriting what it was not decided on.
func (w *writing) guard(columns ...string) {
	r := ovsdb.Row(w.have.found().Tree.Row)
	columns = slices.DeleteFunc(append(columns, "external_ids"), func(c string) bool { return r[c] == nil })
	slices.Sort(columns)
	w.tx.Guard(w.name, r, slices.Compact(columns)...)
}

// remove takes the row away. A state to go back to (want says what was found) never
// had rows below: what is there now came later, and is not ours to take.
func (w *writing) remove() error {
	f := w.have.found()
	r := ovsdb.Row(f.Tree.Row)
	columns := slices.Collect(maps.Values(w.columnsOf(w.have)))
	var inUse []string
	for column := range strong(w.name) {
		columns = append(columns, column)
		if _, is := w.parts[column]; !is && len(row.Refs(r, column)) > 0 {
			inUse = append(inUse, fmt.Sprintf("%d in %s", len(row.Refs(r, column)), column))
		}
	}
	if w.want.found() != nil && len(inUse) > 0 {
		slices.Sort(inUse)
		return fmt.Errorf("%s %s is in use (%s): %w", w.title, w.have.text("name"), strings.Join(inUse, ", "), step.ErrConflict)
	}
	w.guard(slices.DeleteFunc(columns, func(c string) bool { return slices.Contains(hidden(w.name), c) })...)
	if f.Parent != nil {
		w.tx.Mutate(f.Parent.Table, row.ID(ovsdb.Row(f.Parent.Row)), row.RemoveRefs(f.Parent.Column, row.ID(r)))
	} else {
		w.tx.Delete(w.name, row.ID(r))
	}
	return nil
}

// insert makes the row, with what lives with it.
func (w *writing) insert(ctx context.Context) error {
	switch {
	case w.unique:
	case w.named != "":
		w.tx.GuardNone(w.name, row.Is(w.named, w.want.text("name")))
	default:
		w.tx.GuardNone(w.name, w.owner.mine())
	}
	fresh, me := w.fresh(w.want), w.newName()
	for attribute := range w.refs {
		if err := w.refer(ctx, fresh, attribute); err != nil {
			return err
		}
	}
	if f := w.want.found(); f != nil && f.Tree != nil {
		w.regrow(fresh, slices.DeleteFunc(slices.Clone(f.Tree.Below), func(b tree) bool {
			_, is := w.parts[b.Column]
			return is && w.want.managed(b.Column)
		}))
	}
	for attribute, p := range w.parts {
		if w.want.managed(attribute) {
			fresh[attribute] = row.UUIDs(w.insertParts(attribute, p, partRows(w.want, attribute))...)
		}
	}
	w.tx.Insert(w.name, me, fresh)
	for _, p := range w.parents {
		if name := w.want.text(p.attribute); name != "" {
			on, err := w.above(ctx, p, name)
			if err != nil {
				return err
			}
			w.tx.Mutate(p.table, on, row.AddRefs(p.column, me))
		}
	}
	return w.hold(ctx, me)
}

// above is the UUID of the parent of that name. Where a look has seen it a moment ago the
// transaction is to find it, and no other, of that name still.
func (w *writing) above(ctx context.Context, p relative, name string) (string, error) {
	id, was := w.seen.above[namedRow{p, name}]
	if !was || p.labelled {
		return p.one(ctx, w.view, name)
	}
	w.tx.GuardOnly(p.table, id, row.Is("name", name))
	return id, nil
}

// regrow makes the rows again that lived with a row.
func (w *writing) regrow(above ovsdb.Row, below []tree) {
	refs := map[string][]string{}
	for _, b := range below {
		r, name := b.Row.Insertable(hidden(b.Table)...), w.newName()
		for column := range strong(b.Table) {
			delete(r, column)
		}
		w.regrow(r, b.Below)
		w.tx.Insert(b.Table, name, r)
		refs[b.Column] = append(refs[b.Column], name)
	}
	for column, names := range refs {
		above[column] = row.UUIDs(names...)
	}
}

// refer has the row refer to those that an attribute names, or to those that were
// recorded where no attribute says. A recorded one that is gone by now is left out.
func (w *writing) refer(ctx context.Context, r ovsdb.Row, attribute string) error {
	ref, managed := w.refs[attribute], w.want.managed(attribute)
	names := w.want.list(attribute)
	if f := w.want.found(); f != nil && !managed {
		names = f.Names[attribute]
	}
	ids, err := ref.ids(ctx, w.view, names)
	if err != nil && (managed || !errors.Is(err, step.ErrConflict)) {
		return err
	}
	if managed || len(names) > 0 {
		r[ref.column] = row.UUIDs(ids...)
	}
	return nil
}

// hold has the rows refer to this one that are named: by attributes, and by what was
// recorded. A recorded one that is gone by now is left out.
func (w *writing) hold(ctx context.Context, me string) error {
	for _, h := range w.holders {
		managed := h.attribute != "" && w.want.managed(h.attribute)
		var names []string
		if managed {
			names = w.want.list(h.attribute)
		} else if f := w.want.found(); f != nil {
			for _, was := range f.Holders {
				if was.Table == h.table && was.Column == h.column {
					names = append(names, was.Name)
				}
			}
		}
		for _, name := range names {
			on, err := h.one(ctx, w.view, name)
			if err != nil && managed {
				return err
			}
			if err == nil {
				w.tx.Mutate(h.table, on, row.AddRefs(h.column, me))
			}
		}
	}
	return nil
}

// change sets what differs, and moves the row where another is to own it.
func (w *writing) change(ctx context.Context) error {
	f := w.have.found()
	now, recorded := ovsdb.Row(f.Tree.Row), ovsdb.Row(nil)
	if was := w.want.found(); was != nil && was.Tree != nil {
		recorded = ovsdb.Row(was.Tree.Row)
	}
	columns, mutations := w.setColumns(w.have, w.want, recorded, now)
	guarded := slices.Collect(maps.Keys(columns))
	for _, m := range mutations {
		guarded = append(guarded, m.Column)
	}
	for attribute, ref := range w.refs {
		if w.want.managed(attribute) && !slices.Equal(slices.Sorted(slices.Values(w.have.list(attribute))), slices.Sorted(slices.Values(w.want.list(attribute)))) {
			guarded = append(guarded, ref.column)
			if err := w.refer(ctx, columns, attribute); err != nil {
				return err
			}
		}
	}
	w.guard(guarded...)
	for attribute, p := range w.parts {
		if w.want.managed(attribute) {
			w.changeParts(attribute, p)
		}
	}
	if len(columns) > 0 {
		w.tx.Update(w.name, row.ID(now), columns)
	}
	if len(mutations) > 0 {
		w.tx.Mutate(w.name, row.ID(now), mutations...)
	}
	if err := w.move(ctx); err != nil {
		return err
	}
	return w.changeHolders(ctx)
}

// move has another row own this one.
func (w *writing) move(ctx context.Context) error {
	f := w.have.found()
	for _, p := range w.parents {
		name := w.want.text(p.attribute)
		if name == "" || name == w.have.text(p.attribute) {
			continue
		}
		to, err := p.one(ctx, w.view, name)
		if err != nil {
			return err
		}
		id := row.ID(ovsdb.Row(f.Tree.Row))
		w.tx.Mutate(f.Parent.Table, row.ID(ovsdb.Row(f.Parent.Row)), row.RemoveRefs(f.Parent.Column, id))
		w.tx.Mutate(p.table, to, row.AddRefs(p.column, id))
	}
	return nil
}

// changeHolders has other rows refer to this one, or no longer.
func (w *writing) changeHolders(ctx context.Context) error {
	id := row.ID(ovsdb.Row(w.have.found().Tree.Row))
	for _, h := range w.holders {
		if h.attribute == "" || !w.want.managed(h.attribute) {
			continue
		}
		now, then := w.have.list(h.attribute), w.want.list(h.attribute)
		for _, name := range slices.Concat(now, then) {
			if slices.Contains(now, name) == slices.Contains(then, name) {
				continue
			}
			on, err := h.one(ctx, w.view, name)
			if err != nil {
				return err
			}
			mutation := row.AddRefs(h.column, id)
			if slices.Contains(now, name) {
				mutation = row.RemoveRefs(h.column, id)
			}
			w.tx.Mutate(h.table, on, mutation)
		}
	}
	return nil
}

// one is the UUID of the only row of a name.
func (r relative) one(ctx context.Context, v host.View, name string) (string, error) {
	ids, err := r.ids(ctx, v, []string{name})
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// ids are the UUIDs of the only rows of names. A check has seen them, or they were there
// when a change was made: where one is not, another hand was at it. The error says so,
// and the others are answered.
func (r relative) ids(ctx context.Context, v host.View, names []string) (ids []string, _ error) {
	found, err := r.byName(ctx, v, names)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if n := len(found[name]); n != 1 {
			err = fmt.Errorf("there are %d rows of %s named %q; exactly one is needed: %w", n, r.table, name, step.ErrConflict)
			continue
		}
		ids = append(ids, found[name][0])
	}
	return ids, err
}
