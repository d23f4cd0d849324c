package local

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// script is a server that reads messages and answers as it is told.
type script func(t *testing.T, conn net.Conn, r *messageReader)

// scripted serves one connection after the other, a script each.
func scripted(t *testing.T, scripts ...script) *OVSDB {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, s := range scripts {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s(t, conn, newMessageReader(conn, maxMessage))
			_ = conn.Close()
		}
	}()
	d := NewOVSDB(map[host.Database][]string{host.OpenVSwitch: {filepath.Join(t.TempDir(), "none"), socket}})
	t.Cleanup(func() {
		_ = d.Close()
		_ = l.Close()
		<-done
	})
	return d
}

// say writes an answer to the request that was read last.
func answer(t *testing.T, conn net.Conn, m message, result string) {
	if _, err := conn.Write([]byte(`{"id":` + string(m.ID) + `,"error":null,"result":` + result + `}`)); err != nil {
		t.Error(err)
	}
}

func next(t *testing.T, r *messageReader) message {
	m, err := r.next()
	if err != nil {
		t.Errorf("the client ended: %v", err)
	}
	return m
}

func serve(result string) script {
	return func(t *testing.T, conn net.Conn, r *messageReader) { answer(t, conn, next(t, r), result) }
}

func cutAfterRequest(t *testing.T, _ net.Conn, r *messageReader) { next(t, r) }

func TestSelectOutlivesALostConnection(t *testing.T) {
	d := scripted(t, cutAfterRequest, serve(`[{"rows":[{"name":"br0"}]}]`))
	results, err := d.Select(t.Context(), host.OpenVSwitch, row.Select("Bridge", nil))
	if err != nil || row.String(results[0].Rows[0], "name") != "br0" {
		t.Errorf("%v, %v", results, err)
	}
}

func TestTransactSaysThatTheOutcomeIsUnknown(t *testing.T) {
	d := scripted(t, cutAfterRequest, serve(`[{"count":1}]`))
	op := ovsdb.Operation{Op: "delete", Table: "Bridge"}
	if _, err := d.Transact(t.Context(), host.OpenVSwitch, op); !errors.Is(err, host.ErrOutcomeUnknown) {
		t.Errorf("%v is not ErrOutcomeUnknown", err)
	}
	if _, err := d.Transact(t.Context(), host.OpenVSwitch, op); err != nil {
		t.Errorf("the next call does not dial again: %v", err)
	}
}

func TestDeadline(t *testing.T) {
	d := scripted(t, func(t *testing.T, conn net.Conn, r *messageReader) {
		next(t, r)
		_, _ = r.next() // until the client closes
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := d.Transact(ctx, host.OpenVSwitch, ovsdb.Operation{Op: "delete", Table: "Bridge"})
	if !errors.Is(err, host.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestEchoIsAnswered(t *testing.T) {
	d := scripted(t, func(t *testing.T, conn net.Conn, r *messageReader) {
		request := next(t, r)
		if _, err := conn.Write([]byte(`{"id":"echo","method":"echo","params":["x"]}`)); err != nil {
			t.Error(err)
		}
		if m := next(t, r); string(m.ID) != `"echo"` || string(m.Result) != `["x"]` || !null(m.Error) {
			t.Errorf("answered %+v", m)
		}
		answer(t, conn, request, `[{"rows":[]}]`)
	})
	if _, err := d.Select(t.Context(), host.OpenVSwitch, row.Select("Bridge", nil)); err != nil {
		t.Error(err)
	}
}

func TestNobodyListens(t *testing.T) {
	dead := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	for name, socket := range map[string]string{"no socket": dead + "x", "refused": dead} {
		d := NewOVSDB(map[host.Database][]string{host.Northbound: {socket}})
		if _, err := d.Select(t.Context(), host.Northbound, row.Select("NB_Global", nil)); !errors.Is(err, host.ErrNotReady) {
			t.Errorf("%s: %v is not ErrNotReady", name, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for answer, want := range map[string]string{
		`[{"count":1},{"error":"constraint violation","details":"no"},null]`: "Open_vSwitch: delete Port: constraint violation: no",
		`[{},{},{},{"error":"referential integrity violation"}]`:             "Open_vSwitch: referential integrity violation",
		`[{}]`: "Open_vSwitch answered 1 of 3 operations",
		`7`:    "ask the database Open_vSwitch: its answer cannot be read: decode an OVSDB result: json: cannot unmarshal number",
	} {
		d := scripted(t, serve(answer))
		_, err := d.Transact(t.Context(), host.OpenVSwitch, ovsdb.Operation{Op: "delete", Table: "Bridge"},
			ovsdb.Operation{Op: "delete", Table: "Port"}, ovsdb.Operation{Op: "delete", Table: "Interface"})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", answer, err, want)
		}
	}
}

func TestMessagesAreBounded(t *testing.T) {
	long := `{"id":1,"result":"` + strings.Repeat("x", 5000) + `"}`
	if _, err := newMessageReader(strings.NewReader(long), 4096).next(); !errors.Is(err, errTooLong) {
		t.Errorf("%v is not errTooLong", err)
	}
	r := newMessageReader(strings.NewReader(strings.Repeat(`{"id":1,"result":"`+strings.Repeat("x", 2000)+`"}`, 9)), 4096)
	for range 9 { // each is short enough
		if _, err := r.next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.next(); !errors.Is(err, io.EOF) {
		t.Errorf("%v at the end", err)
	}
}

func FuzzOVSDBMessages(f *testing.F) {
	f.Add([]byte(`{"id":1,"error":null,"result":[{"rows":[{"_uuid":["uuid","11111111-1111-4111-8111-111111111111"],"a":["set",[]],"m":["map",[["k",1]]]}]}]}`))
	f.Add([]byte(`{"id":"echo","method":"echo","params":[]}{"id":2,"error":{"error":"unknown database"},"result":null}`))
	f.Add([]byte(`{"id":3,"result":[null,{"count":1.5,"uuid":["uuid"]},{"rows":[{"x":["map",[["k"]]]},{"y":["set"]},{"z":[]}]}]}`))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := newMessageReader(strings.NewReader(string(stream)), 1<<16)
		for {
			m, err := r.next()
			if err != nil {
				return
			}
			if refused := m.refusal(); refused != nil && refused.Error() == "" {
				t.Error("a refusal without a word")
			}
			results, err := row.Decode(m.Result)
			if err != nil {
				continue
			}
			for _, result := range results {
				for _, columns := range result.Rows { // what was read can be written
					if _, err := json.Marshal(columns); err != nil {
						t.Errorf("%v: %v", columns, err)
					}
				}
			}
		}
	})
}

// A server that is restarted is waited for; one that was never there, or does
// not come back, is not waited for again.
func TestRestart(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "sock")
	listen := func() net.Listener {
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	serve := func(l net.Listener, questions int) {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		for r := newMessageReader(conn, maxMessage); questions > 0; questions-- {
			answer(t, conn, next(t, r), `[{"rows":[]}]`)
		}
		_, _ = l.Close(), conn.Close()
	}
	once := func(l net.Listener) { serve(l, 1) }
	d := NewOVSDB(map[host.Database][]string{host.Northbound: {socket}})
	defer func() { _ = d.Close() }()
	ask := func() error {
		_, err := d.Select(t.Context(), host.Northbound, row.Select("NB_Global", nil))
		return err
	}
	first := listen()
	go once(first)
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { once(listen()) })
	if err := ask(); err != nil {
		t.Fatalf("while it is restarted: %v", err)
	}
	const many = 32
	time.AfterFunc(100*time.Millisecond, func() { serve(listen(), many) })
	asked := make(chan error)
	for range many {
		go func() { asked <- ask() }()
	}
	for range many {
		if err := <-asked; err != nil {
			t.Fatalf("many ask while it is restarted: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := d.Select(ctx, host.Northbound, row.Select("NB_Global", nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it is away: %v", err)
	}
	began := time.Now()
	if err := ask(); !errors.Is(err, host.ErrNotReady) || time.Since(began) > restartTime/2 {
		t.Errorf("it stays away: %v after %v", err, time.Since(began))
	}
}
