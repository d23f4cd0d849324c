package tls

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"weft/engine/host"
	"weft/engine/step"
)

// fileLimit is the largest file, in bytes, that a step replaces: keys and certificates
// are far smaller.
const fileLimit = 1 << 20

// A file is one as it was found.
type file struct {
	Content []byte      `json:"content"`
	Owner   string      `json:"owner"`
	Group   string      `json:"group"`
	Mode    fs.FileMode `json:"mode"`
}

// files are those of a step as they were found, by path; nil where there is none. A state
// with files is one that undo brings back.
type files map[string]*file

// readFiles reads what is at the paths.
func readFiles(ctx context.Context, r host.FileReader, paths ...string) (files, error) {
	out := files{}
	for _, p := range paths {
		info, err := r.Stat(ctx, p)
		if errors.Is(err, fs.ErrNotExist) {
			out[p] = nil
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Type != host.Regular || info.Size > fileLimit {
			return nil, fmt.Errorf("there is a %s of %d bytes at %s, which weft does not replace: move it away by hand first", info.Type, info.Size, p)
		}
		content, err := r.Read(ctx, p)
		if err != nil {
			return nil, err
		}
		out[p] = &file{content, info.Owner, info.Group, info.Mode}
	}
	return out, nil
}

// content is that of a file, nil where there is none.
func (f files) content(name string) []byte {
	if f[name] == nil {
		return nil
	}
	return f[name].Content
}

// state is whether any of the files is there.
func (f files) state() step.State {
	for _, one := range f {
		if one != nil {
			return step.Present
		}
	}
	return step.Absent
}

// stateDelta is that of an object that should be there or gone, and is not.
func stateDelta(want step.State) []step.Delta {
	if want.There() {
		return []step.Delta{step.Change("state", nil, step.Present)}
	}
	return []step.Delta{step.Change("state", step.Present, nil)}
}

// diff compares files with those that undo wants back.
func (f files) diff(want files) []step.Delta {
	var deltas []step.Delta
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if h, w := f[name], want[name]; !h.equal(w) {
			deltas = append(deltas, step.Change("found."+name, h.summary(), w.summary()))
		}
	}
	return deltas
}

func (f *file) equal(o *file) bool {
	if f == nil || o == nil {
		return f == o
	}
	return bytes.Equal(f.Content, o.Content) && f.Owner == o.Owner && f.Group == o.Group && f.Mode == o.Mode
}

// summary stands for a file whose content is shown to nobody.
func (f *file) summary() any {
	if f == nil {
		return nil
	}
	return fmt.Sprintf("sha256 %x, %s:%s %v", sha256.Sum256(f.Content), f.Owner, f.Group, f.Mode)
}

// write makes the files those that are wanted, the last first: that is how they depend on
// each other.
func (f files) write(ctx context.Context, w host.FileWriter, want files) error {
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(want))) {
		var err error
		switch one := want[name]; {
		case f[name].equal(one):
		case one == nil:
			err = w.Remove(ctx, name)
		default:
			err = w.Write(ctx, name, one.Content, host.Attributes{Mode: &one.Mode, Owner: one.Owner, Group: one.Group})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// made is a step whose undo knows what was there before: a key that is there, and that
// neither was nor is this step's, is another hand's.
type made struct {
	step.Step
	inDirectory string // which must be there
	state       step.State
	back        func(before files) step.Step
}

// Check looks for the directory first.
func (m made) Check(ctx context.Context, v host.View) (step.Finding, error) {
	if m.state.There() {
		_, err := v.Files.Stat(ctx, m.inDirectory)
		if errors.Is(err, fs.ErrNotExist) {
			return step.Finding{}, fmt.Errorf("the directory %s is not there; a step \"directory\" before it makes one: %w", m.inDirectory, step.ErrNotYet)
		}
		if err != nil {
			return step.Finding{}, err
		}
	}
	return m.Step.Check(ctx, v)
}

// Undo is described at [made].
func (m made) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	var before struct{ Found files }
	if err := json.Unmarshal(f.Before, &before); err != nil {
		return fmt.Errorf("decode a recorded state: %w", err)
	}
	return m.back(before.Found).Undo(ctx, h, f)
}

// pathProblems are the mistakes in a path.
func pathProblems(attribute, name string) []step.Problem {
	switch {
	case !path.IsAbs(name):
		return []step.Problem{{Path: attribute, Message: fmt.Sprintf("%q is not an absolute path", name), Hint: "begin it with /"}}
	case path.Clean(name) != name:
		return []step.Problem{{Path: attribute, Message: fmt.Sprintf("%q is not spelled the short way", name), Hint: "write it as " + path.Clean(name)}}
	}
	return nil
}
