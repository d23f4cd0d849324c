package run

import (
	"context"
	"errors"
	"time"

	"github.com/sourcegraph/conc/pool"
)

// A fork is a host that is worked at. One that does not answer is not: it would
// be idle for its whole time-out while others wait, and of 5,000 hosts half may
// be dead. So a member sets its fork aside after a moment without an answer.
//
// A session holds a file descriptor for the whole run. Where there are fewer of
// them than hosts, the run is crowded: a host's session ends with each part of
// the run, which gives its lease back, and the host is greeted again for the
// next.

// aboard is how many hosts there are for each fork, at most, with those that
// are waited for.
const aboard = 16

// forEach calls do for each member, as many at a time as there are forks.
func (r *Run) forEach(members []*member, do func(*member)) {
	most := r.opts.Forks * aboard
	if r.opts.Connections > 0 {
		most = min(most, r.opts.Connections)
	}
	p := pool.New().WithMaxGoroutines(most)
	for _, m := range members {
		p.Go(func() {
			r.forks <- struct{}{}
			defer func() { <-r.forks }()
			do(m)
			if r.crowded {
				m.park()
			}
		})
	}
	p.Wait()
}

// aside gives the fork of whoever calls it to another after a moment, until
// back is called.
func (r *Run) aside() (back func()) {
	t := time.AfterFunc(r.opts.times.moment, func() { <-r.forks })
	return func() {
		if !t.Stop() {
			r.forks <- struct{}{}
		}
	}
}

// park ends the session until the host's next part in the run.
func (m *member) park() {
	if m.session != nil && m.session.alive() && m.guard == nil {
		m.session.bye(m.run.opts.times.goodbye)
		m.parked = true
	}
}

// present makes sure of a session: one that was parked, or whose host took
// something back by itself, is made anew. The error has been told.
func (m *member) present(ctx context.Context, phase Phase) error {
	if m.session.alive() {
		return nil
	}
	err := m.greetAgain(ctx, phase, m.awaited())
	switch {
	case err == nil:
		m.parked = false
	case ctx.Err() != nil:
		m.out(Interrupted)
		return context.Cause(ctx)
	case errors.Is(err, errAway):
		m.gone(phase, err)
		return &LostError{err}
	}
	return err
}
