package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"weft/engine/language"
	"weft/engine/step"
	"weft/engine/wire"
)

// roleOfFew is the role whose hosts are never away two at a time, whatever serial
// says: they hold what all others need.
const roleOfFew = "central"

// bootAnew has a host boot where a request came to the point that needs it, and
// greets it again. The error is errBack then: what was asked is to be asked
// again. Any other has been told.
func (m *member) bootAnew(ctx context.Context, phase Phase) error {
	wanted := m.boots
	m.boots = nil
	back, err := m.run.turn(ctx, m)
	if err != nil {
		m.fail(phase, err)
		return err
	}
	defer func() { back(err == nil || errors.Is(err, errBack)) }()
	m.run.tell(Event{Type: HostReboots, Host: m.host.Name, Phase: phase, Steps: wanted.Steps})
	m.run.awaiting(m.host.Name, true)
	if err = m.order(ctx, phase); err != nil {
		return err
	}
	m.trial = wanted.Trial
	if err = m.awaitBoot(ctx, phase, wanted.Boot); err != nil {
		return err
	}
	m.run.awaiting(m.host.Name, false)
	m.touched, m.trialEnds = true, time.Now().Add(wanted.Trial)
	m.again() // what was only applied is seen in force now
	m.run.tell(Event{Type: HostBack, Host: m.host.Name, Phase: phase})
	err = errBack
	return err
}

// order tells the host to boot. A connection that breaks on it may be the boot
// itself.
func (m *member) order(ctx context.Context, phase Phase) error {
	err := m.session.call(context.WithoutCancel(ctx), func(wire.Event) {}, wire.Request{Reboot: &wire.Reboot{}})
	m.session.cut()
	var refused *RefusedError
	if errors.As(err, &refused) {
		m.fail(phase, err)
		return err
	}
	return nil
}

// bootTime is for how long the host is waited for that was told to boot: for one
// boot, and where it tries something, until it may have given that up and booted
// once more.
func (m *member) bootTime() time.Duration {
	if m.trial == 0 {
		return m.run.opts.RebootTime
	}
	return m.run.opts.RebootTime + m.trial + m.run.opts.RebootTime
}

// awaitBoot waits until the host answers from another boot and is up, and greets
// it. A host that still goes down is asked again, and what only looks holds
// nothing up there.
func (m *member) awaitBoot(ctx context.Context, phase Phase, boot string) error {
	began := time.Now()
	until, late := began.Add(m.bootTime()), began.Add(m.run.opts.RebootTime)
	within, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	release := m.run.aside()
	seen := "it did not answer"
	for up, pause := false, m.run.opts.times.pause; !up; pause = m.longer(pause) {
		if !wait(within, pause) {
			release()
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return m.notBack(phase, seen)
		}
		if m.trial > 0 && time.Now().After(late) {
			late = until
			m.run.tell(Event{Type: HostLate, Host: m.host.Name, Phase: phase,
				Error: fmt.Sprintf("not back after %s; what it was booted with is only tried, and without it the host is to be back by itself by %s",
					m.run.opts.RebootTime, until.Local().Format("15:04:05"))})
		}
		h, err := m.glance(within)
		switch {
		case err != nil:
		case h.Boot == "" || h.Boot == boot:
			seen = "it still runs as before, as if it was never told or could not stop: see what its shutdown waits for"
		case h.Booting:
			seen = "it has booted and its default target was not reached: see systemctl list-jobs and systemctl --failed there"
		default:
			up = true
		}
	}
	release()
	err := m.greetAgain(ctx, phase, time.Now().Add(max(time.Until(until), m.run.opts.times.absence)))
	if errors.Is(err, errAway) {
		return m.notBack(phase, "it answered once and no more")
	}
	return err
}

// notBack is for a host that did not come back from a reboot.
func (m *member) notBack(phase Phase, seen string) error {
	err := fmt.Errorf("the host was told to reboot and is not back after %s: %s", m.bootTime(), seen)
	m.noContact()
	m.run.tell(Event{Type: HostLost, Host: m.host.Name, Phase: phase, Error: err.Error(),
		Hint: fmt.Sprintf("look at its console; once it answers `weft resume %s` goes on, and `%s` takes the run back",
			m.run.opts.ID, m.run.command("rollback", m.run.opts.ID, m.host.Name))})
	return &LostError{Err: err}
}

// glance greets a host to look, and is gone again.
func (m *member) glance(ctx context.Context) (*wire.HelloEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, m.run.opts.LeaseTime)
	defer cancel()
	s, err := m.reach(ctx, m.run.connector.Connect, []wire.Request{m.hello(wire.Look, false)})
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, s.cut)()
	hello := &wire.HelloEvent{}
	err = s.await(context.WithoutCancel(ctx), func(e wire.Event) {
		if e.Hello != nil {
			hello = e.Hello
		}
	})
	s.bye(m.run.opts.times.goodbye)
	return hello, err
}

// again forgets that steps were heard of which wait for what was to be settled.
func (m *member) again() {
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	for address := range m.unsettled {
		if counter := m.counted[address]; counter != nil {
			*counter--
		}
		delete(m.counted, address)
	}
	clear(m.unsettled)
}

// turn waits until the host may be away. Hosts of the role central are away one
// at a time, and where one does not come back no other goes.
func (r *Run) turn(ctx context.Context, m *member) (back func(well bool), err error) {
	if !slices.Contains(m.host.Roles, roleOfFew) {
		return func(bool) {}, nil
	}
	select {
	case r.away <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if r.missing != "" {
		defer func() { <-r.away }()
		return nil, fmt.Errorf("not rebooted, for %s, which is %s too, was rebooted and is not back", r.missing, roleOfFew)
	}
	return func(well bool) {
		if !well {
			r.missing = m.host.Name
		}
		<-r.away
	}, nil
}

// awaiting tells whoever keeps the run that a host is away, or back: one who
// resumes it waits for these.
func (r *Run) awaiting(host string, away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.rebooting, host)
	switch {
	case away && i < 0:
		r.rebooting = append(r.rebooting, host)
	case !away && i >= 0:
		r.rebooting = slices.Delete(r.rebooting, i, i+1)
	default:
		return
	}
	if r.onReboot != nil {
		r.onReboot(slices.Sorted(slices.Values(r.rebooting)))
	}
}

// OnReboot has f told which hosts are away for a reboot whenever one goes or
// comes, from one goroutine at a time. It is called before Apply.
func (r *Run) OnReboot(f func(away []string)) { r.onReboot = f }

// connectAwaited is connect for a host that was told to reboot by a session
// before this one: it may take its time.
func (m *member) connectAwaited(ctx context.Context, try func() (*session, error)) (*session, error) {
	until := time.Now().Add(m.run.opts.RebootTime)
	for pause := m.run.opts.times.pause; ; pause = m.longer(pause) {
		s, err := try()
		if err == nil || !slices.Contains(m.run.opts.Awaited, m.host.Name) || time.Now().After(until) || !wait(ctx, pause) {
			return s, err
		}
	}
}

// rebootPolicy is what becomes of a reboot that a play's steps need.
func (r *Run) rebootPolicy(p *language.Play) step.RebootPolicy {
	return cmp.Or(r.opts.Reboot, p.Reboot, step.RebootAuto)
}
