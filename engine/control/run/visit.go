package run

import (
	"context"
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
