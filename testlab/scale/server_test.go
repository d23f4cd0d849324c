package scale

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/local"
	"weft/engine/host/row"
)

// schemas is where `make bench` unpacks what OVN's databases are made of: installing
// that package would start OVN here.
const schemas = "../../bin/ovn/usr/share/ovn/"

// serve runs ovsdb-server on a new database of OVN with one row in its global
// table, which ovn-northd would make, and returns its socket.
func serve(b *testing.B, db host.Database, schema, global string) string {
	b.Helper()
	for _, needed := range []string{"ovsdb-server", "ovsdb-tool", "ovn-nbctl"} {
		if _, err := exec.LookPath(needed); err != nil {
			b.Skipf("%s is not installed; `make bench` does that", needed)
		}
	}
	if _, err := os.Stat(schemas + schema); err != nil {
		b.Skipf("%v; `make bench` brings it", err)
	}
	dir := b.TempDir()
	file, socket := filepath.Join(dir, "db"), filepath.Join(dir, "sock")
	if out, err := exec.Command("ovsdb-tool", "create", file, schemas+schema).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command("ovsdb-server", file, "--remote=punix:"+socket, "--unixctl="+filepath.Join(dir, "ctl"),
		"--no-chdir", "-vconsole:off", "-vsyslog:off")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			b.Fatal(err)
		}
	}
	var tx row.Tx
	tx.Insert(global, "", ovsdb.Row{})
	d := door(b, db, socket)
	if _, err := tx.Commit(context.Background(), d, db); err != nil {
		b.Fatal(err)
	}
	return socket
}

func door(b *testing.B, db host.Database, socket string) *local.OVSDB {
	d := local.NewOVSDB(map[host.Database][]string{db: {socket}})
	b.Cleanup(func() { _ = d.Close() })
	return d
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func write(b *testing.B, path, text string) {
	b.Helper()
	must(b, os.WriteFile(path, []byte(text), 0o644))
}
