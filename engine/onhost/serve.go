package onhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
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
	// BootTime is how long a machine may take from its first answer after a
	// boot to its default target; five minutes where zero.
	BootTime time.Duration

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
	if c.BootTime == 0 {
		c.BootTime = 5 * time.Minute
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
	release := context.AfterFunc(ctx, func() {
		if _, err := s.guards().Expired(); err == nil { // its process has asked this one to end
			s.gate.expire()
		}
		s.gate.cut(context.Cause(ctx))
	})
	defer release()
	// An effect must outlive ctx, so what is under way has a context of its
	// own, which the gate cancels between two effects.
	err := s.serve(context.WithoutCancel(ctx), inbox)
	return errors.Join(err, s.end())
}

// A session is one controller's, and its fields belong to the goroutine that
// serves requests, but for gate, held, out and arriving, which know locks.
type session struct {
	Config
	store journal.Store
	out   *mouth
	line  sink // what out speaks into, and safe for several goroutines
	// beaten takes a token for a heartbeat.
	beaten chan struct{}
	gate   *gate
	// logging is held where a line for people is written: steps may be under way at once.
	logging sync.Mutex

	hello   *wire.Hello // nil before the first request
	held    keeper      // nil unless this session may change the host
	refused error       // why the greeting was; nothing else is served then
	busy    *wire.Lease // who may, where this session wanted to

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
	settlers []*unit // of these, those that settle a need, or did
	waiting  []waiting
	changed  bool // something was changed in this session
	disrupts bool // what hits virtual machines is allowed

	boots       []raised // what the last request wanted the machine to boot for
	bootsOthers []string // the steps of other builds' runs that it wanted one for
	toldPending bool     // that a reboot is left to others

	// ownBefore is how many records this run had when the session began.
	ownBefore int
	tookBack  bool               // it was asked to, so undos that were killed before may have left what was kept for them
	rolled    []*journal.Journal // of the runs that were rolled back
	lineage   lineage            // of the rollback under way

	arriving arrivals // from other hosts
}

func newSession(c Config, out sink) *session {
	c = c.filled()
	s := &session{
		Config: c,
		store:  journal.Store{Dir: c.State, OpenFile: c.OpenFile},
		gate:   &gate{},
		line:   out,
		beaten: make(chan struct{}, 1),
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
	if r.Hello == nil && s.refused != nil {
		return fmt.Errorf("the greeting was refused: %w", s.refused)
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
	case r.Topology != nil:
		return s.topology(ctx)
	case r.Exec != nil:
		return s.exec(ctx, *r.Exec)
	case r.Ask != nil:
		return s.ask(ctx, *r.Ask)
	case r.Read != nil:
		return s.read(ctx, *r.Read)
	}
	if s.held == nil {
		return s.mayNotChange()
	}
	switch {
	case r.Apply != nil:
		return s.apply(ctx, *r.Apply)
	case r.EndPlay != nil:
		return s.endPlay(ctx, *r.EndPlay)
	case r.Reboot != nil:
		return s.reboot(ctx)
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
	line := s.out.scrub.Text(fmt.Sprintf(format, args...))
	s.logging.Lock()
	defer s.logging.Unlock()
	fmt.Fprintln(s.Log, line)
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
