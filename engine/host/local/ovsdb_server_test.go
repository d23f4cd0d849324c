package local_test

import (
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
