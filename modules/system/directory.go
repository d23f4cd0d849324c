package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"

	"weft/engine/host"
	"weft/engine/step"
)

// treeLimit is how many files a recursive removal keeps for undo, and
// treeBytes how many bytes of them.
const (
	treeLimit = 1000
	treeBytes = fileLimit
)

// DirectorySpec is the spec of kind directory, and the state of a directory.
type DirectorySpec struct {
	Path      string            `json:"path" weft:"label" doc:"Absolute path of the directory."`
	Owner     step.Attr[string] `json:"owner,omitzero" doc:"User that owns it, by name or number; root for a new one."`
	Group     step.Attr[string] `json:"group,omitzero" doc:"Group that owns it, by name or number; root for a new one."`
	Mode      step.Attr[string] `json:"mode,omitzero" doc:"Permission bits in octal, as a string; 0755 for a new one."`
	State     step.State        `json:"state,omitzero" default:"present" doc:"Whether it is there."`
	Recursive bool              `json:"recursive,omitzero" doc:"With state absent: remove all that is in it too."`
	// Contents is what a recursive removal took away.
	Contents []entry `json:"contents,omitzero" weft:"found"`
	// Lost says why the contents are not kept.
	Lost string `json:"lost,omitzero" weft:"found"`
}

// entry is something in a directory, in the shape that makes it again.
type entry struct {
	File
	Directory bool `json:"directory,omitzero"`
}

// DirectoryOutputs are the outputs of kind directory.
type DirectoryOutputs struct {
	Path string `json:"path" doc:"The path of the directory."`
}

// Validate finds attributes that do not go together.
func (d *DirectorySpec) Validate() []step.Problem {
	problems := append(pathProblems(d.Path), modeProblems(d.Mode)...)
	if d.Recursive && d.State.There() {
		problems = append(problems, step.Problem{Path: "recursive", Message: `means something only with state = "absent"`})
	}
	return problems
}

func directoryKind() step.Kind {
	return step.Kind{
		Name:    "directory",
		Summary: "A directory with its owner, group and mode.",
		Doc: `One directory is made; the one it lies in must be there, so a deep path is a step for each level.

A directory that is not empty is removed only with recursive = true. Undo makes it again with all that was in it, up to 1000 files of
8 MiB together; where there is more, or something that is neither file nor link, the plan says before the run that it cannot be undone.`,
		Spec: DirectorySpec{}, Outputs: DirectoryOutputs{},
		Example: `step "directory" "/etc/openvswitch" {
  owner = "root"
  mode  = "0755"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[DirectorySpec](u)
			if err != nil {
				return nil, err
			}
			want.Mode = canonicalMode(want.Mode)
			s := parented{step.Of("directory "+want.Path, directories{}, want), want.Path, want.State}
			return honest{s}, nil
		},
	}
}

// honest is a step whose undo is refused where its check said there is none.
type honest struct{ step.Step }

// Undo refuses what the finding called irreversible.
func (s honest) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	if f.Cost.Irreversible != "" {
		return fmt.Errorf("%s: %s: %w", f.Object, f.Cost.Irreversible, step.ErrIrreversible)
	}
	return s.Step.Undo(ctx, h, f)
}

type directories struct{}

// Read looks inside only for a removal and its undo.
func (directories) Read(ctx context.Context, v host.View, want DirectorySpec) (DirectorySpec, error) {
	have := DirectorySpec{Path: want.Path, State: step.Present}
	info, err := v.Files.Stat(ctx, want.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return DirectorySpec{Path: want.Path, State: step.Absent}, nil
	}
	if err != nil {
		return have, err
	}
	if info.Type != host.Directory {
		return have, fmt.Errorf("there is a %s at this path, not a directory; weft does not replace it", info.Type)
	}
	have.Mode = step.Is(formatMode(info.Mode))
	if have.Owner, err = spelled(ctx, v, "/etc/passwd", info.Owner, want.Owner); err != nil {
		return have, err
	}
	if have.Group, err = spelled(ctx, v, "/etc/group", info.Group, want.Group); err != nil {
		return have, err
	}
	if want.State.There() && want.Contents == nil {
		return have, nil
	}
	c := collector{files: v.Files, view: v, entries: []entry{}}
	if err := c.collect(ctx, want.Path); err != nil {
		return have, err
	}
	have.Contents, have.Lost = c.entries, c.lost
	if !want.State.There() && !want.Recursive && (len(c.entries) > 0 || c.lost != "") {
		return have, fmt.Errorf("it is not empty, and recursive = true is not set: %w", step.ErrNotYet)
	}
	return have, nil
}

// collector writes down a tree, directories before what is in them.
type collector struct {
	files   host.FileReader
	view    host.View
	entries []entry
	bytes   int64
	lost    string
}

func (c *collector) collect(ctx context.Context, dir string) error {
	names, err := c.files.List(ctx, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if c.lost != "" {
			return nil
		}
		if err := c.add(ctx, path.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) add(ctx context.Context, name string) error {
	info, err := c.files.Stat(ctx, name)
	if err != nil {
		return err
	}
	c.bytes += info.Size
	switch {
	case len(c.entries) >= treeLimit || c.bytes > treeBytes:
		c.lost = fmt.Sprintf("it holds more than the %d files of %d bytes together that are kept for undo", treeLimit, treeBytes)
		return nil
	case info.Type == host.Special:
		c.lost = name + " is a device, socket or pipe, which cannot be made again"
		return nil
	case info.Type == host.Directory:
		d, err := directories{}.Read(ctx, c.view, DirectorySpec{Path: name})
		if err != nil {
			return err
		}
		f := File{Path: name, Owner: d.Owner, Group: d.Group, Mode: d.Mode, State: step.Present}
		c.entries = append(c.entries, entry{File: f, Directory: true})
		return c.collect(ctx, name)
	}
	f, err := files{}.Read(ctx, c.view, File{Path: name, State: step.Absent})
	c.entries = append(c.entries, entry{File: f})
	return err
}

// Diff compares the contents only where undo brings them back.
func (directories) Diff(have, want DirectorySpec) []step.Delta {
	deltas := step.Compare(DirectorySpec{Path: have.Path, Owner: have.Owner, Group: have.Group, Mode: have.Mode, State: have.State, Recursive: want.Recursive}, want)
	if want.State.There() && want.Contents != nil && len(missing(have.Contents, want.Contents)) > 0 {
		deltas = append(deltas, step.Change("contents", len(have.Contents), len(want.Contents)))
	}
	return deltas
}

// missing are the entries that are not there as they should be.
func missing(have, want []entry) []entry {
	found := make(map[string]entry, len(have))
	for _, e := range have {
		found[e.Path] = e
	}
	var out []entry
	for _, e := range want {
		if f, ok := found[e.Path]; !ok || !reflect.DeepEqual(f, e) {
			out = append(out, e)
		}
	}
	return out
}

// Write makes or removes, an effect a file.
func (directories) Write(ctx context.Context, h host.Host, have, want DirectorySpec) error {
	if !want.State.There() {
		return removeTree(ctx, h, want)
	}
	a, err := attributes(want.Owner, want.Group, want.Mode)
	if err != nil {
		return err
	}
	if !have.State.There() {
		err = h.Files.MakeDirectory(ctx, want.Path, a)
	} else if len(step.Compare(have, DirectorySpec{Owner: want.Owner, Group: want.Group, Mode: want.Mode})) > 0 {
		err = h.Files.SetAttributes(ctx, want.Path, a)
	}
	if err != nil {
		return err
	}
	found := map[string]entry{}
	for _, e := range have.Contents {
		found[e.Path] = e
	}
	for _, e := range missing(have.Contents, want.Contents) {
		if err := e.restore(ctx, h, found); err != nil {
			return err
		}
	}
	return nil
}

// restore makes an entry again, or mends what is there.
func (e entry) restore(ctx context.Context, h host.Host, found map[string]entry) error {
	have, there := found[e.Path]
	if !e.Directory {
		if !there {
			have.State = step.Absent
		}
		return files{}.Write(ctx, h, have.File, e.File)
	}
	a, err := attributes(e.Owner, e.Group, e.Mode)
	if err != nil {
		return err
	}
	if there {
		return h.Files.SetAttributes(ctx, e.Path, a)
	}
	return h.Files.MakeDirectory(ctx, e.Path, a)
}

// removeTree looks again at what is inside: an undo never removes what another
// hand put there.
func removeTree(ctx context.Context, h host.Host, want DirectorySpec) error {
	names, err := h.Files.List(ctx, want.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(names) > 0 && !want.Recursive {
		return fmt.Errorf("it holds %s, which weft did not put there: %w", names[0], step.ErrConflict)
	}
	for _, name := range names {
		child := path.Join(want.Path, name)
		info, err := h.Files.Stat(ctx, child)
		if err != nil {
			return err
		}
		if info.Type == host.Directory {
			err = removeTree(ctx, h, DirectorySpec{Path: child, Recursive: true})
		} else {
			err = h.Files.Remove(ctx, child)
		}
		if err != nil {
			return err
		}
	}
	return h.Files.Remove(ctx, want.Path)
}

// Advise says what a recursive removal costs.
func (directories) Advise(f *step.Finding, have, want DirectorySpec) {
	f.Outputs, _ = json.Marshal(DirectoryOutputs{Path: want.Path})
	if len(f.Deltas) == 0 || want.State.There() {
		return
	}
	f.Cost.Irreversible = have.Lost
	if n := len(have.Contents); n > 0 {
		f.Warnings = append(f.Warnings, fmt.Sprintf("removes %d files and directories below it", n))
	}
}
