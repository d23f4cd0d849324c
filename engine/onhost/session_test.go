package onhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/wire"
)

// A site is one fake machine with its state directories, on which sessions are
// held.
type site struct {
	t       testing.TB
	machine *fake.Machine
	config  Config
	log     *lockedBuffer
}

func newSite(t testing.TB) *site {
	m := fake.New()
	m.SetKernel("/proc/sys/kernel/random/boot_id", "boot-1")
	s := &site{t: t, machine: m, log: &lockedBuffer{}}
	s.config = Config{
		Table: testKinds(), Host: m.Host(), State: t.TempDir(), Runtime: t.TempDir(), Digest: "d1",
		Monotonic: m.Monotonic, Moment: time.Millisecond, Patience: 20 * time.Millisecond,
		Log: s.log,
	}
	return s
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A client is the controller's end of a session.
type client struct {
	t      testing.TB
	w      *wire.Writer[wire.Request]
	stdin  io.Closer
	stdout io.Closer
	id     int
	mu     sync.Mutex
	come   *sync.Cond
	events []wire.Event
	over   bool
	ended  chan error
}

// open begins a session. A session that a test leaves open is cut.
func (s *site) open() *client { return s.openIn(context.Background()) }

// openIn begins a session whose process is told to end when ctx does.
func (s *site) openIn(ctx context.Context) *client {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	c := &client{t: s.t, w: wire.NewWriter[wire.Request](inW), stdin: inW, stdout: outR, ended: make(chan error, 1)}
	c.come = sync.NewCond(&c.mu)
	config := s.config
	go func() {
		err := Serve(ctx, inR, outW, config)
		outW.Close()
		inR.Close()
		c.ended <- err
	}()
	go c.listen(wire.NewReader[wire.Event](outR))
	s.t.Cleanup(func() { inW.Close() })
	return c
}

func (c *client) listen(r *wire.Reader[wire.Event]) {
	for {
		e, err := r.Read()
		c.mu.Lock()
		if err != nil {
			c.over = true
			c.come.Broadcast()
			c.mu.Unlock()
			return
		}
		c.events = append(c.events, e)
		c.come.Broadcast()
		c.mu.Unlock()
	}
}

// send sends a request and returns its number.
func (c *client) send(r wire.Request) int {
	c.t.Helper()
	c.id++
	r.ID = c.id
	if err := c.w.Write(r); err != nil {
		c.t.Fatalf("send: %v", err)
	}
	return c.id
}

// wait returns the events of a request once it is done, or the session is
// over.
func (c *client) wait(id int) reply {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var r reply
		for _, e := range c.events {
			if e.ID != id {
				continue
			}
			r.events = append(r.events, e)
			if e.Done != nil {
				r.done = e.Done
				return r
			}
		}
		if c.over {
			return r
		}
		c.come.Wait()
	}
}

// until waits for an event that will do.
func (c *client) until(enough func(wire.Event) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for _, e := range c.events {
			if enough(e) {
				return
			}
		}
		if c.over {
			c.t.Fatal("the session ended before the event came")
		}
		c.come.Wait()
	}
}

func (c *client) do(r wire.Request) reply { c.t.Helper(); return c.wait(c.send(r)) }

// hello opens a session for a change in a run.
func (c *client) hello(run string) reply {
	c.t.Helper()
	return c.do(wire.Request{Hello: &wire.Hello{Run: run, Site: "lab", Host: "h1", Owner: "anna", Intent: wire.Change}})
}

func (c *client) bye() {
	c.t.Helper()
	if r := c.do(wire.Request{Bye: &wire.Bye{}}); r.done == nil || r.done.Error != "" {
		c.t.Fatalf("bye: %+v", r.done)
	}
	if err := <-c.ended; err != nil {
		c.t.Fatalf("the session ended with %v", err)
	}
}

// cut ends the session as a lost connection does.
func (c *client) cut() error {
	c.stdin.Close()
	return <-c.ended
}

func (c *client) check(units ...step.Unit) reply {
	c.t.Helper()
	return c.do(wire.Request{Check: &wire.Check{Units: units}})
}

func (c *client) apply(units ...step.Unit) reply {
	c.t.Helper()
	return c.do(wire.Request{Apply: &wire.Apply{Play: "p", Units: units}})
}

func (c *client) endPlay() reply {
	c.t.Helper()
	return c.do(wire.Request{EndPlay: &wire.EndPlay{Play: "p"}})
}

func (c *client) undo() reply {
	c.t.Helper()
	return c.do(wire.Request{UndoPlay: &wire.UndoPlay{Play: "p"}})
}

// A reply is the events of a request.
type reply struct {
	events []wire.Event
	done   *wire.Done
}

// String is the reply in a line: "file.a planned, need restart x.service".
func (r reply) String() string {
	var all []string
	for _, e := range r.events {
		switch {
		case e.Unit != nil:
			all = append(all, e.Unit.Address+" "+string(e.Unit.State))
		case e.Need != nil && e.Need.Error != "":
			all = append(all, fmt.Sprintf("need %s %s FAILED", e.Need.Need.Verb, e.Need.Need.Object))
		case e.Need != nil:
			all = append(all, fmt.Sprintf("need %s %s", e.Need.Need.Verb, e.Need.Need.Object))
		case e.Run != nil:
			all = append(all, fmt.Sprintf("run %s %s %d/%d", e.Run.Run, e.Run.State, e.Run.Changed, e.Run.Undone))
		case e.Done != nil && e.Done.Error != "":
			all = append(all, "ERROR")
		}
	}
	if r.done == nil {
		all = append(all, "CUT")
	}
	return strings.Join(all, ", ")
}

// unit returns the last event of a unit.
func (r reply) unit(address string) wire.UnitEvent {
	for i := len(r.events) - 1; i >= 0; i-- {
		if u := r.events[i].Unit; u != nil && u.Address == address {
			return *u
		}
	}
	return wire.UnitEvent{}
}

func (r reply) failure() string {
	if r.done == nil {
		return "no end"
	}
	return r.done.Error
}

// want compares a reply with the line it should be.
func want(t *testing.T, got reply, line string) {
	t.Helper()
	if got.String() != line {
		t.Errorf("got:  %s\nwant: %s\n%s", got, line, explained(got))
	}
}

func explained(r reply) string {
	var b strings.Builder
	for _, e := range r.events {
		switch {
		case e.Unit != nil && e.Unit.Error != "":
			fmt.Fprintf(&b, "  %s: %s\n%s", e.Unit.Address, e.Unit.Error, e.Unit.Detail)
		case e.Need != nil && e.Need.Error != "":
			fmt.Fprintf(&b, "  %s: %s\n", e.Need.Need.Object, e.Need.Error)
		case e.Done != nil && e.Done.Error != "":
			fmt.Fprintf(&b, "  done: %s\n", e.Done.Error)
		}
	}
	return b.String()
}

// unitOf is a unit as the language would make it.
func unitOf(kind, name string, spec any) step.Unit {
	b, err := json.Marshal(spec)
	if err != nil {
		panic(err)
	}
	return step.Unit{Address: kind + "." + name, Kind: kind, Name: name, Spec: b}
}

func mustNotExist(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there (%v)", path, err)
	}
}
