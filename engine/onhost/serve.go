package onhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"weft/engine/host"
	"weft/engine/onhost/guard"
	"weft/engine/onhost/journal"
	"weft/engine/onhost/lease"
	"weft/engine/onhost/scrub"
	"weft/engine/step"
	"weft/engine/wire"
)

// Config is what a runner is made of.
type Config struct {
	Table   step.Table
	Host    host.Host
	State   string // directory that survives a reboot: /var/lib/weft
	Runtime string // directory that does not: /run/weft
	Digest  string // of the runner's bytes; journals name it

	// Monotonic is CLOCK_MONOTONIC in microseconds, compared with what the
	// Units door says of a unit's start. Nil is the real clock.
	Monotonic func() int64
	// Boottime is CLOCK_BOOTTIME in microseconds. Nil is the real clock.
	Boottime func() int64
	// Way tells by which connection the session came. Nil asks the
	// environment of this process and of those above it.
	Way func() (Way, error)
	// Moment is how long a service must have run to count as running; a
	// second where zero.
	Moment time.Duration
	// Patience is how long a change that needs a moment to be seen (after a
	// restart, say) is waited for; ten seconds where zero.
	Patience time.Duration

	// Log takes lines for people; nil drops them.
	Log io.Writer

	// OpenFile opens the journal's files; nil is the real one. Tests fill the
	// disk here, and see every boundary at which a runner may be killed.
	OpenFile func(path string) (journal.File, error)
}

func (c Config) filled() Config {
	if c.Monotonic == nil {
		c.Monotonic = lease.Monotonic
	}
	if c.Boottime == nil {
		c.Boottime = lease.Boottime
	}
	if c.Way == nil {
		c.Way = sshWay
	}
	if c.Moment == 0 {
		c.Moment = time.Second
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	if c.Host.Memo == nil {
		c.Host.Memo = &host.Memo{}
	}
	return c
}

// ErrCut says that the controller was gone before it said goodbye. What was
// under way ended after the effect in flight, and the journal says where.
var ErrCut = errors.New("the session was cut")

// Serve holds one session: it reads requests from in and writes events to out
// until the controller says Bye, the stream ends or ctx is done. The lease is
// released and the journals are closed in any case. The error is nil after
// Bye, and wraps [ErrCut] where the stream ended without.
//
// When ctx is done the effect in flight finishes, and no other begins. A read
// from in may still be under way when Serve returns; closing in ends it.
func Serve(ctx context.Context, in io.Reader, out io.Writer, c Config) error {
	s := newSession(c, wire.NewWriter[wire.Event](out))
	inbox := newInbox()
	s.gate.wake = inbox.close
	go s.listen(wire.NewReader[wire.Request](in), inbox)
	release := context.AfterFunc(ctx, func() { s.gate.cut(context.Cause(ctx)) })
	defer release()
	// An effect must outlive ctx, so what is under way has a context of its
	// own, which the gate cancels between two effects.
	err := s.serve(context.WithoutCancel(ctx), inbox)
	return errors.Join(err, s.end())
}

// A session is one controller's, and its fields belong to the goroutine that
// serves requests, but for gate, held and out, which know locks.
type session struct {
	Config
	store journal.Store
	out   *mouth
	line  sink // what out speaks into, and safe for several goroutines
	gate  *gate

	hello *wire.Hello // nil before the first request
	held  keeper      // nil unless this session may change the host
	busy  *wire.Lease // who may, where this session wanted to

	boot     string
	began    int64              // when the session did, on the clock of deadlines
	armed    *guard.Armed       // the guard of this run that stands; nil without
	endWhole func()             // ends the time in which a cut waits; nil without
	toTell   bool               // the greeting told of a guard that expired
	chance   time.Duration      // of this run's own runner to end, where a guard expired; else zero
	own      *journal.Journal   // of this run
	left     []*journal.Journal // of earlier runs that left something open
	units    map[string]*unit
	known    []*unit // the same, in the order they were first seen
	waiting  []waiting
	changed  bool // something was changed in this session

	// ownBefore is how many records this run had when the session began.
	ownBefore int
	rolled    []*journal.Journal // of the runs that were rolled back
	lineage   lineage            // of the rollback under way
}

func newSession(c Config, out sink) *session {
	c = c.filled()
	s := &session{
		Config: c,
		store:  journal.Store{Dir: c.State, OpenFile: c.OpenFile},
		gate:   &gate{},
		line:   out,
		units:  map[string]*unit{},
	}
	s.began = s.Boottime()
	s.out = &mouth{w: out, scrub: &scrub.Scrubber{}, broken: s.gate.cut}
	return s
}

// serve takes requests in order until one is Bye.
func (s *session) serve(ctx context.Context, inbox *inbox) error {
	for {
		r, ok := inbox.next()
		if !ok {
			return s.gate.cutBy()
		}
		if r.request.Bye != nil {
			s.toldOfGuard()
			s.out.say(wire.Event{ID: r.request.ID, Done: &wire.Done{Error: text(s.release())}})
			return s.out.flush()
		}
		s.one(ctx, r)
		if err := s.gate.cutBy(); err != nil {
			return err
		}
	}
}

// one serves a request.
func (s *session) one(ctx context.Context, r numbered) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.gate.begin(r.number, cancel)
	s.out.id = r.request.ID
	err := s.dispatch(ctx, r.request)
	if s.endWhole != nil {
		s.endWhole()
	}
	s.out.say(wire.Event{Done: &wire.Done{Error: text(err)}})
	if err := s.out.flush(); err != nil {
		s.gate.cut(fmt.Errorf("%w: %w", ErrCut, err))
	}
}

func (s *session) dispatch(ctx context.Context, r wire.Request) error {
	if r.Hello == nil && s.hello == nil {
		return errors.New("a request before hello")
	}
	switch {
	case r.Hello != nil:
		return s.greet(ctx, *r.Hello)
	case r.Check != nil:
		return s.check(ctx, *r.Check)
	case r.Probe != nil:
		return s.probe(ctx, *r.Probe)
	case r.Commit != nil:
		return s.commit(ctx, *r.Commit)
	case r.Extend != nil:
		return s.extend(*r.Extend)
	case r.Runs != nil:
		return s.listRuns()
	case r.Exec != nil:
		return s.exec(ctx, *r.Exec)
	}
	if s.held == nil {
		return s.mayNotChange()
	}
	switch {
	case r.Apply != nil:
		return s.apply(ctx, *r.Apply)
	case r.EndPlay != nil:
		return s.endPlay(ctx, *r.EndPlay)
	case r.UndoPlay != nil:
		return s.undoPlay(ctx, *r.UndoPlay)
	case r.Rollback != nil:
		return s.rollback(ctx, *r.Rollback)
	}
	return errors.New("a request that asks for nothing")
}

func (s *session) mayNotChange() error {
	if s.busy != nil {
		return &lease.BusyError{Holder: *s.busy}
	}
	return errors.New("this session is for looking only")
}

// greet opens the session: the lease, what earlier runs left, the facts.
func (s *session) greet(ctx context.Context, h wire.Hello) error {
	if s.hello != nil {
		return errors.New("a second hello in one session")
	}
	if !journal.ValidRun(h.Run) {
		return fmt.Errorf("%q cannot be the name of a run", h.Run)
	}
	s.out.scrub.Add(h.Secrets...)
	s.hello = &h
	answer := &wire.HelloEvent{}
	s.readBoot(ctx)
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
	var err error
	if h.Facts {
		answer.Facts, err = s.facts(ctx)
	}
	s.out.say(wire.Event{Hello: answer})
	return err
}

func (s *session) takeLease(ctx context.Context, wait time.Duration, answer *wire.HelloEvent) error {
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
// one that is at work while this session looks.
func (s *session) readLeft() error {
	names, err := s.store.Marked()
	if err != nil || len(names) == 0 {
		return err
	}
	atWork := ""
	if s.held == nil {
		if holder := lease.Current(s.Runtime); holder != nil {
			atWork = holder.Run
		}
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
			s.left = append(s.left, j)
		case s.held != nil: // cut between its last line and its end
			if err := j.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// release closes the journals and gives back the lease.
func (s *session) release() error {
	if s.held == nil {
		return nil
	}
	err := errors.Join(s.closeJournals(), s.held.Release())
	s.gate.hold(nil)
	s.held = nil
	return err
}

// end is release for the session that was cut; after Bye nothing is left to
// do.
func (s *session) end() error {
	err := s.release()
	if err != nil {
		s.logf("end: %v", err)
	}
	return err
}

// logf writes a line for people.
func (s *session) logf(format string, args ...any) {
	fmt.Fprintln(s.Log, s.out.scrub.Text(fmt.Sprintf(format, args...)))
}

// moment is now, as journals note it.
func (s *session) moment() journal.Moment {
	return journal.Moment{Boot: s.boot, Micros: s.Monotonic()}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
