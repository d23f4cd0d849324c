// Package guard is what a host remembers of a dead man's switch: a change that
// may cut the way to the host stands under a guard, and is taken back by the
// host itself unless somebody says in time, over a new connection, that the
// host is still to be reached.
//
// A guard is a few files below STATE/guard, on a disk that outlives a power
// cut:
//
//	armed      what the guard is about; decided by renaming this one file
//	deadline   until when, on CLOCK_BOOTTIME of one boot (clock_gettime(2))
//	watched    the process that waits for it, so that arming can see it stand
//	still      since when nothing under the guard is under way; missing
//	           while something is, so that nothing half made is committed
//	expired    was "armed": nobody confirmed, and it is being taken back
//	committed  was "armed": it stays; what else belongs to it goes next
//	report     what became of the last one that expired, until it was told
//
// To commit and to expire are one rename each, of the same file: one of the two
// finds it gone. There is one guard a host at a time.
//
// armed and report are frozen formats: builds of different ages find and show
// each other's.
package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"weft/engine/onhost/private"
	"weft/engine/wire"
)

// Scope says what an expired guard takes back of its run.
type Scope string

// The scopes.
const (
	Play Scope = "play" // what the run did in the play
	Run  Scope = "run"  // all that the run did
	From Scope = "from" // what the run did from the guarded step on
)

// Armed is a guard that stands.
type Armed struct {
	Version int           `json:"weft"` // 1
	Run     string        `json:"run"`
	Owner   string        `json:"owner"`
	Play    string        `json:"play"`
	Step    string        `json:"step"` // address of the first step under it
	Why     string        `json:"why,omitzero"`
	ByHand  bool          `json:"by_hand,omitzero"`
	Runner  string        `json:"runner"` // digest of the runner that armed it
	Scope   Scope         `json:"scope"`
	From    int           `json:"from"` // number of the first record under it
	Time    time.Duration `json:"time"`
	At      Moment        `json:"at"`
}

// Event is the guard as the controller hears of it.
func (a Armed) Event(state wire.GuardState) *wire.GuardEvent {
	return &wire.GuardEvent{
		Run: a.Run, Owner: a.Owner, Play: a.Play, Step: a.Step, State: state, Why: a.Why, ByHand: a.ByHand, Time: a.Time,
	}
}

// Moment is a point in time of one boot.
type Moment struct {
	Boot   string `json:"boot"`
	Micros int64  `json:"micros"` // CLOCK_BOOTTIME
}

// Passed says whether a moment is over at another: also where that is of
// another boot.
func (m Moment) Passed(now Moment) bool { return m.Boot != now.Boot || now.Micros >= m.Micros }

// deadline is the file of that name.
type deadline struct {
	Moment
	Time time.Duration `json:"time"` // that it was set for
}

// ErrNone says that no guard stands.
var ErrNone = errors.New("no guard stands on this host")

// A Store is the guard of a host.
type Store struct {
	Dir string // STATE/guard
}

func (s Store) path(name string) string { return filepath.Join(s.Dir, name) }

// Prepare makes the directory, on the disk: who finds it looks what is left of a
// guard.
func (s Store) Prepare() error {
	if err := private.Make(s.Dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.Dir))
}

// Used says whether there may be anything of a guard.
func (s Store) Used() bool {
	_, err := os.Lstat(s.Dir)
	return err == nil
}

// Arm puts a guard up. It is on the disk when Arm returns.
func (s Store) Arm(a Armed) error {
	a.Version = 1
	if err := s.Prepare(); err != nil {
		return err
	}
	for _, name := range []string{"watched", "still", "committed"} {
		if err := remove(s.path(name)); err != nil {
			return err
		}
	}
	if err := s.Extend(a.At, a.Time); err != nil {
		return err
	}
	return s.write("armed", a)
}

// Standing returns the guard that is undecided and the moment it expires. The
// error wraps [ErrNone] where there is none.
func (s Store) Standing() (Armed, Moment, error) {
	a, err := read[Armed](s.path("armed"))
	if errors.Is(err, fs.ErrNotExist) {
		return a, Moment{}, ErrNone
	}
	if err != nil {
		return a, Moment{}, err
	}
	d, err := read[deadline](s.path("deadline"))
	if err != nil {
		d = deadline{} // nothing says that there is time left
	}
	if d.Time > 0 {
		a.Time = d.Time
	}
	return a, d.Moment, nil
}

// Expired returns the guard that expired and was not taken back to the end. The
// error wraps [ErrNone] where there is none.
func (s Store) Expired() (Armed, error) {
	a, err := read[Armed](s.path("expired"))
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNone
	}
	return a, err
}

// Mark is the path of what says that a guard expired and is to be taken back.
func (s Store) Mark() string { return s.path("expired") }

// Extend sets the deadline to a time from now.
func (s Store) Extend(now Moment, t time.Duration) error {
	return s.write("deadline", deadline{Moment{now.Boot, now.Micros + t.Microseconds()}, t})
}

// Watched is written by the process that waits, once it does.
func (s Store) Watched(pid int) error { return s.write("watched", pid) }

// Watcher is the process that waits; zero where none said so since the guard
// was armed.
func (s Store) Watcher() int {
	pid, _ := read[int](s.path("watched"))
	return pid
}

// Moving says that something under the guard is under way.
func (s Store) Moving() error { return remove(s.path("still")) }

// Still says that nothing under the guard is under way since now.
func (s Store) Still(now Moment) error { return s.write("still", now) }

// StillSince is since when nothing under the guard is under way. The second
// result is false while something is, or was cut in the middle.
func (s Store) StillSince() (Moment, bool) {
	m, err := read[Moment](s.path("still"))
	return m, err == nil
}

// Commit decides that the change stays. The error wraps [ErrNone] where the
// guard was decided before.
func (s Store) Commit() error { return s.decide("armed", "committed") }

// Expire decides that the change goes. The error wraps [ErrNone] where the
// guard was decided before.
func (s Store) Expire() error { return s.decide("armed", "expired") }

func (s Store) decide(from, to string) error {
	err := os.Rename(s.path(from), s.path(to))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNone
	}
	if err != nil {
		return err
	}
	return syncDir(s.Dir)
}

// Report says what became of a guard that expired, and forgets the guard.
func (s Store) Report(e wire.GuardEvent) error {
	if err := s.write("report", e); err != nil {
		return err
	}
	if e.State == wire.GuardExpired {
		return nil // it is still to be taken back
	}
	return s.Forget()
}

// Reported returns what became of the last guard that expired; nil where that
// was told, or there was none.
func (s Store) Reported() (*wire.GuardEvent, error) {
	e, err := read[wire.GuardEvent](s.path("report"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &e, nil
}

// Told forgets the report.
func (s Store) Told() error {
	err := remove(s.path("report"))
	_ = os.Remove(s.Dir) // where it is empty
	return err
}

// Forget removes what belongs to a guard that is decided, but for the report.
func (s Store) Forget() error {
	var errs []error
	for _, name := range []string{"watched", "still", "deadline", "committed", "expired"} {
		errs = append(errs, remove(s.path(name)))
	}
	_ = os.Remove(s.Dir) // where it is empty
	return errors.Join(errs...)
}

func remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// write replaces a file, synced to the disk.
func (s Store) write(name string, v any) (err error) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("guard: what is no JSON: " + err.Error())
	}
	d, err := lock(s.Dir, syscall.LOCK_EX) // a session and one that extends write the same file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	next := s.path(name + ".next")
	f, err := os.OpenFile(next, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, remove(next))
		}
	}()
	_, err = f.Write(append(body, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(next, s.path(name)); err != nil {
		return err
	}
	return d.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func read[T any](path string) (T, error) {
	var v T
	body, err := private.ReadFile(path)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return v, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return v, nil
}
