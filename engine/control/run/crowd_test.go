package run

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"weft/engine/language"
	"weft/engine/wire"
)

// half is a fleet of which every other host is dead: it does not answer for
// the whole time-out.
type half struct {
	table
	timeout       time.Duration
	waiting, most atomic.Int64 // dead hosts that are waited for at once
}

func (h *half) Connect(ctx context.Context, host *language.Host, first []wire.Request) (Conn, error) {
	if host.Name[len(host.Name)-1]%2 == 1 {
		if n := h.waiting.Add(1); n > h.most.Load() {
			h.most.Store(n)
		}
		wait(ctx, h.timeout)
		h.waiting.Add(-1)
		return nil, &UnreachableError{Says: "no answer"}
	}
	return h.table.Connect(ctx, host, first)
}

// TestHalfOfThousandsAreDead is a fleet whose dead would keep the forks busy for
// 2500/64 time-outs, one after the other.
func TestHalfOfThousandsAreDead(t *testing.T) {
	const hosts, timeout = 5000, 500 * time.Millisecond
	p := wideProgram(t, hosts, 20)
	o := newFleet(t).options()
	o.Observer = nil
	fleet := &half{timeout: timeout}
	r := New(p, fleet, wire.Change, o)
	defer r.Close()
	r.Plan(context.Background())
	r.Apply(context.Background())
	recap := r.Recap(context.Background())
	if recap.Exit != NoContact || r.Failures() != hosts/2 || recap.Hosts["host8"].Unreachable || !recap.Hosts["host9"].Unreachable {
		t.Errorf("exit %d, %d failures", recap.Exit, r.Failures())
	}
	if most := fleet.most.Load(); most < 4*64 || most > aboard*64 {
		t.Errorf("%d dead hosts were waited for at once", most)
	}
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	if after.HeapAlloc > 300<<20 {
		t.Errorf("%d MB", after.HeapAlloc>>20)
	}
}

// narrow counts the connections that are open.
type narrow struct {
	*fleet
	open, most atomic.Int64
}

func (n *narrow) Connect(ctx context.Context, h *language.Host, first []wire.Request) (Conn, error) {
	c, err := n.fleet.Connect(ctx, h, first)
	if err != nil {
		return nil, err
	}
	if open := n.open.Add(1); open > n.most.Load() {
		n.most.Store(open)
	}
	return &narrowConn{Conn: c, of: n}, nil
}

type narrowConn struct {
	Conn
	of *narrow
}

func (c *narrowConn) Close() error {
	c.of.open.Add(-1)
	return c.Conn.Close()
}

// More hosts than file descriptors are worked at one after the other.
func TestFewerConnectionsThanHosts(t *testing.T) {
	f := newFleet(t)
	p := f.program(`play "one" {
		hosts = ["a", "b", "c"]
		step "note" "/x" { text = "of ${host.name}" }
		step "note" "/y" { text = "length ${step.note["/x"].length}" }
	}
	play "two" {
		hosts = ["a", "b", "c"]
		step "note" "/z" { text = "b has ${hosts["b"].step.note["/y"].text}" }
		step "reading" "z" {
			path = "/z"
			text = "b has length 4"
		}
	}`)
	n := &narrow{fleet: f}
	o := f.options()
	o.Connections = 1
	r := New(p, n, wire.Change, o)
	r.Plan(context.Background())
	r.Apply(context.Background())
	recap := r.Recap(context.Background())
	r.Close()
	if recap.Exit != OK || n.most.Load() != 1 || n.open.Load() != 0 {
		t.Errorf("exit %d, %d connections at once, %d left: %+v", recap.Exit, n.most.Load(), n.open.Load(), f.events)
	}
	for h, c := range recap.Hosts {
		if c != (Count{OK: 1, Changed: 3}) {
			t.Errorf("%s: %+v", h, c)
		}
	}
	f.holds("a:/x=of a", "a:/y=length 4", "a:/z=b has length 4", "b:/x=of b", "b:/y=length 4", "b:/z=b has length 4",
		"c:/x=of c", "c:/y=length 4", "c:/z=b has length 4")
}
