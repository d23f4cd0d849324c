package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The runner of another build that takes something back for a run leaves that
// run's own journal to it: were it killed later, it would still be known to be
// open.
func TestAnotherBuildLeavesTheHoldersJournal(t *testing.T) {
	m := newMachine(t)
	a, b := m.install(buildA), m.install(buildB)
	dir := t.TempDir()
	path := filepath.Join(dir, "motd")
	s := m.serve(a)
	s.hello("r1")
	s.do(apply(unit("file", "motd", map[string]any{"path": path, "content": "half"})))
	s.bye()
	m.unverify("r1")

	s = m.serve(b)
	s.hello("r2")
	got := s.do(apply(
		unit("file", "first", map[string]any{"path": filepath.Join(dir, "first"), "content": "1"}),
		unit("file", "motd", map[string]any{"path": path, "content": "newer"}),
	))
	if want := "file.first applying, file.first changed, file.motd applying, file.motd changed"; got != want {
		t.Fatal(got)
	}
	if _, err := os.Stat(filepath.Join(m.state, "open", "r2")); err != nil {
		t.Errorf("the run that is at work is not marked any more: %v", err)
	}
	s.bye()
}
