package onhost

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/onhost/guard"
	"weft/engine/onhost/journal"
	"weft/engine/step"
	"weft/engine/wire"
)

// guardedSite is a site whose systemd runs the service of the guard, as a
// process that ends with the unit.
func guardedSite(t *testing.T) *site {
	s := newSite(t)
	s.machine.AddLink("", host.Link{Name: "eth0", Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/24")}})
	s.machine.OnUnit(guardUnit, func(_ *fake.Machine, verb host.UnitVerb) error {
		if verb == host.Start {
			s.watch()
		}
		return nil
	})
	return s
}

// watch runs a guard as systemd does. It ends with the test.
func (s *site) watch() {
	ctx, end := context.WithCancel(context.Background())
	over := make(chan error, 1)
	s.machine.OnUnit(guardUnit, func(_ *fake.Machine, verb host.UnitVerb) error {
		if verb == host.Stop {
			end()
		} else {
			s.watch()
		}
		return nil
	})
	config := s.config
	config.Host.Memo = nil // a process of its own
	go func() { over <- Guard(ctx, config) }()
	s.t.Cleanup(func() {
		end()
		if err := <-over; err != nil && !errors.Is(err, ErrUndecided) {
			s.t.Errorf("the guard ended with %v", err)
		}
	})
}

func guarded60(u step.Unit) step.Unit { u.Guard = time.Minute; return u }

func guardedFor(t time.Duration, u step.Unit) step.Unit { u.Guard = t; return u }

// look is a session that only looks, as one over a fresh connection.
func (s *site) look(run string) (*client, reply) {
	s.t.Helper()
	c := s.open()
	return c, c.do(wire.Request{Hello: &wire.Hello{Run: run, Site: "lab", Host: "h1", Owner: "anna", Intent: wire.Look}})
}

func guardOf(r reply) *wire.GuardEvent {
	for _, e := range r.events {
		switch {
		case e.Guard != nil:
			return e.Guard
		case e.Hello != nil && e.Hello.Guard != nil:
			return e.Hello.Guard
		}
	}
	return nil
}

// noGuardLeft sees that nothing of a guard is there.
func (s *site) noGuardLeft() {
	s.t.Helper()
	mustNotExist(s.t, filepath.Join(s.config.State, "guard"))
	if _, there := s.machine.File(guardFile); there {
		s.t.Error("the unit's file is still there")
	}
	if u := s.machine.UnitState(guardUnit); u.FileState == "enabled" {
		s.t.Errorf("the unit is still %s, %s", u.FileState, u.ActiveState)
	}
}

func TestAChangeThatIsConfirmedStays(t *testing.T) {
	s := guardedSite(t)
	c := s.open()
	c.hello("r1")
	r := c.apply(file("/etc/before", "1"), guarded60(file("/etc/a", "new")), file("/etc/after", "1"))
	want(t, r, "file.etc/before applying, file.etc/before changed, file.etc/a applying, file.etc/a changed, file.etc/after applying, file.etc/after changed")
	if g := guardOf(r); g == nil || g.State != wire.GuardArmed || g.Step != "file.etc/a" || g.Time != time.Minute || g.Why != "" {
		t.Fatalf("the guard is %+v", g)
	}
	if u := s.machine.UnitState(guardUnit); u.FileState != "enabled" || u.ActiveState != "active" {
		t.Errorf("the unit is %s, %s", u.FileState, u.ActiveState)
	}
	if got := c.do(wire.Request{Commit: &wire.Commit{Run: "r1"}}).failure(); !strings.Contains(got, "older than the last change") {
		t.Errorf("over the same connection: %q", got)
	}
	fresh, hello := s.look("r1")
	if g := guardOf(hello); g == nil || g.State != wire.GuardArmed || g.Left <= 0 {
		t.Errorf("the greeting told of %+v", g)
	}
	if got := fresh.do(wire.Request{Commit: &wire.Commit{Run: "r2"}}).failure(); !strings.Contains(got, "is of run r1") {
		t.Errorf("of another run: %q", got)
	}
	r = fresh.do(wire.Request{Commit: &wire.Commit{Run: "r1"}})
	if g := guardOf(r); r.failure() != "" || g == nil || g.State != wire.GuardCommitted {
		t.Fatalf("commit: %q, %+v", r.failure(), g)
	}
	if got := fresh.do(wire.Request{Commit: &wire.Commit{Run: "r1"}}).failure(); !strings.Contains(got, "no guard of run r1") {
		t.Errorf("a second time: %q", got)
	}
	fresh.bye()
	c.bye()
	s.noGuardLeft()
	if text, _ := s.machine.File("/etc/a"); text != "new" {
		t.Errorf("the file holds %q", text)
	}
}

func TestAChangeThatNobodyConfirmsGoesBack(t *testing.T) {
	for name, end := range map[string]func(*client){
		"though the run said goodbye": (*client).bye,
		"and the session was cut":     func(c *client) { _ = c.cut() },
	} {
		t.Run(name, func(t *testing.T) {
			s := guardedSite(t)
			s.machine.WriteFile("/etc/a", "old")
			before := s.machine.Snapshot()
			c := s.open()
			c.hello("r1")
			c.apply(file("/etc/before", "1"), guardedFor(300*time.Millisecond, file("/etc/a", "new")), file("/etc/after", "1"))
			end(c)
			waitUntil(t, func() bool { text, _ := s.machine.File("/etc/a"); return text == "old" })
			waitUntil(t, func() bool { _, there := s.machine.File(guardFile); return !there })
			s.machine.Systemctl(host.Stop, guardUnit) // the process has ended
			if after := s.machine.Snapshot(); after != before {
				t.Errorf("the machine is\n%s\nnot\n%s", after, before)
			}
			c = s.open()
			r := c.do(wire.Request{Hello: &wire.Hello{Run: "r2", Intent: wire.Change, LockTimeout: time.Minute}}) // the guard has the lease to its end
			c.bye()
			if told := guardOf(r); told == nil || told.State != wire.GuardUndone || told.Run != "r1" || told.Undone != 3 || told.Error != "" {
				t.Errorf("the next contact was told %+v", guardOf(r))
			}
			c = s.open()
			if g := guardOf(c.hello("r3")); g != nil {
				t.Errorf("it was told again: %+v", g)
			}
			c.bye()
			s.noGuardLeft()
		})
	}
}

func TestWhatIsUnderGuardIsFinishedWithoutASession(t *testing.T) {
	s := guardedSite(t)
	reached, release := holdAt(s, 4) // three effects put the guard up
	c := s.open()
	c.hello("r1")
	c.send(wire.Request{Apply: &wire.Apply{Play: "p", Units: []step.Unit{guarded60(file("/etc/a", "new")), file("/etc/b", "new")}}})
	<-reached
	c.stdin.Close()
	waitUntil(t, func() bool { return strings.Contains(s.log.String(), ErrCut.Error()) })
	release()
	<-c.ended
	if _, there := s.machine.File("/etc/b"); !there {
		t.Error("what came after the cut was not done")
	}
	again := s.open()
	r := again.hello("r1")
	if g := guardOf(r); g == nil || g.State != wire.GuardArmed {
		t.Errorf("the run that came again was told %+v", g)
	}
	if got := r.events[0].Hello.Changed; len(got) != 2 || got[1] != (wire.Place{Play: "p", Address: "file.etc/b"}) {
		t.Errorf("it was told that it had changed %+v", got)
	}
	want(t, again.apply(guarded60(file("/etc/a", "new")), file("/etc/b", "new")), "file.etc/a ok, file.etc/b ok")
	again.bye()
	fresh, _ := s.look("r1")
	if got := fresh.do(wire.Request{Commit: &wire.Commit{Run: "r1"}}).failure(); got != "" {
		t.Error(got)
	}
	fresh.bye()
	s.noGuardLeft()
}

func TestAnExtendedGuardWaits(t *testing.T) {
	s := guardedSite(t)
	c := s.open()
	c.hello("r1")
	c.apply(guardedFor(400*time.Millisecond, file("/etc/a", "new")))
	if got := c.do(wire.Request{Extend: &wire.Extend{Run: "r1", Time: time.Minute}}).failure(); !strings.Contains(got, "older than the guard") {
		t.Errorf("over the connection that armed it: %q", got)
	}
	fresh, _ := s.look("r1")
	r := fresh.do(wire.Request{Extend: &wire.Extend{Run: "r1", Time: time.Minute}})
	if g := guardOf(r); r.failure() != "" || g == nil || g.Left != time.Minute {
		t.Errorf("extended: %q, %+v", r.failure(), g)
	}
	_, deadline, err := (&session{Config: s.config}).guards().Standing()
	if err != nil || deadline.Micros < s.config.filled().Boottime()+50_000_000 {
		t.Errorf("the deadline is %+v, %v", deadline, err)
	}
	fresh.bye()
	want(t, c.undo(), "file.etc/a undone")
	c.bye()
	s.noGuardLeft()
}

func TestAnotherRunWaitsForAGuard(t *testing.T) {
	s := guardedSite(t)
	c := s.open()
	c.hello("r1")
	c.apply(guarded60(file("/etc/a", "new")))
	c.bye()
	other := s.open()
	r := other.hello("r2")
	if h := r.events[0].Hello; h == nil || h.Holder == nil || h.Holder.Run != "r1" || !strings.Contains(h.Holder.Owner, "anna, whose guard") {
		t.Fatalf("the other run was told %+v", r.events[0])
	}
	want(t, other.apply(file("/etc/b", "1")), "ERROR")
	other.bye()
	back := s.open()
	r = back.do(wire.Request{Hello: &wire.Hello{Run: "r4", Intent: wire.Change, TakesBack: []string{"r1"}}})
	if h := r.events[0].Hello; h.Holder != nil {
		t.Errorf("a rollback of the guarded run is refused: %+v", h.Holder)
	}
	back.bye()
	g := guard.Store{Dir: filepath.Join(s.config.State, "guard")}
	if err := g.Extend(guard.Moment{Boot: "boot-1", Micros: s.config.filled().Boottime()}, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	patient := s.open()
	r = patient.do(wire.Request{Hello: &wire.Hello{Run: "r3", Intent: wire.Change, LockTimeout: 10 * time.Second}})
	if g := guardOf(r); g == nil || g.State != wire.GuardUndone {
		t.Errorf("who waited was told %+v", r.events)
	}
	want(t, patient.apply(file("/etc/b", "1")), "file.etc/b applying, file.etc/b changed")
	patient.bye()
}

func TestARollbackDecidesTheGuard(t *testing.T) {
	s := guardedSite(t)
	c := s.open()
	c.hello("r1")
	c.apply(guarded60(file("/etc/a", "new")))
	c.bye()
	back := s.open()
	back.do(wire.Request{Hello: &wire.Hello{Run: "r2", Intent: wire.Change, TakesBack: []string{"r1"}}})
	r := back.do(wire.Request{Rollback: &wire.Rollback{Runs: []string{"r1"}}})
	want(t, r, "file.etc/a undone, run r1 undone 0/1")
	if g := guardOf(r); g == nil || g.State != wire.GuardReleased {
		t.Errorf("the guard is %+v", g)
	}
	back.bye()
	s.noGuardLeft()
}

func TestABootEndsTheTime(t *testing.T) {
	s := guardedSite(t)
	s.machine.WriteFile("/etc/a", "old")
	c := s.open()
	c.hello("r1")
	c.apply(guarded60(file("/etc/a", "new")))
	_ = c.cut()
	s.machine.Systemctl(host.Stop, guardUnit) // the power is gone
	s.machine.SetKernel("/proc/sys/kernel/random/boot_id", "boot-2")
	s.machine.WriteFile("/run/boot", "")
	s.machine.Systemctl(host.Start, guardUnit) // for it is enabled
	waitUntil(t, func() bool { text, _ := s.machine.File("/etc/a"); return text == "old" })
	waitUntil(t, func() bool { _, there := s.machine.File(guardFile); return !there })
}

func TestAGuardThatNobodyWatchedIsSeenToFirst(t *testing.T) {
	s := guardedSite(t)
	s.machine.WriteFile("/etc/a", "old")
	c := s.open()
	c.hello("r1")
	c.apply(guarded60(file("/etc/a", "new")))
	_ = c.cut()
	s.machine.Systemctl(host.Stop, guardUnit)
	store := guard.Store{Dir: filepath.Join(s.config.State, "guard")}
	if err := store.Extend(guard.Moment{Boot: "boot-1", Micros: 1}, 0); err != nil {
		t.Fatal(err)
	}
	next := s.open()
	r := next.hello("r2")
	if g := guardOf(r); g == nil || g.State != wire.GuardUndone || g.Undone != 1 {
		t.Fatalf("it was told %+v", r.events)
	}
	if text, _ := s.machine.File("/etc/a"); text != "old" {
		t.Errorf("the file holds %q when the greeting is answered", text)
	}
	if open := r.events[0].Hello.Open; len(open) > 0 {
		t.Errorf("still open: %v", open)
	}
	next.bye()
	s.noGuardLeft()
}

func TestAChangeOfTheWayIsGuarded(t *testing.T) {
	for name, c := range map[string]struct {
		way  Way
		link string
		want string
	}{
		"of the link that has the address": {Way{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")}, "eth0", "eth0 carries this session"},
		"of the bridge's port below it":    {Way{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.9")}, "eth1", "eth1 carries this session"},
		"of the link that the answers use": {Way{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("192.0.2.9")}, "eth2", "eth2 carries this session"},
		"of another link":                  {Way{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")}, "eth1", ""},
		"from this host":                   {Way{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.1")}, "eth0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := guardedSite(t)
			s.machine.AddLink("", host.Link{Name: "br0", Kind: "bridge", Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.9/24")}})
			s.machine.AddLink("", host.Link{Name: "eth1", Up: true, Master: "br0"})
			s.machine.AddLink("", host.Link{Name: "eth2", Up: true})
			s.machine.SetLink("", "eth2", host.LinkChange{AddRoutes: []host.Route{{Destination: netip.MustParsePrefix("203.0.113.0/24"), Link: "eth2"}}})
			s.config.Way = func() (Way, error) { return c.way, nil }
			session := s.open()
			session.hello("r1")
			r := session.apply(unitOf("severs", c.link, nil))
			g := guardOf(r)
			switch {
			case c.want == "" && g != nil:
				t.Errorf("it is guarded: %+v", g)
			case c.want != "" && (g == nil || g.Why != c.want || g.Time != guardTime):
				t.Errorf("the guard is %+v", g)
			}
			session.undo()
			session.bye()
		})
	}
}

func TestNoGuardNoChange(t *testing.T) {
	s := newSite(t)
	s.machine.OnUnit(guardUnit, func(_ *fake.Machine, verb host.UnitVerb) error {
		if verb == host.Start {
			return os.ErrPermission
		}
		return nil
	})
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
	s.noGuardLeft()
}

// dieAt makes the n-th effect, and all that come after it, not happen: to the
// host the runner is dead from there on.
func dieAt(s *site, n int) (died func() bool) {
	count := 0
	s.config.Host = host.Surround(s.machine.Host(), func(_ context.Context, _ host.Effect, act func() error) error {
		if count++; count >= n {
			return errors.New("killed")
		}
		return act()
	})
	return func() bool { return count >= n }
}

func TestKilledWhileAGuardIsArmed(t *testing.T) {
	for n := 1; ; n++ {
		s := guardedSite(t)
		before := s.machine.Snapshot()
		died := dieAt(s, n)
		c := s.open()
		c.hello("r1")
		c.apply(guarded60(file("/etc/a", "new")))
		_ = c.cut()
		s.config.Host = s.machine.Host()
		if !died() {
			if n < 5 {
				t.Fatalf("%d effects arm a guard and change a file", n-1)
			}
			return
		}
		next := s.open()
		r := next.do(wire.Request{Hello: &wire.Hello{Run: "r2", Intent: wire.Change, TakesBack: []string{"r1"}}})
		if h := r.events[0].Hello; r.failure() != "" || h.Holder != nil {
			t.Fatalf("killed at effect %d: the next was told %+v, %q", n, h, r.failure())
		}
		if n > 3 { // the guard stood: it goes with what is under it
			next.do(wire.Request{Rollback: &wire.Rollback{Runs: []string{"r1"}}})
		}
		next.bye()
		if after := s.machine.Snapshot(); after != before {
			t.Errorf("killed at effect %d, the machine is\n%s\nnot\n%s", n, after, before)
		}
		s.noGuardLeft()
	}
}

func TestAGuardThatNothingCameUnderIsNotKept(t *testing.T) {
	s := guardedSite(t)
	s.config.Host = host.Surround(s.machine.Host(), func(_ context.Context, e host.Effect, act func() error) error {
		if e.Object == "/etc/a" {
			return errors.New("refused")
		}
		return act()
	})
	c := s.open()
	c.hello("r1")
	r := c.apply(guarded60(file("/etc/a", "new")))
	want(t, r, "file.etc/a applying, file.etc/a failed")
	want(t, c.undo(), "file.etc/a undone")
	c.bye()
	s.noGuardLeft()

	s.config.OpenFile = func(string) (journal.File, error) { return nil, syscall.ENOSPC }
	c = s.open()
	c.hello("r2")
	c.apply(guarded60(file("/etc/b", "new"))) // it cannot be put on record
	_ = c.cut()
	s.noGuardLeft()
}

func TestParseWay(t *testing.T) {
	for value, want := range map[string]string{
		"192.0.2.1 50000 192.0.2.9 22":           "192.0.2.1 192.0.2.9",
		"::ffff:192.0.2.1 50000 192.0.2.9 22":    "192.0.2.1 192.0.2.9",
		"fe80::1%eth0 50000 fe80::2%eth0 22":     "fe80::1 fe80::2",
		"192.0.2.1 50000 192.0.2.9":              "",
		"somewhere 1 192.0.2.9 22":               "",
		"192.0.2.1 50000 $(reboot) 22":           "",
		"UNKNOWN 65535 UNKNOWN 65535":            "",
		"192.0.2.1 50000 2001:db8::9 22 trailer": "",
	} {
		way, err := parseWay(value)
		got := ""
		if err == nil {
			got = way.Client.String() + " " + way.Server.String()
		}
		if got != want {
			t.Errorf("%q is %q, %v; want %q", value, got, err, want)
		}
	}
}

func FuzzParseWay(f *testing.F) {
	f.Add("192.0.2.1 50000 192.0.2.9 22")
	f.Add("fe80::1%eth0 1 fe80::2%eth0 2")
	f.Fuzz(func(t *testing.T, value string) {
		way, err := parseWay(value)
		if err == nil && (!way.Client.IsValid() || !way.Server.IsValid() || way.Client.Zone() != "") {
			t.Fatalf("%q is %+v", value, way)
		}
	})
}

func TestNothingIsChangedUntilWordOfTheGuardArrived(t *testing.T) {
	s := guardedSite(t)
	s.config.Patience = time.Hour
	c := s.open()
	c.hello("r1")
	id := c.send(wire.Request{Apply: &wire.Apply{Play: "p", Units: []step.Unit{guarded60(file("/etc/a", "new"))}}})
	c.until(func(e wire.Event) bool { return e.Guard != nil })
	if _, there := s.machine.File("/etc/a"); there {
		t.Error("it did not wait")
	}
	c.send(wire.Request{Heartbeat: &wire.Heartbeat{}})
	want(t, c.wait(id), "file.etc/a applying, file.etc/a changed")
	want(t, c.undo(), "file.etc/a undone")
	c.bye()
}
