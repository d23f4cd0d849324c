package onhost

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"weft/engine/wire"
)

// numbered is a request with its place in the session, counted from 1.
type numbered struct {
	number  uint64
	request wire.Request
}

// An inbox holds the requests that wait their turn. It has no bound: whoever
// sends them is the one they are served for, and a heartbeat must not wait.
type inbox struct {
	mu     sync.Mutex
	ready  sync.Cond
	queue  []numbered
	count  uint64
	closed bool
}

func newInbox() *inbox {
	b := &inbox{}
	b.ready.L = &b.mu
	return b
}

func (b *inbox) put(r wire.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count++
	b.queue = append(b.queue, numbered{number: b.count, request: r})
	b.ready.Signal()
}

// last is the number of the latest request.
func (b *inbox) last() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.ready.Signal()
}

// next waits for a request; there is none once the inbox is closed.
func (b *inbox) next() (numbered, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) == 0 && !b.closed {
		b.ready.Wait()
	}
	if b.closed {
		return numbered{}, false
	}
	r := b.queue[0]
	b.queue = b.queue[1:]
	return r, true
}

// listen reads requests. Heartbeats and stops are seen to at once; after Bye
// nothing more is read, so that the end of the stream is no cut then.
func (s *session) listen(r *wire.Reader[wire.Request], b *inbox) {
	for {
		m, err := r.Read()
		switch {
		case err != nil:
			if !errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w: %w", ErrCut, err)
			} else {
				err = ErrCut
			}
			s.gate.cut(err)
			s.arriving.nudge()
			s.logf("%v", err)
			return
		case m.Heartbeat != nil:
			select {
			case s.beaten <- struct{}{}:
			default: // nobody has asked since the last one
			}
			if err := s.gate.beat(); err != nil {
				s.logf("heartbeat: %v", err)
			}
			if err := s.line.Write(wire.Event{Pulse: &wire.Pulse{}}); err != nil {
				s.gate.cut(fmt.Errorf("%w: %w", ErrCut, err))
			}
		case m.Part != nil:
			s.takePart(*m.Part)
		case m.Stop != nil:
			if m.Stop.Now {
				s.gate.stopNow(b.last())
			} else {
				s.gate.stop(b.last())
			}
			s.arriving.nudge()
		default:
			b.put(m)
			if m.Bye != nil {
				return
			}
		}
	}
}
