package onhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"weft/engine/host"
	"weft/engine/wire"
)

// look is how often whoever waits for a file looks whether it can still come.
const look = 200 * time.Millisecond

// arrivals are the files that come from other hosts, one at a time. Parts are
// put in by the goroutine that reads requests, and taken by the one that serves
// them. No more lie here than were asked for, whatever a controller sends.
type arrivals struct {
	mu     sync.Mutex
	number int // of the file that is wanted
	open   bool
	upto   int64 // what was asked for
	size   int64 // of the file, as its first part says; -1 before
	at     int64 // how much of it came
	over   bool  // nothing more is taken: it was said why, or that it ends
	parts  []wire.Part
	news   chan struct{} // holds one where something came
}

// put takes in a part. What is left of another file is dropped, and so is what
// comes after an end.
func (a *arrivals) put(p wire.Part) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.open || a.over || p.Number != a.number {
		return
	}
	if p.Error == "" {
		if a.size < 0 {
			a.size = p.Size
		}
		if why := a.wrong(p); why != "" {
			p = wire.Part{Error: why}
		}
	}
	p.Version = "" // means nothing here
	a.over = p.Error != "" || len(p.Bytes) == 0
	a.at += int64(len(p.Bytes))
	if last := len(a.parts) - 1; last >= 0 && !a.over && len(a.parts[last].Bytes)+len(p.Bytes) <= wire.PartSize {
		a.parts[last].Bytes = append(a.parts[last].Bytes, p.Bytes...) // many small ones are not kept one by one
	} else {
		a.parts = append(a.parts, p)
	}
	a.tell()
}

// wrong says why a part cannot be one of the file.
func (a *arrivals) wrong(p wire.Part) string {
	end := a.at + int64(len(p.Bytes))
	switch {
	case p.At != a.at:
		return fmt.Sprintf("its bytes came from %d on, not from %d", p.At, a.at)
	case p.Size < 0:
		return fmt.Sprintf("it is of %d bytes", p.Size)
	case p.Size != a.size:
		return fmt.Sprintf("it is of %d bytes, and then of %d", a.size, p.Size)
	case end > a.size:
		return fmt.Sprintf("%d bytes of it came, and it has %d", end, a.size)
	case end > a.upto:
		return fmt.Sprintf("%d bytes of it came, and %d were asked for", end, a.upto)
	}
	return ""
}

// allow makes room for the file up to there.
func (a *arrivals) allow(upto int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.upto = upto
}

// nudge has whoever waits for a part look whether it can still come.
func (a *arrivals) nudge() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tell()
}

func (a *arrivals) tell() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// next is the part that comes next; nil where none is there yet.
func (a *arrivals) next() *wire.Part {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.parts) == 0 {
		return nil
	}
	p := a.parts[0]
	a.parts[0] = wire.Part{} // its bytes are not held any longer
	a.parts = a.parts[1:]
	return &p
}

// begin makes room for a file, and returns its number.
func (a *arrivals) begin() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.number++
	a.open, a.over, a.upto, a.size, a.at, a.parts, a.news = true, false, 0, -1, 0, nil, make(chan struct{}, 1)
	return a.number
}

func (a *arrivals) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open, a.parts = false, nil
}

// takePart is for a part of a file, which is seen to as soon as it comes. It
// stands for a heartbeat: where the line is slow, those of the controller wait
// behind the parts.
func (s *session) takePart(p wire.Part) {
	s.arriving.put(p)
	if err := s.gate.beat(); err != nil {
		s.logf("heartbeat: %v", err)
	}
}

// importsFor is the host that a unit is applied to, with the file that it copies
// from another, where this session has to bring that.
func (s *session) importsFor(x *unit, h host.Host) host.Host {
	if h.Elsewhere == nil {
		h.Elsewhere = importer{s, x.Address}
	}
	return h
}

// importer brings the file of a unit. It is used by the goroutine that serves
// requests.
type importer struct {
	s       *session
	address string
}

// Fetch implements [host.Elsewhere].
func (i importer) Fetch(ctx context.Context) (host.Arrival, error) {
	a := &arrival{importer: i, ctx: ctx, number: i.s.arriving.begin()}
	a.allow(wire.Window)
	p, err := a.next()
	if err != nil {
		a.s.arriving.end()
		return host.Arrival{}, err
	}
	a.part, a.size = p.Bytes, p.Size
	return host.Arrival{ReadCloser: a, Size: p.Size}, nil
}

// An arrival is a file on its way.
type arrival struct {
	importer
	ctx    context.Context // of the step
	number int
	size   int64
	upto   int64 // what was asked for
	at     int64 // what was read
	part   []byte
	closed bool
}

// allow asks for the file up to there.
func (a *arrival) allow(upto int64) {
	a.upto = upto
	a.s.arriving.allow(upto) // before it is asked for
	a.s.out.now(wire.Event{Want: &wire.Want{Address: a.address, Number: a.number, Upto: upto}})
}

// Read implements [io.Reader]. It asks for more when half of what was asked for
// has been read.
func (a *arrival) Read(b []byte) (int, error) {
	switch {
	case a.closed:
		return 0, io.ErrClosedPipe
	case a.at >= a.size:
		return 0, io.EOF
	}
	if len(a.part) == 0 {
		p, err := a.next()
		switch {
		case err != nil:
			return 0, err
		case len(p.Bytes) == 0:
			return 0, io.ErrUnexpectedEOF
		}
		a.part = p.Bytes
	}
	n := copy(b, a.part)
	a.part, a.at = a.part[n:], a.at+int64(n)
	if a.upto-a.at <= wire.Window/2 && a.upto < a.size {
		a.allow(a.at + wire.Window)
	}
	return n, nil
}

// Close implements [io.Closer]. Of a file that was not read to its end nothing
// more is sent.
func (a *arrival) Close() error {
	if a.closed {
		return nil
	}
	a.closed = true
	a.s.arriving.end()
	if a.at < a.size {
		a.s.out.now(wire.Event{Want: &wire.Want{Address: a.address, Number: a.number, Enough: true}})
	}
	return nil
}

// next waits for a part, for as long as one can come.
func (a *arrival) next() (*wire.Part, error) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if p := a.s.arriving.next(); p != nil {
			if p.Error != "" {
				return nil, errors.New(p.Error)
			}
			return p, nil
		}
		if err := a.s.canCome(); err != nil {
			return nil, err
		}
		select {
		case <-a.s.arriving.news:
		case <-tick.C:
		case <-a.ctx.Done():
			return nil, context.Cause(a.ctx)
		}
	}
}

// canCome says why nothing can come any more, or nil. Where an effect in flight
// is finished, a transfer is given up at once: nothing is in its place yet.
func (s *session) canCome() error {
	if err := s.gate.shut(); err != nil {
		return err
	}
	if err := s.gate.cutBy(); err != nil { // what is sent whole goes on, but not without its bytes
		return fmt.Errorf("a file of another host comes by way of the controller: %w", err)
	}
	if s.gate.lost() {
		return errLeaseLost
	}
	return nil
}

// lost says that the controller was not heard for the time of the lease.
func (g *gate) lost() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held != nil && g.held.Lost()
}
