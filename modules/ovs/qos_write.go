package ovs

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

func (qos) Write(ctx context.Context, h host.Host, _, want QoSSpec) error {
	fresh, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	t, err := fresh.withQoS(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	p, there := named(t.ports, want.Port)
	if !there && want.State.There() {
		return fmt.Errorf("there is no port %s", want.Port)
	}
	var tx row.Tx
	kept := []string{}
	if there {
		old := row.Ref(p, "qos")
		refs := row.UUIDs()
		if want.State.There() {
			var id string
			id, kept = t.put(&tx, want, t.qos[old])
			refs = row.UUIDs(id)
		}
		tx.Guard("Port", p, "qos")
		tx.Update("Port", row.ID(p), ovsdb.Row{"qos": refs})
		t.drop(&tx, want.Port, old, kept)
	}
	t.collect(&tx, want, kept)
	if tx.Empty() {
		return nil
	}
	if err := commit(ctx, h, fresh, &tx); err != nil || !want.State.There() || want.Error != "" {
		return err
	}
	said, err := t.inForce(ctx, h.Commands, p, want.Type.Or(""))
	if err == nil && said != "" {
		err = fmt.Errorf("%s is not in force: %s%s", want.Type.Or(""), said, logLines(ctx, h, want.Port))
	}
	return err
}

// put has the rows that want says in the transaction: those that say it already,
// where they are there, else new ones, made of what was recorded or is there now.
// It returns what refers to the QoS, and the UUIDs that stay in use.
func (t qosTables) put(tx *row.Tx, want QoSSpec, now ovsdb.Row) (id string, kept []string) {
	base, current := now, t.queuesOf(now)
	queues := current
	if want.Found != nil {
		base = ovsdb.Row(want.Found.QoS)
		queues = map[int]ovsdb.Row{}
		for n, r := range want.Found.Queues {
			queues[n] = ovsdb.Row(r)
		}
	}
	if want.Queues != nil {
		wanted := map[int]ovsdb.Row{}
		for _, q := range want.Queues {
			from := queues[q.Number]
			if r := current[q.Number]; q.is(r) && !q.is(from) {
				from = r // an undo leaves what another hand made
			}
			wanted[q.Number] = q.row(from)
		}
		queues = wanted
	}
	refs := ovsdb.OvsMap{GoMap: map[any]any{}}
	for _, n := range slices.Sorted(maps.Keys(queues)) {
		ref := row.ID(queues[n])
		if !t.says("Queue", queues[n]) {
			ref = fmt.Sprintf("queue%d", n)
			tx.Insert("Queue", ref, row.Record(want.owned(queues[n])).Insertable())
		} else {
			kept = append(kept, ref)
		}
		refs.GoMap[n] = row.UUID(ref)
	}
	whole := maps.Clone(base)
	if whole == nil {
		whole = ovsdb.Row{}
	}
	if want.Type.Managed() {
		whole["type"] = want.Type.Or("")
	}
	whole["other_config"] = withKeys(base, "other_config", want.OtherConfig)
	whole["external_ids"] = withKeys(base, "external_ids", want.ExternalIDs)
	whole["queues"] = refs
	if t.says("QoS", whole) {
		return row.ID(whole), append(kept, row.ID(whole))
	}
	tx.Insert("QoS", "qos", row.Record(want.owned(whole)).Insertable())
	return "qos", kept
}

// owned is a row as an apply makes it; an undo makes it as it was found.
func (want QoSSpec) owned(r ovsdb.Row) ovsdb.Row {
	if want.Left != nil {
		return r
	}
	return tagged(r, want.Port)
}

// says whether the row of that UUID is there and says just the same.
func (t qosTables) says(table string, want ovsdb.Row) bool {
	now, there := t.rows(table)[row.ID(want)]
	return there && reflect.DeepEqual(row.Record(now).Insertable(), row.Record(want).Insertable())
}

// is says whether a row says just what the attribute does.
func (q QoSQueue) is(r ovsdb.Row) bool {
	return r != nil && reflect.DeepEqual(spelledQueues([]QoSQueue{queueOf(q.Number, r)}), spelledQueues([]QoSQueue{q}))
}

// row is a queue as a row, over what was there of it.
func (q QoSQueue) row(base ovsdb.Row) ovsdb.Row {
	out := maps.Clone(base)
	if out == nil {
		out = ovsdb.Row{}
	}
	found := queueOf(q.Number, base)
	config := row.Map(base, "other_config")
	kept := found.fields()
	for key, f := range q.fields() {
		if text, ok := f.text().Get(); !ok {
			delete(config, key)
		} else if kept[key].text() != f.text() { // else its spelling stays
			config[key] = text
		}
	}
	for key := range found.OtherConfig {
		if _, wanted := q.OtherConfig[key]; !wanted {
			delete(config, key)
		}
	}
	maps.Copy(config, q.OtherConfig)
	if !reflect.DeepEqual(config, row.Map(base, "other_config")) || base == nil {
		out["other_config"] = row.Strmap(config)
	}
	if found.DSCP != q.DSCP {
		c := newColumns()
		optional(c, "dscp", step.None[int]())
		optional(c, "dscp", q.DSCP)
		out["dscp"] = c.row["dscp"]
	}
	return out
}

// withKeys is a map column with keys as they are wanted.
func withKeys(base ovsdb.Row, column string, want map[string]step.Attr[string]) ovsdb.OvsMap {
	m := row.Map(base, column)
	for k, a := range managedKeys(want) {
		if v, ok := a.Get(); ok {
			m[k] = v
		} else {
			delete(m, k)
		}
	}
	return row.Strmap(m)
}
