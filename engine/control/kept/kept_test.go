package kept

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weft/engine/control/run"
)

func home(dir string) func(string) (string, bool) {
	return func(name string) (string, bool) { return dir, name == "HOME" }
}

func TestStore(t *testing.T) {
	s, err := Open(home(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := s.List(); len(ids) != 0 || err != nil {
		t.Errorf("of nothing: %v, %v", ids, err)
	}
	if _, err := s.Get("r1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a run that is not kept: %v", err)
	}
	if _, err := s.Get("../r1"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name that leaves the directory: %v", err)
	}
	old := &Run{ID: "r1", Sources: run.Saved{Playbook: "play.hcl", Files: map[string][]byte{"play.hcl": []byte("play")}}, Flags: map[string][]string{"user": {"admin"}}}
	if err := s.Put(old); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]fs.FileMode{s.Dir: 0o700 | fs.ModeDir, s.path("r1"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	read, err := s.Get("r1")
	if err != nil || string(read.Sources.Files["play.hcl"]) != "play" || read.Flags["user"][0] != "admin" || read.Finished() {
		t.Errorf("read %+v, %v", read, err)
	}
	for i, exit := range []run.Exit{run.OK, run.NoContact} {
		if err := s.Put(&Run{ID: fmt.Sprint("r", i+2), Exit: &exit}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.path("r9"), []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	left, err := s.Unfinished()
	if err != nil || len(left) != 2 || left[0].ID != "r3" || left[1].ID != "r1" {
		t.Errorf("unfinished: %v, %v", left, err)
	}
	if _, err := s.Get("r9"); err == nil || !strings.Contains(err.Error(), "is broken") {
		t.Errorf("half a file: %v", err)
	}
}

func TestForget(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	if err := s.Put(&Run{ID: "r1"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"../r1", "r1", "r1", "never"} {
		if err := s.Forget(id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if _, err := s.Get("r1"); (err == nil) != (id == "../r1") {
			t.Errorf("after %s: %v", id, err)
		}
	}
}

func TestTheNewestAreKept(t *testing.T) {
	s := Store{filepath.Join(t.TempDir(), "runs")}
	for i := range Most + 3 {
		if err := s.Put(&Run{ID: fmt.Sprintf("r%03d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	ids, err := s.List()
	if err != nil || len(ids) != Most || ids[0] != "r102" || slices.Contains(ids, "r002") {
		t.Errorf("%d runs, %v", len(ids), err)
	}
	if left, err := filepath.Glob(filepath.Join(s.Dir, ".new-*")); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestWhereItIs(t *testing.T) {
	for _, c := range []struct{ state, home, want string }{
		{"/state", "/home/anna", "/state/weft/runs"},
		{"", "/home/anna", "/home/anna/.local/state/weft/runs"},
		{"relative", "/home/anna", "/home/anna/.local/state/weft/runs"},
		{"", "", ""},
	} {
		s, err := Open(func(name string) (string, bool) {
			v := map[string]string{"XDG_STATE_HOME": c.state, "HOME": c.home}[name]
			return v, v != ""
		})
		if s.Dir != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: %q, %v", c, s.Dir, err)
		}
	}
}
