package ovs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
	"weft/engine/step"
)

// qosTag is the key of external_ids by which rows that this kind made name their
// port. A row of the tables QoS and Queue lives on where nobody refers to it any
// more: another hand took it off the port, or the port away.
const qosTag = "weft-port"

// tagged is a row as this kind makes it.
func tagged(r ovsdb.Row, port string) ovsdb.Row {
	ids := row.Map(r, "external_ids")
	ids[qosTag] = port
	out := ovsdb.Row{}
	maps.Copy(out, r)
	out["external_ids"] = row.Strmap(ids)
	return out
}

// users are the QoS that a queue is of.
func (t qosTables) users(queue string) []string {
	var ids []string
	for id, q := range t.qos {
		for _, r := range t.queuesOf(q) {
			if row.ID(r) == queue {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// left are the rows of a port's that nobody refers to: each QoS with the queues
// that only it has, and queues alone. Never nil.
func (t qosTables) left(port string) []*saved {
	out := []*saved{}
	for _, id := range slices.Sorted(maps.Keys(t.qos)) {
		q := t.qos[id]
		if row.Map(q, "external_ids")[qosTag] != port || len(t.sharers(q, "")) > 0 {
			continue
		}
		s := &saved{Rows: []savedRow{{"QoS", row.Record(q)}}}
		queues := t.queuesOf(q)
		for _, n := range slices.Sorted(maps.Keys(queues)) {
			if users := t.users(row.ID(queues[n])); !slices.ContainsFunc(users, func(user string) bool { return user != id }) {
				s.Rows = append(s.Rows, savedRow{"Queue", row.Record(queues[n])})
			}
		}
		out = append(out, s)
	}
	for _, id := range slices.Sorted(maps.Keys(t.queues)) {
		if q := t.queues[id]; row.Map(q, "external_ids")[qosTag] == port && len(t.users(id)) == 0 {
			out = append(out, &saved{Rows: []savedRow{{"Queue", row.Record(q)}}})
		}
	}
	return out
}

// leftDeltas compares rows that nobody refers to. A playbook wants none; an undo
// wants those back that were there. What was left since is ours, and no conflict:
// the step takes it away after an undo.
func leftDeltas(have, want QoSSpec) []step.Delta {
	const said = "rows of this port that nobody refers to: %d"
	_, missing := difference(have.Left, want.Left)
	switch {
	case want.Left == nil && len(have.Left) > 0:
		return []step.Delta{step.Change("left", fmt.Sprintf(said, len(have.Left)), nil)}
	case len(missing) > 0:
		return []step.Delta{step.Change("left", nil, fmt.Sprintf(said, len(missing)))}
	}
	return nil
}

// difference is what the one has and not the other, by content.
func difference(have, want []*saved) (gone, missing []*saved) {
	gone = slices.Clone(have)
	for _, w := range want {
		if i := slices.IndexFunc(gone, func(h *saved) bool { return h.digest() == w.digest() }); i >= 0 {
			gone = slices.Delete(gone, i, i+1)
		} else {
			missing = append(missing, w)
		}
	}
	return gone, missing
}

// collect has the rows that nobody refers to be those that are wanted.
func (t qosTables) collect(tx *row.Tx, want QoSSpec, kept []string) {
	gone, missing := difference(t.left(want.Port), want.Left)
	for _, s := range gone {
		for _, r := range s.Rows {
			if id := row.ID(ovsdb.Row(r.Row)); !slices.Contains(kept, id) {
				t.remove(tx, r.Table, id)
			}
		}
	}
	for n, s := range missing {
		s.insertAs(tx, fmt.Sprintf("left%d_", n))
	}
}

// remove deletes a row, if it is still what was read.
func (t qosTables) remove(tx *row.Tx, table, id string) {
	columns := []string{"dscp", "other_config", "external_ids"}
	if table == "QoS" {
		columns = []string{"type", "queues", "other_config", "external_ids"}
	}
	tx.Guard(table, t.rows(table)[id], columns...)
	tx.Delete(table, id)
}

func (t qosTables) rows(table string) map[string]ovsdb.Row {
	if table == "QoS" {
		return t.qos
	}
	return t.queues
}

// drop deletes the QoS that a port had, and its queues, where nobody else refers
// to them.
func (t qosTables) drop(tx *row.Tx, port, old string, kept []string) {
	r, there := t.qos[old]
	if !there || slices.Contains(kept, old) || len(t.sharers(r, port)) > 0 {
		return
	}
	t.remove(tx, "QoS", old)
	mine := map[string]bool{}
	for _, q := range t.queuesOf(r) {
		others := slices.ContainsFunc(t.users(row.ID(q)), func(user string) bool { return user != old })
		mine[row.ID(q)] = !others && !slices.Contains(kept, row.ID(q))
	}
	for _, id := range slices.Sorted(maps.Keys(mine)) {
		if mine[id] {
			t.remove(tx, "Queue", id)
		}
	}
}

// sharers are the other ports that have a QoS.
func (t qosTables) sharers(qos ovsdb.Row, port string) []string {
	var names []string
	for _, p := range t.ports {
		if name := row.String(p, "name"); row.Ref(p, "qos") == row.ID(qos) && name != port {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, strings.Compare)
	return names
}
