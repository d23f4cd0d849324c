package onhost

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/wire"
)

// Questions are answered by the doors, what is not there is said to be absent,
// and nothing on the host is changed.
func TestAsk(t *testing.T) {
	s := newSite(t)
	s.machine.AddDatabase(host.Northbound)
	for i := range wire.AnswerRows + 1 {
		s.machine.Transact(host.Northbound, ovsdb.Operation{Op: ovsdb.OperationInsert, Table: "Logical_Switch",
			Row: ovsdb.Row{"name": fmt.Sprintf("ls%d", i), "external_ids": row.Strmap(map[string]string{"n": "1"})}})
	}
	s.machine.Program("ovn-trace", func(_ *fake.Machine, c host.Command) host.Result {
		return host.Result{Stdout: []byte(strings.Join(c.Argv, " "))}
	})
	s.machine.OnPing(func(_ *fake.Machine, p host.Ping) host.PingReport {
		return host.PingReport{Sent: p.Count, Received: 1}
	})
	before := s.machine.Snapshot()
	c := s.open()
	c.do(wire.Request{Hello: &wire.Hello{Run: "r1", Intent: wire.Look}})
	ask := func(q wire.Ask) []wire.Answer {
		var all []wire.Answer
		for _, e := range c.do(wire.Request{Ask: &q}).events {
			if e.Answer != nil {
				all = append(all, *e.Answer)
			}
		}
		return all
	}

	all := ask(wire.Ask{Rows: &wire.Rows{Database: host.Northbound, Table: "Logical_Switch", Columns: []string{"name"}}})
	if len(all) != 2 || len(all[0].Rows) != wire.AnswerRows || len(all[1].Rows) != 1 || row.ID(ovsdb.Row(all[1].Rows[0])) == "" {
		t.Errorf("%d answers to a question for many rows", len(all))
	}
	one := ask(wire.Ask{Rows: &wire.Rows{Database: host.Northbound, Table: "Logical_Switch", Where: map[string]any{"name": "ls7"}}})
	if len(one) != 1 || len(one[0].Rows) != 1 || row.Map(ovsdb.Row(one[0].Rows[0]), "external_ids")["n"] != "1" {
		t.Errorf("one row is %+v", one)
	}
	if a := ask(wire.Ask{Rows: &wire.Rows{Database: host.Southbound, Table: "Chassis"}}); len(a) != 1 || !a[0].Absent || a[0].Error == "" {
		t.Errorf("a database that is not there: %+v", a)
	}
	if a := ask(wire.Ask{Rows: &wire.Rows{Database: host.Northbound, Table: "Logical_Switch", Where: map[string]any{"name": true}}}); a[0].Error == "" || a[0].Absent {
		t.Errorf("a condition of another type: %+v", a)
	}
	if a := ask(wire.Ask{Query: []string{"ovn-trace", "ls1", "a; b"}}); a[0].Text != "ovn-trace ls1 a; b" {
		t.Errorf("a program: %+v", a)
	}
	if a := ask(wire.Ask{Query: []string{"nothing"}}); !a[0].Absent {
		t.Errorf("a program that is not there: %+v", a)
	}
	if a := ask(wire.Ask{Daemon: &wire.DaemonCall{Daemon: "ovs-vswitchd", Command: "exit"}}); !strings.Contains(a[0].Error, "not known to change nothing") {
		t.Errorf("a command that changes: %+v", a)
	}
	if a := ask(wire.Ask{Ping: &host.Ping{Target: netip.MustParseAddr("192.0.2.1"), Count: 3}}); a[0].Ping == nil || a[0].Ping.Sent != 3 {
		t.Errorf("a ping: %+v", a)
	}
	if s.machine.Snapshot() != before {
		t.Error("the host was changed")
	}
	c.bye()
}

func TestAskNothing(t *testing.T) {
	c := newSite(t).open()
	c.do(wire.Request{Hello: &wire.Hello{Run: "r1", Intent: wire.Look}})
	if r := c.do(wire.Request{Ask: &wire.Ask{}}); r.done.Error == "" {
		t.Errorf("got %+v", r)
	}
	c.bye()
}
