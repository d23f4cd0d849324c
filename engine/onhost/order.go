package onhost

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"weft/engine/onhost/journal"
	"weft/engine/onhost/lease"
	"weft/engine/wire"
)

// beat is how often a runner without a controller keeps its own lease.
const beat = 10 * time.Second

// An Order is what `weft-runner undo` is asked for. Its flags and its output
// are frozen: builds of different ages ask each other, and a host may be asked
// by hand.
type Order struct {
	Run  string
	Play string // only this play's changes; all where empty
	Half bool   // only what is half made
}

// Undo takes back what one run did, without a controller. Its events go out as
// lines of JSON, and the last is a Done:
//
//	{"id":0,"unit":{"address":"file.motd","state":"undone"}}
//	{"id":0,"need":{"need":{"verb":"restart","object":"ssh.service","reason":"file.sshd"}}}
//	{"id":0,"reboot":{"steps":["kernel_cmdline.hypervisor"],"boot":"…"}}
//	{"id":0,"run":{"run":"…","state":"undone",…}}
//	{"id":0,"done":{}}
//
// A reboot that is told of is left to whoever asked. It works under the lease of
// its parent process where that holds it, and else takes it. The error repeats that of the Done.
func Undo(ctx context.Context, c Config, o Order, out io.Writer) error {
	s := newSession(c, lineSink{json.NewEncoder(out)})
	release := context.AfterFunc(ctx, func() { s.gate.cut(context.Cause(ctx)) })
	defer release()
	free, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	s.gate.begin(1, cancel)
	err := s.obey(free, o)
	err = errors.Join(err, s.release())
	s.out.say(wire.Event{Done: &wire.Done{Error: text(err)}})
	return errors.Join(err, s.out.flush())
}

// lineSink writes events as lines of JSON.
type lineSink struct{ e *json.Encoder }

// Write writes one line an event.
func (l lineSink) Write(events ...wire.Event) error {
	for _, e := range events {
		if err := l.e.Encode(e); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) obey(ctx context.Context, o Order) error {
	if !journal.ValidRun(o.Run) {
		return errors.New("it takes the name of a run")
	}
	s.hello = &wire.Hello{Run: o.Run, Owner: "weft-runner undo", Intent: wire.Change}
	borrowed, isOurs := lease.Borrow(s.Runtime, os.Getppid())
	if isOurs {
		s.held = borrowed
		s.gate.hold(borrowed)
	} else {
		answer := &wire.HelloEvent{}
		if err := s.takeLease(ctx, 0, answer); err != nil {
			return err
		}
		if s.held == nil {
			return s.mayNotChange()
		}
		defer s.keepBeating(undoTime)()
	}
	s.readBoot(ctx)
	if err := s.readJournals(); err != nil {
		return err
	}
	j, err := s.journalOf(o.Run)
	if err != nil {
		return err
	}
	if !isOurs { // else the parent has seen to that
		if err := s.covered(j, []string{o.Run}, o.Play); err != nil {
			return err
		}
	}
	err = s.takeBack(ctx, j, func(r *journal.Record) bool {
		return inPlay(o.Play)(r) && (!o.Half || r.HalfMade())
	})
	if err == nil && s.wantsBoot() {
		err = s.noteBoots()
		s.sayBoot(ctx)
	}
	s.out.say(wire.Event{Run: runEvent(j)})
	return err
}

// keepBeating keeps the lease until the returned function is called, or a time
// is over.
func (s *session) keepBeating(limit time.Duration) (stop func()) {
	done := make(chan struct{})
	every := beat
	if s.hello != nil && s.hello.LeaseTime > 0 {
		every = min(beat, s.hello.LeaseTime/3)
	}
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		over := time.After(limit)
		for {
			select {
			case <-done:
				return
			case <-over:
				return
			case <-tick.C:
				if err := s.gate.beat(); err != nil {
					s.logf("keep the lease: %v", err)
				}
			}
		}
	}()
	return func() { close(done) }
}
