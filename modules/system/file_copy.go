package system

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// FileCopy is the spec of kind file_copy, and the state of a file of which the
// sum alone is held.
type FileCopy struct {
	Path    string            `json:"path" weft:"label" doc:"Absolute path of the copy."`
	Host    string            `json:"host" weft:"required,host" doc:"The host that has the file, by its name in the inventory. It is read, never changed, also where --limit leaves it out."`
	Source  string            `json:"source" weft:"required" doc:"Absolute path of the file there. A symlink is followed."`
	SHA256  string            `json:"sha256" weft:"required" doc:"The sha256 of its content, in hexadecimal digits: most often an output of the step that made the file. It alone says whether the copy is right."`
	LimitMB int               `json:"limit_mb,omitzero" default:"4096" doc:"The largest file that is taken, in units of 1024 * 1024 bytes."`
	Owner   step.Attr[string] `json:"owner,omitzero" doc:"User that owns it, by name or number; root for a new file."`
	Group   step.Attr[string] `json:"group,omitzero" doc:"Group that owns it, by name or number; root for a new file."`
	Mode    step.Attr[string] `json:"mode,omitzero" doc:"Permission bits in octal, as a string; 0644 for a new file."`
	State   step.State        `json:"state,omitzero" default:"present" doc:"Whether it is there."`

	// Found is set in every state that was read: the bytes of such a file are on
	// this host, and not to be fetched.
	Found bool `json:"found,omitzero" weft:"found"`
}

// FileCopyOutputs are the outputs of kind file_copy.
type FileCopyOutputs struct {
	Path   string `json:"path" doc:"The path of the copy."`
	SHA256 string `json:"sha256" doc:"The sha256 of its content, for the next host that copies it."`
}

// Early implements [step.EarlyValidator].
func (*FileCopy) Early() {}

// Validate judges each attribute by itself.
func (f *FileCopy) Validate() []step.Problem {
	problems := append(pathProblems(f.Path), modeProblems(f.Mode)...)
	for _, p := range pathProblems(f.Source) {
		p.Path = "source"
		problems = append(problems, p)
	}
	if sum, err := hex.DecodeString(f.SHA256); err != nil || len(sum) != 32 {
		problems = append(problems, step.Problem{Path: "sha256", Message: fmt.Sprintf("%q is no sha256", f.SHA256), Hint: "it has 64 hexadecimal digits; sha256sum(1) prints it"})
	}
	if f.LimitMB <= 0 {
		problems = append(problems, step.Problem{Path: "limit_mb", Message: "must be above 0"})
	}
	return problems
}

func fileCopyKind() step.Kind {
	return step.Kind{
		Name:    "file_copy",
		Summary: "A file of another host, brought through weft.",
		Doc: `Built once, installed on all: the file comes from a host over its SSH session to weft, and over that of the receiving host to its place.
The hosts need no way to each other, and no server. A host that has a file of that sum at the path is converged, and nothing travels; a check
reads the file from end to end to know.

The file is written beside its path, and takes its place once its size and its sum are right and its owner and mode are set. Where a connection
breaks, the file changes while it is read, or the disk is too small, nothing is left of it, and the next run begins it anew.

What is replaced or removed is kept on the host for undo, in ` + "`/var/lib/weft/kept`" + `, for as long as its run can be taken back; where that is unwanted, remove
the file by hand first. Times, extended attributes and hard links of a replaced file are not kept. A symlink or a directory at the path is not replaced.`,
		Spec: FileCopy{}, Outputs: FileCopyOutputs{},
		Example: `step "file_copy" "/var/cache/images/guest.qcow2" {
  host   = "builder"
  source = "/srv/images/guest.qcow2"
  sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  mode   = "0600"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[FileCopy](u)
			if err != nil {
				return nil, err
			}
			want.Mode, want.SHA256 = canonicalMode(want.Mode), strings.ToLower(want.SHA256)
			return fileCopy{received{parented{step.Of("file "+want.Path, fileCopies{}, want), want.Path, want.State}}, want}, nil
		},
	}
}

// fileCopy is the step.
type fileCopy struct {
	received
	want FileCopy
}

// Imports implements [step.Importer].
func (c fileCopy) Imports() step.Origin { return step.Origin{Host: c.want.Host, Path: c.want.Source} }

type fileCopies struct{}

// Read sums the file, and holds no more than a part of it.
func (fileCopies) Read(ctx context.Context, v host.View, want FileCopy) (FileCopy, error) {
	have := FileCopy{Path: want.Path, Host: want.Host, Source: want.Source, LimitMB: want.LimitMB, State: step.Absent, Found: true}
	info, err := v.Files.Stat(ctx, want.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return have, nil
	}
	if err != nil {
		return have, err
	}
	if info.Type != host.Regular {
		return have, fmt.Errorf("there is a %s at this path, not a file; weft does not replace it", info.Type)
	}
	have.State, have.Mode = step.Present, step.Is(formatMode(info.Mode))
	if have.Owner, err = spelled(ctx, v, "/etc/passwd", info.Owner, want.Owner); err != nil {
		return have, err
	}
	if have.Group, err = spelled(ctx, v, "/etc/group", info.Group, want.Group); err != nil {
		return have, err
	}
	have.SHA256, err = host.Sum(ctx, v, want.Path)
	return have, err
}

// Diff shows where a file comes from in one line.
func (fileCopies) Diff(have, want FileCopy) []step.Delta {
	var deltas []step.Delta
	for _, d := range step.Compare(have, want) {
		switch d.Path {
		case "host", "source", "limit_mb":
			continue
		case "sha256":
			if !want.Found {
				deltas = append(deltas, step.Change("source", nil, want.Host+":"+want.Source+" -> "+want.Path))
			}
		}
		deltas = append(deltas, d)
	}
	return deltas
}

// Write keeps what it replaces, unless it takes something back.
func (c fileCopies) Write(ctx context.Context, h host.Host, have, want FileCopy) error {
	same := have.State.There() && want.State.There() && have.SHA256 == want.SHA256
	if have.State.There() && !want.Found && !same {
		if err := keep(ctx, h, have); err != nil {
			return fmt.Errorf("keep what is there for an undo: %w", err)
		}
	}
	if !want.State.There() {
		return h.Files.Remove(ctx, want.Path)
	}
	a, err := attributes(want.Owner, want.Group, want.Mode)
	if err != nil {
		return err
	}
	switch {
	case same:
		return h.Files.SetAttributes(ctx, want.Path, a)
	case want.Found:
		return copyHere(ctx, h, path.Join(h.Kept, want.SHA256), want.Path, want.SHA256, a)
	}
	return fetch(ctx, h, want, a)
}

// fetch has the file brought, where there is room for it.
func fetch(ctx context.Context, h host.Host, want FileCopy, a host.Attributes) error {
	if h.Elsewhere == nil {
		return errors.New("nothing can be brought from another host here")
	}
	f, err := h.Elsewhere.Fetch(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if limit := int64(want.LimitMB) << 20; f.Size > limit {
		return fmt.Errorf("%s:%s has %d bytes, more than limit_mb allows (%d)", want.Host, want.Source, f.Size, limit)
	}
	if err := room(ctx, h, want.Path, f.Size); err != nil {
		return err
	}
	err = h.Files.Receive(ctx, want.Path, f, f.Size, want.SHA256, a)
	var wrong *host.SumError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%w; look at %s on %s, which is another file than the playbook wants", err, want.Source, want.Host)
	}
	return err
}

// room looks whether a file system has room for so many bytes more.
func room(ctx context.Context, h host.Host, name string, size int64) error {
	dir := path.Dir(name)
	space, err := h.Disks.Space(ctx, dir)
	if err != nil {
		return err
	}
	if space.Free < size {
		return fmt.Errorf("%d bytes are wanted in %s, and its file system has %d left (df)", size, dir, space.Free)
	}
	return nil
}

// keep copies a file to where an undo finds it.
func keep(ctx context.Context, h host.Host, have FileCopy) error {
	if err := makeKept(ctx, h); err != nil {
		return err
	}
	kept := path.Join(h.Kept, have.SHA256)
	if _, err := h.Files.Stat(ctx, kept); !errors.Is(err, fs.ErrNotExist) {
		return err // it is there whole, or it would have another name
	}
	mode := fs.FileMode(0o600)
	return copyHere(ctx, h, have.Path, kept, have.SHA256, host.Attributes{Mode: &mode, Owner: "root", Group: "root"})
}

// makeKept makes the directory that is root's alone.
func makeKept(ctx context.Context, h host.Host) error {
	_, err := h.Files.Stat(ctx, h.Kept)
	if errors.Is(err, fs.ErrNotExist) {
		mode := fs.FileMode(0o700)
		err = h.Files.MakeDirectory(ctx, h.Kept, host.Attributes{Mode: &mode})
	}
	return err
}

// received is a step whose file is written in parts.
type received struct{ parented }

// Undo first removes what a runner that was killed left of a file on its way.
func (r received) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	left := host.Temporary(r.path)
	info, err := h.Files.Stat(ctx, left)
	switch {
	case err == nil && info.Type != host.Regular: // others may write there
	case err == nil:
		if err := h.Files.Remove(ctx, left); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return r.parented.Undo(ctx, h, f)
}

// copyHere copies a file of this host.
func copyHere(ctx context.Context, h host.Host, from, to, sum string, a host.Attributes) error {
	f, err := h.Files.Open(ctx, from)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := room(ctx, h, to, f.Size()); err != nil {
		return err
	}
	return h.Files.Receive(ctx, to, f, f.Size(), sum, a)
}

// Advise says what a plan shows, and what holds afterwards.
func (fileCopies) Advise(f *step.Finding, _, want FileCopy) {
	f.Outputs, _ = json.Marshal(FileCopyOutputs{Path: want.Path, SHA256: want.SHA256})
}
