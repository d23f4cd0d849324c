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
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
	"time"

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
	// Connections is how many hosts may be connected at once, for each takes
	// a file descriptor; no bound where zero.
	Connections int
	// LockTimeout is how long to wait for another run's lease.
	LockTimeout time.Duration
	// LeaseTime is the lease's length; 30 s where zero. A heartbeat goes out
	// three times as often.
	LeaseTime time.Duration
	// OnFailure replaces what the plays say, where it is not empty.
	OnFailure string
	// GuardTime is for how long a guard is armed that no step asks for; 60 s
	// where zero.
	GuardTime time.Duration
	// ByHand leaves it to an operator to confirm guards.
	ByHand bool
	// AllowDisruption lets changes through that hit virtual machines.
	AllowDisruption bool
	// TimeLimit is the longest that the apply may take: after it no further
	// step begins, and hosts that are not done fail. Zero is no limit. It
	// does not cut what is taken back.
	TimeLimit time.Duration
	// Reboot replaces what the plays say of reboots, where it is not empty.
	Reboot step.RebootPolicy
	// RebootTime is how long a host may take to come back; ten minutes where
	// zero.
	RebootTime time.Duration
	// Awaited are hosts that an earlier session of the run told to reboot: they
	// are waited for where they do not answer at once.
	Awaited []string
	// Inventories are those of the program, for the commands in hints.
	Inventories []string
	Observer    Observer

	times times
}

// times are those that nobody chooses; tests are hasty.
type times struct {
	pause    time.Duration // before a host is tried again
	pauseMax time.Duration // that it grows to
	absence  time.Duration // for how long a host that was lost is awaited; the lease is safe for so long
	grace    time.Duration // that a host has to take back what stood under a guard
	goodbye  time.Duration // that a runner has to end its session
	moment   time.Duration // that a host may take to answer before another is tried meanwhile
}

func (o Options) filled() Options {
	o.Forks = cmp.Or(max(o.Forks, 0), 64)
	if o.Connections > 0 {
		o.Forks = min(o.Forks, o.Connections)
	}
	o.LeaseTime = cmp.Or(max(o.LeaseTime, 0), 30*time.Second)
	o.GuardTime = cmp.Or(max(o.GuardTime, 0), time.Minute)
	o.RebootTime = cmp.Or(max(o.RebootTime, 0), 10*time.Minute)
	if o.times == (times{}) {
		o.times = times{pause: 200 * time.Millisecond, pauseMax: 5 * time.Second, absence: o.LeaseTime, grace: 30 * time.Second, goodbye: patience, moment: 250 * time.Millisecond}
	}
	return o
}

// NewID returns a run's id: sortable by time, and unique.
func NewID(now time.Time) string {
	return now.UTC().Format("20060102T150405.000Z") + "-" + random(3)
}

// random is so many random bytes in hexadecimal.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}

// A Run is one program on its way to its hosts. Its methods are called in
// order: Plan, perhaps Apply or Prove, and Close at the end.
type Run struct {
	opts      Options
	program   *language.Program
	connector Connector
	known     *knowledge
	members   []*member // in scope, in the program's order
	readers   []*member // out of scope, but named by expressions
	byName    map[string]*member
	chosen    map[string]bool                   // the names of the members
	reads     map[*language.Play]language.Reads // what its expressions name, on whatever host
	began     time.Time

	limited context.Context // ends with the apply's time
	name    string          // of this process among those that speak for the run
	leaving []string        // the runs that are taken back
	forks   chan struct{}   // one in it for each host that is worked at
	crowded bool            // there are more hosts than may be connected
	relays  relays          // files that travel from host to host

	mu       sync.Mutex // guards the observer, and what members share
	timings  []Timing
	standing []Standing
	// rebooting are the hosts that are away for a reboot, and onReboot is told.
	rebooting []string
	onReboot  func(away []string)

	away    chan struct{} // holds one while a host of a role of few is away
	missing string        // such a host that did not come back; guarded by away
}

// New prepares a run. Intent Change takes each host's lease when it is greeted.
func New(p *language.Program, c Connector, intent wire.Intent, o Options) *Run {
	r := &Run{
		opts: o.filled(), program: p, connector: c, known: newKnowledge(), began: time.Now(), limited: context.Background(), name: random(8),
		byName: map[string]*member{}, reads: map[*language.Play]language.Reads{},
	}
	plays := map[string][]*language.Play{} // by host
	for _, play := range p.Plays {
		r.reads[play] = p.Reads(play, "") // once: it names all hosts that a loop may reach
		for _, h := range play.Hosts {
			plays[h] = append(plays[h], play)
		}
	}
	r.chosen = r.scope(plays)
	named := r.namedHosts()
	for _, h := range p.Hosts {
		m := &member{
			run: r, host: h, intent: intent, plays: plays[h.Name],
			checked: map[string]checkedUnit{}, counted: map[string]*int{}, skipped: map[*language.Play]int{},
			did: map[string]bool{}, changed: map[wire.Place]bool{}, unsettled: map[string]bool{},
		}
		switch {
		case r.chosen[h.Name]:
			r.members = append(r.members, m)
		case named[h.Name]:
			m.intent = wire.Look
			r.readers = append(r.readers, m)
		default:
			continue
		}
		r.byName[h.Name] = m
	}
	r.forks = make(chan struct{}, r.opts.Forks)
	r.away = make(chan struct{}, 1)
	r.relays = relays{slots: make(chan struct{}, readsAtOnce), idle: map[string][]*session{}}
	r.crowded = o.Connections > 0 && len(r.byName) > o.Connections
	return r
}

// ID is the run's.
func (r *Run) ID() string { return r.opts.ID }

// scope are the hosts that some play is for, within the limit; a program
// without plays is for all of them.
func (r *Run) scope(plays map[string][]*language.Play) map[string]bool {
	limit := map[string]bool{}
	for _, h := range r.opts.Limit {
		limit[h] = true
	}
	chosen := map[string]bool{}
	for _, h := range r.program.Hosts {
		wanted := r.opts.Limit == nil || limit[h.Name]
		chosen[h.Name] = wanted && (len(r.program.Plays) == 0 || len(plays[h.Name]) > 0)
	}
	return chosen
}

// namedHosts are the hosts whose outputs or facts some host in scope reads.
func (r *Run) namedHosts() map[string]bool {
	named := map[string]bool{}
	for _, p := range r.program.Plays {
		if !slices.ContainsFunc(p.Hosts, func(h string) bool { return r.chosen[h] }) {
			continue
		}
		for _, other := range r.reads[p].Others {
			named[other.Host] = true
		}
	}
	return named
}

// everyone are the members and the readers.
func (r *Run) everyone() []*member { return slices.Concat(r.members, r.readers) }

// Close ends all sessions and releases the leases.
func (r *Run) Close() {
	defer r.closeReaders()
	r.forEach(r.everyone(), func(m *member) {
		m.dropGuard()
		if m.session != nil {
			m.session.bye(r.opts.times.goodbye)
		}
	})
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

func (r *Run) tellDone(m *member, play string, phase Phase) {
	r.tell(Event{Type: HostDone, Host: m.host.Name, Play: play, Phase: phase})
}

// begin tells the observer who is in scope.
func (r *Run) begin() {
	r.tell(Event{Type: RunBegan, Hosts: names(r.members)})
}

// Recap sums the run up and tells it to the observer: with the codes of the
// hosts, Interrupted where ctx is done, and what else holds.
func (r *Run) Recap(ctx context.Context, also ...Exit) Recap {
	out := Recap{Run: r.opts.ID, Hosts: map[string]Count{}, Elapsed: time.Since(r.began)}
	codes := slices.Clone(also)
	if ctx.Err() != nil {
		codes = append(codes, Interrupted)
	}
	r.mu.Lock()
	for _, m := range r.members {
		out.Hosts[m.host.Name] = m.result()
		codes = append(codes, m.exit)
	}
	slices.SortFunc(r.timings, func(a, b Timing) int {
		return cmp.Or(cmp.Compare(b.Elapsed, a.Elapsed), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Address, b.Address))
	})
	out.Slowest = r.timings[:min(5, len(r.timings))]
	if out.Standing = r.standing; len(out.Standing) > 0 {
		out.Confirm = r.command("commit", r.opts.ID, "")
	}
	r.mu.Unlock()
	out.Exit = Worst(codes...)
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
		if m.isOut() {
			n++
		}
	}
	return n
}

// Failed are the names of the hosts that failed, were not reached or are
// another run's, in the program's order.
func (r *Run) Failed() []string {
	return names(slices.DeleteFunc(slices.Clone(r.members), func(m *member) bool { return !m.isOut() }))
}

// Planned returns what the plan pass found on each host, in order. A host that
// was not reached, or not to the end, is not among them.
func (r *Run) Planned() map[string][]Planned {
	out := map[string][]Planned{}
	for _, m := range r.members {
		if len(m.planned) > 0 || !m.isOut() {
			out[m.host.Name] = m.planned
		}
	}
	return out
}

func (r *Run) isProbe(u step.Unit) bool { return r.opts.Table[u.Kind].Probe != nil }

// fail ends the host's part of the run, for a reason of the host as a whole.
func (m *member) fail(phase Phase, err error) {
	m.out(HostFailure)
	m.run.tell(Event{Type: HostFailed, Host: m.host.Name, Phase: phase, Error: err.Error()})
}
