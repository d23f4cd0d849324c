package killtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"weft/engine/host"
	"weft/engine/onhost/journal"
)

// opener opens the files of a journal behind a stage. Nothing is synced: what
// a kill leaves does not depend on it.
func opener(on stage) func(path string) (journal.File, error) {
	return func(path string) (journal.File, error) {
		if on != nil {
			if err := on.opens(path); err != nil {
				return nil, err
			}
		}
		f, err := journal.OpenFile(path)
		if err != nil {
			return nil, err
		}
		return stagedFile{File: f, path: path, on: on}, nil
	}
}

type stagedFile struct {
	journal.File
	path string
	on   stage
}

// Write goes by the stage.
func (f stagedFile) Write(b []byte) (int, error) {
	if f.on == nil {
		return f.File.Write(b)
	}
	return f.on.write(f.path, b, f.File.Write)
}

// Sync does nothing.
func (stagedFile) Sync() error { return nil }

// A camera films a session: an image at every place where the runner may be
// killed.
type camera struct {
	site *site
	film []image
}

func (c *camera) shoot(format string, args ...any) {
	c.film = append(c.film, c.site.image(fmt.Sprintf(format, args...)))
}

func (c *camera) effect(e host.Effect, act func() error) error {
	err := act()
	c.shoot("after %s", e)
	return err
}

// opens comes after the marker of a run is made, and before its file.
func (c *camera) opens(path string) error {
	c.shoot("before %s was opened", filepath.Base(path))
	if filepath.Base(path) == "reserve" {
		return nil
	}
	marked := c.film[len(c.film)-1]
	run := filepath.Base(filepath.Dir(path))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		unmarked := image{at: "before the run was marked", machine: marked.machine, runtime: marked.runtime, state: tree{}}
		for name, content := range marked.state {
			if name != "open/"+run {
				unmarked.state[name] = content
			}
		}
		c.film = append(c.film, unmarked)
	}
	return nil
}

func (c *camera) write(path string, b []byte, put func([]byte) (int, error)) (int, error) {
	what := lineOf(path, b)
	n, err := put(b[:len(b)/2])
	if err != nil {
		return n, err
	}
	c.shoot("within %s", what)
	more, err := put(b[len(b)/2:])
	c.shoot("after %s", what)
	return n + more, err
}

// lineOf names a line of a journal.
func lineOf(path string, b []byte) string {
	run := filepath.Base(filepath.Dir(path))
	if filepath.Base(path) == "reserve" {
		return "the reserve"
	}
	_, rest, there := strings.Cut(string(b), `"line":"`)
	if !there {
		return "the header of " + run
	}
	kind, _, _ := strings.Cut(rest, `"`)
	return "the line " + kind + " of " + run
}

// A fault is how a place refuses.
type fault string

// The faults. The first three are of effects, the others of the journal's disk.
const (
	failsOnce   fault = "EIO"
	failsDone   fault = "EIO though it happened"
	readOnly    fault = "EROFS from there on"
	full        fault = "ENOSPC until the reserve is given back"
	fullForGood fault = "ENOSPC from there on"
	broken      fault = "EIO of the disk from there on"
	diskOnly    fault = "EROFS of the disk from there on"
)

// A saboteur makes the n-th effect or the n-th write of the journal fail,
// counted from zero. With a negative number it only counts.
type saboteur struct {
	state   string // directory
	fault   fault
	n       int
	effects int
	writes  int
	at      string // the place that failed first
}

func (s *saboteur) effect(e host.Effect, act func() error) error {
	k := s.effects
	s.effects++
	switch {
	case s.n < 0:
	case s.fault == failsOnce && k == s.n:
		s.at = e.String()
		return syscall.EIO
	case s.fault == failsDone && k == s.n:
		s.at = e.String()
		return errors.Join(syscall.EIO, act())
	case s.fault == readOnly && k >= s.n:
		if s.at == "" {
			s.at = e.String()
		}
		return syscall.EROFS
	}
	return act()
}

func (s *saboteur) opens(path string) error {
	if s.fault == diskOnly && s.n >= 0 && s.writes >= s.n {
		return s.refuse("open", path, syscall.EROFS)
	}
	return nil
}

func (s *saboteur) write(path string, b []byte, put func([]byte) (int, error)) (int, error) {
	k := s.writes
	s.writes++
	if s.n < 0 || k < s.n {
		return put(b)
	}
	var why error
	switch s.fault {
	case full:
		if _, err := os.Stat(filepath.Join(s.state, "reserve")); errors.Is(err, fs.ErrNotExist) {
			return put(b)
		}
		why = syscall.ENOSPC
	case fullForGood:
		why = syscall.ENOSPC
	case broken:
		why = syscall.EIO
	case diskOnly:
		return 0, s.refuse("write", path, syscall.EROFS)
	default:
		return put(b)
	}
	n, err := put(b[:len(b)/2])
	if err != nil {
		return n, err
	}
	return n, s.refuse("write", path, why)
}

func (s *saboteur) refuse(op, path string, why error) error {
	if s.at == "" {
		s.at = fmt.Sprintf("%s %s", op, filepath.Base(path))
	}
	return &fs.PathError{Op: op, Path: path, Err: why}
}
