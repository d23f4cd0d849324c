package onhost

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"weft/engine/onhost/journal"
	"weft/engine/step"
)

// fullFrom is a disk that is full from the n-th write of a journal on, until
// the reserve is given back.
type fullFrom struct {
	dir    string
	writes int
	n      int
}

type fullFile struct {
	journal.File
	disk *fullFrom
}

func (d *fullFrom) open(path string) (journal.File, error) {
	f, err := journal.OpenFile(path)
	if err != nil || filepath.Base(path) == "reserve" {
		return f, err
	}
	return &fullFile{File: f, disk: d}, nil
}

func (f *fullFile) Write(b []byte) (int, error) {
	f.disk.writes++
	_, err := os.Stat(filepath.Join(f.disk.dir, "reserve"))
	if reserved := !errors.Is(err, fs.ErrNotExist); reserved && f.disk.writes >= f.disk.n {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, &fs.PathError{Op: "write", Path: "journal", Err: syscall.ENOSPC}
	}
	return f.File.Write(b)
}

func TestAFullDiskAtEachWriteOfTheJournal(t *testing.T) {
	many := files("/etc", map[string]string{"a": "after", "b": "new"})
	units := []step.Unit{many, option("d", "on"), service("d", many)}
	refused := 0
	for n := 1; n <= 12; n++ {
		s := withDaemon(t)
		s.machine.WriteFile("/etc/a", "before")
		before := s.machine.Snapshot()
		disk := &fullFrom{dir: s.config.State, n: n}
		s.config.OpenFile = disk.open
		c := s.open()
		c.hello("r1")
		r := c.apply(units...)
		if r.failure() != "" {
			refused++
			if !strings.Contains(r.failure(), "no space left on device") || !strings.Contains(r.failure(), "make room") {
				t.Errorf("write %d: said %q", n, r.failure())
			}
		} else {
			c.endPlay()
		}
		u := c.undo()
		c.bye()
		if s.machine.Snapshot() != before {
			t.Errorf("write %d: after %s and %s the machine is\n%s", n, r, u, s.machine.Snapshot())
		}
		s.config.OpenFile = nil
		c = s.open()
		if h := c.hello("r2").events[0].Hello; len(h.Open) != 0 {
			t.Errorf("write %d: still open: %v", n, h.Open)
		}
		want(t, c.check(many), "files.many planned")
		c.bye()
	}
	if refused < 5 {
		t.Errorf("only %d of the writes were refused: the disk was not full where it mattered", refused)
	}
}
