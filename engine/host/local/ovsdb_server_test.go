package local_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/local"
	"weft/engine/host/row"
	"weft/engine/host/row/rowtest"

	"github.com/ovn-org/libovsdb/ovsdb"
)

// server runs ovsdb-server on a new database of the schema that the
// distribution ships, and returns its socket.
func server(t *testing.T, schema string) string {
	t.Helper()
	for _, needed := range []string{"ovsdb-server", "ovsdb-tool"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skipf("%s is not installed (package openvswitch-common)", needed)
		}
	}
	if _, err := os.Stat(schema); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	db, socket := filepath.Join(dir, "db"), filepath.Join(dir, "sock")
	if out, err := exec.Command("ovsdb-tool", "create", db, schema).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command("ovsdb-server", db, "--remote=punix:"+socket, "--unixctl="+filepath.Join(dir, "ctl"), "--no-chdir", "-vconsole:off", "-vsyslog:off")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		if conn, err := net.Dial("unix", socket); err == nil {
			_ = conn.Close()
			return socket
		}
		if time.Now().After(deadline) {
			t.Fatal("ovsdb-server does not listen")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

const vswitchSchema = "/usr/share/openvswitch/vswitch.ovsschema"

func openVSwitch(t *testing.T, socket string) *local.OVSDB {
	d := local.NewOVSDB(map[host.Database][]string{host.OpenVSwitch: {socket}})
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestContractOfOVSDB(t *testing.T) {
	rowtest.Contract(t, func(t *testing.T) host.OVSDB {
		d := openVSwitch(t, server(t, vswitchSchema))
		var tx row.Tx
		tx.Insert("Open_vSwitch", "", ovsdb.Row{})
		if _, err := tx.Commit(t.Context(), d, host.OpenVSwitch); err != nil {
			t.Fatal(err)
		}
		return d
	})
}

// A door that keeps an index answers as one that keeps none, also right after another
// hand's change.
func TestIndexAnswersAsTheServer(t *testing.T) {
	socket := server(t, vswitchSchema)
	ours, theirs := openVSwitch(t, socket), openVSwitch(t, socket)
	ask := func(d host.OVSDB, value string) string {
		t.Helper()
		results, err := d.Select(t.Context(), host.OpenVSwitch,
			row.Select("QoS", []string{"_uuid", "type", "external_ids"}, row.Is("type", value)),
			row.Select("QoS", nil, row.Is("type", value), row.Includes("external_ids", row.Strmap(map[string]string{"n": "1"}))))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(results)
	}
	change := func(fill func(*row.Tx)) []ovsdb.OperationResult {
		t.Helper()
		var tx row.Tx
		fill(&tx)
		results, err := tx.Commit(t.Context(), theirs, host.OpenVSwitch)
		if err != nil {
			t.Fatal(err)
		}
		return results
	}
	for i := range 60 { // an index is kept from some round on
		value := fmt.Sprint("value", i%7)
		id := change(func(tx *row.Tx) {
			tx.Insert("QoS", "", ovsdb.Row{"type": value, "external_ids": row.Strmap(map[string]string{"n": "1"})})
		})[0].UUID.GoUUID
		same := func(when string) {
			t.Helper()
			for _, v := range []string{value, "other", "none"} {
				plain := openVSwitch(t, socket)
				if got, want := ask(ours, v), ask(plain, v); got != want {
					t.Fatalf("round %d, %s, %s: %s, not %s", i, when, v, got, want)
				}
				_ = plain.Close()
			}
		}
		same("made")
		change(func(tx *row.Tx) { tx.Update("QoS", id, ovsdb.Row{"type": "other"}) })
		same("changed")
		if i%5 > 0 {
			change(func(tx *row.Tx) { tx.Delete("QoS", id) })
			same("removed")
		}
	}
}
