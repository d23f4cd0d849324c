package netconf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
)

// Files are the files that a host reads at boot: content by path.
type Files map[string]string

func sortedNames(files Files) []string { return slices.Sorted(maps.Keys(files)) }

// State is what a part's files say, and what they are to say. The zero value
// stands for files that are as they are to be, whatever they are.
type State struct {
	Family Family          `json:"family,omitzero"`
	Files  map[string]File `json:"files,omitzero"` // those that are to change
	// Notes are for the reader of a plan: what else has a say in the device.
	Notes []string `json:"notes,omitzero"`
}

// File is a file that keeps a part. Nil stands for no file.
type File struct {
	Now  *string `json:"now"`
	Goal *string `json:"goal"`
	found
}

// found is what else there is to a file that was there: nothing of none.
type found struct {
	Mode  fs.FileMode `json:"mode,omitzero"`
	Owner string      `json:"owner,omitzero"`
	Group string      `json:"group,omitzero"`
}

// stat reads that of a file. It fails where a write would replace something else
// than a file.
func stat(ctx context.Context, r host.FileReader, name string) (found, error) {
	info, err := r.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return found{}, nil
	}
	if err != nil {
		return found{}, err
	}
	switch info.Type {
	case host.Regular:
		return found{info.Mode, info.Owner, info.Group}, nil
	case host.Symlink:
		return found{}, fmt.Errorf("%s is to change and is a symlink (to %s), which weft would replace: put the file itself there, or leave persist out", name, info.Target)
	}
	return found{}, fmt.Errorf("%s is to change and is no regular file: move it away", name)
}

// Change is what becomes of a file: the lines that go and those that come.
type Change struct {
	File string
	Gone []string
	New  []string
}

// Look works out what the files of a family are to say.
func Look(ctx context.Context, v host.View, f Family, goal func(Files) (Goal, error)) (State, error) {
	s := State{Family: f}
	now, err := f.Read(ctx, v)
	if err != nil {
		return s, err
	}
	shall, err := goal(maps.Clone(now))
	if err != nil {
		return s, err
	}
	s.Notes = shall.Notes
	for name := range union(now, shall.Files) {
		file := File{Now: content(now, name), Goal: content(shall.Files, name)}
		if same(file.Now, file.Goal) {
			continue
		}
		if file.found, err = stat(ctx, v.Files, name); err != nil {
			return s, err
		}
		if s.Files == nil {
			s.Files = map[string]File{}
		}
		s.Files[name] = file
	}
	return s, nil
}

// LookBack reads the files of a state that is on record.
func LookBack(ctx context.Context, v host.View, recorded State) (State, error) {
	s := State{Family: recorded.Family, Files: map[string]File{}}
	for name, f := range recorded.Files {
		now, err := read(ctx, v.Files, name)
		if err != nil {
			return s, err
		}
		s.Files[name] = File{Now: now, Goal: f.Goal}
	}
	return s, nil
}

func read(ctx context.Context, r host.FileReader, name string) (*string, error) {
	b, err := r.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text := string(b)
	return &text, nil
}

func content(files Files, name string) *string {
	if text, there := files[name]; there {
		return &text
	}
	return nil
}

func union(a, b Files) map[string]bool {
	all := map[string]bool{}
	for _, files := range []Files{a, b} {
		for name := range files {
			all[name] = true
		}
	}
	return all
}

func same(a, b *string) bool {
	return (a == nil) == (b == nil) && text(a) == text(b)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Changes are what is left to do of s: to reach the goal where want is the zero
// value, and else to bring back what want has on record.
func (s State) Changes(want State) []Change {
	var out []Change
	if want.Family == "" {
		for _, name := range slices.Sorted(maps.Keys(s.Files)) {
			if f := s.Files[name]; !same(f.Now, f.Goal) {
				out = append(out, change(name, f.Now, f.Goal))
			}
		}
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(want.Files)) {
		recorded := want.Files[name]
		now := recorded.Goal // a file that s does not speak of is as its goal
		if f, there := s.Files[name]; there {
			now = f.Now
		}
		shall, ok := recorded.back(now)
		if !ok || !same(now, shall) {
			out = append(out, change(name, now, shall))
		}
	}
	return out
}

func change(name string, from, to *string) Change {
	c := Change{File: name}
	a := lines(text(from))
	for _, h := range hunks(a, lines(text(to))) {
		for _, l := range a[h.at:h.end] {
			c.Gone = append(c.Gone, strings.TrimRight(l, "\n"))
		}
		for _, l := range h.lines {
			c.New = append(c.New, strings.TrimRight(l, "\n"))
		}
	}
	return c
}

// back is what a file becomes when a change is taken out of it: the file as it
// was found, with what others changed of it since.
func (f File) back(now *string) (shall *string, ok bool) {
	if same(now, f.Goal) || same(now, f.Now) {
		return f.Now, true
	}
	merged, ok := merge(text(f.Goal), text(f.Now), text(now))
	if ok && f.Now == nil && strings.TrimSpace(merged) == "" {
		return nil, true
	}
	return &merged, ok
}

// Apply writes the goal and returns the files that were written.
func (s State) Apply(ctx context.Context, h host.Host) (written []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		f := s.Files[name]
		if same(f.Now, f.Goal) {
			continue
		}
		if err := write(ctx, h, name, f.Goal, found{}); err != nil {
			return written, err
		}
		written = append(written, name)
	}
	return written, nil
}

// Back takes the change on record out of the files, and leaves in them what
// others wrote since. It returns the files that were written.
func (s State) Back(ctx context.Context, h host.Host) (written []string, err error) {
	var clashes []error
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		now, err := read(ctx, h.Files, name)
		if err != nil {
			return written, err
		}
		shall, ok := s.Files[name].back(now)
		if !ok {
			clashes = append(clashes, fmt.Errorf("another hand changed the lines of %s that are to go back: edit it, the run's journal has what it was", name))
			continue
		}
		if same(now, shall) {
			continue
		}
		if err := write(ctx, h, name, shall, s.Files[name].found); err != nil {
			return written, err
		}
		written = append(written, name)
	}
	return written, errors.Join(clashes...)
}

// write makes a file what it shall be. One that is there keeps mode and owner; one
// that comes back gets those that it had.
func write(ctx context.Context, h host.Host, name string, shall *string, had found) error {
	now, err := stat(ctx, h.Files, name)
	switch {
	case err != nil:
		return err
	case shall == nil:
		return h.Files.Remove(ctx, name)
	case now != (found{}):
		return h.Files.Write(ctx, name, []byte(*shall), host.Attributes{})
	case had != (found{}):
		return h.Files.Write(ctx, name, []byte(*shall), host.Attributes{Mode: &had.Mode, Owner: had.Owner, Group: had.Group})
	}
	return h.Files.Write(ctx, name, []byte(*shall), attributes(name))
}

// attributes are those that a new file must have to be read: NetworkManager
// passes over profiles that others can read, and netplan warns of such.
func attributes(name string) host.Attributes {
	mode := fs.FileMode(0o600)
	if strings.HasPrefix(name, keyfileDirectory+"/") || strings.HasPrefix(name, netplanOwn) {
		return host.Attributes{Mode: &mode}
	}
	return host.Attributes{}
}
