package ovs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// qosStep waits for the port, which an earlier step may bring.
type qosStep struct {
	step.Step
	want QoSSpec
}

func (s qosStep) Check(ctx context.Context, v host.View) (step.Finding, error) {
	t, err := readTables(ctx, v)
	if err != nil {
		return step.Finding{}, err
	}
	if _, there := named(t.ports, s.want.Port); !there && s.want.State.There() {
		return step.Finding{}, fmt.Errorf("there is no port %s: put a step ovs_port before it: %w", s.want.Port, step.ErrNotYet)
	}
	return s.Step.Check(ctx, v)
}

// qosTables are all ports, QoS and queues by UUID: the latter two live without
// being referred to, and several may refer to one.
type qosTables struct {
	tables

	qos, queues map[string]ovsdb.Row
}

func readQoS(ctx context.Context, v host.View) (qosTables, error) {
	t, err := readTables(ctx, v)
	if err != nil {
		return qosTables{}, err
	}
	return host.Recall(v.Memo, "ovs: qos", func() (qosTables, error) { return t.withQoS(ctx, v.OVSDB) })
}

func (t tables) withQoS(ctx context.Context, r host.OVSDBReader) (qosTables, error) {
	results, err := r.Select(ctx, host.OpenVSwitch, row.Select("QoS", nil), row.Select("Queue", nil))
	if err != nil {
		return qosTables{}, err
	}
	return qosTables{t, row.ByID(results[0].Rows), row.ByID(results[1].Rows)}, nil
}

// queuesOf are the queues of a QoS by number. The keys of that map are integers.
func (t qosTables) queuesOf(qos ovsdb.Row) map[int]ovsdb.Row {
	out := map[int]ovsdb.Row{}
	m, _ := qos["queues"].(ovsdb.OvsMap)
	for k, v := range m.GoMap {
		n, isNumber := k.(int)
		id, isRef := v.(ovsdb.UUID)
		if r, there := t.queues[id.GoUUID]; isNumber && isRef && there {
			out[n] = r
		}
	}
	return out
}

// sharers are the other ports that have a QoS.
func (t qosTables) sharers(qos ovsdb.Row, port string) []string {
	var names []string
	for _, p := range t.ports {
		if name := row.String(p, "name"); row.Ref(p, "qos") == row.ID(qos) && name != port {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// qos is the resource behind ovs_qos.
type qos struct{}

func (qos) Read(ctx context.Context, v host.View, want QoSSpec) (QoSSpec, error) {
	have := QoSSpec{Port: want.Port, State: step.Absent}
	t, err := readQoS(ctx, v)
	if err != nil {
		return have, err
	}
	p, _ := named(t.ports, want.Port)
	r, there := t.qos[row.Ref(p, "qos")]
	if !there {
		return have, nil
	}
	have.State = step.Present
	have.Found = &qosRows{QoS: row.Record(r), Queues: map[int]row.Record{}}
	if !want.State.There() {
		want = QoSSpec{Type: step.None[string](), OtherConfig: allKeys(r, "other_config"), ExternalIDs: allKeys(r, "external_ids"), Queues: []QoSQueue{}}
	}
	have.Type = readString(want.Type, r, "type")
	have.OtherConfig = readKeys(want.OtherConfig, r, "other_config")
	have.ExternalIDs = readKeys(want.ExternalIDs, r, "external_ids")
	queues := []QoSQueue{}
	for n, q := range t.queuesOf(r) {
		have.Found.Queues[n] = row.Record(q)
		queues = append(queues, queueOf(n, q))
	}
	if want.Queues != nil {
		have.Queues = spelledQueues(queues)
	}
	have.Seen.SharedBy = t.sharers(r, want.Port)
	have.Error, err = t.inForce(ctx, v.Commands, p, row.String(r, "type"))
	return have, err
}

// inForce says why the QoS of a port is not in force; empty where it is.
// ovs-vswitchd writes that into no column.
func (t tables) inForce(ctx context.Context, r host.CommandReader, port ovsdb.Row, kind string) (string, error) {
	if kind == "linux-noop" || kind == "" { // is to change nothing
		return "", nil
	}
	for _, id := range row.Refs(port, "interfaces") {
		name := row.String(t.interfaces[id], "name")
		said, err := r.Query(ctx, host.Command{Argv: []string{"ovs-appctl", "qos/show", name}})
		var refused *host.ExitError
		switch {
		case errors.As(err, &refused):
			return said.First(), nil
		case err != nil:
			return "", err
		}
		line, _, _ := strings.Cut(string(said.Stdout), "\n")
		if line != "QoS: "+name+" "+kind {
			return strings.ToValidUTF8(line, "?"), nil
		}
	}
	return "", nil
}

// queueOf is a row as an attribute says it.
func queueOf(number int, r ovsdb.Row) QoSQueue {
	q := QoSQueue{Number: number, OtherConfig: row.Map(r, "other_config")}
	for key, f := range q.fields() {
		if v, there := q.OtherConfig[key]; there {
			f.take(step.Is(v))
			delete(q.OtherConfig, key)
		}
	}
	if n, ok := row.Int(r, "dscp"); ok {
		q.DSCP = step.Is(n)
	}
	return q
}

func (qos) Diff(have, want QoSSpec) []step.Delta {
	deltas := step.Compare(have, want)
	if have.State.There() && want.State.There() && have.Error != "" && want.Error == "" {
		deltas = append(deltas, step.Change("error", have.Error, nil))
	}
	return deltas
}

func (qos) Advise(f *step.Finding, have, want QoSSpec) {
	if !f.Changed() {
		return
	}
	if n := len(have.Seen.SharedBy); n > 0 && want.State.There() {
		f.Warnings = append(f.Warnings, fmt.Sprintf("ports %s have the same QoS as %s: they keep it, and %s gets one of its own", strings.Join(have.Seen.SharedBy, ", "), want.Port, want.Port))
	}
	for _, d := range f.Deltas {
		if have.State.There() && (d.Path == "state" || d.Path == "type") {
			f.Cost.Disruption = "packets that wait in the queues of port " + want.Port + " are lost"
		}
	}
}

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
	switch {
	case !there && !want.State.There():
		return nil
	case !there:
		return fmt.Errorf("there is no port %s", want.Port)
	}
	var tx row.Tx
	tx.Guard("Port", p, "qos")
	old := row.Ref(p, "qos")
	kept := []string{}
	if !want.State.There() {
		tx.Update("Port", row.ID(p), ovsdb.Row{"qos": row.Empty()})
	} else {
		var id string
		id, kept = t.put(&tx, want, t.qos[old])
		tx.Update("Port", row.ID(p), ovsdb.Row{"qos": row.UUIDs(id)})
	}
	t.drop(&tx, want.Port, old, kept)
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
			tx.Insert("Queue", ref, row.Record(queues[n]).Insertable())
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
	tx.Insert("QoS", "qos", row.Record(whole).Insertable())
	return "qos", kept
}

// says whether the row of that UUID is there and says just the same.
func (t qosTables) says(table string, want ovsdb.Row) bool {
	rows := map[string]map[string]ovsdb.Row{"QoS": t.qos, "Queue": t.queues}[table]
	now, there := rows[row.ID(want)]
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

// drop deletes the QoS that a port had, and its queues, where nobody else refers
// to them.
func (t qosTables) drop(tx *row.Tx, port, old string, kept []string) {
	r, there := t.qos[old]
	if !there || slices.Contains(kept, old) || len(t.sharers(r, port)) > 0 {
		return
	}
	tx.Guard("QoS", r, "type", "queues", "other_config", "external_ids")
	tx.Delete("QoS", old)
	left := map[string]ovsdb.Row{}
	for _, q := range t.queuesOf(r) {
		left[row.ID(q)] = q
	}
	for id, other := range t.qos {
		for _, q := range t.queuesOf(other) {
			if id != old {
				delete(left, row.ID(q))
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(left)) {
		if !slices.Contains(kept, id) {
			tx.Guard("Queue", left[id], "dscp", "other_config", "external_ids")
			tx.Delete("Queue", id)
		}
	}
}
