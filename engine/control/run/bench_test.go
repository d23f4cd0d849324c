package run

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/engine/language"
	"weft/engine/step"
	"weft/engine/wire"
)

// table is a connector whose hosts answer Hello and Check at once, from
// memory, but in the bytes of the wire: what is left is the controller's work.
type table struct{}

type tableConn struct {
	in   *wire.Reader[wire.Event] // nil once all was read, to weigh nothing
	left int
}

func (t table) Connect(_ context.Context, _ *language.Host, first []wire.Request) (Conn, error) {
	var b strings.Builder
	out := wire.NewWriter[wire.Event](&b)
	said := 0
	for _, r := range first {
		if _, err := json.Marshal(r); err != nil {
			return nil, err
		}
		events := []wire.Event{}
		if r.Hello != nil {
			events = append(events, wire.Event{ID: r.ID, Hello: &wire.HelloEvent{}})
		} else {
			for _, u := range r.Check.Units {
				outputs := json.RawMessage(`{"text":"hello","length":5}`)
				events = append(events, wire.Event{ID: r.ID, Unit: &wire.UnitEvent{Address: u.Address, State: wire.Converged,
					Elapsed: time.Millisecond, Finding: &step.Finding{Object: "note " + u.Name, Outputs: outputs}}})
			}
		}
		events = append(events, wire.Event{ID: r.ID, Done: &wire.Done{}})
		said += len(events)
		if err := out.Write(events...); err != nil {
			return nil, err
		}
	}
	return &tableConn{wire.NewReader[wire.Event](strings.NewReader(b.String())), said}, nil
}

func (t table) ConnectAnew(ctx context.Context, h *language.Host, first []wire.Request) (Conn, error) {
	return t.Connect(ctx, h, first)
}

func (c *tableConn) Read() (wire.Event, error) {
	if c.in == nil {
		return wire.Event{}, io.EOF
	}
	e, err := c.in.Read()
	if c.left--; c.left == 0 {
		c.in = nil
	}
	return e, err
}

func (c *tableConn) Write(...wire.Request) error { return nil }
func (c *tableConn) Close() error                { return nil }

// BenchmarkPlan5000 plans 60 converged steps on 5,000 hosts. The work of a host
// must not grow with their number: compare ms-cpu/host with that of 500.
func BenchmarkPlan5000(b *testing.B) { benchmarkPlan(b, 5000) }

// BenchmarkPlan500 is a tenth of it.
func BenchmarkPlan500(b *testing.B) { benchmarkPlan(b, 500) }

func benchmarkPlan(b *testing.B, hosts int) {
	const steps = 60
	p := wideProgram(b, hosts, steps)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var r *Run
	cpu := processorTime()
	for b.Loop() {
		if r != nil {
			r.Close()
		}
		r = New(p, table{}, wire.Change, Options{ID: NewID(time.Now()), Table: kinds()})
		r.Plan(context.Background())
		if r.Changes() || r.Failures() > 0 {
			b.Fatal("the hosts are not converged")
		}
		r.Prove(context.Background())
		if recap := r.Recap(context.Background()); recap.Exit != OK || recap.Hosts["host7"].OK != steps {
			b.Fatalf("%+v", recap)
		}
	}
	cpu = processorTime() - cpu
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(cpu.Seconds()*1000/float64(hosts*b.N), "ms-cpu/host")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1024/float64(hosts), "KiB/host")
	r.Close()
}

// processorTime is what this process used so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// wideProgram is a playbook of three plays for all hosts, half of whose steps
// are the same everywhere.
func wideProgram(t testing.TB, hosts, steps int) *language.Program {
	var inv, play strings.Builder
	inv.WriteString("site = \"wide\"\n")
	for i := range hosts {
		fmt.Fprintf(&inv, "host \"host%d\" {\n roles = [\"compute\"]\n vars = { rack = %d }\n}\n", i, i/40)
	}
	for i := range steps {
		if i%20 == 0 {
			fmt.Fprintf(&play, "play \"p%d\" {\n hosts = role.compute\n", i)
		}
		fmt.Fprintf(&play, "step \"note\" \"/etc/app/%d.conf\" { text = %q }\n", i, []string{"the same", "rack ${host.vars.rack}\n"}[i%2])
		if i%20 == 19 {
			play.WriteString("}\n")
		}
	}
	files := map[string]string{"play.hcl": play.String(), "inv.hcl": inv.String()}
	config, diags := language.Load(kinds(), language.Sources{Playbook: "play.hcl", Inventories: []string{"inv.hcl"},
		Read: func(path string) ([]byte, error) { return []byte(files[path]), nil }})
	if diags.Failed() {
		t.Fatal(diags.Err())
	}
	p, diags := config.Bind(language.Inputs{})
	if diags.Failed() {
		t.Fatal(diags.Err())
	}
	return p
}
