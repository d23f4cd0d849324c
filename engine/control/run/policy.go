package run

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"weft/engine/language"
	"weft/engine/wire"
)

func (r *Run) onFailure(p *language.Play) string { return cmp.Or(r.opts.OnFailure, p.OnFailure) }

// takeBack does on a host that failed in a play what the play's policy says. A
// host that is out of reach takes back by itself what a guard covers; the rest
// waits for the next contact.
func (m *member) takeBack(ctx context.Context, p *language.Play, err error) {
	var lost *LostError
	if ctx.Err() != nil || errors.As(err, &lost) {
		return
	}
	switch m.run.onFailure(p) {
	case language.Rollback, language.RollbackAll:
		if m.dirty {
			m.undo(ctx, p.Name, wire.Request{UndoPlay: &wire.UndoPlay{Play: p.Name}})
		}
	case language.RollbackRun:
		if m.wrote {
			m.undo(ctx, "", wire.Request{Rollback: &wire.Rollback{Runs: []string{m.run.opts.ID}}})
		}
	}
}

// undo takes back what this run did to the host in a play, or in all of them
// where play is empty.
func (m *member) undo(ctx context.Context, play string, request wire.Request) {
	if err := m.insist(ctx, Undoing, play, request); err != nil {
		return // told, and counted
	}
	m.run.mu.Lock()
	stuck := m.stuck
	m.run.mu.Unlock()
	if !stuck {
		m.dropGuard() // what stood under it is gone
	}
	if play == "" {
		clear(m.did)
	}
	delete(m.did, play)
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	if m.stuck {
		m.exit = Worst(m.exit, HostFailure)
		return
	}
	m.exit = RolledBack
}

// takeAllBack takes the run back on every host in scope that it changed, from a
// play backwards, each play on all of its hosts before the one before it. Hosts
// that cannot be reached are named.
func (r *Run) takeAllBack(ctx context.Context, from int) {
	for i := from; i >= 0 && ctx.Err() == nil; i-- {
		p := r.program.Plays[i]
		changed := slices.DeleteFunc(r.membersOf(p), func(m *member) bool { return !m.did[p.Name] || m.isGone() })
		if len(changed) == 0 {
			continue
		}
		r.tell(Event{Type: PlayBegan, Play: p.Name, Phase: Undoing, Hosts: names(changed)})
		r.forEach(changed, func(m *member) {
			defer r.tellDone(m, p.Name, Undoing)
			request := wire.Rollback{Runs: []string{r.opts.ID}, Run: r.opts.ID, Play: p.Name}
			if m.present(ctx, Undoing) == nil {
				m.undo(ctx, p.Name, wire.Request{Rollback: &request})
			}
		})
	}
	for _, m := range r.members {
		if len(m.did) > 0 && m.isGone() {
			r.tell(Event{Type: HostFailed, Host: m.host.Name, Phase: Undoing,
				Error: "the run is taken back elsewhere and still stands here, for the host was not reached",
				Hint:  "once it answers: `" + r.command("rollback", r.opts.ID, m.host.Name) + "`"})
		}
	}
}
