package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weft/engine/wire"
)

// otherBuild installs a runner, really built, in which what the kind file
// records has another shape: its content goes by another name. Read by the
// wrong one of the two builds, a record says that the content is not managed,
// and undo would leave the file as it is.
func (m *machine) otherBuild() string {
	m.t.Helper()
	if testing.Short() {
		m.t.Skip("builds a runner; left out with -short")
	}
	const source = "../../modules/system/file.go"
	real, err := filepath.Abs(source)
	if err != nil {
		m.t.Fatal(err)
	}
	const old, other = "`json:\"content,omitzero\"", "`json:\"text,omitzero\""
	text := read(m.t, source)
	if strings.Count(text, old) != 1 {
		m.t.Fatalf("%s does not hold %s once", source, old)
	}
	dir := m.t.TempDir()
	changed, overlay := filepath.Join(dir, "file.go"), filepath.Join(dir, "overlay.json")
	write(m.t, changed, strings.Replace(text, old, other, 1))
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{real: changed}})
	if err != nil {
		m.t.Fatal(err)
	}
	write(m.t, overlay, string(b))
	path := filepath.Join(m.state, "bin", buildB, "weft-runner")
	if out, err := exec.Command("go", "build", "-overlay", overlay, "-buildvcs=false", "-o", path, ".").CombinedOutput(); err != nil {
		m.t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// Two builds whose states differ change the same file one after the other.
// Whichever of them is asked, each record is read by the runner that wrote it.
func TestBuildsWhoseStatesDiffer(t *testing.T) {
	m := newMachine(t)
	builds := map[string]string{"a": m.install(buildA), "b": m.otherBuild()}
	attribute := map[string]string{"a": "content", "b": "text"}
	path := filepath.Join(t.TempDir(), "motd")
	made := 0
	change := func(build, run, content string) {
		t.Helper()
		s := m.serve(builds[build])
		s.hello(run)
		if got := s.do(apply(unit("file", "motd", map[string]any{"path": path, attribute[build]: content}))); got != "file.motd applying, file.motd changed" {
			t.Fatalf("build %s: %s\n%s", build, got, &s.stderr)
		}
		s.bye()
	}
	back := func(build string, runs ...string) string {
		t.Helper()
		s := m.serve(builds[build])
		s.hello("r9-" + build)
		defer s.bye()
		return s.do(wire.Request{Rollback: &wire.Rollback{Runs: runs}})
	}
	for _, order := range []string{"ab", "ba"} {
		for _, asked := range []string{"a", "b"} {
			t.Run(order+" asked "+asked, func(t *testing.T) {
				first, second := string(order[0]), string(order[1])
				made++
				one, two := "r"+string(rune('0'+made))+"-1", "r"+string(rune('0'+made))+"-2"
				write(t, path, "before")
				change(first, one, "one")
				change(second, two, "two")
				if got := back(asked, one); !strings.Contains(got, "later run "+two) || read(t, path) != "two" {
					t.Errorf("the older alone: %s; the file holds %q", got, read(t, path))
				}
				if got := back(asked, two); strings.Contains(got, "ERROR") || read(t, path) != "one" {
					t.Errorf("the newer alone: %s; the file holds %q", got, read(t, path))
				}
				two += "again"
				change(second, two, "two")
				if got := back(asked, one, two); strings.Contains(got, "ERROR") || read(t, path) != "before" {
					t.Errorf("both: %s; the file holds %q", got, read(t, path))
				}
			})
		}
	}
}

// What one build left half made, the other has taken back by it before it
// begins; where that runner is gone it refuses and touches nothing.
func TestHalfMadeByABuildWhoseStatesDiffer(t *testing.T) {
	for _, gone := range []string{"", "and it is gone"} {
		m := newMachine(t)
		a, b := m.install(buildA), m.otherBuild()
		path := filepath.Join(t.TempDir(), "motd")
		write(t, path, "before")
		s := m.serve(a)
		s.hello("r1")
		s.do(apply(unit("file", "motd", map[string]any{"path": path, "content": "half"})))
		s.bye()
		m.unverify("r1")
		if gone != "" {
			if err := os.Remove(a); err != nil {
				t.Fatal(err)
			}
		}
		s = m.serve(b)
		s.hello("r2")
		got := s.do(apply(unit("file", "motd", map[string]any{"path": path, "text": "newer"})))
		switch {
		case gone != "" && (!strings.Contains(got, "whose runner is not on this host any more") || read(t, path) != "half"):
			t.Errorf("the runner is gone: %s; the file holds %q", got, read(t, path))
		case gone == "" && (!strings.HasSuffix(got, "file.motd changed") || read(t, path) != "newer"):
			t.Errorf("%s; the file holds %q", got, read(t, path))
		case gone == "":
			if got := s.do(wire.Request{UndoPlay: &wire.UndoPlay{Play: "p"}}); got != "file.motd undone" || read(t, path) != "before" {
				t.Errorf("undo: %s; the file holds %q", got, read(t, path))
			}
		}
		s.bye()
	}
}
