package packages

import (
	"context"
	"errors"
	"io/fs"
	"path"

	"weft/engine/host"
)

// removeTree removes a directory with all that it holds. What is not there is no
// error; a link is removed, not followed.
func removeTree(ctx context.Context, h host.Host, dir string) error {
	info, err := h.Files.Stat(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Type == host.Directory {
		names, err := h.Files.List(ctx, dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := removeTree(ctx, h, path.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return h.Files.Remove(ctx, dir)
}

// there says whether a path is there.
func there(ctx context.Context, v host.View, path string) (bool, error) {
	_, err := v.Files.Stat(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// listed are the names in a directory; none where it is not there.
func listed(ctx context.Context, v host.View, dir string) ([]string, error) {
	names, err := v.Files.List(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

// makeParents makes the directory of a file, with those above that are missing.
func makeParents(ctx context.Context, h host.Host, file string) error {
	return makeDirectories(ctx, h, path.Dir(file), host.Attributes{})
}

// makeDirectories makes a directory and those above it that are missing.
func makeDirectories(ctx context.Context, h host.Host, dir string, a host.Attributes) error {
	if ok, err := there(ctx, h.View(), dir); err != nil || ok || dir == "/" {
		return err
	}
	if err := makeDirectories(ctx, h, path.Dir(dir), host.Attributes{}); err != nil {
		return err
	}
	return h.Files.MakeDirectory(ctx, dir, a)
}
