package run

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/engine/language"
	"weft/engine/wire"
)

func TestAFileGoesFromHostToHost(t *testing.T) {
	for name, content := range map[string]string{"large": large, "a window": large[:wire.Window], "a part": large[:wire.PartSize], "small": "x", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			f := relayFleet(t, content)
			p := f.program(copying(sumOf(content)))
			if r := f.apply(p, f.options()); r.Exit != OK || r.Hosts["b"].Changed != 1 || r.Hosts["c"].Changed != 1 || len(r.Hosts) != 2 {
				t.Fatalf("%+v\n%s", r, f.said())
			}
			f.has("b", content)
			f.has("c", content)
			clear(f.trips)
			if r := f.apply(p, f.options()); r.Exit != OK || r.Hosts["b"].Changed != 0 {
				t.Errorf("again: %+v", r)
			}
			if f.trips["a"] != 0 {
				t.Errorf("a was spoken to %d times for a copy that is there", f.trips["a"])
			}
		})
	}
}

// Outputs may say which file it is, and come only with the apply; the host that
// has it may be in the run itself.
func TestASumThatIsKnownAfterApply(t *testing.T) {
	f := relayFleet(t, some)
	p := f.program(fmt.Sprintf(`
		play "build" {
			hosts = role.first
			step "note" "/sum" { text = %q }
		}
		play "copy" {
			hosts = "all"
			step "copied" "/copy" {
				host   = "a"
				source = "/srv/file"
				sum    = hosts["a"].step.note["/sum"].text
			}
		}`, sumOf(some)))
	r := New(p, f, wire.Change, f.options())
	defer r.Close()
	r.Plan(t.Context())
	planned := r.Planned()["b"]
	if len(planned) != 1 || planned[0].State != wire.Waiting || !strings.Contains(planned[0].Reason, "sum") {
		t.Errorf("planned: %+v", planned)
	}
	r.Apply(t.Context())
	if recap := r.Recap(t.Context()); recap.Exit != OK {
		t.Fatalf("%+v\n%s", recap, f.said())
	}
	for _, h := range []string{"a", "b", "c"} {
		f.has(h, some)
	}
}

// wiretap is a connector that sees what is written and read.
type wiretap struct {
	*fleet
	mu    sync.Mutex
	gone  bool                                    // host a is
	wrote func(host string, r wire.Request) error // may be nil
	read  func(host string, e wire.Event) error   // may be nil
}

type tapped struct {
	Conn
	tap  *wiretap
	host string
}

func (w *wiretap) Connect(ctx context.Context, h *language.Host, first []wire.Request) (Conn, error) {
	w.mu.Lock()
	gone := w.gone && h.Name == "a"
	w.mu.Unlock()
	if gone {
		return nil, &UnreachableError{Says: "no route to host"}
	}
	c, err := w.fleet.Connect(ctx, h, first)
	return &tapped{c, w, h.Name}, err
}

func (w *wiretap) ConnectAnew(ctx context.Context, h *language.Host, first []wire.Request) (Conn, error) {
	return w.Connect(ctx, h, first)
}

func (c *tapped) Write(requests ...wire.Request) error {
	if c.tap.wrote != nil {
		c.tap.mu.Lock()
		defer c.tap.mu.Unlock()
		for _, r := range requests {
			if err := c.tap.wrote(c.host, r); err != nil {
				_ = c.Close()
				return err
			}
		}
	}
	return c.Conn.Write(requests...)
}

func (c *tapped) Read() (wire.Event, error) {
	e, err := c.Conn.Read()
	if err == nil && c.tap.read != nil {
		c.tap.mu.Lock()
		defer c.tap.mu.Unlock()
		if err = c.tap.read(c.host, e); err != nil {
			_ = c.Close()
		}
	}
	return e, err
}

// over applies with a connector.
func (f *fleet) over(ctx context.Context, c Connector, p *language.Program) Recap {
	r := New(p, c, wire.Change, f.options())
	defer r.Close()
	r.Plan(ctx)
	r.Apply(ctx)
	return r.Recap(ctx)
}

// TestAFileOnItsWay is what may happen meanwhile.
func TestAFileOnItsWay(t *testing.T) {
	parts := func(n int, then func() error) func(string, wire.Event) error { // of host a
		return func(host string, e wire.Event) error {
			if host != "a" || e.Part == nil {
				return nil
			}
			if n--; n != 0 {
				return nil
			}
			return then()
		}
	}
	for name, tt := range map[string]struct {
		sum     string
		arrange func(f *fleet, w *wiretap)
		exit    Exit
		copies  string
		says    string
	}{
		"its host breaks off and comes back": {arrange: func(_ *fleet, w *wiretap) {
			w.read = parts(6, func() error { return errCut })
		}, copies: some},
		"its host is gone": {arrange: func(_ *fleet, w *wiretap) {
			w.read = func(host string, e wire.Event) error {
				if w.gone = w.gone || host == "a" && e.Part != nil && e.Part.At >= 3*wire.PartSize; w.gone && host == "a" {
					return errCut
				}
				return nil
			}
		}, exit: RolledBack, says: "a:/srv/file does not come: no route to host"},
		"its host was never there": {arrange: func(f *fleet, _ *wiretap) { f.dead["a"] = true },
			exit: RolledBack, says: "a:/srv/file does not come: no route to host"},
		"it is written to": {arrange: func(f *fleet, w *wiretap) {
			w.read = parts(6, func() error { f.machine("a").WriteFile("/srv/file", some+"more"); return nil })
		}, exit: RolledBack, says: "it was changed while it was read"},
		"it goes": {arrange: func(f *fleet, w *wiretap) {
			w.read = parts(6, func() error { f.machine("a").Remove("/srv/file"); return nil })
		}, exit: RolledBack, says: "read /srv/file: no such file"},
		"it is not there":    {arrange: func(f *fleet, _ *wiretap) { f.machine("a").Remove("/srv/file") }, exit: RolledBack, says: "no such file"},
		"it is a directory":  {arrange: func(f *fleet, _ *wiretap) { f.machine("a").Remove("/srv/file"); f.machine("a").Mkdir("/srv/file") }, exit: RolledBack, says: "is a directory"},
		"it is another file": {sum: sumOf("another"), exit: RolledBack, says: "the content has the sha256 " + sumOf(some)},
		"a receiver breaks off and comes back": {arrange: func(_ *fleet, w *wiretap) {
			n := 0
			w.wrote = func(host string, r wire.Request) error {
				if host == "b" && r.Part != nil {
					if n++; n == 5 {
						return errCut
					}
				}
				return nil
			}
		}, copies: some},
		"a part is said to be another": {arrange: func(_ *fleet, w *wiretap) {
			w.read = func(host string, e wire.Event) error {
				if host == "a" && e.Part != nil && e.Part.At > 0 {
					e.Part.At++
				}
				return nil
			}
		}, exit: RolledBack, says: "sends another part of it"},
		"it is said to be longer than it is": {arrange: func(_ *fleet, w *wiretap) {
			w.read = func(host string, e wire.Event) error {
				if host == "a" && e.Part != nil {
					e.Part.Size *= 2
				}
				return nil
			}
		}, exit: RolledBack, says: "a:/srv/file does not come: "},
	} {
		t.Run(name, func(t *testing.T) {
			f := relayFleet(t, some)
			w := &wiretap{fleet: f}
			if tt.arrange != nil {
				tt.arrange(f, w)
			}
			if tt.sum == "" {
				tt.sum = sumOf(some)
			}
			before := f.machine("b").Snapshot()
			if r := f.over(t.Context(), w, f.program(copying(tt.sum)+"\n")); r.Exit != tt.exit {
				t.Errorf("exit %d, want %d\n%s", r.Exit, tt.exit, f.said())
			}
			if !strings.Contains(f.said(), tt.says) {
				t.Errorf("it says\n%s\nand not %s", f.said(), tt.says)
			}
			f.has("b", tt.copies)
			if tt.exit != OK && f.machine("b").Snapshot() != before {
				t.Error("something is left on b")
			}
		})
	}
}

// An operator who interrupts waits for no file.
func TestAFileOnItsWayIsInterrupted(t *testing.T) {
	f := relayFleet(t, some)
	ctx, cancel := context.WithCancel(t.Context())
	w := &wiretap{fleet: f, read: func(host string, e wire.Event) error {
		if host == "a" && e.Part != nil && e.Part.At > 0 {
			cancel()
		}
		return nil
	}}
	before := f.machine("b").Snapshot()
	if r := f.over(ctx, w, f.program(copying(sumOf(some)))); r.Exit != Interrupted {
		t.Errorf("exit %d", r.Exit)
	}
	if f.machine("b").Snapshot() != before {
		t.Error("something is left on b")
	}
	o := f.options()
	o.LockTimeout = 5 * time.Second
	if r := f.apply(f.program(copying(sumOf(some))), o); r.Exit != OK {
		t.Errorf("the next run: %+v\n%s", r, f.said())
	}
}

// silent is a host that wants a file and takes what comes.
type silent struct {
	*fleet
	wants func(address string) []wire.Want
	come  chan wire.Part
}

type silentConn struct {
	*scriptedConn
	silent *silent
	ends   sync.Once
}

func (s *silent) Connect(ctx context.Context, h *language.Host, first []wire.Request) (Conn, error) {
	if h.Name == "a" {
		return s.fleet.Connect(ctx, h, first)
	}
	script := &scripted{answer: func(_ string, r wire.Request) ([]wire.Event, error) {
		switch {
		case r.Check != nil:
			return []wire.Event{said(r.Check.Units[0].Address, wire.Planned)}, nil
		case r.Apply != nil:
			var events []wire.Event
			for _, w := range s.wants(r.Apply.Units[0].Address) {
				events = append(events, wire.Event{Want: &w})
			}
			return events, errHang
		}
		return nil, nil
	}}
	c, err := script.Connect(ctx, h, first)
	return &silentConn{scriptedConn: c.(*scriptedConn), silent: s}, err
}

func (c *silentConn) Write(requests ...wire.Request) error {
	var rest []wire.Request
	for _, r := range requests {
		switch {
		case r.Part != nil:
			c.silent.come <- *r.Part
		case r.Stop != nil, r.Bye != nil:
			c.ends.Do(func() { close(c.cut) })
		default:
			rest = append(rest, r)
		}
	}
	return c.scriptedConn.Write(rest...)
}

// TestAReceiverGetsWhatItsUnitSays holds the controller to what it does not take
// from a host: which file, and how much of it at once.
func TestAReceiverGetsWhatItsUnitSays(t *testing.T) {
	for name, tt := range map[string]struct {
		wants func(address string) []wire.Want
		bytes int
		says  string
	}{
		"a window, and no more": {func(a string) []wire.Want { return []wire.Want{{Address: a, Number: 1, Upto: wire.Window}} }, wire.Window, ""},
		"less than a part":      {func(a string) []wire.Want { return []wire.Want{{Address: a, Number: 1, Upto: 5}} }, 5, ""},
		"nothing":               {func(a string) []wire.Want { return []wire.Want{{Address: a, Number: 1}} }, 0, ""},
		"of a step it has not": {func(string) []wire.Want {
			return []wire.Want{{Address: "copied./etc/shadow", Number: 1, Upto: wire.Window}}
		}, 0, "was not told to apply"},
		"of a step that copies": {func(string) []wire.Want { return []wire.Want{{Address: "note./x", Number: 1, Upto: wire.Window}} }, 0, "copies none"},
		"the same once more": {func(a string) []wire.Want {
			return []wire.Want{{Address: a, Number: 1}, {Address: a, Number: 2, Upto: 5}}
		}, 0, "or has it by now"},
		"enough of none": {func(a string) []wire.Want { return []wire.Want{{Address: a, Number: 7, Enough: true}} }, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := relayFleet(t, large)
			s := &silent{fleet: f, wants: tt.wants, come: make(chan wire.Part, 100)}
			p := f.program(strings.Replace(copying(sumOf(large)), "role.other", `"b"`, 1) + "\n")
			if strings.Contains(tt.says, "none") {
				p = f.program(`play "p" {
					hosts = "b"
					step "note" "/x" { text = "x" }
				}`)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { f.over(ctx, s, p); close(ended) }()
			var got bytes.Buffer
			var errs string
			for more := true; more; {
				patience := 50 * time.Millisecond // for what must not come
				if got.Len() < tt.bytes || tt.says != "" && errs == "" {
					patience = 5 * time.Second
				}
				select {
				case part := <-s.come:
					got.Write(part.Bytes)
					errs += part.Error
				case <-time.After(patience):
					more = false
				}
			}
			cancel()
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("the run does not end")
			}
			if got.Len() != tt.bytes || got.String() != large[:tt.bytes] || !strings.Contains(errs, tt.says) {
				t.Errorf("%d bytes came, want %d; it says %q, want %q", got.Len(), tt.bytes, errs, tt.says)
			}
		})
	}
}

// FuzzWant has a host say anything of what it wants, in the middle of an apply.
func FuzzWant(f *testing.F) {
	f.Add([]byte(`[{"address":"copied./copy","number":1,"upto":4194304},{"address":"copied./copy","number":1,"enough":true}]`))
	f.Add([]byte(`[{"address":"copied./copy","number":1,"upto":9},{"address":"copied./copy","number":2,"upto":-9},{"address":"x"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var wants []wire.Want
		if json.Unmarshal(b, &wants) != nil || len(wants) > 50 {
			return
		}
		fl := relayFleet(t, "small")
		p := fl.program(copying(sumOf("small")))
		r := New(p, fl, wire.Change, fl.options())
		m := r.byName["b"]
		here := &sinkConn{}
		m.session = newSession(here, 0)
		e, diags := p.Evaluate(p.Plays[0], "b", language.Known{})
		if diags.Failed() {
			t.Fatal(diags.Err())
		}
		m.sent = e.Units
		for _, w := range wants {
			_ = m.wanted(t.Context(), &w)
		}
		m.endRelay()
		r.closeReaders()
		if here.bytes > 5*len(wants) {
			t.Errorf("%d bytes came of %d wishes for a file of 5", here.bytes, len(wants))
		}
	})
}

// sinkConn counts the bytes of parts.
type sinkConn struct {
	mu    sync.Mutex
	bytes int
}

func (s *sinkConn) Write(requests ...wire.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range requests {
		if r.Part != nil {
			s.bytes += len(r.Part.Bytes)
		}
	}
	return nil
}

func (*sinkConn) Read() (wire.Event, error) { return wire.Event{}, io.EOF }
func (*sinkConn) Close() error              { return nil }
