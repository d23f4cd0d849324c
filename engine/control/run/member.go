package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"weft/engine/language"
	"weft/engine/step"
	"weft/engine/wire"
)

// member is a host in a run. One goroutine at a time works with it; what others
// look at meanwhile, or what adds up to the run's result, is under the run's
// lock.
type member struct {
	run     *Run
	host    *language.Host
	intent  wire.Intent
	plays   []*language.Play // that are for the host, in order
	session *session
	parked  bool             // the session was ended for others to have one
	listen  func(wire.Event) // told of every event as well; may be nil

	surveyed *Surveyed // what a survey learns of it; nil where there is none
	asked    time.Time // before the greeting was sent

	seen    int                    // the version of the knowledge it was evaluated with
	waits   bool                   // some attribute was unknown then
	checked map[string]checkedUnit // by address
	planned []Planned              // in order, over all plays
	skipped map[*language.Play]int // steps that are left out
	pending bool                   // a step waits for the needs of the play
	dirty   bool                   // this run changed something in the play under way
	touched bool                   // it did so now, or may have
	wrote   bool                   // this run changed something
	did     map[string]bool        // the plays in which it did, and that were not taken back
	changed map[wire.Place]bool    // what earlier sessions of this run changed
	counted map[string]*int        // the counter of each step that was applied or proved

	boots     *wire.RebootEvent // that the last request came to; nil for none
	trial     time.Duration     // for how long what it was booted for may be tried; zero for nothing of the kind
	trialEnds time.Time         // by when that is kept or given up; zero before it was seen booted
	unsettled map[string]bool   // steps that were applied and wait for their needs

	sent  []step.Unit // with the apply under way, without those whose file was brought
	relay *relay      // the file that the host wants of another; nil for none

	guard  *guard           // that stands on the host for this run; nil for none
	mayArm time.Duration    // of a guard that the play under way may arm
	past   *wire.GuardEvent // of this run, that was decided before this session
	breaks int              // of the connection, in a row

	at     *language.Play // that it began last
	fallen *atomic.Int64  // counts the hosts that fail in its batch; may be nil

	// Under the run's lock:
	count  Count
	exit   Exit
	failed bool // no further play runs on it
	stuck  bool // an undo did not bring everything back
}

// checkedUnit is what a check was asked and what it answered.
type checkedUnit struct {
	spec   string
	answer wire.UnitEvent
}

// out ends the host's part in the run: no further play is for it.
func (m *member) out(exit Exit) {
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	m.fall(exit)
}

// fall is out, with the run's lock held.
func (m *member) fall(exit Exit) {
	if !m.failed && m.fallen != nil {
		m.fallen.Add(1)
	}
	m.failed = true
	m.exit = Worst(m.exit, exit)
	m.run.known.lose(m.host.Name)
}

func (m *member) isOut() bool {
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	return m.failed
}

// changes says whether the plan pass found anything to do, or could not tell. On
// a host that failed in it nothing will be done.
func (m *member) changes() bool {
	return !m.isOut() && slices.ContainsFunc(m.planned, changes)
}

func changes(p Planned) bool {
	return !p.Probe && p.State != wire.Converged
}

// call speaks to the host and takes in what it answers. An error has been told
// to the observer already.
func (m *member) call(ctx context.Context, phase Phase, play string, requests ...wire.Request) error {
	if m.parked {
		if err := m.present(ctx, phase); err != nil {
			return err
		}
	}
	during := ctx
	if phase == Applying {
		during = m.run.limited // what is begun ends with it, the host's part in the run does not
	}
	return m.hear(ctx, phase, play, func(each func(wire.Event)) error { return m.session.call(during, each, requests...) })
}

// hear takes in what a conversation brings, and what became of it.
func (m *member) hear(ctx context.Context, phase Phase, play string, converse func(each func(wire.Event)) error) error {
	defer m.endRelay()
	var broken error
	err := converse(func(e wire.Event) {
		if err := m.take(ctx, phase, play, e); err != nil && broken == nil {
			broken = err
		}
	})
	var refused *RefusedError
	switch {
	case m.exit == Locked:
		return errLocked
	case errors.As(err, &refused) && phase == Planning && ctx.Err() != nil:
		m.out(Interrupted) // a wait for the lease ends like that
	case errors.As(err, &refused):
		m.fail(phase, err)
	case err != nil:
		return m.broke(ctx, phase, err)
	case broken != nil:
		m.fail(phase, broken)
		return broken
	case m.boots != nil:
		return m.bootAnew(ctx, phase)
	}
	return err
}

var errLocked = errors.New("another run has the host's lease")

// take takes in one event of the runner. The error is that of an answer which
// contradicts what the run already built on.
func (m *member) take(ctx context.Context, phase Phase, play string, e wire.Event) error {
	r := m.run
	out := Event{Host: m.host.Name, Phase: phase, Play: play}
	if m.listen != nil {
		m.listen(e)
	}
	switch {
	case e.Hello != nil:
		m.greeted(ctx, out, e.Hello)
	case e.Guard != nil:
		m.guarded(ctx, out, e.Guard)
	case e.Reboot != nil:
		m.boots = e.Reboot
	case e.Wait != nil:
		out.Type, out.Holder = HostWaiting, &e.Wait.Holder
		r.tell(out)
	case e.Need != nil:
		out.Type, out.Need = NeedSettled, e.Need
		r.tell(out)
		if e.Need.Error != "" {
			m.needFailed(phase)
		}
	case e.Progress != nil:
		if phase != Planning { // where nothing takes long
			out.Type, out.Progress = UnitProgress, e.Progress
			r.tell(out)
		}
	case e.Unit != nil:
		return m.moved(out, e.Unit)
	case e.Want != nil:
		return m.wanted(ctx, e.Want)
	}
	return nil
}

// needFailed is for a need that could not be settled: what was changed for it
// is not in force, whoever waits for it.
func (m *member) needFailed(phase Phase) {
	m.out(HostFailure)
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	m.stuck = m.stuck || phase == Undoing
}

func (m *member) greeted(ctx context.Context, out Event, h *wire.HelloEvent) {
	m.before(h)
	if h.Facts != nil {
		m.run.known.setFacts(m.host.Name, h.Facts)
		if m.surveyed != nil {
			m.surveyed.Facts, m.surveyed.Ahead = h.Facts, ahead(h.Clock, m.asked, time.Now())
		}
	}
	if h.TookOver != nil {
		taken := out
		taken.Type, taken.Holder = HostTookOver, h.TookOver
		m.run.tell(taken)
	}
	out.Type, out.Open = HostConnected, h.Open
	if h.Holder != nil {
		out.Type, out.Holder = HostLocked, h.Holder
		m.out(Locked)
	}
	m.run.tell(out)
	if h.Guard != nil {
		if m.mine(h.Guard) && h.Guard.State != wire.GuardArmed {
			m.past = h.Guard
		}
		m.guarded(ctx, Event{Host: m.host.Name, Phase: out.Phase, Play: h.Guard.Play}, h.Guard)
	}
}

func (m *member) moved(out Event, u *wire.UnitEvent) error {
	r := m.run
	r.mu.Lock()
	if out.Phase == Planning {
		c, asked := m.checked[u.Address]
		if !asked {
			r.mu.Unlock()
			return fmt.Errorf("the host told of %s, which it was not asked about", u.Address)
		}
		c.answer = *u
		m.checked[u.Address] = c
	} else {
		m.tally(out.Phase, out.Play, u)
	}
	if u.Elapsed > 0 && (u.State == wire.Changed || u.State == wire.Proved || u.State == wire.Failed) {
		r.timings = append(r.timings, Timing{m.host.Name, u.Address, u.Elapsed})
	}
	r.mu.Unlock()
	out.Type, out.Unit = UnitMoved, u
	r.tell(out)
	var outputs json.RawMessage
	switch {
	case u.Finding != nil:
		outputs = u.Finding.Outputs
	case u.Report != nil:
		outputs = u.Report.Outputs
	}
	return r.known.setOutputs(m.host.Name, u.Address, outputs)
}

// evaluate returns the host's units of a play with all that is known now.
func (m *member) evaluate(p *language.Play) (language.Evaluation, error) {
	known := m.run.known.view(p.Name)
	out, diags := m.run.program.Evaluate(p, m.host.Name, known)
	if diags.Failed() {
		return out, &DiagnosticsError{diags}
	}
	for i := range out.Units {
		out.Units[i].Reboot = m.run.rebootPolicy(p)
	}
	m.run.withParts(out.Units)
	m.run.withParts(out.Aside)
	m.skipped[p] = len(out.Skipped)
	for _, s := range out.Skipped {
		if s.Reason != language.ByWhen {
			continue // it may well be there, and have outputs
		}
		// A step that is left out has outputs, and all are null.
		if err := m.run.known.setOutputs(m.host.Name, s.Address, json.RawMessage("null")); err != nil {
			return out, err
		}
	}
	return out, nil
}

// A DiagnosticsError is an author's mistake that only showed with what was
// learnt of the hosts.
type DiagnosticsError struct{ Diagnostics language.Diagnostics }

func (e *DiagnosticsError) Error() string {
	var b strings.Builder
	if err := e.Diagnostics.WriteText(&b, language.Style{}); err != nil {
		panic("run: a builder that does not take text: " + err.Error())
	}
	return strings.TrimSpace(b.String())
}
