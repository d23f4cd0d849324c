package run

import (
	"weft/engine/wire"
)

// tally counts a unit's last word outside the plan. The run's lock is held.
func (m *member) tally(phase Phase, u *wire.UnitEvent) {
	switch u.State {
	case wire.Converged, wire.Proved:
		m.countIn(u.Address, &m.count.OK)
	case wire.Changed, wire.Pending:
		m.countIn(u.Address, &m.count.Changed)
		m.pending = m.pending || u.State == wire.Pending
		m.dirty = true
	case wire.Applying:
		m.dirty = true
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
