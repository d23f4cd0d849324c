package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"weft/engine/host"
	"weft/engine/step"
)

// testKinds are small kinds that have each manner of real ones.
func testKinds() step.Table {
	return step.NewTable([]step.Kind{
		{Name: "file", Spec: fileSpec{}, Make: func(u step.Unit) (step.Step, error) {
			s, err := step.Decode[fileSpec](u)
			return step.Of("file "+s.Path, fileKind{}, s), err
		}},
		{Name: "abreast", Spec: fileSpec{}, Abreast: true, Make: func(u step.Unit) (step.Step, error) {
			s, err := step.Decode[fileSpec](u)
			return step.Of("file "+s.Path, fileKind{}, s), err
		}},
		{Name: "files", Spec: filesSpec{}, Make: func(u step.Unit) (step.Step, error) {
			s, err := step.Decode[filesSpec](u)
			return step.Of("files in "+s.Dir, filesKind{}, s), err
		}},
		{Name: "pair", Spec: pairSpec{}, Make: func(u step.Unit) (step.Step, error) {
			s, err := step.Decode[pairSpec](u)
			return step.Of("a pair of files", pairKind{}, s), err
		}},
		{Name: "wordy", Spec: pairSpec{}, Make: func(u step.Unit) (step.Step, error) {
			s, err := step.Decode[pairSpec](u)
			return step.Of("a pair of files", wordyKind{}, s), err
		}},
		{Name: "service", Spec: serviceSpec{}, Make: func(u step.Unit) (step.Step, error) {
			s, err := step.Decode[serviceSpec](u)
			return serviceStep{Step: step.Of("service "+s.Unit, serviceKind{}, s), unit: s.Unit}, err
		}},
		{Name: "daemon_option", Spec: optionSpec{}, Make: func(u step.Unit) (step.Step, error) {
			s, err := step.Decode[optionSpec](u)
			return step.Of("option of "+s.Unit, optionKind{}, s), err
		}},
		{Name: "severs", Make: func(u step.Unit) (step.Step, error) {
			s := fileSpec{Path: "/etc/" + u.Name, Content: step.Is("x")}
			return seversStep{step.Of("file "+s.Path, fileKind{}, s), u.Name}, nil
		}},
		{Name: "disrupts", Make: func(u step.Unit) (step.Step, error) {
			s := fileSpec{Path: "/etc/" + u.Name, Content: step.Is("x")}
			return disruptsStep{step.Of("file "+s.Path, fileKind{}, s)}, nil
		}},
		{Name: "order", Make: func(u step.Unit) (step.Step, error) { return orderStep{}, nil }},
		{Name: "panic", Make: func(u step.Unit) (step.Step, error) { return panicStep{}, nil }},
		{Name: "tool", Make: func(u step.Unit) (step.Step, error) { return toolStep{name: u.Name}, nil }},
		{Name: "probe_file", Probe: func(u step.Unit) (step.Prober, error) { return fileProbe{path: u.Name}, nil }},
	})
}

// fileSpec is a file of one effect. Read is ErrNotYet where its directory is
// missing.
type fileSpec struct {
	Path    string            `json:"path"`
	Content step.Attr[string] `json:"content,omitzero"`
	Secret  step.Attr[string] `json:"secret,omitzero" weft:"found"`
	State   step.State        `json:"state,omitzero"`
}

type fileKind struct{}

func (fileKind) Read(ctx context.Context, v host.View, want fileSpec) (fileSpec, error) {
	have := fileSpec{Path: want.Path}
	b, err := v.Files.Read(ctx, want.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := v.Files.Stat(ctx, parent(want.Path)); err != nil {
			return have, fmt.Errorf("%s is missing: %w", parent(want.Path), step.ErrNotYet)
		}
		have.State = step.Absent
		return have, nil
	case err != nil:
		return have, err
	}
	have.Content = step.Is(string(b))
	return have, nil
}

func parent(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return "/"
}

func (fileKind) Diff(have, want fileSpec) []step.Delta { return step.Compare(have, want) }

func (fileKind) Write(ctx context.Context, h host.Host, _, want fileSpec) error {
	if !want.State.There() {
		return h.Files.Remove(ctx, want.Path)
	}
	return h.Files.Write(ctx, want.Path, []byte(want.Content.Or("")), host.Attributes{})
}

func (fileKind) Advise(f *step.Finding, have, want fileSpec) {
	f.Outputs = []byte(`{"path":"` + want.Path + `"}`)
}

func file(path, content string) step.Unit {
	return unitOf("file", path[1:], fileSpec{Path: path, Content: step.Is(content)})
}

// seversStep is a file whose change may cut a link.
type seversStep struct {
	step.Step
	link string
}

func (s seversStep) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f, err := s.Step.Check(ctx, v)
	f.Cost.Severs = []string{"wlan9", s.link}
	return f, err
}

// filesSpec is several files in one directory: as many effects.
type filesSpec struct {
	Dir      string                       `json:"dir"`
	Contents map[string]step.Attr[string] `json:"contents,omitzero"`
}

type filesKind struct{}

func (filesKind) Read(ctx context.Context, v host.View, want filesSpec) (filesSpec, error) {
	have := filesSpec{Dir: want.Dir, Contents: map[string]step.Attr[string]{}}
	for name := range want.Contents {
		b, err := v.Files.Read(ctx, want.Dir+"/"+name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			have.Contents[name] = step.None[string]()
		case err != nil:
			return have, err
		default:
			have.Contents[name] = step.Is(string(b))
		}
	}
	return have, nil
}

func (filesKind) Diff(have, want filesSpec) []step.Delta { return step.Compare(have, want) }

// Write does not care whether its context is done, as a module may by mistake:
// what ends a step between two effects is the runner's business.
func (k filesKind) Write(ctx context.Context, h host.Host, have, want filesSpec) error {
	ctx = context.WithoutCancel(ctx)
	for _, name := range slices.Sorted(maps.Keys(want.Contents)) {
		content, there := want.Contents[name].Get()
		path := want.Dir + "/" + name
		var err error
		if there {
			err = h.Files.Write(ctx, path, []byte(content), host.Attributes{})
		} else {
			err = h.Files.Remove(ctx, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func files(dir string, contents map[string]string) step.Unit {
	s := filesSpec{Dir: dir, Contents: map[string]step.Attr[string]{}}
	for name, c := range contents {
		s.Contents[name] = step.Is(c)
	}
	return unitOf("files", "many", s)
}

// pairSpec is two files, of which the kind tells the first difference alone.
type pairSpec struct {
	A step.Attr[string] `json:"a,omitzero" weft:"whole"`
	B step.Attr[string] `json:"b,omitzero"`
}

func (s pairSpec) files() filesSpec {
	return filesSpec{Dir: "/etc", Contents: map[string]step.Attr[string]{"a": s.A, "b": s.B}}
}

type pairKind struct{}

func (pairKind) Read(ctx context.Context, v host.View, want pairSpec) (pairSpec, error) {
	have, err := filesKind{}.Read(ctx, v, want.files())
	return pairSpec{have.Contents["a"], have.Contents["b"]}, err
}

func (pairKind) Diff(have, want pairSpec) []step.Delta {
	deltas := step.Compare(have, want)
	return deltas[:min(len(deltas), 1)]
}

func (pairKind) Write(ctx context.Context, h host.Host, have, want pairSpec) error {
	return filesKind{}.Write(ctx, h, have.files(), want.files())
}

// wordyKind tells differences in words of its own.
type wordyKind struct{ pairKind }

func (wordyKind) Diff(have, want pairSpec) []step.Delta {
	deltas := step.Compare(have, want)
	for i := range deltas {
		deltas[i].Path = "the file " + deltas[i].Path
	}
	return deltas
}

// serviceSpec is a unit that settles a restart.
type serviceSpec struct {
	Unit    string          `json:"unit"`
	Running step.Attr[bool] `json:"running,omitzero"`
}

type serviceKind struct{}

type serviceStep struct {
	step.Step
	unit string
}

func (s serviceStep) Settles() step.Need { return step.Need{Verb: step.RestartUnit, Object: s.unit} }

func (serviceKind) Read(ctx context.Context, v host.View, want serviceSpec) (serviceSpec, error) {
	u, err := v.Units.Unit(ctx, want.Unit)
	if err != nil {
		return serviceSpec{}, err
	}
	if u.LoadState == "not-found" {
		return serviceSpec{}, fmt.Errorf("there is no %s: %w", want.Unit, step.ErrNotYet)
	}
	return serviceSpec{Unit: want.Unit, Running: step.Is(u.ActiveState == "active")}, nil
}

func (serviceKind) Diff(have, want serviceSpec) []step.Delta { return step.Compare(have, want) }

func (serviceKind) Write(ctx context.Context, h host.Host, _, want serviceSpec) error {
	if want.Running.Or(false) {
		return h.Units.Do(ctx, host.Start, want.Unit)
	}
	return h.Units.Do(ctx, host.Stop, want.Unit)
}

func (serviceKind) Advise(f *step.Finding, _, want serviceSpec) {
	if f.Changed() && !want.Running.Or(true) {
		f.Cost.Disruption = "stops " + want.Unit
	}
}

func service(name string, triggers ...step.Unit) step.Unit {
	u := unitOf("service", name, serviceSpec{Unit: name + ".service", Running: step.Is(true)})
	for _, t := range triggers {
		u.Triggers = append(u.Triggers, t.Address)
	}
	return u
}

// optionSpec is an option that a daemon reads when it starts: it is in force
// once /run/NAME says the same as /etc/option-NAME.
type optionSpec struct {
	Unit  string            `json:"unit"`
	Value step.Attr[string] `json:"value,omitzero"`
}

type optionKind struct{}

func (optionKind) Read(ctx context.Context, v host.View, want optionSpec) (optionSpec, error) {
	have := optionSpec{Unit: want.Unit, Value: step.None[string]()}
	written, err := v.Files.Read(ctx, "/etc/option-"+want.Unit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return have, err
	}
	running, runningErr := v.Files.Read(ctx, "/run/"+want.Unit)
	switch {
	case string(written) != string(running):
		have.Value = step.Is(fmt.Sprintf("%s, but it runs with %q", written, running))
	case runningErr == nil:
		have.Value = step.Is(string(running))
	}
	return have, nil
}

func (optionKind) Diff(have, want optionSpec) []step.Delta { return step.Compare(have, want) }

func (optionKind) Write(ctx context.Context, h host.Host, _, want optionSpec) error {
	if v, there := want.Value.Get(); there {
		return h.Files.Write(ctx, "/etc/option-"+want.Unit, []byte(v), host.Attributes{})
	}
	return h.Files.Remove(ctx, "/etc/option-"+want.Unit)
}

func (optionKind) Advise(f *step.Finding, have, want optionSpec) {
	if f.Changed() {
		f.Needs = []step.Need{{Verb: step.RestartUnit, Object: want.Unit}}
	}
}

func option(unit, value string) step.Unit {
	return unitOf("daemon_option", unit, optionSpec{Unit: unit + ".service", Value: step.Is(value)})
}

// orderStep writes and cannot be undone.
type orderStep struct{}

func (orderStep) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f := step.Finding{Object: "order", Cost: step.Cost{Irreversible: "it was sent"}}
	if _, err := v.Files.Stat(ctx, "/etc/ordered"); err != nil {
		f.Deltas = []step.Delta{step.Change("sent", false, true)}
	}
	return f, nil
}

func (orderStep) Apply(ctx context.Context, h host.Host, _ step.Finding) error {
	return h.Files.Write(ctx, "/etc/ordered", nil, host.Attributes{})
}

func (orderStep) Undo(context.Context, host.Host, step.Finding) error {
	return fmt.Errorf("the order: %w", step.ErrIrreversible)
}

// panicStep has a bug.
type panicStep struct{}

func (panicStep) Check(context.Context, host.View) (step.Finding, error) {
	panic("a bug")
}

func (panicStep) Apply(context.Context, host.Host, step.Finding) error { return nil }

func (panicStep) Undo(context.Context, host.Host, step.Finding) error { return nil }

// toolStep runs a program that fails, or prints what it was given.
type toolStep struct{ name string }

func (toolStep) Check(context.Context, host.View) (step.Finding, error) {
	return step.Finding{Object: "tool", Deltas: []step.Delta{step.Change("run", nil, true)}}, nil
}

func (t toolStep) Apply(ctx context.Context, h host.Host, _ step.Finding) error {
	_, err := h.Commands.Run(ctx, host.Command{Argv: []string{t.name}})
	if err != nil {
		return fmt.Errorf("the tool: %w", err)
	}
	return nil
}

func (toolStep) Undo(context.Context, host.Host, step.Finding) error { return nil }

// fileProbe holds where a file is there.
type fileProbe struct{ path string }

func (p fileProbe) Probe(ctx context.Context, v host.View) (step.Report, error) {
	if _, err := v.Files.Stat(ctx, p.path); err != nil {
		return step.Report{}, &step.ProbeError{Wanted: p.path, Seen: "nothing"}
	}
	return step.Report{Summary: p.path + " is there"}, nil
}

func probe(path string) step.Unit {
	return step.Unit{Address: "probe_file." + path, Kind: "probe_file", Name: path, Spec: []byte("{}")}
}

// disruptsStep hits a guest while it changes anything.
type disruptsStep struct{ step.Step }

func (s disruptsStep) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f, err := s.Step.Check(ctx, v)
	if f.Changed() {
		f.Cost = step.Cost{Disruption: "an outage", Guests: []string{"g1", "g2"}}
	}
	return f, err
}
