package onhost

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/step"
	"weft/engine/wire"
)

// holdAt makes the n-th effect wait until release is called. reached is closed
// when it is under way.
func holdAt(s *site, n int) (reached <-chan struct{}, release func()) {
	at, go_ := make(chan struct{}), make(chan struct{})
	count := 0
	s.config.Host = host.Surround(s.machine.Host(), func(_ context.Context, _ host.Effect, act func() error) error {
		if count++; count == n {
			close(at)
			<-go_
		}
		return act()
	})
	return at, func() { close(go_) }
}

func TestStopFinishesTheEffectInFlight(t *testing.T) {
	s := newSite(t)
	reached, release := holdAt(s, 2)
	c := s.open()
	c.hello("r1")
	many := files("/etc", map[string]string{"a": "1", "b": "1", "c": "1"})
	id := c.send(wire.Request{Apply: &wire.Apply{Play: "p", Units: []step.Unit{many, file("/etc/z", "1")}}})
	<-reached
	c.send(wire.Request{Stop: &wire.Stop{}})
	c.send(wire.Request{Heartbeat: &wire.Heartbeat{}}) // is read after the stop was seen to
	release()
	r := c.wait(id)
	want(t, r, "files.many applying, files.many failed, file.etc/z stopped")
	if e := r.unit("files.many").Error; !strings.Contains(e, "stopped half-way") {
		t.Errorf("said %q", e)
	}
	for name, there := range map[string]bool{"/etc/a": true, "/etc/b": true, "/etc/c": false, "/etc/z": false} {
		if _, is := s.machine.File(name); is != there {
			t.Errorf("%s is there: %v", name, is)
		}
	}
	want(t, c.undo(), "files.many undone") // a stop ends one request, not the session
	c.bye()
}

func TestACutSessionFinishesTheEffectInFlight(t *testing.T) {
	for name, cut := range map[string]func(*client){
		"the stream ends":        func(c *client) { c.stdin.Close() },
		"nobody reads any more":  func(c *client) { c.stdout.Close() },
		"the stream is nonsense": func(c *client) { _, _ = c.stdin.(io.Writer).Write([]byte("\xff\xff\xff\xff")) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			reached, release := holdAt(s, 2)
			c := s.open()
			c.hello("r1")
			many := files("/etc", map[string]string{"a": "1", "b": "1", "c": "1"})
			c.send(wire.Request{Apply: &wire.Apply{Play: "p", Units: []step.Unit{many, file("/etc/z", "1")}}})
			<-reached
			cut(c)
			if name != "nobody reads any more" {
				waitUntil(t, func() bool { return strings.Contains(s.log.String(), ErrCut.Error()) })
			}
			release()
			if err := <-c.ended; !errors.Is(err, ErrCut) {
				t.Errorf("the session ended with %v", err)
			}
			if _, there := s.machine.File("/etc/b"); !there {
				t.Error("the effect in flight was not finished")
			}
			if _, there := s.machine.File("/etc/z"); there {
				t.Error("another step was begun")
			}
			mustNotExist(t, s.config.Runtime+"/lease")
			s.config.Host = s.machine.Host()
			c = s.open()
			c.hello("r2")
			c.apply(many)
			c.bye()
			c = s.open()
			if h := c.hello("r3").events[0].Hello; len(h.Open) != 0 {
				t.Errorf("open: %v", h.Open)
			}
			c.bye()
		})
	}
}

func TestContextDoneIsACut(t *testing.T) {
	s := newSite(t)
	ctx, cancel := context.WithCancel(context.Background())
	inR, inW := io.Pipe()
	defer inW.Close()
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, inR, io.Discard, s.config) }()
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, ErrCut) || !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("it did not end")
	}
}

func TestAnotherHoldsTheLease(t *testing.T) {
	s := newSite(t)
	first := s.open()
	first.hello("r1")
	second := s.open()
	h := second.hello("r2").events[0].Hello
	if h.Holder == nil || h.Holder.Run != "r1" || h.Holder.Owner != "anna" {
		t.Fatalf("holder: %+v", h.Holder)
	}
	want(t, second.check(file("/etc/a", "1")), "file.etc/a planned")
	r := second.apply(file("/etc/a", "1"))
	want(t, r, "ERROR")
	if !strings.Contains(r.failure(), "anna") || !strings.Contains(r.failure(), "r1") {
		t.Errorf("said %q", r.failure())
	}
	second.bye()

	third := s.open()
	id := third.send(wire.Request{Hello: &wire.Hello{Run: "r3", Intent: wire.Change, LockTimeout: time.Minute}})
	third.until(func(e wire.Event) bool { return e.Wait != nil && e.Wait.Holder.Run == "r1" })
	first.bye()
	if h := third.wait(id).events; h[len(h)-2].Hello == nil || h[len(h)-2].Hello.Holder != nil {
		t.Errorf("after the wait: %+v", h)
	}
	want(t, third.apply(file("/etc/a", "1")), "file.etc/a applying, file.etc/a changed")
	third.bye()
}

func TestNothingIsBegunWithoutHeartbeats(t *testing.T) {
	s := newSite(t)
	c := s.open()
	c.do(wire.Request{Hello: &wire.Hello{Run: "r1", Intent: wire.Change, LeaseTime: 30 * time.Millisecond}})
	lost := func() bool {
		return strings.Contains(c.apply(file("/etc/a", "1")).unit("file.etc/a").Error, "nothing was heard")
	}
	waitUntil(t, func() bool { defer s.machine.Remove("/etc/a"); return lost() })
	c.send(wire.Request{Heartbeat: &wire.Heartbeat{}})
	waitUntil(t, func() bool {
		c.send(wire.Request{Heartbeat: &wire.Heartbeat{}})
		return c.apply(file("/etc/b", "1")).unit("file.etc/b").State == wire.Changed
	})
	c.bye()
}

// waitUntil waits for a condition.
func waitUntil(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
		time.Sleep(time.Millisecond)
	}
}
