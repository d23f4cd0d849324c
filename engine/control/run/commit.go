package run

import (
	"context"
	"time"

	"weft/engine/wire"
)

// Guards greets every host in scope and returns the guards that stand there, or
// that expired last, by host.
func (r *Run) Guards(ctx context.Context) map[string]wire.GuardEvent {
	out := map[string]wire.GuardEvent{}
	r.Visit(ctx, false, wire.Request{Check: &wire.Check{}}, func(host string, e wire.Event) {
		if e.Hello != nil && e.Hello.Guard != nil {
			out[host] = *e.Hello.Guard
		}
	})
	return out
}

// Confirm commits a run's guards on hosts that Guards has greeted, or extends
// them where a time is given. Its connections are those of Guards: they are new,
// which is what counts.
func (r *Run) Confirm(ctx context.Context, id string, guards map[string]wire.GuardEvent, extend time.Duration) {
	var members []*member
	for _, m := range live(r.members) {
		if g, ok := guards[m.host.Name]; ok && g.Run == id && g.State == wire.GuardArmed {
			members = append(members, m)
		}
	}
	r.forEach(members, func(m *member) {
		g := guards[m.host.Name]
		request := wire.Request{Commit: &wire.Commit{Run: id}}
		g.State, g.Left = wire.GuardCommitted, 0
		if extend > 0 {
			request = wire.Request{Extend: &wire.Extend{Run: id, Time: extend}}
			g.State, g.Left = wire.GuardArmed, extend
		}
		said := false
		m.listen = func(e wire.Event) { said = said || e.Guard != nil }
		err := m.call(ctx, Planning, g.Play, request)
		m.listen = nil
		if err == nil && !said {
			m.tellGuard(Applying, &g, "")
		}
	})
}
