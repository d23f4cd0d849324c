package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/local"
	"weft/engine/host/row"
	"weft/modules"
)

// northbound is a real ovsdb-server with an OVN northbound database, behind a
// socket whose connections a test may cut.
type northbound struct {
	t       *testing.T
	dir     string
	proxy   net.Listener
	mu      sync.Mutex
	server  *exec.Cmd
	cutting cut
	left    int  // bytes until the cut; -1 for none
	done    bool // the cut was made
}

// A cut is where a connection is broken, and how.
type cut struct {
	answers bool // counts the bytes of answers, else those of requests
	at      int
	kill    bool // the server dies as well, and is back a moment later
}

func (c cut) String() string {
	return fmt.Sprintf("after %d bytes, answers %v, killed %v", c.at, c.answers, c.kill)
}

func newNorthbound(t *testing.T) *northbound {
	const schema = "/usr/share/ovn/ovn-nb.ovsschema"
	for _, needed := range []string{"ovsdb-server", "ovsdb-tool"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skipf("%s is not installed (package openvswitch-common)", needed)
		}
	}
	if _, err := os.Stat(schema); err != nil {
		t.Skipf("%v (package ovn-common)", err)
	}
	n := &northbound{t: t, dir: t.TempDir(), left: -1}
	if out, err := exec.Command("ovsdb-tool", "create", n.path("db"), schema).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n.start()
	var err error
	if n.proxy, err = net.Listen("unix", n.path("proxy")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = n.proxy.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		n.stop()
	})
	go n.accept()
	return n
}

func (n *northbound) path(name string) string { return filepath.Join(n.dir, name) }

func (n *northbound) start() {
	n.server = exec.Command("ovsdb-server", n.path("db"), "--remote=punix:"+n.path("sock"),
		"--unixctl="+n.path("ctl"), "--no-chdir", "-vconsole:off", "-vsyslog:off")
	if err := n.server.Start(); err != nil {
		n.t.Error(err)
		return
	}
	eventually(n.t, func() bool {
		conn, err := net.Dial("unix", n.path("sock"))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func (n *northbound) stop() {
	_ = n.server.Process.Kill()
	_ = n.server.Wait()
}

func (n *northbound) accept() {
	for {
		client, err := n.proxy.Accept()
		if err != nil {
			return
		}
		n.mu.Lock() // not while it is started again
		server, err := net.Dial("unix", n.path("sock"))
		n.mu.Unlock()
		if err != nil {
			_ = client.Close()
			continue
		}
		end := sync.OnceFunc(func() { _, _ = client.Close(), server.Close() })
		go n.carry(server, client, false, end)
		go n.carry(client, server, true, end)
	}
}

// carry copies one direction, up to the cut.
func (n *northbound) carry(to io.Writer, from io.Reader, answers bool, end func()) {
	defer end()
	b := make([]byte, 1<<16)
	for {
		got, err := from.Read(b)
		pass, broken := n.allow(answers, got)
		if _, err := to.Write(b[:pass]); err != nil {
			return
		}
		if broken {
			n.breakOff(end)
		}
		if err != nil || broken {
			return
		}
	}
}

func (n *northbound) allow(answers bool, size int) (pass int, broken bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.left < 0 || answers != n.cutting.answers {
		return size, false
	}
	if size < n.left {
		n.left -= size
		return size, false
	}
	pass = n.left
	n.left, n.done = -1, true
	return pass, true
}

func (n *northbound) breakOff(end func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.cutting.kill {
		return
	}
	end()
	n.stop()
	n.start()
}

func (n *northbound) arm(c cut) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cutting, n.left, n.done = c, c.at, false
}

// disarm says whether the cut was made, and how many bytes were left.
func (n *northbound) disarm() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.left = -1
	return n.done
}

// switches are the names of the logical switches, asked past the proxy.
func (n *northbound) switches() []string {
	n.t.Helper()
	d := local.NewOVSDB(map[host.Database][]string{host.Northbound: {n.path("sock")}})
	defer func() { _ = d.Close() }()
	results, err := d.Select(n.t.Context(), host.Northbound, row.Select("Logical_Switch", []string{"name"}))
	if err != nil {
		n.t.Fatal(err)
	}
	var names []string
	for _, r := range results[0].Rows {
		names = append(names, row.String(r, "name"))
	}
	return names
}

// A transaction whose answer is lost, at any byte of it, is neither reported as
// failed nor made twice: what the database holds decides. So it is for its
// undo.
func TestOutcomeUnknown(t *testing.T) {
	n := newNorthbound(t)
	h := local.New()
	door := local.NewOVSDB(map[host.Database][]string{host.Northbound: {n.path("proxy")}})
	defer func() { _ = door.Close() }()
	h.OVSDB = door
	u := unit("ovn_switch", "sw", map[string]any{"name": "sw", "external_ids": map[string]string{"a": "b"}})
	u.Owner = "test/ovn_switch.sw"
	s, err := modules.Kinds()["ovn_switch"].Make(u)
	if err != nil {
		t.Fatal(err)
	}
	for _, cuts := range []cut{{answers: false}, {answers: true}, {answers: true, kill: true}, {kill: true}} {
		made := 0
		for at := 0; ; at += stride(cuts) {
			cuts.at = at
			found, err := s.Check(t.Context(), h.View())
			if err != nil || !found.Changed() {
				t.Fatalf("%v: check: %v, %v", cuts, found.Deltas, err)
			}
			n.arm(cuts)
			err = s.Apply(t.Context(), h, found)
			applied := n.disarm()
			if got := strings.Join(n.switches(), " "); got != "sw" || err != nil {
				t.Fatalf("%v: apply: the switches are %q, %v", cuts, got, err)
			}
			n.arm(cuts)
			err = s.Undo(t.Context(), h, found)
			undone := n.disarm()
			if got := strings.Join(n.switches(), " "); got != "" || err != nil {
				t.Fatalf("%v: undo: the switches are %q, %v", cuts, got, err)
			}
			if !applied && !undone {
				break // past the end of the conversation
			}
			made++
		}
		if made < 3 {
			t.Errorf("%v: only %d cuts", cuts, made)
		}
		t.Logf("%v: %d cuts", cuts, made)
	}
}

// stride is how many bytes lie between two cuts: a prime, so that they fall
// everywhere; a server that must start again takes longer.
func stride(c cut) int {
	if c.kill {
		return 211
	}
	return 7
}

// A database that stays away is an error that says what is not known.
func TestOutcomeStaysUnknown(t *testing.T) {
	n := newNorthbound(t)
	door := local.NewOVSDB(map[host.Database][]string{host.Northbound: {n.path("proxy")}})
	defer func() { _ = door.Close() }()
	n.arm(cut{answers: true, at: 1})
	var tx row.Tx
	tx.Insert("Logical_Switch", "", map[string]any{"name": "x"})
	began := time.Now()
	_, err := tx.Commit(t.Context(), door, host.Northbound)
	if err == nil || !strings.Contains(err.Error(), "may or may not") || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}
