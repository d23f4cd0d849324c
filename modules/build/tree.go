package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"

	"weft/engine/host"
)

// bringTree unpacks, repairs, alters or removes a tree.
func (b build) bringTree(ctx context.Context, h host.Host, tree, now, want string) error {
	if !stays(want) {
		return discard(ctx, h, tree)
	}
	key := keyOf(tree)
	m, err := readManifest(ctx, h.Files, tree)
	if err != nil {
		return err
	}
	switch {
	case now == "" || m == nil || m.Key != key:
		err = b.unpackTree(ctx, h, tree, key)
	default:
		err = b.repair(ctx, h, tree, m)
	}
	if err != nil {
		return err
	}
	for _, a := range alterations(want) {
		if err := alter(ctx, h, tree, a); err != nil {
			return err
		}
	}
	return nil
}

// discard takes a tree away: it is gone at once, whatever its size.
func discard(ctx context.Context, h host.Host, tree string) error {
	gone := outgoing(tree)
	if _, err := h.Files.Stat(ctx, gone); err == nil {
		if err := removeAll(ctx, h, gone); err != nil {
			return err
		}
	}
	if err := rename(ctx, h, tree, gone); err != nil {
		return err
	}
	return removeAll(ctx, h, gone)
}

// unpackTree unpacks an archive beside the tree, and renames it once it is whole.
func (b build) unpackTree(ctx context.Context, h host.Host, tree, key string) error {
	from, at := b.packed(key), hidden(tree)
	if err := b.sound(ctx, h, from); err != nil {
		return err
	}
	if _, err := h.Files.Stat(ctx, at); err == nil {
		if err := removeAll(ctx, h, at); err != nil {
			return err
		}
	}
	if err := h.Files.MakeDirectory(ctx, at, host.Attributes{}); err != nil {
		return err
	}
	if err := run(ctx, h, "tar", "--extract", "--same-permissions", "--same-owner", "--numeric-owner", "--file="+from, "--directory="+at); err != nil {
		return err
	}
	m, err := readManifest(ctx, h.Files, at)
	if err != nil {
		return err
	}
	if m == nil || m.Key != key || m.Tree != tree {
		return b.unsound(ctx, h, from, "it is another build's")
	}
	if drift, err := m.drift(ctx, h.Files, at); err != nil {
		return err
	} else if len(drift) > 0 {
		return b.unsound(ctx, h, from, fmt.Sprintf("%s is %s", drift[0].Path, drift[0].What))
	}
	if name, err := m.spoiled(ctx, h.Files, at); err != nil {
		return err
	} else if name != "" {
		return b.unsound(ctx, h, from, name+" is changed")
	}
	if extras, err := m.extras(ctx, h.Files, at); err != nil {
		return err
	} else if len(extras) > 0 {
		return b.unsound(ctx, h, from, extras[0]+" is in it, which was not built")
	}
	if _, err := h.Files.Stat(ctx, tree); err == nil {
		if err := discard(ctx, h, tree); err != nil {
			return err
		}
	}
	return rename(ctx, h, at, tree)
}

// sound sees that an archive is what it was.
func (b build) sound(ctx context.Context, h host.Host, archive string) error {
	want, err := archiveSum(ctx, h.View(), archive)
	if err != nil {
		return err
	}
	if want == "" {
		return fmt.Errorf("the result %s is gone, so the tree cannot be unpacked from it", archive)
	}
	sum, err := sha256sum(ctx, h.View(), archive)
	if err != nil {
		return err
	}
	if sum != want {
		return b.unsound(ctx, h, archive, "its SHA-256 is another")
	}
	return nil
}

// unsound takes an archive away, so that it is built again the next time.
func (b build) unsound(ctx context.Context, h host.Host, archive, why string) error {
	err := fmt.Errorf("the result %s is not what was built: %s; the next run builds it again", archive, why)
	return errors.Join(err, h.Files.Remove(ctx, sumFile(archive)), h.Files.Remove(ctx, archive))
}

// repair takes files that drifted from the archive. Each is a new file in the place of
// the old, so what runs goes on with the old.
func (b build) repair(ctx context.Context, h host.Host, tree string, m *manifest) error {
	drift, err := m.drift(ctx, h.Files, tree)
	if err != nil || len(drift) == 0 {
		return err
	}
	from := b.packed(m.Key)
	if err := b.sound(ctx, h, from); err != nil {
		return err
	}
	var names bytes.Buffer
	for _, d := range drift {
		names.WriteString("./" + d.Path + "\x00")
	}
	_, err = h.Commands.Run(ctx, host.Command{
		Argv: []string{"tar", "--extract", "--same-permissions", "--same-owner", "--numeric-owner", "--unlink-first",
			"--file=" + from, "--directory=" + tree, "--null", "--files-from=-"},
		Stdin: names.Bytes(),
	})
	if err != nil {
		return err
	}
	if drift, err = m.drift(ctx, h.Files, tree); err == nil && len(drift) > 0 {
		return b.unsound(ctx, h, from, fmt.Sprintf("%s is %s", drift[0].Path, drift[0].What))
	}
	return err
}

// alter brings back what another hand had made of a file.
func alter(ctx context.Context, h host.Host, tree string, a altered) error {
	at := path.Join(tree, a.Path)
	switch {
	case a.Gone:
		return h.Files.Remove(ctx, at)
	case a.Target != "":
		return h.Files.Link(ctx, at, a.Target)
	}
	mode := modeOf(a.Mode)
	return h.Files.Write(ctx, at, a.Content, host.Attributes{Mode: &mode, Owner: a.Owner, Group: a.Group})
}
