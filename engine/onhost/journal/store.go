package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"weft/engine/onhost/private"
)

// How long a host remembers. Runs with something left open are never dropped.
const (
	KeepFor  = 90 * 24 * time.Hour // since the last line
	KeepRuns = 500                 // the newest
	// KeepLeast are the newest runs that are kept however old they look: a
	// clock that jumps must not cost the way back.
	KeepLeast = 20
)

// reserveBytes are given back to a full disk: some thousand lines.
const reserveBytes = 256 << 10

// A File is what a journal needs of an open file.
type File interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Close() error
}

// A Store is the journals of a host.
type Store struct {
	Dir string // the state directory
	// OpenFile opens a file to append to, made with mode 0600 where it is
	// missing. Nil is the real one; tests fill the disk here.
	OpenFile func(path string) (File, error)
}

func (s Store) runs() string           { return filepath.Join(s.Dir, "runs") }
func (s Store) marks() string          { return filepath.Join(s.Dir, "open") }
func (s Store) path(run string) string { return filepath.Join(s.runs(), run, "journal") }

func (s Store) openFile(path string) (File, error) {
	if s.OpenFile != nil {
		return s.OpenFile(path)
	}
	return OpenFile(path)
}

// OpenFile is what a Store uses where it is told nothing else.
func OpenFile(path string) (File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// ValidRun says whether a name can be that of a run: letters, digits, dots,
// dashes, underscores and colons, not beginning with a dot.
func ValidRun(name string) bool {
	if name == "" || len(name) > 200 || name[0] == '.' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_:", r)
	})
}

// Run returns the journal of the run that h names: what is on the disk, or a
// new one that is not on the disk yet.
func (s Store) Run(h Header) (*Journal, error) {
	if !ValidRun(h.Run) {
		return nil, fmt.Errorf("%q cannot be the name of a run", h.Run)
	}
	j, err := s.load(h.Run)
	if errors.Is(err, fs.ErrNotExist) {
		h.Version = Version
		return &Journal{Run: &Run{Header: h}, store: s, fresh: true}, nil
	}
	return j, err
}

// Load returns the journal of a run. The error wraps [fs.ErrNotExist] where
// the host knows no such run.
func (s Store) Load(run string) (*Journal, error) {
	if !ValidRun(run) {
		return nil, fmt.Errorf("%q cannot be the name of a run", run)
	}
	j, err := s.load(run)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("this host knows no run %s: %w", run, fs.ErrNotExist)
	}
	return j, err
}

// Marked returns the runs that may have left something half made, the oldest
// first. Of a run that was cut before its first line there is no journal.
func (s Store) Marked() ([]string, error) { return list(s.marks()) }

// Mark is the path of a run's marker.
func (s Store) Mark(run string) string { return filepath.Join(s.marks(), run) }

// Names returns all runs that the host remembers, the oldest first.
func (s Store) Names() ([]string, error) { return list(s.runs()) }

// list returns the names in a directory, sorted; none where it is missing.
func list(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return slices.DeleteFunc(names, func(n string) bool { return !ValidRun(n) }), err
}

// mark makes a run one that later sessions look at.
func (s Store) mark(run string) error {
	if err := private.Make(s.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.runs(), run), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(s.marks(), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(s.Mark(run), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), syncDir(s.marks()), syncDir(s.runs()), syncDir(s.Dir))
}

func (s Store) unmark(run string) error {
	err := os.Remove(s.Mark(run))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Drop forgets a run that was cut before its first line: its marker, and the
// folder that holds nothing.
func (s Store) Drop(run string) error {
	return errors.Join(s.unmark(run), os.RemoveAll(filepath.Join(s.runs(), run)))
}

// reserve takes the space that an undo may need on a full disk. Zeros are
// written, for not every file system can promise blocks it was not given.
func (s Store) reserve() error {
	path := filepath.Join(s.Dir, "reserve")
	if info, err := os.Stat(path); err == nil && info.Size() == reserveBytes {
		return nil
	}
	if err := private.Make(s.Dir); err != nil {
		return err
	}
	f, err := s.openFile(path)
	if err != nil {
		return err
	}
	err = errors.Join(f.Truncate(0), fill(f), f.Sync(), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func fill(w io.Writer) error {
	_, err := w.Write(make([]byte, reserveBytes))
	return err
}

// release gives the reserve back to the disk.
func (s Store) release() error {
	err := os.Remove(filepath.Join(s.Dir, "reserve"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Prune forgets what is older than [KeepFor], but for the newest [KeepLeast], and
// what is beyond the newest [KeepRuns],
// and returns the digests of the runners that the rest names.
func (s Store) Prune(now time.Time) (runners map[string]bool, err error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	open, err := list(s.marks())
	if err != nil {
		return nil, err
	}
	runners = map[string]bool{}
	for i, run := range names {
		info, err := os.Stat(s.path(run))
		if errors.Is(err, fs.ErrNotExist) { // cut before it was marked
			if err := s.Drop(run); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		newer := len(names) - 1 - i
		old := now.Sub(info.ModTime()) > KeepFor && newer >= KeepLeast || newer >= KeepRuns
		if old && !slices.Contains(open, run) {
			if err := os.RemoveAll(filepath.Join(s.runs(), run)); err != nil {
				return nil, err
			}
			continue
		}
		if runner, ok := s.runner(run); ok {
			runners[runner] = true
		}
	}
	return runners, nil
}

// runner reads from the header of a journal which runner wrote it. What cannot
// be read needs none.
func (s Store) runner(run string) (digest string, ok bool) {
	h, ok := s.header(run)
	return h.Runner, ok
}

func (s Store) header(run string) (h Header, ok bool) {
	f, err := os.Open(s.path(run))
	if err != nil {
		return h, false
	}
	defer func() { _ = f.Close() }()
	err = json.NewDecoder(io.LimitReader(f, 1<<16)).Decode(&h)
	return h, err == nil
}

// latest is when the latest of the other runs began. What can be read decides:
// a journal that is damaged has said so elsewhere.
func (s Store) latest(but string) (latest time.Time) {
	names, _ := s.Names()
	for _, run := range names {
		if h, ok := s.header(run); ok && run != but && h.Began.After(latest) {
			latest = h.Began
		}
	}
	return latest
}
