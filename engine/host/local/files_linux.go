package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"weft/engine/host"
)

// files is the file system. Extended attributes and ACLs are neither read nor
// kept: a file that is written anew has those of a new file.
type files struct {
	accounts *accounts
	// writing is held while a temporary file is there: its name is made of
	// the final one, so that a crash leaves nothing that is not found again.
	writing sync.Mutex
}

func (f *files) Stat(ctx context.Context, path string) (host.FileInfo, error) {
	if err := refuse(ctx, "stat", path); err != nil {
		return host.FileInfo{}, err
	}
	st, err := lstat(path)
	if err != nil {
		return host.FileInfo{}, pathError("stat", path, err)
	}
	info := host.FileInfo{
		Type:  fileType(st.Mode),
		Mode:  fileMode(st.Mode),
		Owner: f.accounts.user(st.Uid),
		Group: f.accounts.group(st.Gid),
	}
	switch info.Type {
	case host.Regular:
		info.Size, info.Modified = st.Size, time.Unix(st.Mtim.Unix())
	case host.Symlink:
		if info.Target, err = os.Readlink(path); err != nil {
			return host.FileInfo{}, pathError("stat", path, err)
		}
	}
	return info, nil
}

// Read follows symlinks. It refuses devices, sockets and pipes, which have no
// whole content.
func (f *files) Read(ctx context.Context, path string) ([]byte, error) {
	file, _, err := openRegular(ctx, path)
	if err != nil {
		return nil, err
	}
	defer release(file)
	content, err := io.ReadAll(file)
	return content, pathError("read", path, err)
}

// openRegular follows symlinks, and opens nothing but a regular file.
func openRegular(ctx context.Context, path string) (*os.File, fs.FileInfo, error) {
	if err := refuse(ctx, "read", path); err != nil {
		return nil, nil, err
	}
	// Without O_NONBLOCK, opening a pipe waits for its other end.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, pathError("read", path, err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = syscall.EISDIR
	case !info.Mode().IsRegular():
		err = syscall.EINVAL
	default:
		return file, info, nil
	}
	release(file)
	return nil, nil, pathError("read", path, err)
}

func (f *files) List(ctx context.Context, dir string) ([]string, error) {
	if err := refuse(ctx, "list", dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, pathError("list", dir, err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// Write replaces a symlink at path by a file, and leaves alone what the link
// pointed to.
func (f *files) Write(ctx context.Context, path string, content []byte, a host.Attributes) error {
	return f.change(ctx, "write", path, int64(len(content)), func(at place) error {
		return f.replace(at, a, func(file *os.File) error {
			_, err := file.Write(content)
			return err
		})
	})
}

// replace puts a new file in a place, filled by fill.
func (f *files) replace(at place, a host.Attributes, fill func(*os.File) error) error {
	set, err := f.attributes(a, 0o644)
	if err != nil {
		return err
	}
	switch kind := fileType(at.old.Mode); {
	case !at.there:
	case kind == host.Directory:
		return syscall.EISDIR
	case kind == host.Special:
		return syscall.EINVAL
	case kind == host.Regular:
		set.keep(a, at.old)
	}
	if err := writeSynced(at.temporary, set, fill); err != nil {
		return err
	}
	return os.Rename(at.temporary, at.path)
}

func writeSynced(path string, set attributes, fill func(*os.File) error) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := fill(file); err != nil {
		return err
	}
	if err := set.apply(file); err != nil {
		return err
	}
	return file.Sync()
}

func (f *files) MakeDirectory(ctx context.Context, path string, a host.Attributes) error {
	return f.change(ctx, "mkdir", path, 0, func(at place) error {
		if at.there {
			return syscall.EEXIST
		}
		set, err := f.attributes(a, 0o755)
		if err != nil {
			return err
		}
		if err := os.Mkdir(at.temporary, 0o700); err != nil {
			return err
		}
		if err := set.applyAt(at.temporary); err != nil {
			return err
		}
		return os.Rename(at.temporary, at.path)
	})
}

// Link replaces a symlink or a regular file, and nothing else.
func (f *files) Link(ctx context.Context, path, target string) error {
	return f.change(ctx, "link", path, 0, func(at place) error {
		if kind := fileType(at.old.Mode); at.there && kind != host.Symlink && kind != host.Regular {
			return syscall.EEXIST
		}
		if err := os.Symlink(target, at.temporary); err != nil {
			return err
		}
		return os.Rename(at.temporary, at.path)
	})
}

// SetAttributes changes a symlink itself; its mode cannot be changed. Owner
// and mode are two calls of the kernel's: a crash between them leaves the new
// owner and the old permission bits.
func (f *files) SetAttributes(ctx context.Context, path string, a host.Attributes) error {
	return f.change(ctx, "chmod", path, 0, func(at place) error {
		if !at.there {
			return syscall.ENOENT
		}
		set, err := f.attributes(a, 0)
		if err != nil {
			return err
		}
		if fileType(at.old.Mode) == host.Symlink {
			if a.Mode != nil {
				return syscall.EOPNOTSUPP
			}
			return os.Lchown(at.path, set.uid, set.gid)
		}
		set.keep(a, at.old)
		return set.applyAt(at.path)
	})
}

func (f *files) Remove(ctx context.Context, path string) error {
	err := f.change(ctx, "remove", path, 0, func(at place) error {
		if !at.there {
			return nil
		}
		return os.Remove(at.path)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// place is what an effect works on: a clean path, what lstat(2) tells of it,
// and a free name in the same directory.
type place struct {
	path      string
	temporary string
	old       unix.Stat_t
	there     bool
}

// change runs one effect on path, and makes it last: the directory is synced.
// Size is how many bytes it writes.
func (f *files) change(ctx context.Context, op, path string, size int64, act func(at place) error) error {
	if err := refuse(ctx, op, path); err != nil {
		return err
	}
	f.writing.Lock()
	defer f.writing.Unlock()
	at := place{path: filepath.Clean(path)}
	var err error
	at.old, err = lstat(at.path)
	at.there = err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return pathError(op, path, err)
	}
	at.temporary = host.Temporary(at.path)
	if err := os.Remove(at.temporary); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return pathError(op, path, explain(at.path, size, bare(err)))
	}
	if err := act(at); err != nil {
		_ = os.Remove(at.temporary) // nothing half-written stays, and the first error is the one that matters
		return pathError(op, path, explain(at.path, size, bare(err)))
	}
	return pathError(op, path, syncDirectory(filepath.Dir(at.path)))
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // of what was removed already
	}
	if err != nil {
		return err
	}
	defer release(d)
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // EINVAL: the file system has nothing to sync
		return err
	}
	return nil
}

// refuse says what no file may be.
func refuse(ctx context.Context, op, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !filepath.IsAbs(path) {
		return &fs.PathError{Op: op, Path: path, Err: fmt.Errorf("not an absolute path: %w", fs.ErrInvalid)}
	}
	if underKernel(path) {
		return &fs.PathError{Op: op, Path: path, Err: fmt.Errorf("the kernel's values are not files: %w", fs.ErrInvalid)}
	}
	return nil
}

// pathError names the act and the path that was asked for, not the temporary
// one. What lies below a file is not there.
func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	err = bare(err)
	if errors.Is(err, syscall.ENOTDIR) && op != "list" {
		err = syscall.ENOENT
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// bare leaves out the act and the path that the library names.
func bare(err error) error {
	var inner *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &inner):
		return inner.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

func underKernel(path string) bool {
	path = filepath.Clean(path) + "/"
	return strings.HasPrefix(path, "/proc/") || strings.HasPrefix(path, "/sys/")
}
