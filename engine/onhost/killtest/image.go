package killtest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weft/engine/host/fake"
)

// An image is what outlives a runner: its machine and its directories.
type image struct {
	at      string // the place where the runner stopped, for people
	machine *fake.Machine
	state   tree
	runtime tree
}

// A tree is the files below a directory by their path; a directory's path ends
// in a slash.
type tree map[string]string

// reserveSize is the size of the whole reserve. Its zeros are kept as a hole.
const reserveSize = 256 << 10

func readTree(t testing.TB, dir string) tree {
	t.Helper()
	out := tree{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if path == dir && errors.Is(err, fs.ErrNotExist) || err == nil && path == dir {
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		if e.IsDir() {
			out[name+"/"] = ""
			return nil
		}
		if info, err := e.Info(); err != nil {
			return err
		} else if name == "reserve" && info.Size() == reserveSize {
			out[name] = whole
			return nil
		}
		b, err := os.ReadFile(path)
		out[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatalf("read %s: %v", dir, err)
	}
	return out
}

// whole stands for the content of the whole reserve.
const whole = "the whole reserve"

func (tr tree) write(t testing.TB, dir string) {
	t.Helper()
	for name, content := range tr {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path+"/x"), 0o700)
		if !strings.HasSuffix(name, "/") {
			err = os.RemoveAll(path)
		}
		switch {
		case err != nil || strings.HasSuffix(name, "/"):
		case content == whole:
			if err = os.WriteFile(path, nil, 0o600); err == nil {
				err = os.Truncate(path, reserveSize)
			}
		default:
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatalf("lay out a disk: %v", err)
		}
	}
}

// left says what a tree of the state directory holds that should be gone.
func (tr tree) left() []string {
	var odd []string
	for name, content := range tr {
		part := strings.Split(name, "/")
		switch {
		case name == "runs/" || name == "open/":
		case len(part) == 3 && part[0] == "runs" && (part[2] == "" || part[2] == "journal"):
		case name == "reserve" && (content == whole || len(tr) == 1): // the next line written makes it whole
		default:
			odd = append(odd, name)
		}
	}
	slices.Sort(odd)
	return odd
}
