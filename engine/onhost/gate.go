package onhost

import (
	"context"
	"errors"
	"sync"

	"weft/engine/host"
)

// errStopped ends what is under way when the controller says Stop.
var errStopped = errors.New("stopped, as was asked for")

// errLeaseLost refuses effects when the controller is not heard any more.
var errLeaseLost = errors.New("nothing was heard from the controller for the time of the lease, so nothing further is begun")

// A keeper knows whether this process may still change the host.
type keeper interface {
	Beat() error
	Lost() bool
	Release() error
}

// A gate stands before every effect. What has begun passes; once it is shut
// nothing begins, and what merely waits or looks is cancelled.
type gate struct {
	mu       sync.Mutex
	held     keeper
	inFlight int
	whole    int    // what was sent whole is under way: a cut waits for its end
	expired  bool   // a guard did, so no cut waits for anything
	serving  uint64 // number of the request under way
	stopAt   uint64 // requests up to this number are stopped
	nowAt    uint64 // and up to this one with the effect in flight
	cutCause error  // not nil once the session is over
	cancel   context.CancelCauseFunc
	wake     func() // ends the wait for the next request
	chaos    chaos
}

// hold says by which lease effects are allowed.
func (g *gate) hold(k keeper) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = k
}

// beat keeps the lease.
func (g *gate) beat() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == nil {
		return nil
	}
	return g.held.Beat()
}

// begin says which request is under way, and how to cancel it.
func (g *gate) begin(number uint64, cancel context.CancelCauseFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.serving, g.cancel = number, cancel
	g.settle()
}

// stop ends the requests up to a number.
func (g *gate) stop(number uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopAt = number
	g.settle()
}

// stopNow is stop that does not wait for the effect in flight.
func (g *gate) stopNow(number uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopAt, g.nowAt = number, number
	g.settle()
}

// cut ends the session.
func (g *gate) cut(cause error) {
	g.mu.Lock()
	if g.cutCause == nil {
		if !errors.Is(cause, ErrCut) {
			cause = errors.Join(ErrCut, cause)
		}
		g.cutCause = cause
		g.settle()
	}
	wake := g.wake
	g.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// cutBy returns why the session is over, or nil.
func (g *gate) cutBy() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cutCause
}

// shut returns why the request under way must end, or nil.
func (g *gate) shut() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.why()
}

func (g *gate) why() error {
	switch {
	case g.cutCause != nil && (g.whole == 0 || g.expired):
		return g.cutCause
	case g.serving != 0 && g.serving <= g.stopAt:
		return errStopped
	}
	return nil
}

// beginWhole lets what is under way go on though the session be cut, until
// endWhole.
func (g *gate) beginWhole() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.whole++
}

func (g *gate) endWhole() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.whole--
	g.settle()
}

// expire has a cut wait for nothing but the effect in flight: a guard expired,
// and what it takes back is not to be worked on.
func (g *gate) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expired = true
	g.settle()
}

// settle cancels what is under way, unless an effect is in flight.
func (g *gate) settle() {
	now := g.serving != 0 && g.serving <= g.nowAt
	if err := g.why(); err != nil && (g.inFlight == 0 || now) && g.cancel != nil {
		g.cancel(err)
	}
}

func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.why(); err != nil {
		return err
	}
	if g.held == nil || g.held.Lost() {
		return errLeaseLost
	}
	g.inFlight++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	g.settle()
}

// hostFor returns the host with the gate before each effect, and announce
// between the two. What the effects are for is a stage ("apply", "undo" or
// "need") and the kind of the step, or the verb of the need.
func (s *session) hostFor(stage, kind string, announce func(host.Effect) error) host.Host {
	return host.Surround(s.Host, func(_ context.Context, e host.Effect, act func() error) error {
		if err := s.gate.enter(); err != nil {
			return err
		}
		defer s.gate.leave()
		if err := announce(e); err != nil {
			return err
		}
		s.logf("%s", e)
		return s.gate.chaos.around(s.Runtime, stage, kind, e, act)
	})
}
