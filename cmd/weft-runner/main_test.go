package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/engine/step"
	"weft/engine/wire"
)

// The test binary is the runner where it goes by that name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "weft-runner" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A machine is this one, with state directories of its own.
type machine struct {
	t              testing.TB
	state, runtime string
}

func newMachine(t testing.TB) *machine {
	dir := t.TempDir()
	return &machine{t: t, state: filepath.Join(dir, "state"), runtime: filepath.Join(dir, "run")}
}

// install puts a runner where one of a digest belongs.
func (m *machine) install(digest string) string {
	m.t.Helper()
	path := filepath.Join(m.state, "bin", digest, "weft-runner")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	if os.Link(self, path) != nil { // another file system
		b, err := os.ReadFile(self)
		if err != nil {
			m.t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o700); err != nil {
			m.t.Fatal(err)
		}
	}
	return path
}

type session struct {
	t      testing.TB
	cmd    *exec.Cmd
	w      *wire.Writer[wire.Request]
	r      *wire.Reader[wire.Event]
	stderr bytes.Buffer
	id     int
}

func (m *machine) serve(runner string) *session {
	m.t.Helper()
	s := &session{t: m.t, cmd: exec.Command(runner, "serve")}
	s.cmd.Env = append(os.Environ(), "WEFT_STATE="+m.state, "WEFT_RUNTIME="+m.runtime)
	s.cmd.Stderr = &s.stderr
	in, err := s.cmd.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() })
	s.w, s.r = wire.NewWriter[wire.Request](in), wire.NewReader[wire.Event](out)
	return s
}

func (s *session) send(r wire.Request) {
	s.t.Helper()
	s.id++
	r.ID = s.id
	if err := s.w.Write(r); err != nil {
		s.t.Fatalf("send: %v\n%s", err, &s.stderr)
	}
}

// read returns events up to the first that will do.
func (s *session) read(enough func(wire.Event) bool) []wire.Event {
	s.t.Helper()
	var all []wire.Event
	for {
		e, err := s.r.Read()
		if err != nil {
			s.t.Fatalf("read: %v\n%s", err, &s.stderr)
		}
		all = append(all, e)
		if enough(e) {
			return all
		}
	}
}

func done(e wire.Event) bool { return e.Done != nil }

func (s *session) do(r wire.Request) string {
	s.t.Helper()
	s.send(r)
	return line(s.read(done))
}

func (s *session) hello(run string) *wire.HelloEvent {
	s.t.Helper()
	s.send(wire.Request{Hello: &wire.Hello{Run: run, Owner: "anna", Intent: wire.Change}})
	for _, e := range s.read(done) {
		if e.Hello != nil {
			return e.Hello
		}
	}
	s.t.Fatal("no hello")
	return nil
}

func (s *session) bye() {
	s.t.Helper()
	if got := s.do(wire.Request{Bye: &wire.Bye{}}); got != "" {
		s.t.Fatalf("bye: %s", got)
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Fatalf("the runner ended with %v\n%s", err, &s.stderr)
	}
}

func line(events []wire.Event) string {
	var all []string
	for _, e := range events {
		switch {
		case e.Unit != nil:
			all = append(all, strings.TrimSpace(e.Unit.Address+" "+string(e.Unit.State)+" "+e.Unit.Error))
		case e.Run != nil:
			all = append(all, e.Run.Run+" "+e.Run.State)
		case e.Done != nil && e.Done.Error != "":
			all = append(all, "ERROR "+e.Done.Error)
		}
	}
	return strings.Join(all, ", ")
}

func unit(kind, name string, spec map[string]any) step.Unit {
	b, err := json.Marshal(spec)
	if err != nil {
		panic(err)
	}
	return step.Unit{Address: kind + "." + name, Kind: kind, Name: name, Spec: b}
}

func apply(units ...step.Unit) wire.Request {
	return wire.Request{Apply: &wire.Apply{Play: "p", Units: units}}
}

var (
	buildA = strings.Repeat("a", 64)
	buildB = strings.Repeat("b", 64)
)

// A run is taken back by the build that made it.
func TestTwoBuilds(t *testing.T) {
	m := newMachine(t)
	a, b := m.install(buildA), m.install(buildB)
	path := filepath.Join(t.TempDir(), "motd")
	write(t, path, "before")
	motd := unit("file", "motd", map[string]any{"path": path, "content": "after"})

	s := m.serve(a)
	s.hello("r1")
	if got := s.do(apply(motd)); got != "file.motd applying, file.motd changed" {
		t.Fatal(got)
	}
	s.bye()

	// Build A notes that it was asked.
	asked := filepath.Join(t.TempDir(), "asked")
	real := filepath.Join(filepath.Dir(a), "real", "weft-runner")
	if err := os.Mkdir(filepath.Dir(real), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(a, real); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a, fmt.Appendf(nil, "#!/bin/sh\necho \"$@\" >> %s\nexec %s \"$@\"\n", asked, real), 0o700); err != nil {
		t.Fatal(err)
	}

	rollback := wire.Request{Rollback: &wire.Rollback{Runs: []string{"r1"}}}
	s = m.serve(b)
	s.hello("r2")
	if got := s.do(rollback); got != "file.motd undone, r1 undone" {
		t.Errorf("%s\n%s", got, &s.stderr)
	}
	if got := s.do(rollback); got != "r1 undone" {
		t.Errorf("again: %s", got)
	}
	s.bye()
	if got := read(t, path); got != "before" {
		t.Errorf("the file holds %q", got)
	}
	if got := read(t, asked); got != "undo -- r1\n" {
		t.Errorf("build A was asked %q", got)
	}
}

func TestTheBuildIsGone(t *testing.T) {
	m := newMachine(t)
	a, b := m.install(buildA), m.install(buildB)
	path := filepath.Join(t.TempDir(), "motd")
	s := m.serve(a)
	s.hello("r1")
	s.do(apply(unit("file", "motd", map[string]any{"path": path, "content": "after"})))
	s.bye()
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	s = m.serve(b)
	s.hello("r2")
	if got := s.do(wire.Request{Rollback: &wire.Rollback{Runs: []string{"r1"}}}); !strings.Contains(got, "another build of weft") {
		t.Error(got)
	}
	s.bye()
}

// unverify makes a run one that was killed before it saw its change in force.
func (m *machine) unverify(run string) {
	m.t.Helper()
	journal := filepath.Join(m.state, "runs", run, "journal")
	var kept []string
	for l := range strings.Lines(read(m.t, journal)) {
		if !strings.Contains(l, `"line":"verified"`) && !strings.Contains(l, `"line":"closed"`) {
			kept = append(kept, l)
		}
	}
	write(m.t, journal, strings.Join(kept, ""))
	write(m.t, filepath.Join(m.state, "open", run), "")
}

// What a dead run of another build left half made is taken back by that
// build's runner before anything new begins on it.
func TestHalfMadeByAnotherBuild(t *testing.T) {
	m := newMachine(t)
	a, b := m.install(buildA), m.install(buildB)
	path := filepath.Join(t.TempDir(), "motd")
	write(t, path, "before")
	s := m.serve(a)
	s.hello("r1")
	s.do(apply(unit("file", "motd", map[string]any{"path": path, "content": "after"})))
	s.bye()
	m.unverify("r1")

	s = m.serve(b)
	if h := s.hello("r2"); len(h.Open) != 1 {
		t.Fatalf("open: %v", h.Open)
	}
	if got := s.do(apply(unit("file", "motd", map[string]any{"path": path, "content": "newer"}))); !strings.HasSuffix(got, "file.motd applying, file.motd changed") {
		t.Fatal(got)
	}
	if got := s.do(wire.Request{UndoPlay: &wire.UndoPlay{Play: "p"}}); got != "file.motd undone" {
		t.Error(got)
	}
	s.bye()
	if got := read(t, path); got != "before" {
		t.Errorf("the file holds %q", got)
	}
}

// A runner that is killed leaves its lock to the kernel, its programs to the
// next run, and its journal for either way out.
func TestKilled(t *testing.T) {
	m := newMachine(t)
	a := m.install(buildA)
	dir := t.TempDir()
	path, pid := filepath.Join(dir, "motd"), filepath.Join(dir, "pid")
	write(t, path, "before")
	tool := filepath.Join(dir, "tool")
	if err := os.WriteFile(tool, fmt.Appendf(nil, "#!/bin/sh\necho $$ > %[1]s.new && mv %[1]s.new %[1]s\nexec sleep 1000\n", pid), 0o700); err != nil {
		t.Fatal(err)
	}
	s := m.serve(a)
	s.hello("r1")
	s.send(apply(
		unit("file", "motd", map[string]any{"path": path, "content": "after"}),
		unit("command", "tool", map[string]any{"argv": []string{tool}, "undo": []string{"true"}}),
	))
	var child int
	eventually(t, func() bool {
		b, err := os.ReadFile(pid)
		if err != nil {
			return false
		}
		_, err = fmt.Sscan(string(b), &child)
		return err == nil
	})
	defer func() { _ = syscall.Kill(child, syscall.SIGKILL) }()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()

	s = m.serve(a)
	h := s.hello("r2")
	if h.TookOver == nil || h.TookOver.Run != "r1" || len(h.Open) != 1 {
		t.Errorf("hello: %+v", h)
	}
	eventually(t, func() bool { return errors.Is(syscall.Kill(child, 0), syscall.ESRCH) || zombie(child) })
	if got := s.do(wire.Request{Rollback: &wire.Rollback{Runs: []string{"r1"}}}); got != "command.tool undone, file.motd undone, r1 undone" {
		t.Errorf("%s\n%s", got, &s.stderr)
	}
	s.bye()
	if got := read(t, path); got != "before" {
		t.Errorf("the file holds %q", got)
	}
}

// zombie says whether a process only waits to be buried; where process 1 does
// not do that, it stays.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(b), ") Z ")
}

func TestUndoByHand(t *testing.T) {
	m := newMachine(t)
	a := m.install(buildA)
	path := filepath.Join(t.TempDir(), "motd")
	s := m.serve(a)
	s.hello("r1")
	s.do(apply(unit("file", "motd", map[string]any{"path": path, "content": "after"})))
	undo := func() (string, error) {
		cmd := exec.Command(a, "undo", "r1")
		cmd.Env = append(os.Environ(), "WEFT_STATE="+m.state, "WEFT_RUNTIME="+m.runtime)
		out, err := cmd.Output()
		return string(out), err
	}
	if out, err := undo(); err == nil || !strings.Contains(out, "anna") {
		t.Errorf("while another run changes the host: %v %s", err, out)
	}
	s.bye()
	out, err := undo()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], `{"id":0,"unit":{"address":"file.motd","state":"undone"`) ||
		!strings.Contains(lines[1], `"run":{"run":"r1"`) || lines[2] != `{"id":0,"done":{}}` {
		t.Errorf("it printed\n%s", out)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}

func TestVersionAndUsage(t *testing.T) {
	m := newMachine(t)
	out, err := exec.Command(m.install(buildA), "version").Output()
	if err != nil || strings.TrimSpace(string(out)) != buildA {
		t.Errorf("version: %q, %v", out, err)
	}
	for _, args := range [][]string{{}, {"dance"}, {"undo"}, {"undo", "a", "b"}, {"echo"}} {
		if err := run(t.Context(), args, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

func TestEcho(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- echo(ctx, l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("weft"), 300_000)
	go func() {
		_, _ = c.Write(sent)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back of %d, %v", len(got), len(sent), err)
	}
	idle, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlived the service")
	}
	if err := echoVerb(t.Context(), []string{"-for", "1ms", "127.0.0.1:0"}); err != nil {
		t.Errorf("with a time: %v", err)
	}
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}
