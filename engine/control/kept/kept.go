// Package kept is the controller's memory of the runs that it began: what it
// takes to go on with one whose controller was killed, or whose hosts were out
// of reach. What the run did lies in the hosts' own journals; here is only what
// it wanted, as the sources it was made of, and how it was told to reach the
// hosts. Values of sensitive variables are not among it.
//
// A run is a file of JSON, RUN.json, for its owner alone. The newest [Most] are
// kept.
package kept

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"weft/engine/control/run"
)

// Most is how many runs are kept.
const Most = 100

// Run is one run.
type Run struct {
	ID      string              `json:"run"`
	Began   time.Time           `json:"began"`
	Sources run.Saved           `json:"sources"` // without steps: a resumed run plans again
	Flags   map[string][]string `json:"flags"`   // those that say how hosts are reached and treated, by name
	// Rebooting are the hosts that were told to reboot and are not back.
	Rebooting []string `json:"rebooting,omitempty"`
	// Exit is what the run came to; nil while it is under way, and of one that
	// was killed.
	Exit *run.Exit `json:"exit,omitempty"`
}

// Finished says that nothing is left to do.
func (r *Run) Finished() bool { return r.Exit != nil && *r.Exit == run.OK }

// Store is a directory of runs. It need not exist.
type Store struct{ Dir string }

// Open returns the user's store: weft/runs in $XDG_STATE_HOME, or else in
// ~/.local/state (XDG Base Directory Specification).
func Open(environment func(string) (string, bool)) (Store, error) {
	state, _ := environment("XDG_STATE_HOME")
	if !filepath.IsAbs(state) { // the specification ignores others
		home, _ := environment("HOME")
		if home == "" {
			return Store{}, errors.New("neither XDG_STATE_HOME nor HOME is set")
		}
		state = filepath.Join(home, ".local", "state")
	}
	return Store{filepath.Join(state, "weft", "runs")}, nil
}

// name is what runs are called: they are files too.
var name = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.-]*$`)

func (s Store) path(id string) string { return filepath.Join(s.Dir, id+".json") }

// Put writes a run, whole or not at all, and removes the oldest that are too
// many.
func (s Store) Put(r *Run) error {
	b, err := json.Marshal(r)
	if err != nil {
		panic("kept: a run that is no JSON: " + err.Error())
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("keep the run: %w", err)
	}
	if err := write(s.path(r.ID), b); err != nil {
		return fmt.Errorf("keep the run: %w", err)
	}
	ids, err := s.List()
	if err != nil {
		return err
	}
	for _, old := range ids[min(len(ids), Most):] {
		if err := os.Remove(s.path(old)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep the newest %d runs: %w", Most, err)
		}
	}
	return nil
}

// Forget drops a run: one that was taken back is not gone on with.
func (s Store) Forget(id string) error {
	if !name.MatchString(id) {
		return nil
	}
	if err := os.Remove(s.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget run %s: %w", id, err)
	}
	return nil
}

// write replaces a file.
func write(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-") // of mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error is the one that counts
	}
	return err
}

// List returns the names of the runs, the newest first.
func (s Store) List() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the runs: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if id, is := strings.CutSuffix(e.Name(), ".json"); is && name.MatchString(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids, nil
}

// Get reads a run. The error wraps [fs.ErrNotExist] where it is not kept here.
func (s Store) Get(id string) (*Run, error) {
	if !name.MatchString(id) {
		return nil, fmt.Errorf("%q cannot be the name of a run", id)
	}
	b, err := os.ReadFile(s.path(id))
	if err != nil {
		return nil, err
	}
	var r Run
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s is broken: %w", s.path(id), err)
	}
	return &r, nil
}

// Unfinished returns the runs that can be gone on with, the newest first. Files
// that cannot be read are passed over: the others are of use without them.
func (s Store) Unfinished() ([]*Run, error) {
	ids, err := s.List()
	if err != nil {
		return nil, err
	}
	var out []*Run
	for _, id := range ids {
		if r, err := s.Get(id); err == nil && !r.Finished() {
			out = append(out, r)
		}
	}
	return out, nil
}
