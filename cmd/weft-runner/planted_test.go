package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"weft/engine/wire"
)

// Where another user could write what root believes, a session that changes
// the host is refused, and nothing hangs on what was planted.
func TestPlantedState(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to give a directory away")
	}
	give := func(dir string) error { return errors.Join(os.MkdirAll(dir, 0o700), os.Chown(dir, 4001, 4001)) }
	open := func(dir string) error { return errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o777)) }
	in := func(dir, name string, plant func(path string) error) error {
		return errors.Join(os.MkdirAll(dir, 0o700), plant(filepath.Join(dir, name)))
	}
	fifo := func(path string) error { return syscall.Mkfifo(path, 0o600) }
	dir := func(path string) error { return os.Mkdir(path, 0o700) }
	link := func(path string) error { return os.Symlink("/nonexistent", path) }
	for name, c := range map[string]struct {
		plant func(m *machine) error
		says  string
	}{
		"another's state":   {func(m *machine) error { return give(m.state) }, "belongs to user 4001"},
		"another's lease":   {func(m *machine) error { return give(m.runtime) }, "belongs to user 4001"},
		"open state":        {func(m *machine) error { return open(m.state) }, "can be written by others"},
		"open lease":        {func(m *machine) error { return open(m.runtime) }, "can be written by others"},
		"lock is a pipe":    {func(m *machine) error { return in(m.runtime, "lock", fifo) }, "no regular file"},
		"lock is a link":    {func(m *machine) error { return in(m.runtime, "lock", link) }, "lock"},
		"lock is a folder":  {func(m *machine) error { return in(m.runtime, "lock", dir) }, "lock"},
		"lease is a pipe":   {func(m *machine) error { return in(m.runtime, "lease", fifo) }, "no regular file"},
		"lease is a folder": {func(m *machine) error { return in(m.runtime, "lease", dir) }, "no regular file"},
		"lease is a link":   {func(m *machine) error { return in(m.runtime, "lease", link) }, "lease"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			runner := (&machine{t: t, state: t.TempDir()}).install(buildA)
			if err := c.plant(m); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "motd")
			s := m.serve(runner)
			s.send(wire.Request{Hello: &wire.Hello{Run: "r1", Owner: "anna", Intent: wire.Change}})
			said := line(s.read(done))
			if said == "" {
				said = s.do(apply(unit("file", "motd", map[string]any{"path": path, "content": "x"})))
			}
			if !strings.Contains(said, "ERROR") || !strings.Contains(said, c.says) {
				t.Errorf("it said %q, want %q", said, c.says)
			}
			if _, err := os.Lstat(path); err == nil {
				t.Error("the host was changed")
			}
		})
	}
}
