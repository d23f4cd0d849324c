package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// IniValueSpec is the spec of kind ini_value.
type IniValueSpec struct {
	Path    string     `json:"path" weft:"required" doc:"Absolute path of the configuration file."`
	Section string     `json:"section,omitzero" doc:"Name of the section, without brackets; left out for the lines before any section."`
	Key     string     `json:"key" weft:"label" doc:"Name of the setting."`
	Value   string     `json:"value,omitzero" doc:"The value as it stands in the file: where the program wants quotes, they are part of it. Empty where it is left out."`
	State   step.State `json:"state,omitzero" default:"present" doc:"If absent, the file must not set the key."`
}

// Validate finds what a file would read otherwise.
func (s *IniValueSpec) Validate() []step.Problem {
	problems := pathProblems(s.Path)
	if s.Key != strings.TrimSpace(s.Key) || s.Key == "" || strings.ContainsAny(s.Key, "=\n\r") || strings.ContainsAny(s.Key[:1], "#;[") {
		return append(problems, step.Problem{Path: "key", Message: fmt.Sprintf("%q is not the name of a setting", s.Key)})
	}
	if s.Section != strings.TrimSpace(s.Section) || strings.ContainsAny(s.Section, "\n\r") {
		return append(problems, step.Problem{Path: "section", Message: fmt.Sprintf("%q is not the name of a section", s.Section), Hint: "write it without brackets"})
	}
	if !s.State.There() {
		return problems
	}
	// Another line and another section follow in a file.
	set := parseIni(parseIni("").set(s.Section, s.Key, s.Value) + "next=1\n]\n[next]\nnext=1\n")
	if len(set.entries) != 3 || set.entries[0].value != canonicalIni(s.Value) {
		problems = append(problems, step.Problem{Path: "value", Message: "would not be read back as it is",
			Hint: "lines after the first belong to a value where they are further in, or where brackets are open"})
	}
	return problems
}

func iniValueKind() step.Kind {
	return step.Kind{
		Name:    "ini_value",
		Summary: "One setting of a configuration file with lines of the form key = value.",
		Doc: `For /etc/libvirt/qemu.conf, files of OpenStack, systemd and NetworkManager, and files that a shell reads. One assignment is changed; all
other lines, comments, order and blanks stay byte for byte. A new line goes below the commented example of its key where there is one, else to the end of
its section, with blanks around the sign as the file has them. A section that is not there is added at the end.

The value is raw: ` + "`value = \"\\\"root\\\"\"`" + ` sets root with quotes, as qemu.conf wants it. It ends with its line, unless the line ends in a backslash,
opens a list in brackets, or the next lines are further in; a comment behind it is part of it. A key that is set several times is left with one line, the last:
programs differ in which one counts.

The program reads its file when it starts: name this step in restart_on of its service. Undo puts the old line back among what others wrote since.`,
		Spec: IniValueSpec{},
		Example: `step "ini_value" "user" {
  path  = "/etc/libvirt/qemu.conf"
  value = "\"libvirt-qemu\""
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[IniValueSpec](u)
			if err != nil {
				return nil, err
			}
			want := spec.state()
			want.Private = slices.Contains(u.Secret, "value")
			return parented{step.Of("key "+want.name()+" of "+want.Path, iniValues{}, want), want.Path, spec.State}, nil
		},
	}
}

// iniValue is the state of a setting. What is not set is None.
type iniValue struct {
	Path    string            `json:"path" weft:"label"`
	Section string            `json:"section" weft:"label"`
	Key     string            `json:"key" weft:"label"`
	Value   step.Attr[string] `json:"value,omitzero"`
	// Text is the whole file as it was found, so that undo brings it back to the
	// byte where nobody else wrote in it since; None where there was no file.
	Text step.Attr[content] `json:"text,omitzero" weft:"found"`
	// Private says that a file which is made is for root alone.
	Private bool `json:"private,omitzero" weft:"found"`
}

func (s IniValueSpec) state() iniValue {
	want := iniValue{Path: s.Path, Section: s.Section, Key: s.Key, Value: step.None[string]()}
	if s.State.There() {
		want.Value = step.Is(s.Value)
	}
	return want
}

func (s iniValue) name() string {
	if s.Section == "" {
		return s.Key
	}
	return "[" + s.Section + "] " + s.Key
}

type iniValues struct{}

// Read reads the file.
func (iniValues) Read(ctx context.Context, v host.View, want iniValue) (iniValue, error) {
	have := iniValue{Path: want.Path, Section: want.Section, Key: want.Key, Value: step.None[string](), Text: step.None[content]()}
	text, there, err := readPlain(ctx, v, want.Path)
	if err != nil || !there {
		return have, err
	}
	have.Text = step.Is(content(text))
	if values := parseIni(text).values(want.Section, want.Key); len(values) > 0 {
		have.Value = step.Is(strings.Join(values, "\n")) // several are no value that anybody asks for
	}
	return have, nil
}

// readPlain reads a file that is to be changed in part. A link is not followed, as
// the file behind it would be another's.
func readPlain(ctx context.Context, v host.View, path string) (text string, there bool, err error) {
	info, err := v.Files.Stat(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	case err != nil:
		return "", false, err
	case info.Type == host.Symlink:
		return "", false, fmt.Errorf("%s is a symlink to %s; name the file itself", path, info.Target)
	case info.Type != host.Regular:
		return "", false, fmt.Errorf("%s is a %s, not a file", path, info.Type)
	case info.Size > fileLimit:
		return "", false, fmt.Errorf("%s has %d bytes, more than the %d that weft keeps for an undo", path, info.Size, fileLimit)
	}
	b, err := v.Files.Read(ctx, path)
	return string(b), true, err
}

// Diff compares the value.
func (iniValues) Diff(have, want iniValue) []step.Delta {
	plain := func(a step.Attr[string]) step.Attr[string] {
		if value, ok := a.Get(); ok {
			return step.Is(canonicalIni(value))
		}
		return a
	}
	have.Value, want.Value = plain(have.Value), plain(want.Value)
	return step.Compare(have, want)
}

// Write is one effect. An undo finds the file that was there in want.
func (iniValues) Write(ctx context.Context, h host.Host, have, want iniValue) error {
	text, there := have.Text.Get()
	now := parseIni(string(text))
	found, was := want.Text.Get()
	var next string
	value, set := want.Value.Get()
	switch {
	case was && parseIni(string(found)).rest(want.Section, want.Key) == now.rest(want.Section, want.Key):
		next = string(found)
	case set:
		next = now.set(want.Section, want.Key, value)
	default:
		next = now.without(want.Section, want.Key)
		if _, _, had := parseIni(string(found)).span(want.Section); want.Text.Managed() && !had {
			next = parseIni(next).dropEmpty(want.Section)
		}
	}
	if want.Text.Absent() && strings.TrimSpace(next) == "" {
		return h.Files.Remove(ctx, want.Path)
	}
	a := host.Attributes{}
	if want.Private && !there {
		mode := fs.FileMode(0o600)
		a.Mode = &mode
	}
	return h.Files.Write(ctx, want.Path, []byte(next), a)
}

// Advise tells of a key that is set several times.
func (iniValues) Advise(f *step.Finding, have, want iniValue) {
	f.Outputs = json.RawMessage("{}")
	text, _ := have.Text.Get()
	if n := len(parseIni(string(text)).of(want.Section, want.Key)); n > 1 {
		f.Warnings = append(f.Warnings, fmt.Sprintf("%s is set %d times in %s; one line is left", want.name(), n, want.Path))
	}
}
