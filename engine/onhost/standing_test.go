package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/onhost/guard"
	"weft/engine/step"
	"weft/engine/wire"
)

// A runner that is killed after its guard was seen to stand and before its
// first change is on record has changed nothing, and keeps nobody out.
func TestAGuardOverNothingGoes(t *testing.T) {
	s := guardedSite(t)
	s.machine.WriteFile(guardFile, "[Install]\nWantedBy=multi-user.target\n")
	s.machine.Systemctl(host.Enable, guardUnit)
	store := guard.Store{Dir: filepath.Join(s.config.State, "guard")}
	armed := guard.Armed{
		Run: "r1", Owner: "anna", Play: "p", Step: "file.etc/a", Runner: "d1", Scope: guard.Play, From: 1,
		Time: time.Millisecond, At: guard.Moment{Boot: "boot-1", Micros: s.config.filled().Boottime()},
	}
	if err := store.Arm(armed); err != nil {
		t.Fatal(err)
	}
	if err := store.Watched(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	next := s.open()
	r := next.hello("r2")
	if g := guardOf(r); r.failure() != "" || g == nil || g.State != wire.GuardUndone || g.Error != "" {
		t.Fatalf("the next run was told %+v, %q", g, r.failure())
	}
	next.bye()
	s.noGuardLeft()
}

func inPlayOf(play string, units ...step.Unit) wire.Request {
	return wire.Request{Apply: &wire.Apply{Play: play, Units: units}}
}

func TestEachPlayHasItsGuard(t *testing.T) {
	s := guardedSite(t)
	c := s.open()
	c.hello("r1")
	for _, play := range []string{"p", "q", "p"} {
		path := "/etc/" + play + fmt.Sprint(c.id)
		r := c.do(inPlayOf(play, guarded60(file(path, "new"))))
		if g := guardOf(r); g == nil || g.State != wire.GuardArmed || g.Play != play {
			t.Fatalf("play %s: the guard is %+v\n%s", play, g, explained(r))
		}
		fresh, _ := s.look("r1")
		if got := fresh.do(wire.Request{Commit: &wire.Commit{Run: "r1"}}).failure(); got != "" {
			t.Errorf("play %s: commit: %s", play, got)
		}
		fresh.bye()
		s.noGuardLeft()
	}
	c.bye()
}

// What is left to an operator stands in the way of the next guard of the run.
func TestOneGuardAtATime(t *testing.T) {
	s := guardedSite(t)
	c := s.open()
	c.hello("r1")
	c.do(inPlayOf("p", guarded60(file("/etc/a", "new"))))
	r := c.do(inPlayOf("q", guarded60(file("/etc/b", "new"))))
	if u := r.unit("file.etc/b"); u.State != wire.Failed || !strings.Contains(u.Error, "`weft commit r1`") {
		t.Errorf("it is %s: %s", u.State, u.Error)
	}
	c.undo()
	c.bye()
	s.noGuardLeft()
}

// noSystemd is a host on which none runs.
type noSystemd struct{ host.Units }

func (noSystemd) Unit(context.Context, string) (host.Unit, error) {
	return host.Unit{}, host.ErrNotReady
}
func (noSystemd) Do(context.Context, host.UnitVerb, string) error { return host.ErrNotReady }

func TestAHostWithoutSystemdHasNoGuards(t *testing.T) {
	s := newSite(t)
	s.config.Host.Units = noSystemd{s.config.Host.Units}
	before := s.machine.Snapshot()
	c := s.open()
	c.hello("r1")
	r := c.apply(guarded60(file("/etc/a", "new")))
	if u := r.unit("file.etc/a"); u.State != wire.Failed || !strings.Contains(u.Error, "nothing was changed") {
		t.Errorf("it is %s: %s", u.State, u.Error)
	}
	c.bye()
	if after := s.machine.Snapshot(); after != before {
		t.Errorf("the machine is\n%s\nnot\n%s", after, before)
	}
	mustNotExist(t, filepath.Join(s.config.State, "guard"))
	c = s.open()
	if got := c.hello("r2").failure(); got != "" {
		t.Errorf("the next run is refused: %s", got)
	}
	want(t, c.apply(file("/etc/b", "1")), "file.etc/b applying, file.etc/b changed")
	c.bye()
}

// Who was refused at the greeting changes nothing, whatever it asks for next.
func TestARefusedGreetingChangesNothing(t *testing.T) {
	s := guardedSite(t)
	c := s.open()
	c.hello("r1")
	c.apply(file("/etc/a", "1"))
	c.bye()
	s.config.Digest = "d2"
	c = s.open()
	if got := c.hello("r1").failure(); !strings.Contains(got, "another build") {
		t.Fatalf("the greeting: %q", got)
	}
	want(t, c.apply(file("/etc/b", "1")), "ERROR")
	_ = c.cut()
	if _, there := s.machine.File("/etc/b"); there {
		t.Error("it changed the host")
	}
}

// A step that was begun and failed is half made, also where it left a restart
// to do.
func TestWhatIsHalfMadeIsNotCommitted(t *testing.T) {
	s := guardedSite(t)
	s.config.Host = host.Surround(s.machine.Host(), func(_ context.Context, e host.Effect, act func() error) error {
		if e.Object == "/etc/option-x.service" {
			return errors.New("refused")
		}
		return act()
	})
	c := s.open()
	c.hello("r1")
	want(t, c.apply(guarded60(option("x", "1"))), "daemon_option.x applying, daemon_option.x failed")
	fresh, _ := s.look("r1")
	if got := fresh.do(wire.Request{Commit: &wire.Commit{Run: "r1"}}).failure(); !strings.Contains(got, "half made") {
		t.Errorf("it was committed: %q", got)
	}
	fresh.bye()
	c.undo()
	c.bye()
	s.noGuardLeft()
}

func TestAnExtensionIsSomeTime(t *testing.T) {
	s := guardedSite(t)
	c := s.open()
	c.hello("r1")
	c.apply(guarded60(file("/etc/a", "new")))
	fresh, _ := s.look("r1")
	for _, d := range []time.Duration{0, -time.Minute} {
		if got := fresh.do(wire.Request{Extend: &wire.Extend{Run: "r1", Time: d}}).failure(); got == "" {
			t.Errorf("by %s it was extended", d)
		}
	}
	fresh.bye()
	want(t, c.undo(), "file.etc/a undone")
	c.bye()
}

// A session that is to take a guarded run back and does something else first
// does not lose its guard.
func TestAGuardIsNotReplaced(t *testing.T) {
	s := guardedSite(t)
	c := s.open()
	c.hello("r1")
	c.apply(guarded60(file("/etc/a", "new")))
	c.bye()
	other := s.open()
	other.do(wire.Request{Hello: &wire.Hello{Run: "r2", Intent: wire.Change, TakesBack: []string{"r1"}}})
	if u := other.apply(guarded60(file("/etc/b", "new"))).unit("file.etc/b"); u.State != wire.Failed || !strings.Contains(u.Error, "r1") {
		t.Errorf("it is %s: %s", u.State, u.Error)
	}
	want(t, other.do(wire.Request{Rollback: &wire.Rollback{Runs: []string{"r1"}}}), "file.etc/a undone, run r1 undone 0/1")
	other.bye()
	s.noGuardLeft()
}

// While what was committed is still being removed, the next run may come and
// put up a guard of its own: that one is not removed with it.
func TestTheNextGuardIsNotTakenDownWithTheLast(t *testing.T) {
	s := guardedSite(t)
	c := s.open()
	c.hello("r1")
	c.apply(guarded60(file("/etc/a", "new")))
	c.bye()
	reached, release := make(chan struct{}), make(chan struct{})
	s.config.Host = host.Surround(s.machine.Host(), func(_ context.Context, e host.Effect, act func() error) error {
		if e.Verb == string(host.Disable) {
			close(reached)
			<-release
		}
		return act()
	})
	fresh, _ := s.look("r1")
	commit := fresh.send(wire.Request{Commit: &wire.Commit{Run: "r1"}})
	<-reached
	s.config.Host = s.machine.Host()
	next := s.open()
	next.send(wire.Request{Hello: &wire.Hello{Run: "r2", Owner: "anna", Intent: wire.Change}})
	apply := next.send(wire.Request{Apply: &wire.Apply{Play: "p", Units: []step.Unit{guarded60(file("/etc/b", "new"))}}})
	store := guard.Store{Dir: filepath.Join(s.config.State, "guard")}
	stands := func() bool {
		a, _, err := store.Standing()
		return err == nil && a.Run == "r2" && store.Watcher() != 0
	}
	for deadline := time.Now().Add(200 * time.Millisecond); !stands() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	close(release)
	if got := fresh.wait(commit).failure(); got != "" {
		t.Errorf("the commit: %s", got)
	}
	want(t, next.wait(apply), "file.etc/b applying, file.etc/b changed")
	if !stands() {
		t.Error("the guard of the second run does not stand")
	}
	if u := s.machine.UnitState(guardUnit); u.FileState != "enabled" || u.ActiveState != "active" {
		t.Errorf("the unit is %s, %s", u.FileState, u.ActiveState)
	}
	fresh.bye()
	want(t, next.undo(), "file.etc/b undone")
	next.bye()
	s.noGuardLeft()
}

// Where what expired cannot be taken back, whoever comes next is told what to
// do, and the way out that it names is one.
func TestAGuardThatCannotBeTakenBackSaysWhatToDo(t *testing.T) {
	s := guardedSite(t)
	c := s.open()
	c.hello("r1")
	c.apply(guarded60(file("/etc/a", "new")))
	_ = c.cut()
	s.machine.Systemctl(host.Stop, guardUnit)
	store := guard.Store{Dir: filepath.Join(s.config.State, "guard")}
	if err := store.Extend(guard.Moment{Boot: "boot-1", Micros: 1}, 0); err != nil {
		t.Fatal(err)
	}
	s.config.Host = host.Surround(s.machine.Host(), func(_ context.Context, e host.Effect, act func() error) error {
		if e.Object == "/etc/a" {
			return errors.New("refused")
		}
		return act()
	})
	next := s.open()
	if got := next.hello("r2").failure(); !strings.Contains(got, "remove "+store.Mark()) {
		t.Fatalf("it was told %q", got)
	}
	_ = next.cut()
	if err := os.Remove(store.Mark()); err != nil {
		t.Fatal(err)
	}
	next = s.open()
	if got := next.hello("r2").failure(); got != "" {
		t.Errorf("then it is told %q", got)
	}
	next.bye()
	s.noGuardLeft()
}

// A guard that is killed by hand ends as a failure, which systemd answers with
// another start; one that was decided does not.
func TestAGuardThatIsKilledIsNotDone(t *testing.T) {
	s := guardedSite(t)
	c := s.open()
	c.hello("r1")
	c.apply(guarded60(file("/etc/a", "new")))
	killed, kill := context.WithCancel(t.Context())
	kill()
	if err := Guard(killed, s.config); !errors.Is(err, ErrUndecided) {
		t.Errorf("it ended with %v", err)
	}
	want(t, c.undo(), "file.etc/a undone")
	c.bye()
	if err := Guard(killed, s.config); err != nil {
		t.Errorf("where none stands it ended with %v", err)
	}
	s.noGuardLeft()
}

// What was sent whole is finished without a session, but not against a guard
// that expired: its process has the runner end, and would kill it.
func TestAnExpiredGuardEndsWhatWasSentWhole(t *testing.T) {
	s := guardedSite(t)
	s.config.Patience = time.Hour // of which it waits a part for a heartbeat
	ctx, end := context.WithCancel(t.Context())
	c := s.openIn(ctx)
	c.hello("r1")
	c.send(inPlayOf("p", guarded60(file("/etc/a", "new"))))
	c.until(func(e wire.Event) bool { return e.Guard != nil })
	store := guard.Store{Dir: filepath.Join(s.config.State, "guard")}
	if err := store.Expire(); err != nil {
		t.Fatal(err)
	}
	end()
	select {
	case <-c.ended:
	case <-time.After(5 * time.Second):
		t.Error("it goes on")
		_ = c.send(wire.Request{Heartbeat: &wire.Heartbeat{}})
		<-c.ended
	}
	waitUntil(t, func() bool { _, there := s.machine.File(guardFile); return !there })
	if _, there := s.machine.File("/etc/a"); there {
		t.Error("the change was made")
	}
}

// Who cannot tell which boot this is takes no guard for one that expired: a
// session that is cut as it begins cannot, nor a guard that is told to end.
func TestNoGuardExpiresForWantOfABoot(t *testing.T) {
	s := guardedSite(t)
	c := s.open()
	c.hello("r1")
	c.apply(guarded60(file("/etc/a", "new")))
	c.bye()
	known := s.config.Host.Kernel
	s.config.Host.Kernel = noKernel{known}
	if err := Guard(t.Context(), s.config); !errors.Is(err, errNoBoot) {
		t.Errorf("a guard ended with %v", err)
	}
	again := s.open()
	if got := again.hello("r1").failure(); got != errNoBoot.Error() {
		t.Errorf("the run that came again was told %q", got)
	}
	_ = again.cut()
	s.config.Host.Kernel = known
	again = s.open()
	if g := guardOf(again.hello("r1")); g == nil || g.State != wire.GuardArmed {
		t.Errorf("the guard is %+v", g)
	}
	want(t, again.undo(), "file.etc/a undone")
	again.bye()
	s.noGuardLeft()
}

// noKernel is a kernel that answers nothing.
type noKernel struct{ host.Kernel }

func (noKernel) Get(context.Context, string) (string, error) { return "", context.Canceled }
