package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"weft/engine/language"
	"weft/engine/step"
	"weft/engine/wire"
)

// member is a host in a run. One goroutine at a time works with it.
type member struct {
	run     *Run
	host    *language.Host
	session *session
	listen  func(wire.Event) // told of every event as well; may be nil

	seen    int                    // the version of the knowledge it was evaluated with
	waits   bool                   // some attribute was unknown then
	checked map[string]checkedUnit // by address
	planned []Planned              // in order, over all plays
	skipped int

	done   map[string]bool // addresses that were applied or proved
	wrote  bool            // something was changed on the host in this run
	count  Count
	exit   Exit
	failed bool // no further play runs on it
}

// checkedUnit is what a check was asked and what it answered.
type checkedUnit struct {
	spec   string
	answer wire.UnitEvent
}

// broken says that the host did not come through its plan.
func (m *member) broken() bool { return m.failed }

// changes says whether the plan pass found anything to do, or could not tell.
func (m *member) changes() bool {
	return slices.ContainsFunc(m.planned, changes)
}

func changes(p Planned) bool {
	return !p.Probe && p.State != wire.Converged
}

// connect reaches the host and greets the runner; requests go out in the same
// write as the greeting.
func (m *member) connect(ctx context.Context, facts bool, requests ...wire.Request) error {
	r := m.run
	intent := r.intent
	if !slices.Contains(r.members, m) {
		intent = wire.Look
	}
	hello := wire.Request{Hello: &wire.Hello{
		Run: r.opts.ID, Site: r.program.Site, Host: m.host.Name, Owner: r.opts.Owner,
		Playbook: r.program.Playbook, Intent: intent, LockTimeout: r.opts.LockTimeout,
		LeaseTime: r.opts.LeaseTime, Facts: facts, Secrets: r.program.Secrets,
	}}
	s, err := open(ctx, r.connector, m.host, append([]wire.Request{hello}, requests...))
	if err != nil {
		m.unreachable(err)
		return err
	}
	m.session = s
	err = m.hear(Planning, "", func(each func(wire.Event)) error { return s.await(ctx, each) })
	if err != nil {
		return err
	}
	if intent == wire.Change {
		go m.session.beat(r.opts.LeaseTime / 3)
	}
	return nil
}

// call speaks to the host and takes in what it answers. An error has been told
// to the observer already.
func (m *member) call(ctx context.Context, phase Phase, play string, requests ...wire.Request) error {
	return m.hear(phase, play, func(each func(wire.Event)) error { return m.session.call(ctx, each, requests...) })
}

// hear takes in what a conversation brings, and what became of it.
func (m *member) hear(phase Phase, play string, converse func(each func(wire.Event)) error) error {
	var broken error
	err := converse(func(e wire.Event) {
		if err := m.take(phase, play, e); err != nil && broken == nil {
			broken = err
		}
	})
	var refused *RefusedError
	switch {
	case m.exit == Locked:
		return errLocked
	case errors.As(err, &refused):
		m.fail(phase, HostFailure, err)
	case err != nil:
		m.lose(phase, err)
	case broken != nil:
		m.fail(phase, HostFailure, broken)
		return broken
	}
	return err
}

var errLocked = errors.New("another run has the host's lease")

// take takes in one event of the runner. The error is that of an answer which
// contradicts what the run already built on.
func (m *member) take(phase Phase, play string, e wire.Event) error {
	r := m.run
	out := Event{Host: m.host.Name, Phase: phase, Play: play}
	if m.listen != nil {
		m.listen(e)
	}
	switch {
	case e.Hello != nil:
		m.greeted(out, e.Hello)
	case e.Wait != nil:
		out.Type, out.Holder = HostWaiting, &e.Wait.Holder
		r.tell(out)
	case e.Need != nil:
		out.Type, out.Need = NeedSettled, e.Need
		r.tell(out)
	case e.Unit != nil:
		return m.moved(out, e.Unit)
	}
	return nil
}

func (m *member) greeted(out Event, h *wire.HelloEvent) {
	if h.Facts != nil {
		m.run.known.setFacts(m.host.Name, h.Facts)
	}
	if h.TookOver != nil {
		taken := out
		taken.Type, taken.Holder = HostTookOver, h.TookOver
		m.run.tell(taken)
	}
	out.Type, out.Open = HostConnected, h.Open
	if h.Holder != nil {
		out.Type, out.Holder = HostLocked, h.Holder
		m.exit, m.failed = Locked, true
	}
	m.run.tell(out)
}

func (m *member) moved(out Event, u *wire.UnitEvent) error {
	r := m.run
	r.mu.Lock()
	if out.Phase == Planning {
		c := m.checked[u.Address]
		c.answer = *u
		m.checked[u.Address] = c
	} else {
		m.tally(out.Phase, u)
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

// tally counts a unit's last word outside the plan.
func (m *member) tally(phase Phase, u *wire.UnitEvent) {
	switch u.State {
	case wire.Converged, wire.Proved:
		if !m.done[u.Address] {
			m.count.OK++
		}
		m.done[u.Address] = true
	case wire.Changed, wire.Pending:
		if !m.done[u.Address] {
			m.count.Changed++
		}
		m.done[u.Address] = true
		m.wrote = true
	case wire.Applying:
		m.wrote = true
	case wire.Failed, wire.Stale, wire.Refuted, wire.Stuck:
		m.count.Failed++
		m.failed = true
		m.exit = Worst(m.exit, exitOf(u.State, m.wrote))
	case wire.Undone, wire.Conflict:
		m.count.RolledBack++
		if u.State == wire.Conflict {
			m.exit = Worst(m.exit, HostFailure)
		}
	}
}

func exitOf(s wire.UnitState, wrote bool) Exit {
	switch {
	case s == wire.Stale:
		return Usage
	case s == wire.Refuted && !wrote:
		return ProbeFailed
	}
	return HostFailure
}

func (m *member) unreachable(err error) {
	m.run.mu.Lock()
	m.count.Unreachable, m.failed = true, true
	m.exit = Worst(m.exit, NoContact)
	m.run.mu.Unlock()
	e := Event{Type: HostUnreachable, Host: m.host.Name, Phase: Planning, Error: err.Error()}
	var u *UnreachableError
	if errors.As(err, &u) {
		e.Hint = u.Hint
	}
	m.run.tell(e)
}

// lose is for a connection that broke in the middle of a run.
func (m *member) lose(phase Phase, err error) {
	m.run.mu.Lock()
	m.count.Unreachable, m.failed = true, true
	m.exit = Worst(m.exit, NoContact)
	m.run.mu.Unlock()
	e := Event{Type: HostLost, Host: m.host.Name, Phase: phase, Error: err.Error()}
	if m.wrote {
		e.Hint = "its journal knows where it stands; the next apply goes on from there, `weft rollback` takes it back"
	}
	m.run.tell(e)
}

// evaluate returns the host's units of a play with all that is known now.
func (m *member) evaluate(p *language.Play) (language.Evaluation, error) {
	known := m.run.known.view(p.Name)
	out, diags := m.run.program.Evaluate(p, m.host.Name, known)
	if diags.Failed() {
		return out, &DiagnosticsError{diags}
	}
	for _, s := range out.Skipped {
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

// sendable says whether a unit is a step that a runner can look at: its `when`
// and `for_each` are known.
func sendable(u step.Unit) bool {
	return !slices.Contains(u.Unknown, language.UnknownWhen) && !slices.Contains(u.Unknown, language.UnknownEach)
}

// specDigest identifies a unit's attributes, but for the values of secrets.
func specDigest(u step.Unit) string {
	spec := map[string]json.RawMessage{}
	if err := json.Unmarshal(u.Spec, &spec); err == nil {
		for _, path := range u.Secret {
			redact(spec, path)
		}
	}
	b, err := json.Marshal(struct {
		Spec                   map[string]json.RawMessage
		Unknown, Secret, After []string
	}{spec, u.Unknown, u.Secret, u.AfterNeeds})
	if err != nil {
		panic("run: a unit that is no JSON: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// redact drops the top attribute that holds a secret: what is left beside it
// is not worth a parser of paths.
func redact(spec map[string]json.RawMessage, path string) {
	for name := range spec {
		if path == name || len(path) > len(name) && path[:len(name)] == name && (path[len(name)] == '.' || path[len(name)] == '[') {
			delete(spec, name)
		}
	}
}
