package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"weft/engine/host"
)

// A class is what a part of an installation is. They are made in this order, and
// taken away in reverse.
type class string

const (
	parent   class = "parent"  // a directory that the others lie in
	scratch  class = "scratch" // a directory that must not stay: where it is, something was cut
	archive  class = "archive" // a result, with its sum beside it
	treePart class = "tree"    // a result, unpacked
	prefix   class = "prefix"  // the symlink that says which tree is in use
	link     class = "link"    // a symlink to a program
	linker   class = "linker"  // what the dynamic linker reads
	unit     class = "unit"    // a systemd unit
)

func classes() []class {
	return []class{parent, scratch, archive, treePart, prefix, link, linker, unit}
}

// A part is a path that a build may touch.
type part struct {
	class class
	path  string
}

// name is how records call it.
func (p part) name() string { return string(p.class) + " " + p.path }

func partOf(name string) part {
	c, path, _ := strings.Cut(name, " ")
	return part{class(c), path}
}

// parts is how parts stand, by name. A state is a string, so that two records of
// one object merge part by part: empty for what is not there, else
//
//	there        a directory, or an archive with its sum
//	whole KEY    a tree as it was built
//	drift JSON   a tree that other hands changed: list of [altered]
//	broken       a tree without a manifest, an archive without its sum: what was cut
//	-> TARGET    a symlink
//	= TEXT       a file
//	other        what another hand put in the place of a link or file
type parts map[string]string

const (
	there  = "there"
	broken = "broken"
	other  = "other"
)

// stand reads how a part stands.
func (p part) stand(ctx context.Context, v host.View) (string, error) {
	info, err := v.Files.Stat(ctx, p.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	}
	switch p.class {
	case scratch, parent:
		return there, nil
	case archive:
		sum, err := archiveSum(ctx, v, p.path)
		if sum == "" {
			return broken, err
		}
		return there, err
	case treePart:
		return standOfTree(ctx, v, p.path)
	case prefix, link:
		if info.Type == host.Symlink {
			return "-> " + info.Target, nil
		}
		return other, nil
	}
	if info.Type != host.Regular {
		return other, nil
	}
	text, err := v.Files.Read(ctx, p.path)
	return "= " + string(text), err
}

func whole(key string) string { return "whole " + key }

// An altered file is one that another hand changed in a tree, whole, so that undo can
// bring even that back.
type altered struct {
	Path    string `json:"path"`
	Mode    string `json:"mode,omitzero"`
	Owner   string `json:"owner,omitzero"`
	Group   string `json:"group,omitzero"`
	Target  string `json:"target,omitzero"`
	Content []byte `json:"content,omitzero"`
	Gone    bool   `json:"gone,omitzero"`
	Lost    bool   `json:"lost,omitzero"` // more than is kept: no undo brings it back
}

// keptBytes is how much of altered files a record keeps.
const keptBytes = 8 << 20

func standOfTree(ctx context.Context, v host.View, tree string) (string, error) {
	m, err := readManifest(ctx, v.Files, tree)
	if err != nil || m == nil {
		return broken, err
	}
	drift, err := m.drift(ctx, v.Files, tree)
	if err != nil || len(drift) == 0 {
		return whole(m.Key), err
	}
	var all []altered
	room := int64(keptBytes)
	for _, d := range drift {
		a, err := alteredFile(ctx, v, tree, d.Path, &room)
		if err != nil {
			return "", err
		}
		all = append(all, a)
	}
	text, err := json.Marshal(all)
	return "drift " + string(text), err
}

func alteredFile(ctx context.Context, v host.View, tree, name string, room *int64) (altered, error) {
	at := path.Join(tree, name)
	info, err := v.Files.Stat(ctx, at)
	if errors.Is(err, fs.ErrNotExist) {
		return altered{Path: name, Gone: true}, nil
	}
	if err != nil {
		return altered{}, err
	}
	a := altered{Path: name, Mode: octal(info), Owner: info.Owner, Group: info.Group, Target: info.Target}
	switch {
	case info.Type == host.Symlink:
	case info.Type != host.Regular || info.Size > *room:
		a.Lost = true
	default:
		*room -= info.Size
		a.Content, err = v.Files.Read(ctx, at)
	}
	return a, err
}

// lost names a file that no undo can bring back; empty where there is none.
func lost(state string) string {
	for _, a := range alterations(state) {
		if a.Lost {
			return a.Path
		}
	}
	return ""
}

func alterations(state string) []altered {
	text, ok := strings.CutPrefix(state, "drift ")
	var all []altered
	if !ok || json.Unmarshal([]byte(text), &all) != nil {
		return nil
	}
	return all
}

// sumFile is beside an archive, as sha256sum(1) writes it.
func sumFile(archive string) string { return archive + ".sha256" }

// archiveSum is the SHA-256 of a result; empty where there is no result, or one
// that was not finished.
func archiveSum(ctx context.Context, v host.View, archive string) (string, error) {
	for _, path := range []string{archive, sumFile(archive)} {
		if _, err := v.Files.Stat(ctx, path); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			return "", err
		}
	}
	text, err := v.Files.Read(ctx, sumFile(archive))
	sum, _, _ := strings.Cut(string(text), " ")
	if !sumPattern.MatchString(sum) {
		return "", err
	}
	return sum, err
}

func sumText(sum, archive string) []byte {
	return fmt.Appendf(nil, "%s  %s\n", sum, path.Base(archive))
}
