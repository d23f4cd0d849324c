package onhost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/wire"
)

// ask answers a question; the error is that of a ctx that ended, or of a
// request that asks nothing.
func (s *session) ask(ctx context.Context, q wire.Ask) error {
	a := wire.Answer{}
	var err error
	v := s.Host.View()
	switch {
	case q.Rows != nil:
		a.Rows, err = selectRows(ctx, v.OVSDB, *q.Rows)
	case len(q.Query) > 0:
		var r host.Result
		r, err = v.Commands.Query(ctx, host.Command{Argv: q.Query})
		a.Text = string(r.Stdout)
	case q.Daemon != nil:
		a.Text, err = v.Daemons.Ask(ctx, q.Daemon.Daemon, q.Daemon.Command, q.Daemon.Args...)
	case q.Ping != nil:
		var r host.PingReport
		r, err = v.Packets.Ping(ctx, *q.Ping)
		a.Ping = &r
	default:
		return errors.New("a question that asks for nothing")
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		a.Absent, a.Error = errors.Is(err, host.ErrNotReady), err.Error()
	}
	rows := a.Rows
	for first := true; first || len(rows) > 0; first = false {
		part := a
		part.Rows = rows[:min(len(rows), wire.AnswerRows)]
		rows = rows[len(part.Rows):]
		s.out.say(wire.Event{Answer: &part})
	}
	return nil
}

func selectRows(ctx context.Context, db host.OVSDBReader, q wire.Rows) ([]row.Record, error) {
	columns := q.Columns
	if len(columns) > 0 {
		columns = append([]string{"_uuid"}, columns...)
	}
	var where []ovsdb.Condition
	for _, column := range slices.Sorted(maps.Keys(q.Where)) {
		switch value := q.Where[column].(type) {
		case string:
			where = append(where, row.Is(column, value))
		case float64:
			where = append(where, row.Is(column, int(value)))
		default:
			return nil, fmt.Errorf("select %s: %s is compared with a %T", q.Table, column, value)
		}
	}
	results, err := db.Select(ctx, q.Database, row.Select(q.Table, columns, where...))
	if err != nil {
		return nil, err
	}
	out := make([]row.Record, len(results[0].Rows))
	for i, r := range results[0].Rows {
		out[i] = row.Record(r)
	}
	return out, nil
}
