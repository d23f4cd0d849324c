package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"weft/engine/wire"
)

// A Past is what runs did to the hosts, as the hosts' own journals know it, in
// the order in which it is taken back.
type Past struct {
	Plays []PastPlay
	only  string              // the one play that goes back; all where empty
	runs  map[string][]string // by the host that knows them
}

// PastPlay is what a run did in a play.
type PastPlay struct {
	Run     string
	Play    string
	Hosts   []string // that carry something of it, in order
	Changed int      // steps whose change is still in force, on all of them

	index int // of the play in its playbook
	began time.Time
}

// Find asks every host in scope what runs did, and whether it would refuse to
// take them back because a later run, which stays, built on them. It changes
// nothing. Where a play is named it is about that alone. The error says that no
// host that was reached knows one of the runs or the play, or that a host
// refuses.
func (r *Run) Find(ctx context.Context, play string, ids ...string) (*Past, error) {
	past := &Past{only: play, runs: map[string][]string{}}
	plays := map[string]bool{}
	known := map[string]bool{}
	r.leaving = ids
	for host, runs := range r.Runs(ctx) {
		for _, e := range runs {
			if slices.Contains(ids, e.Run) {
				known[e.Run] = true
				past.add(host, e)
				for _, p := range e.Plays {
					plays[p.Name] = true
				}
			}
		}
	}
	for _, id := range ids {
		if !known[id] {
			return nil, fmt.Errorf("no host that was reached knows the run %s; `weft runs` lists what they know", id)
		}
	}
	if play != "" && !plays[play] {
		return nil, fmt.Errorf("nothing was changed in a play %q there; the plays are %s", play, strings.Join(slices.Sorted(maps.Keys(plays)), ", "))
	}
	past.sort()
	if r.refuses(ctx, past) {
		return nil, errors.New("nothing was taken back; name the later runs as well, and they go together")
	}
	return past, nil
}

// add takes in what one host says of a run.
func (p *Past) add(host string, e wire.RunEvent) {
	p.runs[host] = append(p.runs[host], e.Run)
	for _, play := range e.Plays {
		if play.Changed == 0 || p.only != "" && p.only != play.Name {
			continue
		}
		i := slices.IndexFunc(p.Plays, func(o PastPlay) bool { return o.Run == e.Run && o.Play == play.Name })
		if i < 0 {
			i = len(p.Plays)
			p.Plays = append(p.Plays, PastPlay{Run: e.Run, Play: play.Name, index: play.Index, began: e.Began})
		}
		o := &p.Plays[i]
		o.Hosts, o.Changed = append(o.Hosts, host), o.Changed+play.Changed
	}
}

// sort puts the last run first, and of a run its last play.
func (p *Past) sort() {
	began := map[string]time.Time{} // one time a run, though hosts' clocks differ
	for _, o := range p.Plays {
		if o.began.After(began[o.Run]) {
			began[o.Run] = o.began
		}
	}
	slices.SortFunc(p.Plays, func(a, b PastPlay) int {
		return cmp.Or(began[b.Run].Compare(began[a.Run]), strings.Compare(b.Run, a.Run),
			cmp.Compare(b.index, a.index), strings.Compare(a.Play, b.Play))
	})
	for _, o := range p.Plays {
		slices.Sort(o.Hosts)
	}
}

// refuses asks all hosts before anything moves on one.
func (r *Run) refuses(ctx context.Context, p *Past) bool {
	var hosts []string
	for h := range p.runs {
		hosts = append(hosts, h)
	}
	slices.Sort(hosts)
	asked := live(r.named(hosts))
	r.forEach(asked, func(m *member) {
		request := wire.Request{Rollback: &wire.Rollback{Runs: p.runs[m.host.Name], Play: p.only, Ask: true}}
		_ = m.insist(ctx, Undoing, "", request) // told already
	})
	return len(live(asked)) < len(asked)
}

// Rollback takes back what Find has found: each play on all of its hosts before
// the one before it begins. Playbooks are not needed.
func (r *Run) Rollback(ctx context.Context, p *Past) {
	for _, o := range p.Plays {
		if ctx.Err() != nil {
			return
		}
		members := live(r.named(o.Hosts))
		if len(members) == 0 {
			continue
		}
		r.tell(Event{Type: PlayBegan, Play: o.Play, Phase: Undoing, Hosts: names(members)})
		r.forEach(members, func(m *member) {
			request := wire.Request{Rollback: &wire.Rollback{Runs: p.runs[m.host.Name], Run: o.Run, Play: o.Play}}
			defer r.tellDone(m, o.Play, Undoing)
			_ = m.insist(ctx, Undoing, o.Play, request) // told already
		})
	}
}

func (r *Run) named(hosts []string) []*member {
	members := make([]*member, len(hosts))
	for i, h := range hosts {
		members[i] = r.byName[h]
	}
	return members
}
