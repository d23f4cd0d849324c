package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"weft/engine/language"
	"weft/engine/wire"
)

// A Conn is a runner at work on a host.
type Conn interface {
	Write(requests ...wire.Request) error
	// Read returns the next event; any error means that the connection is
	// gone.
	Read() (wire.Event, error)
	Close() error
}

// A Connector reaches hosts.
type Connector interface {
	// Connect starts the runner on a host with its first requests, which
	// travel with the start: a host that has the runner costs one round
	// trip. A host that cannot be had is an [*UnreachableError].
	Connect(ctx context.Context, h *language.Host, first []wire.Request) (Conn, error)
	// ConnectAnew does the same and shares no connection with what was
	// connected before, those to jump hosts included: it shows that there is
	// a way to the host now.
	ConnectAnew(ctx context.Context, h *language.Host, first []wire.Request) (Conn, error)
}

// An UnreachableError says why there is no runner to speak to on a host, and
// what the operator does next.
type UnreachableError struct {
	Address string // that was tried, "address:port"; may be empty
	Says    string
	Hint    string
	Err     error
}

func (e *UnreachableError) Error() string {
	if e.Address == "" {
		return e.Says
	}
	return e.Address + ": " + e.Says
}

// Unwrap returns what the transport said.
func (e *UnreachableError) Unwrap() error { return e.Err }

// A LostError says that the connection to a host broke after it had been
// there.
type LostError struct{ Err error }

func (e *LostError) Error() string {
	if errors.Is(e.Err, io.EOF) || errors.Is(e.Err, io.ErrUnexpectedEOF) {
		return "the connection to the host was cut"
	}
	return fmt.Sprintf("the connection to the host was cut: %v", e.Err)
}

// Unwrap returns what the connection said.
func (e *LostError) Unwrap() error { return e.Err }

// A RefusedError is the runner's word that it could not serve a request.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// session is a conversation with one host. Calls are made one after the other;
// Stop and the heartbeat come in between.
type session struct {
	conn   Conn
	quit   chan struct{} // closed when the session ends
	next   int           // id of the last request that has one
	once   sync.Once
	events chan wire.Event // closed when the connection is gone
	broke  error           // why, set before events is closed

	began   time.Time
	heard   atomic.Int64 // when the runner was heard last, in nanoseconds since then
	handing atomic.Bool  // an event waits for who listens
	silent  atomic.Int64 // for how long nothing was heard, where that ended it
}

// open connects to a host with the first requests; await hears the answers.
func open(ctx context.Context, connect connectFunc, h *language.Host, first []wire.Request) (*session, error) {
	number(first, 0)
	conn, err := connect(ctx, h, first)
	if err != nil {
		return nil, err
	}
	return newSession(conn, len(first)), nil
}

// connectFunc is one of a Connector's two ways.
type connectFunc func(context.Context, *language.Host, []wire.Request) (Conn, error)

// newSession listens to a connection over which so many requests went.
func newSession(conn Conn, sent int) *session {
	s := &session{conn: conn, next: sent, quit: make(chan struct{}), events: make(chan wire.Event), began: time.Now()}
	go s.listen()
	return s
}

// listen reads all the time, so that a sign of life is seen while nothing is
// asked too.
func (s *session) listen() {
	defer close(s.events)
	for {
		e, err := s.conn.Read()
		if err != nil {
			s.broke = err
			return
		}
		if e.Pulse == nil {
			s.handing.Store(true)
			s.events <- e
			s.handing.Store(false)
		}
		s.heard.Store(int64(time.Since(s.began)))
	}
}

// number gives requests the ids after last.
func number(requests []wire.Request, last int) {
	for i := range requests {
		requests[i].ID = last + i + 1
	}
}

// call sends requests in one write and hands every event to each until the
// last of them is done. The first request that is refused ends with a
// [*RefusedError], after all have been answered. When ctx ends, the runner is
// told to stop after the effect in flight, and the answers are still awaited.
func (s *session) call(ctx context.Context, each func(wire.Event), requests ...wire.Request) error {
	number(requests, s.next)
	s.next += len(requests)
	if err := s.conn.Write(requests...); err != nil {
		return s.lost(err)
	}
	return s.await(ctx, each)
}

// await hears the answers to all requests that were sent.
func (s *session) await(ctx context.Context, each func(wire.Event)) error {
	defer context.AfterFunc(ctx, func() {
		over := errors.As(context.Cause(ctx), new(*TimeLimitError)) // nobody waits for what hangs then
		_ = s.conn.Write(wire.Request{Stop: &wire.Stop{Now: over}})
	})()
	var refused error
	for e := range s.events {
		each(e)
		if e.Done == nil {
			continue
		}
		if e.Done.Error != "" && refused == nil {
			refused = &RefusedError{e.Done.Error}
		}
		if e.ID >= s.next {
			return refused
		}
	}
	return s.lost(s.broke)
}

// lost looks for the reason that the connection itself may know better: the
// runner's stderr, the noise that came instead of the protocol.
func (s *session) lost(err error) error {
	if silent := time.Duration(s.silent.Load()); silent > 0 {
		return &LostError{fmt.Errorf("nothing was heard from the runner for %s", silent)}
	}
	c, ok := s.conn.(interface{ Reason() error })
	if !ok {
		return &LostError{err}
	}
	reason := make(chan error, 1)
	go func() { reason <- c.Reason() }() // a runner that hangs has none
	select {
	case better := <-reason:
		if better != nil {
			err = better
		}
	case <-time.After(patience):
	}
	return &LostError{err}
}

// patience is how long a runner may take to say goodbye: it closes its journals
// and releases the lease. One that hangs loses the lease by silence.
const patience = 5 * time.Second

// bye releases the lease and closes the connection.
func (s *session) bye(patience time.Duration) {
	s.once.Do(func() {
		close(s.quit)
		// A write into a dead connection hangs as a read does; closing it ends
		// both.
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if s.conn.Write(wire.Request{Bye: &wire.Bye{}}) == nil {
				s.drain()
			}
		}()
		select {
		case <-gone:
		case <-time.After(patience):
		}
		_ = s.conn.Close()
		go s.drain()
	})
}

// cut closes a connection that is of no use any more.
func (s *session) cut() {
	s.once.Do(func() {
		close(s.quit)
		_ = s.conn.Close()
		go s.drain()
	})
}

// alive says whether the session was not ended from this side.
func (s *session) alive() bool {
	select {
	case <-s.quit:
		return false
	default:
		return true
	}
}

// drain hears the rest, which nobody waits for.
func (s *session) drain() {
	for range s.events {
	}
}
