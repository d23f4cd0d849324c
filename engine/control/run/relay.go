package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"weft/engine/language"
	"weft/engine/step"
	"weft/engine/wire"
)

// readsAtOnce is how many files are read at a time, over all hosts. A file that
// waits for its receiver is not: a host that takes nothing keeps no other waiting.
const readsAtOnce = 8

// relays are the files that travel from host to host, and the sessions that read
// them.
type relays struct {
	slots chan struct{} // one in it for each file that is read just now

	mu   sync.Mutex
	idle map[string][]*session // by host; what read a part may read the next
}

// A relay is one file on its way to one host. No more than a part of it is in this
// process, and no more than a window in the buffers of the two connections.
type relay struct {
	run    *Run
	number int
	to     *session
	from   step.Origin
	host   *language.Host // that has the file
	room   chan int64     // the latest of what the receiver says it has room for
	cancel context.CancelFunc

	upto, at, size int64
	end            int64  // of what was asked for
	version        string // of the file; empty before its first part came
}

// wanted is for what a receiver says of a file that it wants. Which file that is
// says the unit that it was sent, and nothing that it says.
func (m *member) wanted(ctx context.Context, w *wire.Want) error {
	switch {
	case m.relay != nil && m.relay.number == w.Number && w.Enough:
		m.endRelay()
	case m.relay != nil && m.relay.number == w.Number:
		m.relay.grant(w.Upto)
	case w.Enough: // of one that ended before
	default:
		m.endRelay()
		origin, err := m.imports(w.Address)
		if err != nil {
			_ = m.session.conn.Write(wire.Request{Part: &wire.Part{Number: w.Number, Error: err.Error()}}) // one that is gone is found out elsewhere
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		m.relay = &relay{
			run: m.run, number: w.Number, to: m.session, from: origin, host: m.run.hostNamed(origin.Host),
			room: make(chan int64, 1), cancel: cancel,
		}
		m.relay.grant(w.Upto)
		go m.relay.carry(ctx)
	}
	return nil
}

func (m *member) endRelay() {
	if m.relay != nil {
		m.relay.cancel()
		m.relay = nil
	}
}

// imports is where the file of a unit under way comes from. It is brought once
// in an apply.
func (m *member) imports(address string) (step.Origin, error) {
	i := slices.IndexFunc(m.sent, func(u step.Unit) bool { return u.Address == address })
	if i < 0 {
		return step.Origin{}, fmt.Errorf("the host wants a file for %s, which it was not told to apply, or has it by now", address)
	}
	unit := m.sent[i]
	m.sent = slices.Delete(m.sent, i, i+1)
	kind := m.run.opts.Table[unit.Kind]
	if kind.Make != nil {
		made, err := kind.Make(unit)
		if err != nil {
			return step.Origin{}, err
		}
		if s, ok := made.(step.Importer); ok {
			return s.Imports(), nil
		}
	}
	return step.Origin{}, fmt.Errorf("the host wants a file for %s, which copies none", address)
}

// hostNamed is a host of the inventory; nil where there is none.
func (r *Run) hostNamed(name string) *language.Host {
	i := slices.IndexFunc(r.program.Hosts, func(h *language.Host) bool { return h.Name == name })
	if i < 0 {
		return nil
	}
	return r.program.Hosts[i]
}

// grant lets so much of the file be sent.
func (r *relay) grant(upto int64) {
	select {
	case <-r.room:
	default:
	}
	r.room <- upto
}

// carry brings the file, or says to its receiver why it does not come.
func (r *relay) carry(ctx context.Context) {
	err := r.take(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	// A receiver that cannot be told is gone, which its own session finds out.
	_ = r.to.conn.Write(wire.Request{Part: &wire.Part{Number: r.number, Error: fmt.Sprintf("%s:%s does not come: %v", r.from.Host, r.from.Path, err)}})
}

// take brings the file as the receiver has room for it. Where a connection to the
// host that has it breaks, it goes on over another, as long as the file is the
// same.
func (r *relay) take(ctx context.Context) error {
	if r.host == nil {
		return errors.New("there is no such host in the inventory")
	}
	t := r.run.opts.times
	pause := t.pause
	var until time.Time // that the host is waited for; zero while it is not lost
	for r.version == "" || r.at < r.size {
		length, err := r.allowed(ctx)
		if err != nil {
			return err
		}
		at := r.at
		err = r.read(ctx, length)
		if r.at > at {
			until, pause = time.Time{}, t.pause
		}
		wasNeverThere := r.version == "" && until.IsZero()
		switch {
		case err == nil:
			continue
		case !errors.As(err, new(*LostError)) && (wasNeverThere || !errors.As(err, new(*UnreachableError))):
			return err
		case until.IsZero():
			until = time.Now().Add(t.absence)
		case !time.Now().Before(until):
			return err
		}
		if !wait(ctx, pause) {
			return context.Cause(ctx)
		}
		pause = min(2*pause, t.pauseMax)
	}
	return nil
}

// read brings so many bytes more, or the first part where the size of the file is
// not known yet.
func (r *relay) read(ctx context.Context, length int64) error {
	select {
	case r.run.relays.slots <- struct{}{}:
		defer func() { <-r.run.relays.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s, err := r.run.reader(ctx, r.host)
	if err != nil {
		return err
	}
	if err := r.readOver(ctx, s, length); err != nil {
		s.cut()
		return err
	}
	r.run.putBack(r.host.Name, s)
	return nil
}

// readOver is read over a session. One that brings nothing for the time of a
// lease is given up.
func (r *relay) readOver(ctx context.Context, s *session, length int64) error {
	defer context.AfterFunc(ctx, s.cut)()
	if r.version == "" {
		length = min(length, wire.PartSize)
	}
	r.end = r.at + length
	var requests []wire.Request
	for at := r.at; at < r.end; at += wire.PartSize {
		requests = append(requests, wire.Request{Read: &wire.Read{Path: r.from.Path, At: at, Length: int(min(wire.PartSize, r.end-at))}})
	}
	stalled := time.AfterFunc(r.run.opts.LeaseTime, s.cut)
	defer stalled.Stop()
	var broken error
	err := s.call(context.WithoutCancel(ctx), func(e wire.Event) {
		if e.Part == nil || broken != nil {
			return
		}
		stalled.Stop()
		if broken = r.pass(e.Part); broken != nil {
			s.cut()
		}
		stalled.Reset(r.run.opts.LeaseTime)
	}, requests...)
	switch {
	case broken != nil:
		return broken
	case err != nil:
		return err
	case r.at < min(r.end, r.size) || r.version == "":
		return errors.New("less came of it than was there")
	}
	return nil
}

// allowed waits until the receiver has room, and says for how much to ask.
func (r *relay) allowed(ctx context.Context) (int64, error) {
	for {
		end := r.upto
		if r.version != "" {
			end = min(r.upto, r.size)
		}
		if end > r.at {
			return min(end-r.at, wire.Window/2), nil
		}
		select {
		case upto := <-r.room:
			r.upto = max(r.upto, upto)
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// pass hands a part on. A receiver that does not take it in the time of a lease is
// cut off: it holds up others.
func (r *relay) pass(p *wire.Part) error {
	switch {
	case r.version == "":
		r.size, r.version = p.Size, p.Version
		if p.Version == "" || p.Size < 0 {
			return errors.New("what the host says of it makes no sense")
		}
	case p.Version != r.version || p.Size != r.size:
		return errors.New("it was changed while it was read; once nobody writes to it, apply again")
	}
	if p.At != r.at || r.at+int64(len(p.Bytes)) > min(r.size, r.end) {
		return errors.New("the host sends another part of it than it was asked for")
	}
	defer time.AfterFunc(r.run.opts.LeaseTime, r.to.cut).Stop()
	err := r.to.conn.Write(wire.Request{Part: &wire.Part{Number: r.number, At: p.At, Size: p.Size, Bytes: p.Bytes}})
	r.at += int64(len(p.Bytes))
	return err
}

// reader is a session with a host that only looks, apart from that of the host's
// own part in the run: it may be at work, parked, or out of scope.
func (r *Run) reader(ctx context.Context, h *language.Host) (*session, error) {
	r.relays.mu.Lock()
	if idle := r.relays.idle[h.Name]; len(idle) > 0 {
		s := idle[len(idle)-1]
		r.relays.idle[h.Name] = idle[:len(idle)-1]
		r.relays.mu.Unlock()
		return s, nil
	}
	r.relays.mu.Unlock()
	m := &member{run: r, host: h}
	s, err := m.reach(ctx, r.connector.Connect, []wire.Request{m.hello(wire.Look, false)})
	if err != nil {
		return nil, err
	}
	go s.beat(r.opts.LeaseTime)
	defer context.AfterFunc(ctx, s.cut)()
	defer time.AfterFunc(r.opts.LeaseTime, s.cut).Stop() // it may beat and say nothing
	if err := s.await(context.WithoutCancel(ctx), func(wire.Event) {}); err != nil {
		s.cut()
		return nil, err
	}
	return s, nil
}

// putBack keeps a session that reads for the next file, unless file descriptors
// are few.
func (r *Run) putBack(host string, s *session) {
	if r.crowded {
		s.bye(r.opts.times.goodbye)
		return
	}
	r.relays.mu.Lock()
	defer r.relays.mu.Unlock()
	r.relays.idle[host] = append(r.relays.idle[host], s)
}

// closeReaders ends the sessions that wait for another file.
func (r *Run) closeReaders() {
	r.relays.mu.Lock()
	defer r.relays.mu.Unlock()
	var ending sync.WaitGroup
	for _, idle := range r.relays.idle {
		for _, s := range idle {
			ending.Go(func() { s.bye(r.opts.times.goodbye) })
		}
	}
	ending.Wait()
	r.relays.idle = map[string][]*session{}
}
