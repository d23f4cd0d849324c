package killtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/onhost"
	"weft/engine/step"
	"weft/engine/wire"
)

// A site is a machine with a runner's directories, on which sessions are held.
type site struct {
	t              testing.TB
	table          step.Table
	machine        *fake.Machine
	state, runtime string // directories
}

// open lays an image out. Close it.
func (w *walk) open(i image) *site {
	s := &site{t: w.t, table: w.scene.Table, machine: i.machine.Clone()}
	for _, dir := range []*string{&s.state, &s.runtime} {
		d, err := os.MkdirTemp(w.disk, "")
		if err != nil {
			w.t.Fatal(err)
		}
		*dir = d
	}
	i.state.write(w.t, s.state)
	i.runtime.write(w.t, s.runtime)
	return s
}

func (s *site) close() {
	for _, dir := range []string{s.state, s.runtime} {
		if err := os.RemoveAll(dir); err != nil {
			s.t.Fatal(err)
		}
	}
}

// image is the site as it stands.
func (s *site) image(at string) image {
	return image{at: at, machine: s.machine.Clone(), state: readTree(s.t, s.state), runtime: readTree(s.t, s.runtime)}
}

// reboot is a power cut: what lay in memory is gone.
func (s *site) reboot() {
	s.machine.Reboot("boot-2")
	if err := os.RemoveAll(s.runtime); err != nil {
		s.t.Fatal(err)
	}
}

// A stage is what stands between a runner and its world.
type stage interface {
	// effect happens where act is called.
	effect(e host.Effect, act func() error) error
	// opens comes before the file of a journal is opened.
	opens(path string) error
	// write happens where put is called, once or in parts.
	write(path string, b []byte, put func([]byte) (int, error)) (int, error)
}

// session holds one session of a run: all requests are there from the start,
// and the last is Bye.
func (s *site) session(on stage, run string, intent wire.Intent, requests ...wire.Request) reply {
	var in, out bytes.Buffer
	hello := wire.Request{Hello: &wire.Hello{Run: run, Site: "lab", Host: "h1", Owner: "anna", Intent: intent}}
	requests = append(append([]wire.Request{hello}, requests...), wire.Request{Bye: &wire.Bye{}})
	for i := range requests {
		requests[i].ID = i + 1
	}
	if err := wire.NewWriter[wire.Request](&in).Write(requests...); err != nil {
		s.t.Fatal(err)
	}
	config := onhost.Config{
		Table: s.table, Host: s.machine.Host(), State: s.state, Runtime: s.runtime, Digest: "d1",
		Monotonic: s.machine.Monotonic, Moment: time.Microsecond, Patience: 5 * time.Millisecond,
		OpenFile: opener(on),
	}
	if on != nil {
		config.Host = host.Surround(config.Host, func(_ context.Context, e host.Effect, act func() error) error { return on.effect(e, act) })
	}
	var r reply
	if err := onhost.Serve(s.t.Context(), &in, &out, config); err != nil {
		r.trouble = append(r.trouble, "the session ended with "+err.Error())
	}
	events := wire.NewReader[wire.Event](&out)
	for {
		e, err := events.Read()
		if err != nil {
			return r
		}
		r.hear(e)
	}
}

// A reply is what the events of a session come to.
type reply struct {
	trouble      []string // what failed, and why
	open         []string // runs that were left half made
	runs         []string // that the host knows
	changed      int      // units
	planned      int
	conflict     bool
	irreversible bool
}

func (r *reply) hear(e wire.Event) {
	switch {
	case e.Hello != nil:
		r.open = e.Hello.Open
	case e.Run != nil:
		r.runs = append(r.runs, e.Run.Run)
	case e.Done != nil && e.Done.Error != "":
		r.trouble = append(r.trouble, e.Done.Error)
	case e.Need != nil && e.Need.Error != "":
		r.trouble = append(r.trouble, e.Need.Error)
	case e.Unit != nil:
		r.unit(*e.Unit)
	}
}

func (r *reply) unit(u wire.UnitEvent) {
	if u.Finding != nil && u.Finding.Changed() && u.Finding.Cost.Irreversible != "" {
		r.irreversible = true
	}
	switch u.State {
	case wire.Planned:
		r.planned++
	case wire.Changed, wire.Pending:
		r.changed++
	case wire.Conflict:
		r.conflict = true
		r.trouble = append(r.trouble, fmt.Sprintf("%s: %s", u.Address, u.Error))
	case wire.Failed, wire.Stale, wire.Stuck, wire.Stopped, wire.Refuted:
		r.trouble = append(r.trouble, fmt.Sprintf("%s is %s: %s %s", u.Address, u.State, u.Error, u.Detail))
	}
}

func (r reply) String() string { return strings.Join(r.trouble, "; ") }

// apply is a run of the whole play.
func (s *site) apply(on stage, run string, units []step.Unit) reply {
	return s.session(on, run, wire.Change, applying(units)...)
}

func applying(units []step.Unit) []wire.Request {
	return []wire.Request{{Apply: &wire.Apply{Play: "p", Units: units}}, {EndPlay: &wire.EndPlay{Play: "p"}}}
}

// applyAndUndo is a run whose controller takes the play back, as it does where
// a step failed.
func (s *site) applyAndUndo(on stage, run string, units []step.Unit) reply {
	return s.session(on, run, wire.Change, append(applying(units), wire.Request{UndoPlay: &wire.UndoPlay{Play: "p"}})...)
}

// rollback takes back all runs that the host knows.
func (s *site) rollback(on stage, run string) reply {
	known := s.session(nil, run, wire.Look, wire.Request{Runs: &wire.Runs{}})
	if len(known.trouble) > 0 {
		return known
	}
	if len(known.runs) == 0 { // killed before it wrote anything: whoever comes next cleans up
		return s.session(on, run, wire.Change)
	}
	return s.session(on, run, wire.Change, wire.Request{Rollback: &wire.Rollback{Runs: known.runs}})
}

// look says what a plan would.
func (s *site) look(units []step.Unit) reply {
	return s.session(nil, "look", wire.Look, wire.Request{Check: &wire.Check{Units: units}})
}
