package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weft/engine/wire"
)

// errBack says that the connection broke and another is there: what was asked
// is to be asked again.
var errBack = errors.New("the connection to the host broke, and is back")

// mostBreaks is how often in a row a connection may break without a step
// having come through: then it is not the network's doing.
const mostBreaks = 3

// errTakenBack says that the host took back by itself what stood under a guard.
var errTakenBack = errors.New("the host took the play back by itself")

// broke is for a connection that broke. In the middle of a change the host is
// greeted again; the error is errBack where it came back, and else has been
// told.
func (m *member) broke(ctx context.Context, phase Phase, cause error) error {
	m.session.cut()
	m.breaks++
	if phase == Planning || ctx.Err() != nil || m.breaks > mostBreaks {
		m.gone(phase, cause)
		return cause
	}
	until := m.awaited()
	m.run.tell(Event{Type: HostCut, Host: m.host.Name, Phase: phase, Error: cause.Error(),
		Hint: fmt.Sprintf("trying again for %s", time.Until(until).Round(time.Second))})
	err := m.greetAgain(ctx, phase, until)
	switch {
	case err == nil:
		m.touched = true // what was sent may have changed what was planned
		m.again()
		m.run.tell(Event{Type: HostBack, Host: m.host.Name, Phase: phase})
		return errBack
	case errors.Is(err, errAway):
		m.gone(phase, cause)
	}
	return cause
}

// awaited is until when a host may come back. One with a guard takes its change
// back by itself, and may be reachable only then.
func (m *member) awaited() time.Time {
	t := m.run.opts.times
	until := time.Now().Add(t.absence)
	if time.Now().Before(m.trialEnds) { // what is tried may be given up by another boot
		until = m.trialEnds.Add(m.run.opts.RebootTime)
	}
	var guarded time.Time
	switch {
	case m.guard != nil:
		guarded = m.guard.until().Add(t.grace)
	case m.mayArm > 0:
		guarded = time.Now().Add(m.mayArm + t.grace)
	}
	if guarded.After(until) {
		return guarded
	}
	return until
}

// errAway says that a host did not come back.
var errAway = errors.New("the host did not come back")

// greetAgain greets the host with the same run until it answers. The error is
// errAway where it does not in time; what else it is has been told: errLocked
// where another run has the host meanwhile, errTakenBack where a guard took it
// out of the run, and what the runner refuses.
func (m *member) greetAgain(ctx context.Context, phase Phase, until time.Time) error {
	within, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	defer m.run.aside()()
	for pause := time.Duration(0); wait(within, pause); pause = m.longer(max(pause, m.run.opts.times.pause/2)) {
		s, err := m.reach(within, m.run.connector.Connect, []wire.Request{m.hello(m.intent, false)})
		if err != nil {
			continue
		}
		m.use(s)
		hello, err := m.greeting(within)
		var refused *RefusedError
		switch {
		case errors.As(err, &refused):
			m.fail(phase, err)
		case err != nil || m.undecided(hello.Guard) || m.lingers(hello.Holder):
			s.cut()
			continue
		case m.mine(hello.Guard) && decided(hello.Guard) && m.past == nil && hello.Guard.State != wire.GuardCommitted:
			m.expired(phase, hello.Guard)
			err = errTakenBack
		case hello.Holder != nil:
			m.out(Locked)
			m.run.tell(Event{Type: HostLocked, Host: m.host.Name, Phase: phase, Holder: hello.Holder})
			err = errLocked
		default:
			m.before(hello)
			if m.mine(hello.Guard) && hello.Guard.State == wire.GuardArmed {
				m.armed(ctx, hello.Guard)
			}
			return nil
		}
		s.cut()
		return err
	}
	return errAway
}

// greeting hears the answer to a greeting. A host that goes silent in it is cut
// off when ctx ends.
func (m *member) greeting(ctx context.Context) (*wire.HelloEvent, error) {
	s := m.session
	defer context.AfterFunc(ctx, s.cut)()
	hello := &wire.HelloEvent{}
	err := s.await(context.WithoutCancel(ctx), func(e wire.Event) {
		if e.Hello != nil {
			hello = e.Hello
		}
	})
	return hello, err
}

// mine says whether a guard is of this run.
func (m *member) mine(g *wire.GuardEvent) bool { return g != nil && g.Run == m.run.opts.ID }

// undecided says that the host is taking something of this run back just now.
func (m *member) undecided(g *wire.GuardEvent) bool {
	return m.mine(g) && g.State == wire.GuardExpired && !decided(g)
}

// lingers says that what an earlier session of this run left at work is not
// over yet.
func (m *member) lingers(holder *wire.Lease) bool {
	return holder != nil && holder.Run == m.run.opts.ID
}

// before takes in what this run changed on the host in sessions before this one.
func (m *member) before(h *wire.HelloEvent) {
	for _, place := range h.Changed {
		m.changed[place] = true
		m.did[place.Play] = true
		m.wrote = true
		m.dirty = m.dirty || m.at != nil && m.at.Name == place.Play
	}
}

// insist asks for what may be asked again: as often as the connection breaks
// and comes back.
func (m *member) insist(ctx context.Context, phase Phase, play string, request wire.Request) error {
	for {
		if err := m.call(ctx, phase, play, request); !errors.Is(err, errBack) {
			return err
		}
	}
}

// gone is for a connection that broke in the middle of a run, for good.
func (m *member) gone(phase Phase, err error) {
	m.noContact()
	e := Event{Type: HostLost, Host: m.host.Name, Phase: phase, Error: err.Error()}
	switch {
	case m.guard != nil:
		e.Hint = fmt.Sprintf("its guard runs until %s: then the host takes the play %s back by itself, and says so at the next contact",
			m.guard.until().Format("15:04:05"), m.guard.event.Play)
		m.dropGuard()
	case m.mayArm > 0:
		e.Hint = fmt.Sprintf("if its guard was armed, the host takes the play back by itself after %s, and says so at the next contact", m.mayArm)
	case m.dirty || m.wrote:
		e.Hint = fmt.Sprintf("its journal knows where it stands: `weft resume %s` goes on from there, `%s` takes it back",
			m.run.opts.ID, m.run.command("rollback", m.run.opts.ID, m.host.Name))
	}
	m.run.tell(e)
}

// isGone says whether the host is out of reach.
func (m *member) isGone() bool {
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	return m.count.Unreachable
}
