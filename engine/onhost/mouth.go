package onhost

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/onhost/scrub"
	"weft/engine/step"
	"weft/engine/wire"
)

// gather is how long events wait for company before they are sent.
const gather = 50 * time.Millisecond

// A sink takes events to the other end.
type sink interface{ Write(...wire.Event) error }

// A mouth says events to the controller, without secrets. Many events go out
// in one write; it is used by the goroutine that serves requests.
type mouth struct {
	w      sink
	scrub  *scrub.Scrubber
	id     int // of the request under way
	batch  []wire.Event
	first  time.Time // when the batch was begun
	broken func(error)
}

// say adds an event to the batch.
func (m *mouth) say(e wire.Event) {
	if e.ID == 0 {
		e.ID = m.id
	}
	if len(m.batch) == 0 {
		m.first = time.Now()
	}
	m.batch = append(m.batch, m.clean(e))
	if time.Since(m.first) > gather {
		m.send()
	}
}

// now says an event that is news: it is sent at once, with what waits.
func (m *mouth) now(e wire.Event) {
	m.say(e)
	m.send()
}

// send writes the batch; a controller that is gone ends the session.
func (m *mouth) send() {
	if err := m.flush(); err != nil {
		m.broken(fmt.Errorf("%w: %w", ErrCut, err))
	}
}

func (m *mouth) flush() error {
	if len(m.batch) == 0 {
		return nil
	}
	err := m.w.Write(m.batch...)
	clear(m.batch)
	m.batch = m.batch[:0]
	return err
}

// clean takes the secrets out of an event.
func (m *mouth) clean(e wire.Event) wire.Event {
	t := m.scrub.Text
	switch {
	case e.Unit != nil:
		e.Unit.Error, e.Unit.Detail = t(e.Unit.Error), t(e.Unit.Detail)
		if e.Unit.Report != nil {
			r := *e.Unit.Report
			r.Summary, r.Outputs = t(r.Summary), m.scrub.JSON(r.Outputs)
			e.Unit.Report = &r
		}
		if e.Unit.Finding != nil {
			e.Unit.Finding = m.cleanFinding(*e.Unit.Finding)
		}
	case e.Need != nil:
		e.Need.Error = t(e.Need.Error)
	case e.Progress != nil:
		e.Progress = &wire.Progress{Address: e.Progress.Address, How: t(e.Progress.How)}
	case e.Exec != nil:
		e.Exec.Stdout = []byte(t(string(e.Exec.Stdout)))
		e.Exec.Stderr = []byte(t(string(e.Exec.Stderr)))
	case e.Answer != nil:
		e.Answer.Text, e.Answer.Error = t(e.Answer.Text), t(e.Answer.Error)
	case e.Guard != nil:
		e.Guard.Error = t(e.Guard.Error)
	case e.Hello != nil && e.Hello.Guard != nil:
		e.Hello.Guard.Error = t(e.Hello.Guard.Error)
	case e.Done != nil:
		e.Done.Error = t(e.Done.Error)
	}
	return e
}

// cleanFinding is a finding for the controller: the states stay here, and the
// sides of a secret delta too.
func (m *mouth) cleanFinding(f step.Finding) *step.Finding {
	f.Before, f.Want = nil, nil
	f.Object, f.Outputs = m.scrub.Text(f.Object), m.scrub.JSON(f.Outputs)
	f.Cost.Disruption, f.Cost.Irreversible = m.scrub.Text(f.Cost.Disruption), m.scrub.Text(f.Cost.Irreversible)
	if len(f.Cost.Guests) > 0 {
		guests := make([]string, len(f.Cost.Guests))
		for i, g := range f.Cost.Guests {
			guests[i] = m.scrub.Text(g)
		}
		f.Cost.Guests = guests
	}
	if len(f.Warnings) > 0 {
		warnings := make([]string, len(f.Warnings))
		for i, w := range f.Warnings {
			warnings[i] = m.scrub.Text(w)
		}
		f.Warnings = warnings
	}
	deltas := make([]step.Delta, len(f.Deltas))
	for i, d := range f.Deltas {
		if d.Secret {
			d.From, d.To = nil, nil
		}
		d.From, d.To = m.scrub.JSON(d.From), m.scrub.JSON(d.To)
		deltas[i] = d
	}
	f.Deltas = deltas
	return &f
}

// panicError is a module's panic: our bug, and that unit's failure.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("this is a bug in weft: panic: %v", e.value) }

// explain splits an error into a line and the rest: further lines, the whole
// stderr of a program, the stack of a panic.
func explain(err error) (line, detail string) {
	line, detail, _ = strings.Cut(err.Error(), "\n")
	var exit *host.ExitError
	if errors.As(err, &exit) {
		whole := exit.Result.Stderr
		if len(whole) == 0 {
			whole = exit.Result.Stdout
		}
		detail = strings.TrimSpace(detail + "\n" + string(whole))
	}
	var p *panicError
	if errors.As(err, &p) {
		detail = strings.TrimSpace(detail + "\n" + string(p.stack))
	}
	return line, detail
}
