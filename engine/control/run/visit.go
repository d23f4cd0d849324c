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

// Past is what a run did in a play, as the journals of its hosts know it.
type Past struct {
	Play    string
	Index   int      // of the play in its playbook
	Hosts   []string // that remember it, in order
	Changed int      // steps whose change is still in force, on all of them
}

// Find asks every host in scope what a run did. The plays come in reverse: the
// order in which they are taken back. It returns an error where no host that
// was reached knows the run.
func (r *Run) Find(ctx context.Context, id string) ([]Past, error) {
	plays, known := map[string]*Past{}, false
	for host, runs := range r.Runs(ctx) {
		for _, run := range runs {
			if run.Run != id {
				continue
			}
			known = true
			for _, p := range run.Plays {
				if plays[p.Name] == nil {
					plays[p.Name] = &Past{Play: p.Name, Index: p.Index}
				}
				past := plays[p.Name]
				past.Hosts, past.Changed = append(past.Hosts, host), past.Changed+p.Changed
			}
		}
	}
	if !known {
		return nil, fmt.Errorf("no host that was reached knows the run %s; `weft runs` lists what they know", id)
	}
	out := make([]Past, 0, len(plays))
	for _, p := range plays {
		slices.Sort(p.Hosts)
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b Past) int { return cmp.Or(cmp.Compare(b.Index, a.Index), cmp.Compare(a.Play, b.Play)) })
	return out, nil
}

// Rollback takes a run back on the hosts that Find has found: its plays in
// reverse, each on all of its hosts before the one before it begins. What the
// run did is read from the hosts' own journals; playbooks are not needed.
func (r *Run) Rollback(ctx context.Context, id string, past []Past) {
	for _, p := range past {
		if ctx.Err() != nil {
			return
		}
		r.rollbackPlay(ctx, id, p.Play, p.Hosts)
	}
}

func (r *Run) rollbackPlay(ctx context.Context, id, play string, hosts []string) {
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
