package onhost

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/wire"
)

// onceStep runs a program, and nothing tells afterwards that it did.
type onceStep struct {
	name string
	ran  bool
}

func (o *onceStep) Check(context.Context, host.View) (step.Finding, error) {
	f := step.Finding{Object: "once " + o.name, Blind: true}
	if !o.ran {
		f.Deltas = []step.Delta{step.Change("run", nil, true)}
	}
	return f, nil
}

func (o *onceStep) Apply(ctx context.Context, h host.Host, _ step.Finding) error {
	_, err := h.Commands.Run(ctx, host.Command{Argv: []string{o.name}})
	o.ran = err == nil
	return err
}

func (*onceStep) Undo(context.Context, host.Host, step.Finding) error { return nil }

// withOnce is a site with a program that counts how often it is run.
func withOnce(t *testing.T) (*site, *int) {
	s := newSite(t)
	kinds := testKinds()
	kinds["once"] = step.Kind{Name: "once", Make: func(u step.Unit) (step.Step, error) { return &onceStep{name: u.Name}, nil }}
	s.config.Table = kinds
	runs := 0
	s.machine.Program("count", func(*fake.Machine, host.Command) host.Result { runs++; return host.Result{} })
	return s, &runs
}

func TestWhatARunDidIsNotDoneAgainInIt(t *testing.T) {
	s, runs := withOnce(t)
	once := step.Unit{Address: "once.count", Kind: "once", Name: "count", Spec: []byte("{}")}
	c := s.open()
	c.hello("r1")
	want(t, c.apply(once, file("/etc/a", "1")), "once.count applying, once.count changed, file.etc/a applying, file.etc/a changed")
	_ = c.cut()

	c = s.open()
	c.hello("r1")
	want(t, c.check(once), "once.count ok")
	want(t, c.apply(once, file("/etc/a", "1")), "once.count ok, file.etc/a ok")
	c.bye()
	if *runs != 1 {
		t.Errorf("it ran %d times", *runs)
	}
	c = s.open()
	c.hello("r2")
	want(t, c.apply(once), "once.count applying, once.count changed")
	c.bye()
	if *runs != 2 {
		t.Errorf("with another run it ran %d times", *runs)
	}
}

func TestWhatARunWasCutAtIsNotBegunAgainInIt(t *testing.T) {
	s, runs := withOnce(t)
	once := step.Unit{Address: "once.count", Kind: "once", Name: "count", Spec: []byte("{}")}
	s.config.Host = host.Surround(s.machine.Host(), func(_ context.Context, _ host.Effect, act func() error) error {
		return errors.Join(act(), errors.New("and then the power went"))
	})
	c := s.open()
	c.hello("r1")
	c.apply(once)
	_ = c.cut()
	s.config.Host = s.machine.Host()

	c = s.open()
	c.hello("r1")
	u := c.apply(once).unit("once.count")
	if u.State != wire.Failed || !strings.Contains(u.Error, "not begun again") {
		t.Errorf("it is %s: %s", u.State, u.Error)
	}
	c.bye()
	if *runs != 1 {
		t.Errorf("it ran %d times", *runs)
	}
}

func TestAnUndoIsFinishedWithoutASession(t *testing.T) {
	s := newSite(t)
	before := s.machine.Snapshot()
	c := s.open()
	c.hello("r1")
	c.apply(file("/etc/a", "1"), file("/etc/b", "1"))
	c.bye()
	reached, release := holdAt(s, 1)
	c = s.open()
	c.hello("r2")
	c.send(wire.Request{Rollback: &wire.Rollback{Runs: []string{"r1"}}})
	<-reached
	c.stdin.Close()
	waitUntil(t, func() bool { return strings.Contains(s.log.String(), ErrCut.Error()) })
	release()
	<-c.ended
	if after := s.machine.Snapshot(); after != before {
		t.Errorf("the machine is\n%s\nnot\n%s", after, before)
	}
}

func TestAStepThatTakesTooLongFails(t *testing.T) {
	s := newSite(t)
	s.config.Host = host.Surround(s.machine.Host(), func(ctx context.Context, e host.Effect, act func() error) error {
		if e.Object == "/etc/slow" && e.Verb == "write" {
			<-ctx.Done()
			return ctx.Err()
		}
		return act()
	})
	slow := file("/etc/slow", "1")
	slow.Limit = 20 * time.Millisecond
	c := s.open()
	c.hello("r1")
	r := c.apply(file("/etc/a", "1"), slow, file("/etc/b", "1"))
	want(t, r, "file.etc/a applying, file.etc/a changed, file.etc/slow applying, file.etc/slow failed")
	if e := r.unit("file.etc/slow").Error; !strings.HasPrefix(e, "it took longer than its time_limit of 20ms: ") {
		t.Errorf("said %q", e)
	}
	want(t, c.undo(), "file.etc/slow undone, file.etc/a undone")
	c.bye()
}

func TestAStopThatDoesNotWait(t *testing.T) {
	s := newSite(t)
	reached := make(chan struct{})
	s.config.Host = host.Surround(s.machine.Host(), func(ctx context.Context, e host.Effect, act func() error) error {
		if e.Object == "/etc/hangs" && e.Verb == "write" {
			close(reached)
			<-ctx.Done()
			return ctx.Err()
		}
		return act()
	})
	c := s.open()
	c.hello("r1")
	id := c.send(wire.Request{Apply: &wire.Apply{Play: "p", Units: []step.Unit{file("/etc/a", "1"), file("/etc/hangs", "1"), file("/etc/b", "1")}}})
	<-reached
	c.send(wire.Request{Stop: &wire.Stop{Now: true}})
	want(t, c.wait(id), "file.etc/a applying, file.etc/a changed, file.etc/hangs applying, file.etc/hangs failed, file.etc/b stopped")
	want(t, c.undo(), "file.etc/hangs undone, file.etc/a undone")
	c.bye()
}

func TestAHeartbeatIsAnswered(t *testing.T) {
	s := newSite(t)
	reached, release := holdAt(s, 1)
	c := s.open()
	c.hello("r1")
	id := c.send(wire.Request{Apply: &wire.Apply{Play: "p", Units: []step.Unit{file("/etc/a", "1")}}})
	<-reached
	c.send(wire.Request{Heartbeat: &wire.Heartbeat{}})
	c.until(func(e wire.Event) bool { return e.Pulse != nil && e.ID == 0 })
	release()
	c.wait(id)
	c.bye()
}
