package system

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"unicode/utf8"

	"weft/engine/host"
	"weft/engine/step"
)

// fileLimit is the largest file, in bytes, that a step replaces or removes:
// what was there is kept for undo.
const fileLimit = 8 << 20

// shownLimit is how much of a content a plan shows, in bytes.
const shownLimit = 64 << 10

// File is the spec of kind file, and the state of a file.
type File struct {
	Path    string             `json:"path" weft:"label" doc:"Absolute path of the file."`
	Content step.Attr[content] `json:"content,omitzero" doc:"The whole content. Give it with templatefile() or file(), or as a heredoc."`
	Target  step.Attr[string]  `json:"target,omitzero" weft:"whole" doc:"Makes a symlink that points there, instead of a file with content."`
	Owner   step.Attr[string]  `json:"owner,omitzero" doc:"User that owns it, by name or number; root for a new file."`
	Group   step.Attr[string]  `json:"group,omitzero" doc:"Group that owns it, by name or number; root for a new file."`
	Mode    step.Attr[string]  `json:"mode,omitzero" doc:"Permission bits in octal, as a string; 0644 for a new file. Where the content is sensitive and nothing is said it is 0600."`
	State   step.State         `json:"state,omitzero" default:"present" doc:"Whether it is there."`
}

// FileOutputs are the outputs of kind file.
type FileOutputs struct {
	Path string `json:"path" doc:"The path of the file."`
}

// content is a string of any bytes. In JSON, which knows UTF-8 alone, other
// bytes are an object with their base64.
type content string

func (c content) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(c)) {
		return json.Marshal(string(c))
	}
	return json.Marshal(map[string]string{"base64": base64.StdEncoding.EncodeToString([]byte(c))})
}

func (c *content) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err == nil {
		*c = content(text)
		return nil
	}
	var other struct{ Base64 []byte }
	if err := json.Unmarshal(b, &other); err != nil {
		return err
	}
	*c = content(other.Base64)
	return nil
}

// summary stands for a content that is too long for a plan, or no text.
func (c content) summary() string {
	return fmt.Sprintf("%d bytes, sha256 %x", len(c), sha256.Sum256([]byte(c)))
}

func (c content) shown() bool { return len(c) <= shownLimit && utf8.ValidString(string(c)) }

// Validate finds attributes that do not go together.
func (f *File) Validate() []step.Problem {
	problems := append(pathProblems(f.Path), modeProblems(f.Mode)...)
	if target, ok := f.Target.Get(); ok {
		if f.Content.Managed() {
			problems = append(problems, step.Problem{Path: "target", Message: "excludes content: a symlink has none"})
		}
		if f.Mode.Managed() {
			problems = append(problems, step.Problem{Path: "mode", Message: "of a symlink means nothing", Hint: "leave it out, or set it on the file that the link points to"})
		}
		if target == "" {
			problems = append(problems, step.Problem{Path: "target", Message: "is empty"})
		}
	}
	if c, _ := f.Content.Get(); len(c) > fileLimit {
		problems = append(problems, step.Problem{Path: "content", Message: fmt.Sprintf("is %d bytes, more than the %d that a step may write", len(c), fileLimit)})
	}
	return problems
}

func fileKind() step.Kind {
	return step.Kind{
		Name:    "file",
		Summary: "A file with its content, owner, group and mode, or a symlink.",
		Doc: `Content is written whole and atomically: a reader sees the old file or the new one. Attributes that are left out stay as they
are, so a file that something else fills can have its mode managed alone. A symlink at the path is replaced, never followed, and the plan warns.

What was there is kept on the host for undo, up to 8 MiB. Times, extended attributes and hard links of a replaced file are not kept.

Values of the kernel below /proc/sys belong to the kind sysctl.`,
		Spec: File{}, Outputs: FileOutputs{},
		Example: `step "file" "/etc/motd" {
  content = templatefile("motd.tmpl", { name = host.name })
  mode    = "0644"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[File](u)
			if err != nil {
				return nil, err
			}
			want.Mode = canonicalMode(want.Mode)
			if slices.Contains(u.Secret, "content") && want.State.There() && !want.Mode.Managed() {
				want.Mode = step.Is("0600")
			}
			return parented{step.Of("file "+want.Path, files{}, want), want.Path, want.State}, nil
		},
	}
}

// parented is a step whose object lies in a directory that must be there.
type parented struct {
	step.Step
	path  string
	state step.State
}

// Check looks for the directory first.
func (p parented) Check(ctx context.Context, v host.View) (step.Finding, error) {
	if p.state.There() {
		if err := needsParent(ctx, v, p.path); err != nil {
			return step.Finding{}, fmt.Errorf("read %s: %w", p.path, err)
		}
	}
	return p.Step.Check(ctx, v)
}

type files struct{}

// Read reads the content only where it may be replaced.
func (files) Read(ctx context.Context, v host.View, want File) (File, error) {
	have := File{Path: want.Path, State: step.Present}
	info, err := v.Files.Stat(ctx, want.Path)
	if errors.Is(err, fs.ErrNotExist) {
		if want.State.There() && !want.Content.Managed() && !want.Target.Managed() {
			return have, fmt.Errorf("it is not there, and the step has no content to make it of: %w", step.ErrNotYet)
		}
		return File{Path: want.Path, State: step.Absent}, nil
	}
	if err != nil {
		return have, err
	}
	if have.Owner, err = spelled(ctx, v, "/etc/passwd", info.Owner, want.Owner); err != nil {
		return have, err
	}
	if have.Group, err = spelled(ctx, v, "/etc/group", info.Group, want.Group); err != nil {
		return have, err
	}
	switch info.Type {
	case host.Symlink:
		have.Target, have.Content = step.Is(info.Target), step.None[content]()
		return have, nil
	case host.Regular:
	default:
		return have, fmt.Errorf("there is a %s at this path, not a file; weft does not replace it", info.Type)
	}
	have.Target, have.Mode = step.None[string](), step.Is(formatMode(info.Mode))
	if want.State.There() && !want.Content.Managed() && !want.Target.Managed() {
		return have, nil
	}
	if info.Size > fileLimit {
		return have, fmt.Errorf("the file has %d bytes, more than the %d that weft keeps for an undo; move it away by hand first", info.Size, fileLimit)
	}
	found, err := v.Files.Read(ctx, want.Path)
	have.Content = step.Is(content(found))
	return have, err
}

// Diff shows a content that is long or no text by its size and digest.
func (files) Diff(have, want File) []step.Delta {
	deltas := step.Compare(have, want)
	for i, d := range deltas {
		if d.Path != "content" {
			continue
		}
		to, _ := want.Content.Get()
		from, _ := have.Content.Get()
		if from.shown() && to.shown() {
			continue
		}
		if d.From != nil {
			deltas[i].From = step.Change("", from.summary(), nil).From
		}
		if d.To != nil {
			deltas[i].To = step.Change("", nil, to.summary()).To
		}
	}
	return deltas
}

// Write is one effect but for the owner of a symlink.
func (files) Write(ctx context.Context, h host.Host, have, want File) error {
	if !want.State.There() {
		return h.Files.Remove(ctx, want.Path)
	}
	a, err := attributes(want.Owner, want.Group, want.Mode)
	if err != nil {
		return err
	}
	if target, ok := want.Target.Get(); ok {
		if found, there := have.Target.Get(); !there || found != target {
			if err := h.Files.Link(ctx, want.Path, target); err != nil {
				return err
			}
			have.Owner, have.Group = step.Is("root"), step.Is("root")
		}
		if len(step.Compare(File{Owner: have.Owner, Group: have.Group}, File{Owner: want.Owner, Group: want.Group})) == 0 {
			return nil
		}
		return h.Files.SetAttributes(ctx, want.Path, host.Attributes{Owner: a.Owner, Group: a.Group})
	}
	wanted, ok := want.Content.Get()
	if found, there := have.Content.Get(); ok && (!there || found != wanted) {
		return h.Files.Write(ctx, want.Path, []byte(wanted), a)
	}
	return h.Files.SetAttributes(ctx, want.Path, a)
}

// Advise warns of a symlink that goes.
func (files) Advise(f *step.Finding, have, want File) {
	f.Outputs, _ = json.Marshal(FileOutputs{Path: want.Path})
	if target, ok := have.Target.Get(); ok && have.State.There() && want.Content.Managed() {
		f.Warnings = append(f.Warnings, "replaces a symlink to "+target+"; what it points to is not touched")
	}
}
