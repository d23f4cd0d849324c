package lease

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/engine/wire"
)

func take(t *testing.T, dir string, terms Terms) (*Held, *wire.Lease) {
	t.Helper()
	h, over, err := Take(t.Context(), dir, terms)
	if err != nil {
		t.Fatal(err)
	}
	return h, over
}

func TestOneAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	first, over := take(t, dir, Terms{Run: "r1", Owner: "anna"})
	if over != nil {
		t.Errorf("took over %+v on a fresh host", over)
	}
	_, _, err := Take(t.Context(), dir, Terms{Run: "r2", Owner: "ben"})
	var busy *BusyError
	if !errors.As(err, &busy) || busy.Holder.Run != "r1" || busy.Holder.Owner != "anna" || busy.Holder.Pid != os.Getpid() {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(err.Error(), "anna") || !strings.Contains(err.Error(), "r1") {
		t.Errorf("said %q", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second, over := take(t, dir, Terms{Run: "r2", Owner: "ben"})
	if over != nil {
		t.Errorf("took over %+v, which was released", over)
	}
	if err := second.Release(); err != nil {
		t.Fatal(err)
	}
}

// A clock that jumps, by hand or at the first contact with a time server, ends no
// lease and keeps none alive.
func TestAJumpOfTheClockIsNoTime(t *testing.T) {
	now := time.Now()
	live := record{Lease: wire.Lease{Expires: now.Add(-24 * time.Hour)}, Boot: BootID(), Deadline: Monotonic() + 1e6}
	dead := record{Lease: wire.Lease{Expires: now.Add(24 * time.Hour)}, Boot: BootID(), Deadline: Monotonic() - 1}
	if BootID() == "" {
		t.Skip("this machine tells no boot id")
	}
	if live.expired(now) || !dead.expired(now) {
		t.Errorf("expired: the live one %v, the dead one %v", live.expired(now), dead.expired(now))
	}
	if before := (record{Lease: live.Lease, Boot: "another", Deadline: live.Deadline}); !before.expired(now) {
		t.Error("a deadline of another boot is believed")
	}
}

func TestABeatAfterTheReleaseIsNone(t *testing.T) {
	dir := t.TempDir()
	held, _ := take(t, dir, Terms{Run: "r1"})
	if err := errors.Join(held.Release(), held.Beat()); err != nil {
		t.Fatal(err)
	}
	if left := Current(dir); left != nil {
		t.Errorf("there is a lease of nobody: %+v", left)
	}
}

func TestWaiting(t *testing.T) {
	dir := t.TempDir()
	first, _ := take(t, dir, Terms{Run: "r1"})
	waits := make(chan wire.Lease, 10)
	go func() {
		<-waits
		if err := first.Release(); err != nil {
			t.Error(err)
		}
	}()
	second, _ := take(t, dir, Terms{Run: "r2", Wait: time.Minute, OnWait: func(l wire.Lease) { waits <- l }})
	if len(waits) != 0 {
		t.Error("told of the same holder twice")
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := Take(ctx, dir, Terms{Run: "r3", Wait: time.Minute, OnWait: func(wire.Lease) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that was ended: %v", err)
	}
	var busy *BusyError
	if _, _, err := Take(t.Context(), dir, Terms{Run: "r4", Wait: 10 * time.Millisecond}); !errors.As(err, &busy) || busy.Holder.Run != "r2" {
		t.Errorf("a wait that was too short: %v", err)
	}
	if err := second.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestExpiryMovesWithHeartbeats(t *testing.T) {
	dir := t.TempDir()
	h, _ := take(t, dir, Terms{Run: "r1", Time: 20 * time.Millisecond})
	defer h.Release()
	for deadline := time.Now().Add(5 * time.Second); !h.Lost(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never expires")
		}
	}
	b, ok := Borrow(dir, os.Getpid())
	if ok || !b.Lost() {
		t.Error("a lost lease can be borrowed")
	}
	h.mu.Lock()
	h.time = time.Minute
	h.mu.Unlock()
	if err := h.Beat(); err != nil || h.Lost() {
		t.Errorf("after a heartbeat: %v, lost %v", err, h.Lost())
	}
	if b, ok := Borrow(dir, os.Getpid()); !ok || b.Lost() {
		t.Error("a lease that is held cannot be borrowed")
	}
	if _, ok := Borrow(dir, os.Getpid()+1); ok {
		t.Error("the lease of another process can be borrowed")
	}
}

// A runner that was killed left its lease, but not its lock.
func TestADeadRunnersLeaseIsTaken(t *testing.T) {
	dir := t.TempDir()
	for name, left := range map[string]string{
		"long expired":       `{"run":"r0","owner":"old","expires":"2020-01-01T00:00:00Z","pid":999999999}`,
		"not expired":        `{"run":"r0","owner":"old","expires":"2099-01-01T00:00:00Z","pid":999999999}`,
		"of an earlier boot": `{"run":"r0","owner":"old","expires":"2099-01-01T00:00:00Z","pid":1,"boot":"other","start":1}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "lease"), []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		h, over := take(t, dir, Terms{Run: "r1"})
		if over == nil || over.Run != "r0" {
			t.Errorf("%s: took over %+v", name, over)
		}
		if err := h.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "lease"), []byte("no json"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, over := take(t, dir, Terms{Run: "r1"})
	if over != nil {
		t.Errorf("garbage is the lease of %+v", over)
	}
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestTheLeaseIsFrozen(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	r := record{Lease: wire.Lease{Run: "r1", Owner: "anna", Since: at, Expires: at.Add(30 * time.Second), Pid: 42},
		Boot: "b", Start: 7, Deadline: 9}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	const golden = `{"run":"r1","owner":"anna","since":"2026-11-21T08:00:00Z","expires":"2026-11-21T08:00:30Z","pid":42,` +
		`"boot":"b","start":7,"deadline":9}`
	if string(b) != golden {
		t.Errorf("the lease became\n%s", b)
	}
}
