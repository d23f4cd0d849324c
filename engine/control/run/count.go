package run

import (
	"weft/engine/wire"
)

// tally counts a unit's last word outside the plan. The run's lock is held.
func (m *member) tally(phase Phase, play string, u *wire.UnitEvent) {
	if u.State != wire.Applying && phase != Proving {
		m.breaks = 0 // it gets on
	}
	delete(m.unsettled, u.Address)
	switch u.State {
	case wire.Converged, wire.Proved:
		m.countIn(u.Address, m.fine(play, u.Address))
	case wire.Changed, wire.Pending:
		m.countIn(u.Address, &m.count.Changed)
		m.pending = m.pending || u.State == wire.Pending
		if u.State == wire.Pending {
			m.unsettled[u.Address] = true
		}
		m.dirty, m.touched = true, true
	case wire.Applying:
		m.dirty, m.touched = true, true
	case wire.Failed, wire.Stale, wire.Refuted, wire.Stuck:
		m.countIn(u.Address, &m.count.Failed)
		m.fall(exitOf(u.State, m.dirty))
		m.stuck = m.stuck || phase == Undoing
	case wire.Stopped:
		m.stuck = m.stuck || phase == Undoing
	case wire.Undone:
		m.count.RolledBack++
	case wire.Conflict:
		m.count.RolledBack++
		m.exit = Worst(m.exit, HostFailure)
		m.stuck = true
	}
}

// fine is the counter of a step that is as it should be: what an earlier session
// of this run changed was changed by this run.
func (m *member) fine(play, address string) *int {
	if m.changed[wire.Place{Play: play, Address: address}] {
		return &m.count.Changed
	}
	return &m.count.OK
}

// countIn counts a unit in one of the counters, and no more in the one before.
func (m *member) countIn(address string, counter *int) {
	if before := m.counted[address]; before != nil {
		*before--
	}
	*counter++
	m.counted[address] = counter
}

func exitOf(s wire.UnitState, dirty bool) Exit {
	switch {
	case s == wire.Stale:
		return Usage
	case s == wire.Refuted && !dirty:
		return ProbeFailed
	}
	return HostFailure
}

// result is the host's line of the recap. The run's lock is held.
func (m *member) result() Count {
	c := m.count
	if m.failed && c.Failed == 0 && !c.Unreachable && m.exit != Locked && m.exit != Interrupted {
		c.Failed = 1
	}
	return c
}
