package run

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"weft/engine/wire"
)

// connect reaches the host and greets the runner; requests go out in the same
// write as the greeting.
func (m *member) connect(ctx context.Context, facts bool, requests ...wire.Request) error {
	if ctx.Err() != nil {
		m.out(Interrupted)
		return context.Cause(ctx)
	}
	m.asked = time.Now().Round(0) // of the wall: another machine's clock is compared with it
	m.run.tell(Event{Type: HostBegan, Host: m.host.Name, Phase: Planning})
	back := m.run.aside()
	s, err := m.connectAwaited(ctx, func() (*session, error) {
		return m.reach(ctx, m.run.connector.Connect, append([]wire.Request{m.hello(m.intent, facts)}, requests...))
	})
	back()
	if err != nil {
		m.unreachable(ctx, err)
		return err
	}
	m.use(s)
	return m.hear(ctx, Planning, "", func(each func(wire.Event)) error { return s.await(ctx, each) })
}

// hello is the greeting of this run.
func (m *member) hello(intent wire.Intent, facts bool) wire.Request {
	r := m.run
	return wire.Request{Hello: &wire.Hello{
		Run: r.opts.ID, Site: r.program.Site, Host: m.host.Name, Owner: r.opts.Owner,
		Playbook: r.program.Playbook, Intent: intent, Controller: r.name, TakesBack: r.leaving, LockTimeout: r.opts.LockTimeout,
		LeaseTime: r.opts.LeaseTime, Facts: facts,
	}}
}

// use makes a session that of the host, and keeps the lease: the first requests
// may take long too.
func (m *member) use(s *session) {
	m.session = s
	go s.beat(m.run.opts.LeaseTime)
}

// reach opens a session. A controller that is short of file descriptors has
// more in a moment, when other hosts are done; that is not the host's fault.
func (m *member) reach(ctx context.Context, connect connectFunc, first []wire.Request) (*session, error) {
	until := time.Now().Add(m.run.opts.times.absence)
	for pause := m.run.opts.times.pause; ; pause = m.longer(pause) {
		s, err := open(ctx, connect, m.host, slices.Clone(first))
		if err == nil || !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
			return s, err
		}
		if time.Now().After(until) || !wait(ctx, pause) {
			return nil, &UnreachableError{Says: "this machine has no file descriptor left for a connection to it", Err: err,
				Hint: "raise the limit (ulimit -n), or work on fewer hosts: --limit, --forks"}
		}
	}
}

// longer is the next pause before something is tried again.
func (m *member) longer(pause time.Duration) time.Duration {
	return min(2*pause, m.run.opts.times.pauseMax)
}

// wait says whether ctx outlived a pause.
func wait(ctx context.Context, pause time.Duration) bool {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// anew speaks to the host over a connection of its own, which shares nothing
// with those before it, and only looks. It returns the last that was heard of a
// guard; nil where the runner knows of none. The connection is gone afterwards,
// and in any case when ctx ends.
func (m *member) anew(ctx context.Context, requests ...wire.Request) (*wire.GuardEvent, error) {
	hello := m.hello(wire.Look, false)
	s, err := m.reach(ctx, m.run.connector.ConnectAnew, append([]wire.Request{hello}, requests...))
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, s.cut)()
	var guard *wire.GuardEvent
	err = s.await(context.WithoutCancel(ctx), func(e wire.Event) {
		switch {
		case e.Hello != nil:
			guard = e.Hello.Guard
		case e.Guard != nil:
			guard = e.Guard
		}
	})
	s.bye(m.run.opts.times.goodbye)
	return guard, err
}

// unreachable is for a host that was not had. One that was not waited for any
// longer is not told of: nothing is known of it.
func (m *member) unreachable(ctx context.Context, err error) {
	if ctx.Err() != nil {
		m.out(Interrupted)
		return
	}
	m.noContact()
	e := Event{Type: HostUnreachable, Host: m.host.Name, Phase: Planning, Error: err.Error()}
	var u *UnreachableError
	if errors.As(err, &u) {
		e.Hint, e.Address = u.Hint, u.Address
	}
	m.run.tell(e)
}

func (m *member) noContact() {
	m.out(NoContact)
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	m.count.Unreachable = true
}
