package run

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"weft/engine/wire"
)

// Visit greets every host in scope, sends it one request, and hands the
// answers to each, one at a time. It is for verbs without plays: facts, runs,
// exec. The request is copied for each host.
func (r *Run) Visit(ctx context.Context, facts bool, request wire.Request, each func(host string, e wire.Event)) {
	r.begin()
	var mu sync.Mutex
	r.forEach(r.members, func(m *member) {
		m.listen = func(e wire.Event) {
			mu.Lock()
			defer mu.Unlock()
			each(m.host.Name, e)
		}
		defer r.tellDone(m, "", Planning)
		_ = m.connect(ctx, facts, request) // told already
		m.listen = nil
	})
}

// Runs asks every host in scope for the runs in its journal.
func (r *Run) Runs(ctx context.Context) map[string][]wire.RunEvent {
	out := map[string][]wire.RunEvent{}
	r.Visit(ctx, false, wire.Request{Runs: &wire.Runs{}}, func(host string, e wire.Event) {
		if e.Run != nil {
			out[host] = append(out[host], *e.Run)
		}
	})
	return out
}

// Rollback takes a run back on every host in scope: its plays in reverse, each
// on all of its hosts before the one before it begins. What the run did is read
// from the hosts' own journals; playbooks are not needed. It returns an error
// where no host knows the run.
func (r *Run) Rollback(ctx context.Context, id string) error {
	plays, known := map[string]wire.PlayChange{}, 0
	by := map[string][]string{} // hosts by play
	for host, runs := range r.Runs(ctx) {
		for _, run := range runs {
			if run.Run != id {
				continue
			}
			known++
			for _, p := range run.Plays {
				plays[p.Name] = p
				by[p.Name] = append(by[p.Name], host)
			}
		}
	}
	if known == 0 {
		return fmt.Errorf("no host that was reached knows the run %s; `weft runs` lists what they know", id)
	}
	order := make([]wire.PlayChange, 0, len(plays))
	for _, p := range plays {
		order = append(order, p)
	}
	slices.SortFunc(order, func(a, b wire.PlayChange) int { return cmp.Compare(b.Index, a.Index) })
	for _, p := range order {
		if ctx.Err() != nil {
			break
		}
		r.rollbackPlay(ctx, id, p.Name, by[p.Name])
	}
	return nil
}

func (r *Run) rollbackPlay(ctx context.Context, id, play string, hosts []string) {
	slices.Sort(hosts)
	r.tell(Event{Type: PlayBegan, Play: play, Phase: Undoing, Hosts: hosts})
	members := make([]*member, len(hosts))
	for i, h := range hosts {
		members[i] = r.byName[h]
	}
	r.forEach(live(members), func(m *member) {
		request := wire.Request{Rollback: &wire.Rollback{Runs: []string{id}, Play: play}}
		defer r.tellDone(m, play, Undoing)
		_ = m.call(ctx, Undoing, play, request) // told already
	})
}
