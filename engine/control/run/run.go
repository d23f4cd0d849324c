// Package run carries a program to hosts: it plans, applies, proves and takes
// back. It meets no HCL and no SSH: the program comes evaluated from package
// language, hosts are reached through a [Connector], and what happens is told
// to an [Observer].
//
// A run goes through these phases:
//
//	plan    every host is greeted and all its steps are checked, in one round
//	        trip; a further one for each level of outputs that others wait for
//	apply   plays are walked from the first that changes anything; the hosts
//	        of a batch side by side, steps in order, undo where a host fails
//	prove   where nothing is to change only the probes are left to run
//
// Order belongs to this package; the workers come from package conc.
package run

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sourcegraph/conc/pool"

	"weft/engine/language"
	"weft/engine/step"
	"weft/engine/wire"
)

// Options say how a run is carried out.
type Options struct {
	ID    string // of the run; NewID makes one
	Owner string // who runs it, for the lease and the list of runs
	Table step.Table
	// Limit names the hosts in scope; all of the program where nil. Others
	// that expressions name are read, never changed.
	Limit []string
	Forks int // hosts worked at side by side; 64 where zero
	// LockTimeout is how long to wait for another run's lease.
	LockTimeout time.Duration
	// LeaseTime is the lease's length; 30 s where zero. A heartbeat goes out
	// three times as often.
	LeaseTime time.Duration
	// OnFailure replaces what the plays say, where it is not empty.
	OnFailure string
	Observer  Observer
}

// NewID returns a run's id: sortable by time, and unique.
func NewID(now time.Time) string {
	var tail [3]byte
	if _, err := rand.Read(tail[:]); err != nil {
		panic("run: no randomness: " + err.Error())
	}
	return now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(tail[:])
}

// A Run is one program on its way to its hosts. Its methods are called in
// order: Plan, perhaps Apply or Prove, and Close at the end.
type Run struct {
	opts      Options
	program   *language.Program
	connector Connector
	intent    wire.Intent
	known     *knowledge
	members   []*member // in scope, in the program's order
	readers   []*member // out of scope, but named by expressions
	began     time.Time

	mu      sync.Mutex // guards the observer and the members' counts
	timings []Timing
}

// New prepares a run. Intent Change takes each host's lease when it is greeted.
func New(p *language.Program, c Connector, intent wire.Intent, o Options) *Run {
	if o.Forks <= 0 {
		o.Forks = 64
	}
	if o.LeaseTime <= 0 {
		o.LeaseTime = 30 * time.Second
	}
	r := &Run{opts: o, program: p, connector: c, intent: intent, known: newKnowledge(), began: time.Now()}
	named := r.namedHosts()
	for _, h := range p.Hosts {
		m := &member{run: r, host: h, checked: map[string]checkedUnit{}, done: map[string]bool{}}
		switch {
		case (o.Limit == nil || slices.Contains(o.Limit, h.Name)) && r.inPlay(h.Name):
			r.members = append(r.members, m)
		case named[h.Name]:
			r.readers = append(r.readers, m)
		}
	}
	return r
}

// inPlay says whether some play is for a host; a program without plays is for
// all of them.
func (r *Run) inPlay(host string) bool {
	return len(r.program.Plays) == 0 || slices.ContainsFunc(r.program.Plays, func(p *language.Play) bool { return slices.Contains(p.Hosts, host) })
}

// namedHosts are the hosts whose outputs or facts some host in scope reads.
func (r *Run) namedHosts() map[string]bool {
	named := map[string]bool{}
	for _, p := range r.program.Plays {
		for _, h := range p.Hosts {
			if r.opts.Limit != nil && !slices.Contains(r.opts.Limit, h) {
				continue
			}
			for _, other := range r.program.Reads(p, h).Others {
				named[other.Host] = true
			}
		}
	}
	return named
}

// Close ends all sessions and releases the leases.
func (r *Run) Close() {
	r.forEach(slices.Concat(r.members, r.readers), func(m *member) {
		if m.session != nil {
			m.session.bye()
		}
	})
}

// forEach calls do for each member, as many at a time as there are forks.
func (r *Run) forEach(members []*member, do func(*member)) {
	p := pool.New().WithMaxGoroutines(r.opts.Forks)
	for _, m := range members {
		p.Go(func() { do(m) })
	}
	p.Wait()
}

func (r *Run) tell(e Event) {
	e.Time = time.Now()
	e.Run = r.opts.ID
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opts.Observer != nil {
		r.opts.Observer.Observe(e)
	}
}

// Begin tells the observer who is in scope. Plan calls for it first.
func (r *Run) begin() {
	names := make([]string, len(r.members))
	for i, m := range r.members {
		names[i] = m.host.Name
	}
	r.tell(Event{Type: RunBegan, Hosts: names})
}

// Recap sums the run up and tells it to the observer.
func (r *Run) Recap(ctx context.Context) Recap {
	out := Recap{Run: r.opts.ID, Hosts: map[string]Count{}, Elapsed: time.Since(r.began)}
	codes := []Exit{OK}
	if ctx.Err() != nil {
		codes = append(codes, Interrupted)
	}
	for _, m := range r.members {
		out.Hosts[m.host.Name] = m.count
		codes = append(codes, m.exit)
	}
	out.Exit = Worst(codes...)
	slices.SortFunc(r.timings, func(a, b Timing) int { return int(b.Elapsed - a.Elapsed) })
	out.Slowest = r.timings[:min(5, len(r.timings))]
	r.tell(Event{Type: RunEnded, Recap: &out})
	return out
}

// Changes says whether the plan pass found anything to do.
func (r *Run) Changes() bool {
	return slices.ContainsFunc(r.members, (*member).changes)
}

// Failures are the hosts that did not come through the plan pass.
func (r *Run) Failures() int {
	n := 0
	for _, m := range r.members {
		if m.broken() {
			n++
		}
	}
	return n
}

// Planned returns what the plan pass found on each host, in order.
func (r *Run) Planned() map[string][]Planned {
	out := map[string][]Planned{}
	for _, m := range r.members {
		out[m.host.Name] = m.planned
	}
	return out
}

func (r *Run) playsOf(m *member) []*language.Play {
	var plays []*language.Play
	for _, p := range r.program.Plays {
		if slices.Contains(p.Hosts, m.host.Name) {
			plays = append(plays, p)
		}
	}
	return plays
}

func (r *Run) isProbe(u step.Unit) bool { return r.opts.Table[u.Kind].Probe != nil }

// fail ends the host's part of the run, for a reason of the host as a whole.
func (m *member) fail(phase Phase, exit Exit, err error) {
	m.run.mu.Lock()
	m.exit = Worst(m.exit, exit)
	m.failed = true
	m.run.mu.Unlock()
	m.run.tell(Event{Type: HostFailed, Host: m.host.Name, Phase: phase, Error: fmt.Sprint(err)})
}
