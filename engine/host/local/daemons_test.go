package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"weft/engine/host"
)

// daemon listens as a daemon of Open vSwitch does, and says the same to every
// command.
func daemon(t *testing.T, says string) Daemons {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "ovs-vswitchd.77.ctl"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.WriteFile(filepath.Join(dir, "ovs-vswitchd.pid"), []byte("77\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			var asked struct {
				ID     int      `json:"id"`
				Method string   `json:"method"`
				Params []string `json:"params"`
			}
			if err := json.NewDecoder(conn).Decode(&asked); err == nil && asked.Params != nil {
				fmt.Fprintf(conn, says, asked.ID, asked.Method+" "+fmt.Sprint(asked.Params))
			}
			conn.Close()
		}
	}()
	return Daemons{Dirs: []string{filepath.Join(dir, "none"), dir}}
}

func TestDaemonsAnswer(t *testing.T) {
	d := daemon(t, `{"id":%d,"result":%q,"error":null}`)
	for _, test := range []struct {
		args []string
		want string
	}{{[]string{"bond0"}, "lacp/show [bond0]"}, {nil, "lacp/show []"}} {
		if got, err := d.Ask(t.Context(), "ovs-vswitchd", "lacp/show", test.args...); err != nil || got != test.want {
			t.Errorf("%v: got %q, %v", test.args, got, err)
		}
	}
}

func TestDaemonsRefuse(t *testing.T) {
	var refused *host.DaemonError
	_, err := daemon(t, `{"id":%d,"error":"no such lacp object\n"%.0s}`).Ask(t.Context(), "ovs-vswitchd", "lacp/show", "x")
	if !errors.As(err, &refused) || refused.Said != "no such lacp object" {
		t.Errorf("got %v", err)
	}
	if _, err := daemon(t, `{"id":%d,"result":[%q],"error":null}`).Ask(t.Context(), "ovs-vswitchd", "lacp/show"); !errors.Is(err, errUnreadable) {
		t.Errorf("a list: %v", err)
	}
	if _, err := daemon(t, `%.0d%.0s`).Ask(t.Context(), "ovs-vswitchd", "lacp/show"); !errors.Is(err, errLost) {
		t.Errorf("a daemon that hangs up: %v", err)
	}
	for _, command := range []string{"exit", "bond/set-active-slave", ""} {
		if _, err := daemon(t, `{"id":%d,"result":%q}`).Ask(t.Context(), "ovs-vswitchd", command); err == nil {
			t.Errorf("%q is asked", command)
		}
	}
}

func TestDaemonsNotThere(t *testing.T) {
	d := Daemons{Dirs: []string{t.TempDir()}}
	if _, err := d.Ask(t.Context(), "ovs-vswitchd", "version"); !errors.Is(err, host.ErrNotReady) {
		t.Errorf("no pid file: %v", err)
	}
	pid := filepath.Join(d.Dirs[0], "ovs-vswitchd.pid")
	for text, kind := range map[string]error{"5\n": host.ErrNotReady, "x": nil, "-1": nil} {
		if err := os.WriteFile(pid, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := d.Ask(t.Context(), "ovs-vswitchd", "version")
		if err == nil || kind != nil && !errors.Is(err, kind) || kind == nil && errors.Is(err, host.ErrNotReady) {
			t.Errorf("a pid file of %q: %v", text, err)
		}
	}
	if _, err := d.Ask(t.Context(), "../x", "version"); err == nil || errors.Is(err, host.ErrNotReady) {
		t.Errorf("a path: %v", err)
	}
}
