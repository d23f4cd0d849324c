package run

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"weft/engine/language"
	"weft/engine/step"
	"weft/engine/wire"
)

// scripted is a connector whose hosts answer from a script: what a runner says
// is then the test's to choose.
type scripted struct {
	// answer returns the events of a request; nil events are those of a host
	// that is converged.
	answer func(host string, r wire.Request) ([]wire.Event, error)
	beats  chan struct{} // told of heartbeats; may be nil
	mute   bool          // heartbeats are not answered
	// lasting says that every connection is newer than any guard.
	lasting bool
	// hello is what a greeting is answered with; nil for a host that has
	// nothing to say.
	hello func(host string, h *wire.Hello) *wire.HelloEvent
	// reach is asked before a connection is made; nil for a host that is
	// always there.
	reach func(host string, way way) error
}

// way is how a host is reached.
type way string

const (
	shared way = "shared"
	anew   way = "anew"
)

// What answer may return as well.
var (
	errCut  = errors.New("the cable was cut")
	errHang = errors.New("the host says nothing more")
)

type scriptedConn struct {
	host   string
	way    way
	script *scripted
	events chan wire.Event
	closed chan struct{}
	cut    chan struct{}
}

func (s *scripted) Connect(ctx context.Context, h *language.Host, first []wire.Request) (Conn, error) {
	return s.connect(ctx, h, first, shared)
}

func (s *scripted) ConnectAnew(ctx context.Context, h *language.Host, first []wire.Request) (Conn, error) {
	return s.connect(ctx, h, first, anew)
}

func (s *scripted) connect(ctx context.Context, h *language.Host, first []wire.Request, way way) (Conn, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if s.reach != nil {
		if err := s.reach(h.Name, way); err != nil {
			return nil, err
		}
	}
	c := &scriptedConn{host: h.Name, way: way, script: s, events: make(chan wire.Event, 100_000),
		closed: make(chan struct{}), cut: make(chan struct{})}
	return c, c.Write(first...)
}

func (c *scriptedConn) Write(requests ...wire.Request) error {
	for _, r := range requests {
		switch {
		case r.Heartbeat != nil:
			select {
			case c.script.beats <- struct{}{}:
			default:
			}
			if !c.script.mute {
				c.events <- wire.Event{Pulse: &wire.Pulse{}}
			}
			continue
		case r.Stop != nil:
			continue
		case r.Hello != nil:
			hello := &wire.HelloEvent{}
			if c.script.hello != nil {
				hello = c.script.hello(c.host, r.Hello)
			}
			c.events <- wire.Event{ID: r.ID, Hello: hello}
			c.events <- wire.Event{ID: r.ID, Done: &wire.Done{}}
			continue
		}
		var events []wire.Event
		var err error
		if c.script.answer != nil {
			events, err = c.script.answer(c.host, r)
		}
		for _, e := range events {
			e.ID = r.ID
			c.events <- e
		}
		var refused *RefusedError
		if c.way != anew && !c.script.lasting && (r.Commit != nil || r.Extend != nil) {
			err = &RefusedError{"this connection is older than the guard"}
		}
		switch {
		case errors.Is(err, errHang):
			return nil
		case errors.Is(err, errCut), r.Bye != nil:
			close(c.cut)
		case errors.As(err, &refused):
			c.events <- wire.Event{ID: r.ID, Done: &wire.Done{Error: refused.Reason}}
		default:
			c.events <- wire.Event{ID: r.ID, Done: &wire.Done{}}
		}
	}
	return nil
}

func (c *scriptedConn) Read() (wire.Event, error) {
	select {
	case e := <-c.events:
		return e, nil
	default:
	}
	select {
	case e := <-c.events:
		return e, nil
	case <-c.cut:
		return wire.Event{}, io.ErrUnexpectedEOF
	case <-c.closed:
		return wire.Event{}, io.ErrClosedPipe
	}
}

func (c *scriptedConn) Close() error {
	close(c.closed)
	return nil
}

func said(address string, s wire.UnitState) wire.Event {
	e := &wire.UnitEvent{Address: address, State: s}
	if s == wire.Planned || s == wire.Converged {
		e.Finding = &step.Finding{}
	}
	return wire.Event{Unit: e}
}

// TestEveryOutcome is what a host's answers come to, in the recap and in the
// exit status.
func TestEveryOutcome(t *testing.T) {
	x1, y1 := "note./x", "note./y"
	need := func(says string) wire.Event {
		return wire.Event{Need: &wire.NeedEvent{Need: step.Need{Verb: step.RestartUnit, Object: "d.service"}, Error: says}}
	}
	type answer struct {
		events []wire.Event
		err    error
	}
	tell := func(events ...wire.Event) answer { return answer{events: events} }
	changed := tell(said(x1, wire.Applying), said(x1, wire.Changed), said(y1, wire.Converged))
	for _, c := range []struct {
		name             string
		apply, end, undo answer
		exit             Exit
		want             Count
	}{
		{"changed", changed, tell(), tell(), OK, Count{OK: 1, Changed: 1}},
		{"pending, then in force", tell(said(x1, wire.Applying), said(x1, wire.Pending), said(y1, wire.Converged)),
			tell(need(""), said(x1, wire.Changed)), tell(), OK, Count{OK: 1, Changed: 1}},
		{"pending, then not in force", tell(said(x1, wire.Applying), said(x1, wire.Pending), said(y1, wire.Converged)),
			tell(need("it broke"), said(x1, wire.Failed)), tell(said(x1, wire.Undone)), RolledBack, Count{OK: 1, Failed: 1, RolledBack: 1}},
		{"a need that nothing waits for", changed, tell(need("it broke")), tell(said(x1, wire.Undone)),
			RolledBack, Count{OK: 1, Changed: 1, Failed: 1, RolledBack: 1}},
		{"a need of the undo", changed, tell(need("it broke")), tell(said(x1, wire.Undone), need("again")),
			HostFailure, Count{OK: 1, Changed: 1, Failed: 1, RolledBack: 1}},
		{"failed and undone", tell(said(x1, wire.Applying), said(x1, wire.Failed)), tell(), tell(said(x1, wire.Undone)),
			RolledBack, Count{Failed: 1, RolledBack: 1}},
		{"failed before anything was written", tell(said(x1, wire.Failed)), tell(), tell(said(x1, wire.Stuck)),
			HostFailure, Count{Failed: 1}},
		{"a conflict in undo", tell(said(x1, wire.Applying), said(x1, wire.Failed)), tell(), tell(said(x1, wire.Conflict)),
			HostFailure, Count{Failed: 1, RolledBack: 1}},
		{"stuck in undo", tell(said(x1, wire.Applying), said(x1, wire.Changed), said(y1, wire.Failed)), tell(), tell(said(x1, wire.Stuck)),
			HostFailure, Count{Failed: 2}},
		{"the undo is refused", tell(said(x1, wire.Applying), said(x1, wire.Failed)), tell(), answer{err: &RefusedError{"the disk is full"}},
			HostFailure, Count{Failed: 1}},
		{"lost in undo", tell(said(x1, wire.Applying), said(x1, wire.Failed)), tell(), answer{err: errCut},
			NoContact, Count{Failed: 1, Unreachable: true}},
		{"lost in apply", answer{[]wire.Event{said(x1, wire.Applying)}, errCut}, tell(), tell(said(x1, wire.Undone)),
			NoContact, Count{Unreachable: true}},
		{"lost at the end", changed, answer{err: errCut}, tell(said(x1, wire.Undone)), NoContact, Count{OK: 1, Changed: 1, Unreachable: true}},
		{"the apply is refused", answer{err: &RefusedError{"the disk is full"}}, tell(), tell(said(x1, wire.Undone)), HostFailure, Count{Failed: 1}},
		{"refused after a change", answer{[]wire.Event{said(x1, wire.Applying), said(x1, wire.Changed)}, &RefusedError{"the disk is full"}},
			tell(), tell(said(x1, wire.Undone)), RolledBack, Count{Changed: 1, Failed: 1, RolledBack: 1}},
		{"stale", tell(said(x1, wire.Stale)), tell(), tell(said(x1, wire.Stuck)), Usage, Count{Failed: 1}},
		{"a probe after a change", tell(said(x1, wire.Applying), said(x1, wire.Changed), said(y1, wire.Refuted)), tell(),
			tell(said(x1, wire.Undone)), RolledBack, Count{Changed: 1, Failed: 1, RolledBack: 1}},
		{"a probe before any change", tell(said(x1, wire.Refuted)), tell(), tell(said(x1, wire.Stuck)), ProbeFailed, Count{Failed: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t)
			p := f.program(`play "p" {
				hosts = role.first
				step "note" "/x" { text = "x" }
				step "note" "/y" { text = "y" }
			}`)
			r := New(p, &scripted{answer: func(_ string, r wire.Request) ([]wire.Event, error) {
				switch {
				case r.Check != nil:
					return []wire.Event{said(x1, wire.Planned), said(y1, wire.Converged)}, nil
				case r.Apply != nil:
					return c.apply.events, c.apply.err
				case r.EndPlay != nil:
					return c.end.events, c.end.err
				case r.UndoPlay != nil:
					return c.undo.events, c.undo.err
				}
				return nil, nil
			}}, wire.Change, f.options())
			defer r.Close()
			r.Plan(context.Background())
			r.Apply(context.Background())
			recap := r.Recap(context.Background())
			if recap.Exit != c.exit || recap.Hosts["a"] != c.want {
				t.Errorf("exit %d, %+v; want %d, %+v", recap.Exit, recap.Hosts["a"], c.exit, c.want)
			}
		})
	}
}

func TestWorst(t *testing.T) {
	order := []Exit{Interrupted, Locked, NoContact, HostFailure, RolledBack, ProbeFailed, Usage, Pending, OK}
	for i, a := range order {
		for _, b := range order[i:] {
			if Worst(a, b) != a || Worst(b, a) != a {
				t.Errorf("of %d and %d: %d, %d", a, b, Worst(a, b), Worst(b, a))
			}
		}
	}
	if Worst() != OK {
		t.Error("nothing at all is not ok")
	}
}

// A runner that hangs costs its goodbye a moment, and no more.
func TestGoodbyeHasADeadline(t *testing.T) {
	f := newFleet(t)
	script := &scripted{answer: func(string, wire.Request) ([]wire.Event, error) { return nil, errHang }}
	conn, err := script.Connect(context.Background(), f.program("").Hosts[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(conn, 0)
	gone := make(chan struct{})
	go func() {
		s.bye(time.Millisecond)
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Fatal("it waits for ever")
	}
}

// The lease is kept while the first answer is still on its way, and while
// nothing is asked.
func TestHeartbeatBeforeTheFirstAnswer(t *testing.T) {
	f := newFleet(t)
	p := f.program(`play "p" {
		hosts = role.first
		step "note" "/x" { text = "x" }
	}`)
	answered := make(chan struct{})
	script := &scripted{beats: make(chan struct{}), answer: func(_ string, q wire.Request) ([]wire.Event, error) {
		if q.Check != nil {
			return nil, errHang
		}
		return nil, nil
	}}
	o := f.options()
	o.LeaseTime = 3 * time.Millisecond
	r := New(p, script, wire.Change, o)
	go func() {
		r.Plan(context.Background())
		close(answered)
	}()
	for range 3 {
		select {
		case <-script.beats:
		case <-time.After(5 * time.Second):
			t.Fatal("no heartbeat")
		}
	}
	r.Close() // also ends what hangs
	select {
	case <-answered:
	case <-time.After(10 * time.Second):
		t.Fatal("the plan hangs")
	}
}
