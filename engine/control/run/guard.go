package run

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"weft/engine/language"
	"weft/engine/step"
	"weft/engine/wire"
)

// guard is one that stands on a host for this run.
type guard struct {
	event wire.GuardEvent // as it was armed
	end   func()          // of what extends it; it returns when that is over

	mu   sync.Mutex
	ends time.Time // by our clock, which began it a moment later than the host's
}

// until is when it expires, if nothing more is heard.
func (g *guard) until() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ends
}

// heard takes in what the host said of its deadline.
func (g *guard) heard(e *wire.GuardEvent) {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := g.event.Time
	if e != nil && e.Left > 0 {
		left = e.Left
	}
	g.ends = time.Now().Add(left)
}

// guarded takes in what the runner says of a guard.
func (m *member) guarded(ctx context.Context, out Event, e *wire.GuardEvent) {
	mine := e.Run == m.run.opts.ID
	if !mine || m.guard == nil || e.State != wire.GuardArmed {
		out.Type, out.Guard = HostGuard, e
		if !mine && e.State == wire.GuardArmed {
			out.Hint = "`" + m.run.command("commit", e.Run, m.host.Name) + "` keeps it"
		}
		m.run.tell(out)
	}
	switch {
	case !mine:
	case e.State == wire.GuardArmed:
		_ = m.session.conn.Write(wire.Request{Heartbeat: &wire.Heartbeat{}}) // it was heard; a broken connection shows in the next read
		m.armed(ctx, e)
	default:
		m.dropGuard()
	}
}

// dropGuard forgets a guard that is decided, or that is nobody's any more here.
func (m *member) dropGuard() {
	if m.guard != nil {
		m.guard.end()
	}
	m.guard, m.mayArm = nil, 0
}

// armed remembers a guard, and keeps extending it while the play is under way.
func (m *member) armed(ctx context.Context, e *wire.GuardEvent) {
	if m.guard != nil {
		m.guard.heard(e)
		return
	}
	g := &guard{event: *e}
	g.heard(e)
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	g.end = func() {
		cancel()
		<-over
	}
	m.guard = g
	go func() {
		defer close(over)
		m.extend(ctx, g)
	}()
}

// extend moves a guard's deadline, each time over a new connection, so that
// only what the host is reachable by keeps it from expiring. That it fails is
// not a failure of the run: what counts is whether the guard is confirmed.
func (m *member) extend(ctx context.Context, g *guard) {
	every := max(g.event.Time/3, time.Millisecond)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		m.extendOnce(ctx, g, every)
	}
}

func (m *member) extendOnce(ctx context.Context, g *guard, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	e, err := m.anew(ctx, wire.Request{Extend: &wire.Extend{Run: m.run.opts.ID, Time: g.event.Time}})
	if err == nil {
		g.heard(e)
	}
}

// confirm decides the guard of a play that came through: it is committed over a
// new connection, or left to the operator.
func (m *member) confirm(ctx context.Context) {
	g := m.guard
	if g == nil {
		return
	}
	g.end()
	if m.run.opts.ByHand {
		m.extendOnce(ctx, g, g.event.Time) // all of it is the operator's
		return
	}
	heard, err := m.commit(ctx, g)
	switch {
	case heard != nil && heard.State == wire.GuardCommitted:
		m.dropGuard()
		m.tellGuard(Applying, heard, "")
	case heard != nil && heard.State != wire.GuardArmed:
		m.expired(Applying, heard)
	case ctx.Err() == nil:
		m.session.cut()
		m.gone(Applying, fmt.Errorf("its guard could not be confirmed over a new connection: %w", err))
	}
}

// commit confirms a guard while it stands, and else hears what became of it.
// The error says why the latest attempt failed.
func (m *member) commit(ctx context.Context, g *guard) (*wire.GuardEvent, error) {
	run := m.run.opts.ID
	request := wire.Request{Commit: &wire.Commit{Run: run}}
	return m.ask(ctx, g.until().Add(m.run.opts.times.grace), func(ctx context.Context) (*wire.GuardEvent, error) {
		if time.Now().After(g.until()) {
			return m.anew(ctx) // it has expired, and is not to be confirmed any more
		}
		ctx, cancel := context.WithDeadline(ctx, g.until())
		defer cancel()
		e, err := m.anew(ctx, request)
		if err == nil {
			kept := g.event
			kept.State, kept.Left = wire.GuardCommitted, 0
			return &kept, nil
		}
		return e, err
	})
}

// ask asks for a guard until it is decided, or the time is over.
func (m *member) ask(ctx context.Context, until time.Time, once func(context.Context) (*wire.GuardEvent, error)) (*wire.GuardEvent, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var last error
	for pause := m.run.opts.times.pause; ; pause = m.longer(pause) {
		e, err := once(ctx)
		switch {
		case e != nil && e.Run == m.run.opts.ID && decided(e):
			return e, nil
		case err != nil && ctx.Err() == nil:
			last = err
		}
		if !wait(ctx, pause) {
			if last == nil {
				last = errors.New("the host did not say what became of it")
			}
			return nil, last
		}
	}
}

// decided says whether a guard's fate is known. One that expired without an
// error is being taken back just now.
func decided(e *wire.GuardEvent) bool {
	return e.State != wire.GuardArmed && (e.State != wire.GuardExpired || e.Error != "")
}

// expired is for a host that took back by itself what stood under the guard.
func (m *member) expired(phase Phase, e *wire.GuardEvent) {
	m.dropGuard()
	m.past = e
	m.session.cut() // the host ended the runner that was there
	m.tellGuard(phase, e, "")
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	m.count.RolledBack += e.Undone
	if e.State != wire.GuardUndone || e.Error != "" || m.stuck {
		m.stuck = true
		m.fall(HostFailure)
		return
	}
	m.fall(RolledBack)
	m.exit = RolledBack
	switch m.run.onFailure(m.at) {
	case language.Stop: // it took back the end of the play
	case language.RollbackRun:
		clear(m.did)
	default:
		delete(m.did, e.Play)
	}
}

// leaveGuard ends a play on the host: nobody extends a guard any more, and who
// looks is told of one that still stands.
func (m *member) leaveGuard(p *language.Play) {
	g := m.guard
	if g == nil {
		return
	}
	m.dropGuard()
	left := g.event
	left.Left = max(time.Until(g.until()), 0)
	m.run.mu.Lock()
	m.run.standing = append(m.run.standing, Standing{Host: m.host.Name, Play: p.Name, Step: left.Step, Until: g.until()})
	m.run.mu.Unlock()
	m.tellGuard(Applying, &left, "`"+m.run.command("commit", m.run.opts.ID, m.host.Name)+"` keeps it")
}

// Command is a command line about this run, for hints: a verb of weft with the
// inventories.
func (r *Run) Command(verb string) string { return r.command(verb, r.opts.ID, "") }

// command is a command line about a run, for hints. The run's name may come from
// a host, and a reader may copy it into a shell.
func (r *Run) command(verb, id, host string) string {
	if strings.ContainsFunc(id, func(c rune) bool {
		return c > unicode.MaxASCII || c != '.' && c != '-' && !unicode.IsLetter(c) && !unicode.IsDigit(c)
	}) {
		id = "RUN"
	}
	parts := []string{"weft", verb, id}
	for _, i := range r.opts.Inventories {
		parts = append(parts, "-i", i)
	}
	if host != "" {
		parts = append(parts, "-l", host)
	}
	return strings.Join(parts, " ")
}

func (m *member) tellGuard(phase Phase, e *wire.GuardEvent, hint string) {
	m.run.tell(Event{Type: HostGuard, Host: m.host.Name, Play: e.Play, Phase: phase, Guard: e, Hint: hint})
}

// expectGuard notes that what is sent now may make the host arm a guard: word of
// it may be lost with the way that the change cuts.
func (m *member) expectGuard(units []step.Unit) {
	for _, u := range units {
		m.mayArm = max(m.mayArm, u.Guard)
		if f := m.checked[u.Address].answer.Finding; f != nil && len(f.Cost.Severs) > 0 {
			m.mayArm = max(m.mayArm, m.run.opts.GuardTime)
		}
	}
}

// coverage refuses to send a part of what a guard is to cover: the rest could
// not follow while the link is cut.
func coverage(units []step.Unit, next *step.Unit) error {
	if next == nil || next.Guard == 0 {
		return nil
	}
	for _, u := range units {
		if u.Guard > 0 {
			return fmt.Errorf("%s is under a guard and would be sent without %s, whose %s is not known yet: a guard covers steps that are sent whole; "+
				"put the step whose output it reads into a play before this one", u.Address, next.Address, strings.Join(next.Unknown, ", "))
		}
	}
	return nil
}
