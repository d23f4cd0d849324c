package onhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/step"
	"weft/engine/wire"
)

// importStep makes a file of what comes from elsewhere.
type importStep struct{ path, want string }

func (s importStep) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f := step.Finding{Object: "import " + s.path}
	b, err := v.Files.Read(ctx, s.path)
	if err != nil || string(b) != s.want {
		f.Deltas = []step.Delta{step.Change("content", nil, "another")}
	}
	return f, nil
}

func (s importStep) Apply(ctx context.Context, h host.Host, _ step.Finding) error {
	f, err := h.Elsewhere.Fetch(ctx)
	if err != nil {
		return err
	}
	if f.Size > 100<<20 {
		return errors.Join(fmt.Errorf("%d bytes are too many", f.Size), f.Close())
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return h.Files.Write(ctx, s.path, b, host.Attributes{})
}

func (s importStep) Undo(ctx context.Context, h host.Host, _ step.Finding) error {
	if h.Elsewhere != nil {
		return errors.New("an undo could fetch something")
	}
	return h.Files.Remove(ctx, s.path)
}

// importSite has a kind that imports, and the unit of it.
func importSite(t *testing.T, want string) (*site, step.Unit) {
	s := guardedSite(t)
	s.config.Table["import"] = step.Kind{Name: "import", Spec: struct{}{}, Make: func(u step.Unit) (step.Step, error) {
		return importStep{"/etc/import", want}, nil
	}}
	return s, step.Unit{Address: "import.x", Kind: "import", Name: "x", Spec: []byte("{}")}
}

// wanted waits for the n-th wish of a session.
func (c *client) wanted(n int) *wire.Want {
	c.t.Helper()
	var w *wire.Want
	i, seen := 0, 0
	c.until(func(wire.Event) bool {
		for ; seen < len(c.events); seen++ {
			if e := c.events[seen]; e.Want != nil {
				if i++; i == n {
					w = e.Want
				}
			}
		}
		return w != nil
	})
	return w
}

// importing opens a session and applies the unit, up to its first wish.
func (s *site) importing(u step.Unit, lease time.Duration) (c *client, apply int) {
	s.t.Helper()
	c = s.open()
	c.send(wire.Request{Hello: &wire.Hello{Run: "r1", Intent: wire.Change, LeaseTime: lease}})
	apply = c.send(wire.Request{Apply: &wire.Apply{Play: "p", Units: []step.Unit{u}}})
	c.wanted(1)
	return c, apply
}

func (c *client) part(p wire.Part) {
	c.t.Helper()
	if err := c.w.Write(wire.Request{Part: &p}); err != nil {
		c.t.Fatal(err)
	}
}

func TestAFileComesInParts(t *testing.T) {
	content := strings.Repeat("weft", (wire.Window+wire.PartSize)/4)
	s, u := importSite(t, content)
	c, apply := s.importing(u, 0)
	w := c.wanted(1)
	if *w != (wire.Want{Address: "import.x", Number: 1, Upto: wire.Window}) {
		t.Errorf("it wants %+v", w)
	}
	upto, wishes := w.Upto, 1
	for at := 0; at < len(content); at += wire.PartSize {
		if int64(at) >= upto {
			wishes++
			if w = c.wanted(wishes); w.Upto <= upto || w.Upto > int64(at)+wire.Window {
				t.Fatalf("at %d it wants %+v", at, w)
			}
			upto = w.Upto
		}
		c.part(wire.Part{Number: 6, At: int64(at), Size: 1, Bytes: []byte("of another")})
		c.part(wire.Part{Number: 1, At: int64(at), Size: int64(len(content)), Bytes: []byte(content[at:min(len(content), at+wire.PartSize)])})
	}
	if r := c.wait(apply); r.unit("import.x").State != wire.Changed {
		t.Errorf("%+v", r)
	}
	undo := c.send(wire.Request{UndoPlay: &wire.UndoPlay{Play: "p"}})
	if r := c.wait(undo); r.unit("import.x").State != wire.Undone {
		t.Errorf("the undo: %+v", r)
	}
}

// TestAFileThatStopsComing is what ends the wait for it: at once, and without a
// file.
func TestAFileThatStopsComing(t *testing.T) {
	for name, tt := range map[string]struct {
		then func(s *site, c *client)
		says string
	}{
		"it is said why":   {func(_ *site, c *client) { c.part(wire.Part{Number: 1, Error: "h1:/x does not come: it is gone"}) }, "h1:/x does not come: it is gone"},
		"a stop":           {func(_ *site, c *client) { c.send(wire.Request{Stop: &wire.Stop{}}) }, "stopped"},
		"a stop at once":   {func(_ *site, c *client) { c.send(wire.Request{Stop: &wire.Stop{Now: true}}) }, "stopped"},
		"it ends early":    {func(_ *site, c *client) { c.part(wire.Part{Number: 1, At: 3, Size: 9}) }, "unexpected EOF"},
		"it grows":         {func(_ *site, c *client) { c.part(wire.Part{Number: 1, At: 3, Size: 10, Bytes: []byte("x")}) }, "of 9 bytes, and then of 10"},
		"more than it has": {func(_ *site, c *client) { c.part(wire.Part{Number: 1, At: 3, Size: 9, Bytes: []byte("1234567")}) }, "10 bytes of it came, and it has 9"},
		"a part is missed": {func(_ *site, c *client) { c.part(wire.Part{Number: 1, At: 4, Size: 9, Bytes: []byte("x")}) }, "from 4 on, not from 3"},
	} {
		t.Run(name, func(t *testing.T) {
			s, u := importSite(t, "whole")
			c, apply := s.importing(u, 0)
			c.part(wire.Part{Number: 1, Size: 9, Bytes: []byte("the")})
			tt.then(s, c)
			r := c.wait(apply)
			if said := fmt.Sprint(r.unit("import.x")); !strings.Contains(said, tt.says) {
				t.Errorf("it says %s", said)
			}
			if _, there := s.machine.File("/etc/import"); there {
				t.Error("a file is there")
			}
		})
	}
}

// TestNoMoreIsKeptThanWasAskedFor: a controller may send what it likes.
func TestNoMoreIsKeptThanWasAskedFor(t *testing.T) {
	const size = 1 << 40
	for name, bytes := range map[string]int{"large parts": wire.PartSize, "small parts": 16, "empty parts": 0} {
		t.Run(name, func(t *testing.T) {
			var a arrivals
			number := a.begin()
			a.allow(wire.Window)
			at, part := int64(0), make([]byte, bytes)
			for range 2 * wire.Window / max(bytes, 16) {
				a.put(wire.Part{Number: number, At: at, Size: size, Version: name, Bytes: part})
				at += int64(bytes)
			}
			a.put(wire.Part{Number: number, Error: "and more"})
			kept, bad := 0, ""
			for _, p := range a.parts {
				kept += len(p.Bytes)
				bad += p.Error
			}
			if most := 2*wire.Window/wire.PartSize + 2; kept > wire.Window || len(a.parts) > most {
				t.Errorf("%d bytes in %d parts are kept; want %d in %d at most", kept, len(a.parts), wire.Window, most)
			}
			if bytes > 0 && !strings.Contains(bad, "were asked for") || strings.Contains(bad, "and more") {
				t.Errorf("it says %q", bad)
			}
		})
	}
}

// Also what is sent whole, under a guard, does not go on without its bytes.
func TestACutSessionWaitsForNoFile(t *testing.T) {
	for name, guard := range map[string]time.Duration{"": 0, "under a guard": time.Minute} {
		t.Run(name, func(t *testing.T) {
			s, u := importSite(t, "whole")
			u.Guard = guard
			c, _ := s.importing(u, 0)
			c.part(wire.Part{Number: 1, Size: 9, Bytes: []byte("the")})
			c.stdin.Close()
			select {
			case err := <-c.ended:
				if !errors.Is(err, ErrCut) {
					t.Error(err)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("it waits for what cannot come")
			}
			if _, there := s.machine.File("/etc/import"); there {
				t.Error("a file is there")
			}
		})
	}
}

// What does not fit is not sent on, and the step says so.
func TestAFileThatIsNotWanted(t *testing.T) {
	s, u := importSite(t, "whole")
	c, apply := s.importing(u, 0)
	c.part(wire.Part{Number: 1, Size: 1 << 40, Bytes: []byte("the")})
	if w := c.wanted(2); !w.Enough || w.Number != 1 {
		t.Errorf("%+v", w)
	}
	for at := range 5 {
		c.part(wire.Part{Number: 1, At: int64(3 + at), Size: 1 << 40, Bytes: []byte("x")})
	}
	if r := c.wait(apply); r.unit("import.x").State != wire.Failed {
		t.Errorf("%+v", r)
	}
	again := c.send(wire.Request{Apply: &wire.Apply{Play: "p", Units: []step.Unit{u}}})
	if w := c.wanted(3); w.Number != 2 {
		t.Errorf("the next one is %+v", w)
	}
	c.part(wire.Part{Number: 2, Size: 5, Bytes: []byte("whole")})
	if r := c.wait(again); r.unit("import.x").State != wire.Changed {
		t.Errorf("%+v", r)
	}
}

// Parts keep the lease where heartbeats wait behind them on a slow line, and
// without either the wait is over with the lease.
func TestPartsKeepTheLease(t *testing.T) {
	s, u := importSite(t, "whole")
	const lease = 600 * time.Millisecond
	c, apply := s.importing(u, lease)
	for i := range 2 {
		<-time.After(2 * lease / 3)
		c.part(wire.Part{Number: 1, At: int64(i), Size: 9, Bytes: []byte("x")})
	}
	<-time.After(lease / 3)
	c.mu.Lock()
	for _, e := range c.events {
		if e.ID == apply && e.Done != nil {
			t.Error("the lease was lost while parts came")
		}
	}
	c.mu.Unlock()
	if u := c.wait(apply).unit("import.x"); u.State != wire.Failed || !strings.Contains(u.Error, "nothing was heard") {
		t.Errorf("%+v", u)
	}
}

func TestRead(t *testing.T) {
	s := newSite(t)
	content := strings.Repeat("x", wire.PartSize) + "end"
	s.machine.WriteFile("/srv/file", content)
	s.machine.Mkdir("/srv/dir")
	c := s.open()
	c.send(wire.Request{Hello: &wire.Hello{Run: "r1", Intent: wire.Look}})
	version := ""
	for _, tt := range []struct {
		read wire.Read
		want string
		says string
	}{
		{wire.Read{Path: "/srv/file", Length: wire.PartSize}, content[:wire.PartSize], ""},
		{wire.Read{Path: "/srv/file", At: wire.PartSize, Length: wire.PartSize}, "end", ""},
		{wire.Read{Path: "/srv/file", At: 1, Length: 2}, "xx", ""},
		{wire.Read{Path: "/srv/file", At: 1 << 60, Length: 2}, "", ""},
		{wire.Read{Path: "/srv/file", At: -1, Length: 2}, "", "cannot be read"},
		{wire.Read{Path: "/srv/file"}, "", "cannot be read"},
		{wire.Read{Path: "/srv/file", Length: wire.PartSize + 1}, "", "cannot be read"},
		{wire.Read{Path: "/srv/none", Length: 1}, "", "/srv/none"},
		{wire.Read{Path: "/srv/dir", Length: 1}, "", "directory"},
		{wire.Read{Path: "/proc/kcore", Length: 1}, "", "invalid"},
		{wire.Read{Path: "relative", Length: 1}, "", "invalid"},
	} {
		r := c.do(wire.Request{Read: &tt.read})
		if !strings.Contains(r.done.Error, tt.says) || (tt.says == "") != (r.done.Error == "") {
			t.Errorf("%+v: %q", tt.read, r.done.Error)
		}
		if tt.says != "" {
			continue
		}
		p := r.events[0].Part
		if string(p.Bytes) != tt.want || p.Size != int64(len(content)) || p.At != tt.read.At || version != "" && version != p.Version {
			t.Errorf("%+v: %d bytes at %d of %d, version %s", tt.read, len(p.Bytes), p.At, p.Size, p.Version)
		}
		version = p.Version
	}
}

// What is kept for undos goes with the last change that found it.
func TestWhatIsKeptForUndos(t *testing.T) {
	s := newSite(t)
	kept := func(name string) string { return s.config.Host.Kept + "/" + name }
	s.machine.WriteFile("/etc/a", "aaaa-sum")
	s.machine.WriteFile(kept("aaaa-sum"), "x")
	s.machine.WriteFile(kept("bbbb-sum"), "x")
	has := func(when string, want ...string) {
		t.Helper()
		names, err := s.machine.Host().Files.List(t.Context(), s.config.Host.Kept)
		if err != nil || strings.Join(names, " ") != strings.Join(want, " ") {
			t.Errorf("%s there is %v, %v", when, names, err)
		}
	}
	c := s.open()
	c.hello("r1")
	c.apply(file("/etc/a", "new"))
	c.bye()
	has("while r1 stands", "aaaa-sum")
	c = s.open()
	c.hello("r2")
	c.apply(file("/etc/b", "new"))
	c.bye()
	has("after a later run", "aaaa-sum")
	c = s.open()
	c.hello("r3")
	c.do(wire.Request{Rollback: &wire.Rollback{Runs: []string{"r1"}}})
	c.bye()
	has("once r1 is taken back")
}
