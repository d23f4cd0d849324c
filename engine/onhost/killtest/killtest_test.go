package killtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
)

// dir is a directory that is not removed while anything is in it.
type dir struct {
	Path  string     `json:"path"`
	State step.State `json:"state,omitzero"`
}

type dirs struct{}

func (dirs) Read(ctx context.Context, v host.View, want dir) (dir, error) {
	_, err := v.Files.Stat(ctx, want.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return dir{want.Path, step.Absent}, nil
	}
	return dir{want.Path, step.Present}, err
}

func (dirs) Diff(have, want dir) []step.Delta { return step.Compare(have, want) }

func (dirs) Write(ctx context.Context, h host.Host, _, want dir) error {
	if want.State.There() {
		return h.Files.MakeDirectory(ctx, want.Path, host.Attributes{})
	}
	if names, err := h.Files.List(ctx, want.Path); err != nil || len(names) > 0 {
		return errors.Join(err, fmt.Errorf("%v are in it: %w", names, step.ErrConflict))
	}
	return h.Files.Remove(ctx, want.Path)
}

// option is a file in two effects, which a daemon reads when it starts.
type option struct {
	Path  string            `json:"path"`
	Text  step.Attr[string] `json:"text,omitzero"`
	Mode  step.Attr[string] `json:"mode,omitzero"`
	State step.State        `json:"state,omitzero"`
}

type options struct{}

func (options) Read(ctx context.Context, v host.View, want option) (option, error) {
	info, err := v.Files.Stat(ctx, want.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return option{Path: want.Path, State: step.Absent}, nil
	}
	if err != nil {
		return option{}, err
	}
	b, err := v.Files.Read(ctx, want.Path)
	return option{want.Path, step.Is(string(b)), step.Is(fmt.Sprintf("%04o", info.Mode)), step.Present}, err
}

func (options) Diff(have, want option) []step.Delta { return step.Compare(have, want) }

func (options) Write(ctx context.Context, h host.Host, _, want option) error {
	if !want.State.There() {
		return h.Files.Remove(ctx, want.Path)
	}
	if err := h.Files.Write(ctx, want.Path, []byte(want.Text.Or("")), host.Attributes{}); err != nil {
		return err
	}
	var mode fs.FileMode
	if _, err := fmt.Sscanf(want.Mode.Or("0644"), "%o", &mode); err != nil {
		return err
	}
	return h.Files.SetAttributes(ctx, want.Path, host.Attributes{Mode: &mode})
}

func (options) Advise(f *step.Finding, _, _ option) {
	if f.Changed() {
		f.Needs = []step.Need{{Verb: step.RestartUnit, Object: "d.service"}}
	}
}

func kindOf[S any](name string, r step.Resource[S], path func(S) string) step.Kind {
	return step.Kind{Name: name, Make: func(u step.Unit) (step.Step, error) {
		s, err := step.Decode[S](u)
		return step.Of(name+" "+path(s), r, s), err
	}}
}

func scene() Scene {
	unit := func(kind, spec string) step.Unit {
		return step.Unit{Address: kind + ".x", Kind: kind, Name: "x", Spec: []byte(spec)}
	}
	return Scene{
		Name: "a directory, and in it what a daemon reads",
		Table: step.NewTable([]step.Kind{
			kindOf("dir", dirs{}, func(s dir) string { return s.Path }),
			kindOf("option", options{}, func(s option) string { return s.Path }),
		}),
		Machine: func() *fake.Machine {
			m := fake.New()
			m.WriteFile("/lib/systemd/system/d.service", fake.Service("/usr/bin/d"))
			m.Systemctl(host.Enable, "d.service")
			m.Systemctl(host.Start, "d.service")
			return m
		},
		Units: []step.Unit{unit("dir", `{"path":"/etc/d"}`), unit("option", `{"path":"/etc/d/x","text":"new","mode":"0600"}`)},
		Drift: func(m *fake.Machine) { m.WriteFile("/etc/d/x", "by hand") },
	}
}

// TestEveryPlace walks all places of a small play, with needs, with a step that
// stands on another, and with another hand between two runs.
func TestEveryPlace(t *testing.T) {
	t.Setenv("WEFT_CHAOS_WHOLE", "1")
	Walk(t, scene())
}

// TestWhatIsLeft: the suite sees what a run must not leave.
func TestWhatIsLeft(t *testing.T) {
	good := tree{"runs/": "", "runs/r1/": "", "runs/r1/journal": "x", "open/": "", "reserve": whole}
	if odd := good.left(); len(odd) > 0 {
		t.Errorf("%v are taken for odd", odd)
	}
	for _, name := range []string{"open/r1", "runs/r1/journal.next", "guard/", "guard/armed", "x"} {
		bad := tree{"runs/": "", name: ""}
		if odd := bad.left(); len(odd) != 1 || odd[0] != name {
			t.Errorf("%v are odd, not %s", odd, name)
		}
	}
	if odd := (tree{"runs/": "", "reserve": "half"}).left(); len(odd) != 1 {
		t.Errorf("half a reserve beside journals: %v", odd)
	}
}
