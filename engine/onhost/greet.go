package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"weft/engine/onhost/journal"
	"weft/engine/onhost/lease"
	"weft/engine/onhost/private"
	"weft/engine/wire"
)

// greet opens the session: the lease, what earlier runs left, the facts.
func (s *session) greet(ctx context.Context, h wire.Hello) error {
	if s.hello != nil {
		return errors.New("a second hello in one session")
	}
	if !journal.ValidRun(h.Run) {
		return fmt.Errorf("%q cannot be the name of a run", h.Run)
	}
	s.hello = &h
	s.refused = s.meet(ctx, h)
	return s.refused
}

// meet takes what the greeting asks for, and answers it.
func (s *session) meet(ctx context.Context, h wire.Hello) error {
	s.readBoot(ctx)
	up, err := s.isUp(ctx)
	if err != nil {
		s.logf("whether the machine is up: %v", err)
	}
	answer := &wire.HelloEvent{Boot: s.boot, Booting: !up}
	if h.Intent == wire.Change {
		if err := s.takeHost(ctx, answer); err != nil {
			return err
		}
	}
	if err := s.readJournals(); err != nil {
		return err
	}
	if err := s.meetGuard(ctx, answer); err != nil {
		return err
	}
	if s.held != nil && s.own.Runner != s.Digest {
		return fmt.Errorf("run %s was begun by another build of weft, which alone can take it back; begin a new run", h.Run)
	}
	answer.Changed = s.alreadyChanged()
	for _, j := range s.left {
		if !j.Open() { // a guard has seen to it
			continue
		}
		answer.Open = append(answer.Open, j.Header.Run)
	}
	if h.Facts {
		answer.Facts, err = s.facts(ctx)
		answer.Clock = time.Now().UTC()
	}
	s.out.say(wire.Event{Hello: answer})
	return err
}

func (s *session) takeLease(ctx context.Context, wait time.Duration, answer *wire.HelloEvent) error {
	if err := private.Make(s.State); err != nil { // before anything in it is believed
		return err
	}
	held, over, err := lease.Take(ctx, s.Runtime, lease.Terms{
		Run: s.hello.Run, Owner: s.hello.Owner, Controller: s.hello.Controller, Time: s.hello.LeaseTime, Wait: wait, Patience: s.chance,
		OnWait: func(holder wire.Lease) { s.out.now(wire.Event{Wait: &wire.WaitEvent{Holder: holder}}) },
	})
	var busy *lease.BusyError
	if errors.As(err, &busy) {
		s.busy, answer.Holder = &busy.Holder, &busy.Holder
		return nil
	}
	if err != nil {
		return fmt.Errorf("take the lease: %w", err)
	}
	s.held, answer.TookOver = held, over
	s.gate.hold(held)
	if over != nil {
		s.logf("took the lease over from run %s of %s", over.Run, over.Owner)
	}
	return nil
}

// readBoot learns which boot this is.
func (s *session) readBoot(ctx context.Context) {
	boot, err := s.Host.Kernel.Get(ctx, "/proc/sys/kernel/random/boot_id")
	if err != nil {
		s.logf("no boot id: %v", err)
	}
	s.boot = boot
}

// readJournals finds what earlier runs left open, and this run's own journal.
func (s *session) readJournals() (err error) {
	if err := s.readLeft(); err != nil {
		return err
	}
	s.own, err = s.store.Run(journal.Header{
		Run: s.hello.Run, Owner: s.hello.Owner, Site: s.hello.Site, Playbook: s.hello.Playbook,
		Host: s.hello.Host, Runner: s.Digest, Began: time.Now().UTC(),
	})
	if err != nil {
		return err
	}
	s.ownBefore = len(s.own.Records)
	return nil
}

// readLeft finds what runs left open that are over: not this one, and not the
// one that is at work while this session looks, or works under its lease.
func (s *session) readLeft() error {
	names, err := s.store.Marked()
	if err != nil || len(names) == 0 {
		return err
	}
	atWork := ""
	if holder := lease.Current(s.Runtime); holder != nil {
		atWork = holder.Run
	}
	for _, run := range names {
		if run == s.hello.Run || run == atWork {
			continue
		}
		j, err := s.store.Load(run)
		switch {
		case errors.Is(err, fs.ErrNotExist) && s.held == nil: // cut before its first line
		case errors.Is(err, fs.ErrNotExist):
			if err := s.store.Drop(run); err != nil {
				return err
			}
		case err != nil && s.held == nil:
			s.logf("%v", err)
		case err != nil:
			return fmt.Errorf("%w; to go on without what it remembers, remove %s", err, s.store.Mark(run))
		case j.Open():
			if s.held != nil {
				if err := s.bootedMeanwhile(j); err != nil {
					return err
				}
			}
			s.left = append(s.left, j)
		case s.held != nil: // cut between its last line and its end
			if err := j.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}
