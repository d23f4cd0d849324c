package ovs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// Undo takes away what is left of our own rows, too: another hand may have taken
// the QoS off the port since.
func (s qosStep) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	var before QoSSpec
	if err := json.Unmarshal(f.Before, &before); err != nil {
		return fmt.Errorf("decode a recorded QoS: %w", err)
	}
	undone := s.Step.Undo(ctx, h, f)
	if undone != nil && !errors.Is(undone, step.ErrConflict) {
		return undone
	}
	fresh, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return errors.Join(undone, err)
	}
	t, err := fresh.withQoS(ctx, h.OVSDB)
	if err != nil {
		return errors.Join(undone, err)
	}
	var tx row.Tx
	if t.collect(&tx, before, nil); tx.Empty() {
		return undone
	}
	return errors.Join(undone, commit(ctx, h, fresh, &tx))
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

// qos is the resource behind ovs_qos.
type qos struct{}

func (qos) Read(ctx context.Context, v host.View, want QoSSpec) (QoSSpec, error) {
	have := QoSSpec{Port: want.Port, State: step.Absent}
	t, err := readQoS(ctx, v)
	if err != nil {
		return have, err
	}
	have.Left = t.left(want.Port)
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
	deltas := append(step.Compare(have, want), leftDeltas(have, want)...)
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
