package steptest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
)

const noteFile = "/etc/" + Prefix + "-note"

// note is a small kind: a file with one line and a mode, written in two
// effects.
type note struct {
	Path  string            `json:"path" weft:"label" doc:"Path of the file."`
	Text  step.Attr[string] `json:"text,omitzero" doc:"The line; blanks around it mean nothing."`
	Mode  step.Attr[string] `json:"mode,omitzero" doc:"Permission bits, octal."`
	State step.State        `json:"state,omitzero" doc:"Whether the note is there."`
}

// flaw is what is wrong with a kind of notes.
type flaw string

// notes is the resource, sound but for its flaw.
type notes struct{ flaw flaw }

func (r notes) Read(ctx context.Context, v host.View, want note) (note, error) {
	have := note{Path: want.Path, State: step.Present}
	if r.flaw == "writes in check" {
		if err := v.Files.(host.Files).Write(ctx, "/tmp/seen", nil, host.Attributes{}); err != nil {
			return have, err
		}
	}
	info, err := v.Files.Stat(ctx, want.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return note{Path: want.Path, State: step.Absent}, nil
	}
	if err != nil {
		return have, err
	}
	content, err := v.Files.Read(ctx, want.Path)
	if err != nil {
		return have, err
	}
	text := strings.TrimSpace(string(content))
	if r.flaw == "spells strictly" {
		text = strings.TrimSuffix(string(content), "\n")
	}
	have.Text, have.Mode = step.Is(text), step.Is(fmt.Sprintf("%04o", info.Mode))
	return have, nil
}

func (r notes) Diff(have, want note) []step.Delta {
	deltas := step.Compare(have, want)
	switch r.flaw {
	case "forgets the mode":
		var kept []step.Delta
		for _, d := range deltas {
			if d.Path != "mode" {
				kept = append(kept, d)
			}
		}
		return kept
	case "always finds something":
		if want.State.There() && len(deltas) == 0 {
			return []step.Delta{step.Change("text", nil, want.Text)}
		}
	case "takes half for whole":
		if have.State.There() && want.State.There() {
			return nil
		}
	}
	return deltas
}

func (r notes) Write(ctx context.Context, h host.Host, have, want note) error {
	if r.flaw == "leaves litter" {
		if err := h.Files.Write(ctx, want.Path+"~", nil, host.Attributes{}); err != nil {
			return err
		}
	}
	if !want.State.There() {
		return h.Files.Remove(ctx, want.Path)
	}
	if text, ok := want.Text.Get(); ok && text != have.Text.Or("") || !have.State.There() {
		if err := h.Files.Write(ctx, want.Path, []byte(text+"\n"), host.Attributes{}); err != nil {
			return err
		}
	}
	if mode, ok := want.Mode.Get(); ok && mode != have.Mode.Or("") {
		if r.flaw == "sets no mode on what is there" && have.State.There() {
			return nil
		}
		bits, err := strconv.ParseUint(mode, 8, 32)
		if err != nil {
			return err
		}
		m := fs.FileMode(bits)
		return h.Files.SetAttributes(ctx, want.Path, host.Attributes{Mode: &m})
	}
	return nil
}

// wronged has flaws that a resource cannot have.
type wronged struct {
	step.Step
	flaw flaw
}

func (w wronged) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f, err := w.Step.Check(ctx, v)
	if w.flaw == "cannot be undone" {
		f.Cost.Irreversible = "it never looked"
	}
	return f, err
}

func (w wronged) Apply(ctx context.Context, h host.Host, f step.Finding) error {
	if w.flaw == "applies nothing" {
		return nil
	}
	return w.Step.Apply(ctx, h, f)
}

func (w wronged) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	switch w.flaw {
	case "undoes nothing":
		return nil
	case "undoes over others":
		f.Settled = false
	case "cannot be undone":
		return step.ErrIrreversible
	}
	return w.Step.Undo(ctx, h, f)
}

func noteSubject(wrong flaw) Subject {
	write := func(content string) func(m *fake.Machine) {
		return func(m *fake.Machine) { m.WriteFile(noteFile, content) }
	}
	gone := Hand{Name: "state", Fake: func(m *fake.Machine) { m.Remove(noteFile) }}
	return Subject{
		Kind: step.Kind{
			Name: "note", Summary: "A note.", Doc: "A note.", Example: "step note n {}", Spec: note{},
			Make: func(u step.Unit) (step.Step, error) {
				want, err := step.Decode[note](u)
				if wrong == "does not know its spec" {
					return nil, errors.New("which spec?")
				}
				return wronged{step.Of("note "+want.Path, notes{wrong}, want), wrong}, err
			},
		},
		Found: []Hand{
			{Name: "absent"},
			{Name: "different", Fake: func(m *fake.Machine) { write("old\n")(m); m.Chmod(noteFile, 0o600) }},
			{Name: "half", Fake: write("new\n")},
		},
		Cases: []Case{
			{
				Name: "whole", Spec: note{Path: noteFile, Text: step.Is("new"), Mode: step.Is("0640")},
				Drift: []Hand{
					{Name: "text", Fake: write("by hand\n")},
					{Name: "mode", Fake: func(m *fake.Machine) { m.Chmod(noteFile, 0o777) }},
					gone,
				},
				Spellings: []Hand{{Name: "blanks", Fake: write("  new\n")}},
			},
			{Name: "minimal", Spec: note{Path: noteFile, Text: step.Is("new")}},
			{Name: "absent", Spec: note{Path: noteFile, State: step.Absent}, Drift: []Hand{{Name: "state", Fake: write("back\n")}}},
		},
	}
}

func TestLawsHoldForASoundKind(t *testing.T) { Laws(t, noteSubject("")) }

// TestLawsCatch breaks the kind in one way each and wants the law that says so.
func TestLawsCatch(t *testing.T) {
	for _, tt := range []struct {
		flaw flaw
		law  int
		says string
	}{
		{"writes in check", 1, "the check changed the machine"},
		{"applies nothing", 2, "still finds text"},
		{"always finds something", 2, "still finds text"},
		{"leaves litter", 3, noteFile + "~"},
		{"undoes nothing", 3, "did not bring back"},
		{"cannot be undone", 3, "the case does not"},
		{"undoes over others", 3, "not step.ErrConflict"},
		{"forgets the mode", 4, "drift of mode was not found"},
		{"spells strictly", 4, "blanks is another spelling"},
		{"takes half for whole", 4, "drift of text was not found"},
		{"sets no mode on what is there", 5, ""},
		{"does not know its spec", 0, "which spec?"},
	} {
		t.Run(string(tt.flaw), func(t *testing.T) {
			s := noteSubject(tt.flaw)
			broken := everything(t.Context(), s)
			for _, v := range broken {
				if v.Law == tt.law && strings.Contains(v.What, tt.says) {
					return
				}
			}
			t.Errorf("law %d (%q) is not among %v", tt.law, tt.says, broken)
		})
	}
}

// everything is Laws without a test around it.
func everything(ctx context.Context, s Subject) []Violation {
	g := s.fakeGround()
	broken := s.coverage()
	for _, c := range s.Cases {
		for _, from := range s.found() {
			broken = append(broken, newTrial(s, c, from, g).walk(ctx)...)
		}
		for _, d := range c.Drift {
			broken = append(broken, newTrial(s, c, s.found()[0], g).drift(ctx, d)...)
			broken = append(broken, newTrial(s, c, s.found()[1], g).drift(ctx, d)...)
		}
		for _, d := range c.Spellings {
			broken = append(broken, newTrial(s, c, s.found()[0], g).spelling(ctx, d)...)
		}
	}
	return append(broken, s.anyOrder(ctx, g)...)
}

func TestCoverageNamesWhatIsLeftOut(t *testing.T) {
	s := noteSubject("")
	s.Kind.Doc = ""
	s.Cases[0].Drift = s.Cases[0].Drift[:1]
	s.Cases[2].Drift = []Hand{{Name: "colour"}}
	for _, want := range []string{"lacks its name, summary, doc", "no drift of mode", "no drift of state", "drift of colour"} {
		found := false
		for _, v := range s.coverage() {
			found = found || strings.Contains(v.What, want)
		}
		if !found {
			t.Errorf("%q is not among %v", want, s.coverage())
		}
	}
	s.Cases = s.Cases[1:2]
	if got := fmt.Sprint(s.coverage()); !strings.Contains(got, "no case manages mode") {
		t.Errorf("no word of the mode: %s", got)
	}
}
