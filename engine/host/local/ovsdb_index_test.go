package local

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

const (
	one = "11111111-1111-4111-8111-111111111111"
	two = "22222222-2222-4222-8222-222222222222"
)

// askOften asks for a bridge by its name until an index is kept, and once more; it
// returns the last answer.
func askOften(t *testing.T, d *OVSDB) []ovsdb.Row {
	t.Helper()
	var rows []ovsdb.Row
	for range often + 1 {
		results, err := d.Select(t.Context(), host.OpenVSwitch, row.Select("Bridge", []string{"_uuid"}, row.Is("name", "br0")))
		if err != nil {
			t.Fatal(err)
		}
		rows = results[0].Rows
	}
	return rows
}

// plainly answers selects that name no row.
func plainly(t *testing.T, conn net.Conn, r *messageReader, times int) {
	for range times {
		m := next(t, r)
		if m.Method != "transact" || strings.Contains(string(m.Params), `_uuid","=="`) {
			t.Errorf("asked %s %s", m.Method, m.Params)
		}
		answer(t, conn, m, `[{"rows":[{"_uuid":["uuid","`+one+`"]}]}]`)
	}
}

// named answers a select that names a row.
func named(t *testing.T, conn net.Conn, r *messageReader, id, rows string) {
	m := next(t, r)
	if !strings.Contains(string(m.Params), id) {
		t.Errorf("asked %s %s", m.Method, m.Params)
	}
	answer(t, conn, m, `[{"rows":[`+rows+`]}]`)
}

// aware answers that the server will say when it cancels a monitor.
func aware(t *testing.T, conn net.Conn, r *messageReader) {
	m := next(t, r)
	if m.Method != "set_db_change_aware" || string(m.Params) != "[true]" {
		t.Errorf("asked %s %s", m.Method, m.Params)
	}
	answer(t, conn, m, `{}`)
}

// A row that is asked for often is named, and one that takes its place meanwhile is
// answered in its stead.
func TestIndexIsRightAfterTheAnswer(t *testing.T) {
	d := scripted(t, func(t *testing.T, conn net.Conn, r *messageReader) {
		plainly(t, conn, r, often-1)
		aware(t, conn, r)
		m := next(t, r)
		if m.Method != "monitor" || !strings.Contains(string(m.Params), `{"Bridge":{"columns":["name"]}}`) {
			t.Errorf("asked %s %s", m.Method, m.Params)
		}
		answer(t, conn, m, `{"Bridge":{"`+one+`":{"new":{"name":"br0"}}}}`)
		named(t, conn, r, one, `{"_uuid":["uuid","`+one+`"]}`)
		m = next(t, r)
		update := fmt.Sprintf(`{"Bridge":{"%s":{"old":{"name":"br0"}},"%s":{"new":{"name":"br0"}}}}`, one, two)
		if _, err := conn.Write([]byte(`{"id":null,"method":"update","params":[["Bridge","name"],` + update + `]}`)); err != nil {
			t.Error(err)
		}
		answer(t, conn, m, `[{"rows":[]}]`)
		named(t, conn, r, two, `{"_uuid":["uuid","`+two+`"]}`)
	})
	if rows := askOften(t, d); len(rows) != 1 || row.ID(rows[0]) != two {
		t.Errorf("answered %v", rows)
	}
}

// A server that was given other rows tells nobody of these: who hears that it watches no
// more asks anew.
func TestIndexIsGivenUp(t *testing.T) {
	d := scripted(t, func(t *testing.T, conn net.Conn, r *messageReader) {
		plainly(t, conn, r, often-1)
		aware(t, conn, r)
		answer(t, conn, next(t, r), `{}`) // no bridge is there yet
		if _, err := conn.Write([]byte(`{"id":null,"method":"monitor_canceled","params":[["Bridge","name"]]}`)); err != nil {
			t.Error(err)
		}
		for err := error(nil); err == nil; { // what is asked all the same has no answer
			_, err = r.next()
		}
	}, func(t *testing.T, conn net.Conn, r *messageReader) { plainly(t, conn, r, 2) })
	if rows := askOften(t, d); len(rows) != 1 || row.ID(rows[0]) != one {
		t.Errorf("answered %v", rows)
	}
}

func TestByValue(t *testing.T) {
	name, number := row.Is("name", "x"), row.Is("priority", 7)
	for _, c := range []struct {
		where []ovsdb.Condition
		value string
		ok    bool
	}{
		{[]ovsdb.Condition{name}, "x", true},
		{[]ovsdb.Condition{name, number}, "x", true},
		{[]ovsdb.Condition{number, name}, "x", true},
		{[]ovsdb.Condition{number}, "", false},
		{[]ovsdb.Condition{name, row.IsRow(one)}, "", false},
	} {
		at, value, ok := byValue(row.Select("T", nil, c.where...))
		if ok != c.ok || ok && (value != c.value || at != lookup{"T", "name"}) {
			t.Errorf("%v: %v %q %v", c.where, at, value, ok)
		}
	}
}

func TestIndexIsRefused(t *testing.T) {
	d := scripted(t, func(t *testing.T, conn net.Conn, r *messageReader) {
		plainly(t, conn, r, often-1)
		m := next(t, r)
		if _, err := conn.Write([]byte(`{"id":` + string(m.ID) + `,"result":null,"error":{"error":"unknown method"}}`)); err != nil {
			t.Error(err)
		}
		plainly(t, conn, r, 2)
	})
	if rows := askOften(t, d); len(rows) != 1 || row.ID(rows[0]) != one {
		t.Errorf("answered %v", rows)
	}
}

// Whatever an update says, the two sides of the index agree.
func FuzzIndexUpdates(f *testing.F) {
	f.Add([]byte(`[["Bridge","name"],{"Bridge":{"` + one + `":{"new":{"name":"br0"}},"` + two + `":{"new":{"name":["set",[]]}}}}]`))
	f.Add([]byte(`[["Bridge","name"],{"Bridge":{"` + one + `":{"old":{"name":"br0"}}}}]`))
	f.Fuzz(func(t *testing.T, params []byte) {
		kept := &index{kept: true, ids: map[string][]string{"br0": {one}}, values: map[string]string{one: "br0"}}
		c := &connection{indexes: map[lookup]*index{{"Bridge", "name"}: kept}}
		_ = c.notified(params) // an error ends the connection
		n := 0
		for value, ids := range kept.ids {
			n += len(ids)
			for _, id := range ids {
				if kept.values[id] != value {
					t.Errorf("%s is %q, and listed as %q", id, kept.values[id], value)
				}
			}
		}
		if n != len(kept.values) {
			t.Errorf("%d rows are listed, of %d", n, len(kept.values))
		}
	})
}
