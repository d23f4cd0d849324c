package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/language"
	"weft/engine/onhost"
	"weft/engine/step"
	"weft/engine/wire"
)

// note is a kind for tests: a file with a text. Its outputs are the text and
// its length; the length is known only once the file is there.
type note struct {
	Path  string            `json:"path" weft:"label" doc:"Path."`
	Text  step.Attr[string] `json:"text,omitzero" doc:"Content."`
	State step.State        `json:"state,omitzero" doc:"Whether it is there."`
}

type noteOutputs struct {
	Text   string `json:"text" doc:"The content."`
	Length int    `json:"length" doc:"Bytes."`
}

type notes struct{}

func (notes) Read(ctx context.Context, v host.View, want note) (note, error) {
	have := note{Path: want.Path}
	b, err := v.Files.Read(ctx, want.Path)
	if errors.Is(err, fs.ErrNotExist) {
		have.State = step.Absent
		return have, nil
	}
	have.Text = step.Is(string(b))
	return have, err
}

func (notes) Diff(have, want note) []step.Delta { return step.Compare(have, want) }

func (notes) Write(ctx context.Context, h host.Host, _, want note) error {
	if !want.State.There() {
		return h.Files.Remove(ctx, want.Path)
	}
	text, _ := want.Text.Get()
	if text == "refused" {
		return errors.New("the machine refuses")
	}
	return h.Files.Write(ctx, want.Path, []byte(text), host.Attributes{})
}

func (notes) Advise(f *step.Finding, have, _ note) {
	if text, ok := have.Text.Get(); ok && !f.Changed() {
		f.Outputs, _ = json.Marshal(noteOutputs{text, len(text)})
	}
}

// reading is a probe: a file has this text.
type reading struct {
	Path string `json:"path" weft:"required" doc:"Path."`
	Text string `json:"text" weft:"required" doc:"Content."`
}

func (r reading) Probe(ctx context.Context, v host.View) (step.Report, error) {
	b, err := v.Files.Read(ctx, r.Path)
	if err != nil || string(b) != r.Text {
		return step.Report{}, &step.ProbeError{Wanted: r.Text, Seen: fmt.Sprintf("%q", b)}
	}
	return step.Report{Summary: "as it should be"}, nil
}

func kinds() step.Table {
	return step.NewTable([]step.Kind{
		{Name: "note", Spec: note{}, Outputs: noteOutputs{}, Make: func(u step.Unit) (step.Step, error) {
			s, err := step.Decode[note](u)
			return step.Of("note "+s.Path, notes{}, s), err
		}},
		{Name: "reading", Spec: reading{}, Probe: func(u step.Unit) (step.Prober, error) { return step.Decode[reading](u) }},
	})
}

// fleet is hosts in memory, each with a runner in this process.
type fleet struct {
	t        testing.TB
	table    step.Table
	mu       sync.Mutex
	machines map[string]*fake.Machine
	state    map[string]string // directory of the journal
	dead     map[string]bool
	// cut ends the connection of a host after that many events.
	cut   map[string]int
	trips map[string]int // writes of the controller
	tags  []string       // that leave out other steps
	// reboots says, where it is set, whether a machine that goes down is back.
	reboots func(host string, m *fake.Machine) bool
	events  []Event
}

func newFleet(t testing.TB) *fleet {
	return &fleet{t: t, table: kinds(), machines: map[string]*fake.Machine{}, state: map[string]string{},
		dead: map[string]bool{}, cut: map[string]int{}, trips: map[string]int{}}
}

func (f *fleet) machine(name string) *fake.Machine {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.machines[name] == nil {
		f.machines[name] = fake.New()
		f.state[name] = f.t.TempDir()
	}
	return f.machines[name]
}

func (f *fleet) Observe(e Event) { f.events = append(f.events, e) }

// Connect starts a runner of the host in a goroutine.
func (f *fleet) Connect(ctx context.Context, h *language.Host, first []wire.Request) (Conn, error) {
	switch {
	case ctx.Err() != nil: // as a dialer does
		return nil, &UnreachableError{Says: "given up"}
	case f.dead[h.Name]:
		return nil, &UnreachableError{Says: "no route to host", Hint: "plug it in"}
	}
	m := f.machine(h.Name)
	if m.GoingDown() && f.reboots != nil && !f.reboots(h.Name, m) {
		return nil, &UnreachableError{Says: "connection refused"}
	}
	f.mu.Lock()
	state := f.state[h.Name]
	f.mu.Unlock()
	toRunner, requests := io.Pipe()
	events, fromRunner := io.Pipe()
	go func() {
		err := onhost.Serve(context.Background(), toRunner, fromRunner, onhost.Config{
			Table: f.table, Host: m.Host(), State: state, Runtime: state + "/run", Digest: "test",
			Moment: time.Millisecond, Patience: 10 * time.Millisecond,
		})
		_ = fromRunner.CloseWithError(errors.Join(err, io.EOF))
		_ = toRunner.Close()
	}()
	c := &pipe{fleet: f, host: h.Name, out: wire.NewWriter[wire.Request](requests), in: wire.NewReader[wire.Event](events), close: func() {
		_ = requests.Close()
		_ = events.Close()
	}}
	go func() { _ = c.Write(first...) }()
	return c, nil
}

// ConnectAnew is the same: nothing is shared here.
func (f *fleet) ConnectAnew(ctx context.Context, h *language.Host, first []wire.Request) (Conn, error) {
	return f.Connect(ctx, h, first)
}

// hasty are times that a test can wait for.
var hasty = times{pause: time.Millisecond, pauseMax: 10 * time.Millisecond, absence: 300 * time.Millisecond, grace: 300 * time.Millisecond,
	goodbye: 100 * time.Millisecond, moment: 10 * time.Millisecond}

type pipe struct {
	fleet *fleet
	host  string
	out   *wire.Writer[wire.Request]
	in    *wire.Reader[wire.Event]
	close func()
}

func (p *pipe) Write(requests ...wire.Request) error {
	if requests[0].Heartbeat == nil {
		p.fleet.mu.Lock()
		p.fleet.trips[p.host]++
		p.fleet.mu.Unlock()
	}
	return p.out.Write(requests...)
}

func (p *pipe) Read() (wire.Event, error) {
	p.fleet.mu.Lock()
	left, cut := p.fleet.cut[p.host]
	p.fleet.cut[p.host] = left - 1
	if !cut {
		delete(p.fleet.cut, p.host)
	}
	p.fleet.mu.Unlock()
	if cut && left <= 0 {
		p.close()
		return wire.Event{}, io.ErrUnexpectedEOF
	}
	return p.in.Read()
}

func (p *pipe) Close() error {
	p.close()
	return nil
}

// program evaluates a playbook against an inventory of hosts a, b, c.
func (f *fleet) program(playbook string) *language.Program {
	f.t.Helper()
	files := map[string]string{
		"play.hcl": playbook,
		"inv.hcl": `
			site = "test"
			host "a" { roles = ["first"] }
			host "b" { roles = ["other", "central"] }
			host "c" { roles = ["other", "central"] }
		`,
	}
	config, diags := language.Load(f.table, language.Sources{Playbook: "play.hcl", Inventories: []string{"inv.hcl"},
		Read: func(path string) ([]byte, error) { return []byte(files[path]), nil }})
	if diags.Failed() {
		f.t.Fatal(diags.Err())
	}
	p, diags := config.Bind(language.Inputs{Tags: f.tags})
	if diags.Failed() {
		f.t.Fatal(diags.Err())
	}
	return p
}

func (f *fleet) options() Options {
	return Options{ID: NewID(time.Now()), Owner: "tester", Table: f.table, Observer: f, times: hasty}
}

// apply plans and applies, as the verb does.
func (f *fleet) apply(p *language.Program, o Options) Recap {
	f.t.Helper()
	r := New(p, f, wire.Change, o)
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r.Plan(ctx)
	if r.Changes() {
		r.Apply(ctx)
	} else {
		r.Prove(ctx)
	}
	return r.Recap(context.Background())
}

// texts are the notes that the hosts hold: "a:/x=one".
func (f *fleet) texts() []string {
	var out []string
	for name, m := range f.machines {
		names, err := m.Host().Files.List(context.Background(), "/")
		if err != nil {
			f.t.Fatal(err)
		}
		for _, n := range names {
			if b, err := m.Host().Files.Read(context.Background(), "/"+n); err == nil {
				out = append(out, name+":/"+n+"="+string(b))
			}
		}
	}
	slices.Sort(out)
	return out
}

func (f *fleet) holds(want ...string) {
	f.t.Helper()
	if got := f.texts(); !slices.Equal(got, want) {
		f.t.Errorf("the hosts hold\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}
