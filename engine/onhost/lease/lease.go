// Package lease sees to it that one runner at a time changes a host.
//
// The writer holds an flock(2) on RUNTIME/lock for as long as its process
// lives, and says who it is in RUNTIME/lease. Each heartbeat of its controller
// moves the lease's expiry; without them it starts no further effect, and
// after the expiry another run may end its process and take its place. Both
// files lie below /run: a reboot forgets them, a kill -9 frees the lock, and
// nobody ever has to remove one by hand.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"weft/engine/onhost/private"
	"weft/engine/wire"
)

// DefaultTime is how long a lease lasts without a heartbeat.
const DefaultTime = 30 * time.Second

// poll is how often a held lock is tried again.
const poll = 50 * time.Millisecond

// kindness is how long a runner whose lease has expired may take to finish its
// effect before it is killed.
const kindness = 5 * time.Second

// Terms are what a run asks for.
type Terms struct {
	Run   string
	Owner string
	Time  time.Duration // [DefaultTime] where zero
	Wait  time.Duration // for another's lease; zero not at all
	// Controller is the process at the operator's end. Where the holder was
	// started by the same one for the same run, it is a session that was cut
	// and replaced: it is asked to end, and waited for as long as its lease
	// is good.
	Controller string
	// Patience, where not zero, is how long a holder of the same run is
	// waited for, whoever started it; then it is killed, though its lease be
	// good. A guard that expired has it.
	Patience time.Duration
	// OnWait is told once of each holder that is waited for.
	OnWait func(holder wire.Lease)
}

// BusyError says that another run holds the lease.
type BusyError struct{ Holder wire.Lease }

// Error names the holder.
func (e *BusyError) Error() string {
	return fmt.Sprintf("%s changes this host, in run %s, since %s",
		e.Holder.Owner, e.Holder.Run, e.Holder.Since.UTC().Format(time.RFC3339))
}

// record is the lease's file: the frozen [wire.Lease], and what it takes to
// end its process and no other.
type record struct {
	wire.Lease
	Boot     string `json:"boot,omitzero"`     // kernel's random id of the boot
	Start    uint64 `json:"start,omitzero"`    // of the process, in clock ticks, proc_pid_stat(5)
	Deadline int64  `json:"deadline,omitzero"` // CLOCK_MONOTONIC, microseconds: unlike Expires it cannot jump

	Controller string `json:"controller,omitzero"`
}

// replacedBy says whether the holder's session is one that t takes the place of.
func (r record) replacedBy(t Terms) bool {
	return r.Run == t.Run && r.Pid != os.Getpid() && (t.Patience > 0 || t.Controller != "" && r.Controller == t.Controller)
}

func (r record) expired(now time.Time) bool {
	if r.Deadline != 0 && r.Boot == BootID() {
		return Monotonic() > r.Deadline
	}
	return now.After(r.Expires)
}

// Held is a lease that is held.
type Held struct {
	mu   sync.Mutex
	dir  string
	lock *os.File
	mine record
	time time.Duration
	over bool // it was released
}

// Take takes the lease in a directory, or waits for it. The second result is
// the lease of a run that did not release its own; its processes are ended.
// The error is a [*BusyError] where another run holds it.
func Take(ctx context.Context, dir string, t Terms) (*Held, *wire.Lease, error) {
	if err := private.Make(dir); err != nil {
		return nil, nil, err
	}
	lock, err := private.Open(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, err
	}
	h := &Held{dir: dir, lock: lock, time: t.Time}
	if h.time <= 0 {
		h.time = DefaultTime
	}
	over, err := h.take(ctx, t)
	if err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	return h, over, nil
}

func (h *Held) take(ctx context.Context, t Terms) (*wire.Lease, error) {
	if err := h.acquire(ctx, t); err != nil {
		return nil, err
	}
	left, err := h.read()
	if err != nil {
		return nil, err
	}
	var over *wire.Lease
	if left != nil {
		if err := endSession(*left); err != nil {
			return nil, fmt.Errorf("end what run %s left running: %w", left.Run, err)
		}
		if left.Run != t.Run {
			over = &left.Lease
		}
	}
	now := time.Now().UTC()
	h.mine = record{
		Lease: wire.Lease{Run: t.Run, Owner: t.Owner, Since: now, Pid: os.Getpid()},
		Boot:  BootID(), Start: startTime(os.Getpid()), Controller: t.Controller,
	}
	return over, h.Beat()
}

// acquire gets the lock. The order is: try; where it is held, look who holds
// it; where that one's time is over, or it is this run's own, end it; else
// wait, if that was asked for.
func (h *Held) acquire(ctx context.Context, t Terms) error {
	began, told := time.Now(), wire.Lease{}
	asked := 0 // the process of this run that was asked to end
	for {
		err := syscall.Flock(int(h.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("lock %s: %w", h.lock.Name(), err)
		}
		holder, err := h.read()
		if err != nil {
			return err
		}
		if holder == nil {
			// Between its lock and its lease, or between its last two acts.
			holder = &record{Lease: wire.Lease{Run: "unknown", Owner: "somebody", Since: began, Expires: began.Add(time.Second)}}
		}
		own := holder.replacedBy(t)
		if own && asked != holder.Pid {
			asked = holder.Pid
			if err := askToEnd(*holder); err != nil {
				return fmt.Errorf("end the session of run %s before this one (process %d): %w", holder.Run, holder.Pid, err)
			}
		}
		impatient := own && t.Patience > 0 && time.Since(began) >= t.Patience
		if (holder.expired(time.Now()) || impatient) && holder.Pid != os.Getpid() {
			if err := endRunner(ctx, *holder, h.lock); err != nil {
				return fmt.Errorf("take over from run %s (process %d), whose lease has expired: %w", holder.Run, holder.Pid, err)
			}
			return nil
		}
		if !own && time.Since(began) >= t.Wait && (holder.Pid != 0 || time.Since(began) > time.Second) {
			return &BusyError{Holder: holder.Lease}
		}
		if !own && t.OnWait != nil && told.Run != holder.Run && holder.Pid != 0 {
			told = holder.Lease
			t.OnWait(told)
		}
		if err := pause(ctx, poll); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// Beat moves the expiry. One that comes when the lease is released does nothing.
func (h *Held) Beat() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return nil
	}
	h.mine.Expires = time.Now().UTC().Add(h.time)
	h.mine.Deadline = Monotonic() + h.time.Microseconds()
	body, err := json.Marshal(h.mine)
	if err != nil {
		panic("lease: a lease that is no JSON: " + err.Error())
	}
	next := filepath.Join(h.dir, "lease.next")
	if err := os.WriteFile(next, append(body, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(h.dir, "lease"))
}

// Lost says whether the last heartbeat is too long ago to begin anything. The
// next one cures it, as long as nobody has taken over.
func (h *Held) Lost() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Monotonic() > h.mine.Deadline
}

// Release gives the lease back.
func (h *Held) Release() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	err := os.Remove(filepath.Join(h.dir, "lease"))
	return errors.Join(err, h.lock.Close())
}

// read returns the lease that stands there, or nil.
func (h *Held) read() (*record, error) { return read(h.dir) }

func read(dir string) (*record, error) {
	body, err := private.ReadFile(filepath.Join(dir, "lease"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r record
	if json.Unmarshal(body, &r) != nil {
		return nil, nil // renamed into place whole, so only a broken disk does this
	}
	return &r, nil
}

// Current returns the lease in a directory, or nil where nobody holds one that
// has not expired.
func Current(dir string) *wire.Lease {
	r, err := read(dir)
	if err != nil || r == nil || r.expired(time.Now()) {
		return nil
	}
	return &r.Lease
}

// Borrowed is the lease of the process that started this one.
type Borrowed struct {
	dir string
	pid int
}

// Borrow returns the lease in a directory where a given process holds it: a
// runner that another build's runner started to undo a run works under its
// parent's lease.
func Borrow(dir string, pid int) (Borrowed, bool) {
	b := Borrowed{dir: dir, pid: pid}
	return b, !b.Lost()
}

// Beat does nothing: the holder beats.
func (b Borrowed) Beat() error { return nil }

// Lost says whether the holder is another by now, or was not heard from.
func (b Borrowed) Lost() bool {
	r, err := read(b.dir)
	return err != nil || r == nil || r.Pid != b.pid || r.expired(time.Now())
}

// Release does nothing: the lease is the holder's.
func (b Borrowed) Release() error { return nil }
