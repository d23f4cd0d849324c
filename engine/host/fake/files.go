package fake

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"syscall"

	"weft/engine/host"
)

// files is the door to the tree.
type files struct{ m *Machine }

// pathError names the act and the path, as package os does. What lies below a
// file is not there.
func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.ENOTDIR) && op != "list" {
		err = syscall.ENOENT
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func (f files) Stat(ctx context.Context, name string) (host.FileInfo, error) {
	if err := f.refuse(ctx, "stat", name); err != nil {
		return host.FileInfo{}, err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	_, n, err := f.m.files.find(name, stay)
	if err != nil {
		return host.FileInfo{}, pathError("stat", name, err)
	}
	info := host.FileInfo{Type: n.Type, Mode: n.Mode, Owner: n.Owner, Group: n.Group, Target: n.Target}
	if n.Type == host.Regular {
		info.Size, info.Modified = int64(len(n.Content)), n.Modified
		if n.Modified.IsZero() {
			info.Modified = written
		}
	}
	return info, nil
}

func (f files) Read(ctx context.Context, name string) ([]byte, error) {
	if err := f.refuse(ctx, "read", name); err != nil {
		return nil, err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	_, n, err := f.m.files.find(name, follow)
	if err == nil && n.Type == host.Directory {
		err = syscall.EISDIR
	}
	if err == nil && n.Type == host.Special {
		err = syscall.EINVAL
	}
	if err != nil {
		return nil, pathError("read", name, err)
	}
	return []byte(n.Content), nil
}

func (f files) List(ctx context.Context, dir string) ([]string, error) {
	if err := f.refuse(ctx, "list", dir); err != nil {
		return nil, err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	real, n, err := f.m.files.find(dir, follow)
	if err == nil && n.Type != host.Directory {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("list", dir, err)
	}
	names := []string{}
	for _, p := range f.m.files.children(real) {
		names = append(names, path.Base(p))
	}
	return names, nil
}

func (f files) Write(ctx context.Context, name string, content []byte, a host.Attributes) error {
	return f.change(ctx, "write", name, func(real string, old node, there bool) error {
		n := node{Type: host.Regular, Mode: 0o644, Owner: "root", Group: "root", Content: string(content)}
		switch {
		case there && old.Type == host.Directory:
			return syscall.EISDIR
		case there && old.Type == host.Special:
			return syscall.EINVAL
		case there && old.Type == host.Regular:
			n.Mode, n.Owner, n.Group = old.Mode, old.Owner, old.Group
		}
		return f.m.put(real, n, a)
	})
}

func (f files) MakeDirectory(ctx context.Context, name string, a host.Attributes) error {
	return f.change(ctx, "mkdir", name, func(real string, _ node, there bool) error {
		if there {
			return syscall.EEXIST
		}
		return f.m.put(real, node{Type: host.Directory, Mode: 0o755, Owner: "root", Group: "root"}, a)
	})
}

func (f files) Link(ctx context.Context, name, target string) error {
	return f.change(ctx, "link", name, func(real string, old node, there bool) error {
		if there && old.Type != host.Symlink && old.Type != host.Regular {
			return syscall.EEXIST
		}
		return f.m.put(real, node{Type: host.Symlink, Mode: 0o777, Owner: "root", Group: "root", Target: target}, host.Attributes{})
	})
}

func (f files) SetAttributes(ctx context.Context, name string, a host.Attributes) error {
	return f.change(ctx, "chmod", name, func(real string, old node, there bool) error {
		if !there {
			return syscall.ENOENT
		}
		if old.Type == host.Symlink && a.Mode != nil {
			return syscall.EOPNOTSUPP
		}
		return f.m.put(real, old, a)
	})
}

func (f files) Remove(ctx context.Context, name string) error {
	err := f.change(ctx, "remove", name, func(real string, _ node, there bool) error {
		if !there {
			return nil
		}
		if len(f.m.files.children(real)) > 0 {
			return syscall.ENOTEMPTY
		}
		delete(f.m.files, real)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// change runs one effect on the place that name names.
func (f files) change(ctx context.Context, op, name string, act func(real string, old node, there bool) error) error {
	defer f.m.effects.begin()()
	if err := f.refuse(ctx, op, name); err != nil {
		return err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	real, there, err := f.m.files.locate(name, stay)
	if err == nil {
		err = act(real, f.m.files[real], there)
	}
	return pathError(op, name, err)
}

// refuse says what no file may be.
func (f files) refuse(ctx context.Context, op, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !path.IsAbs(name) || underKernel(name) {
		return pathError(op, name, fs.ErrInvalid)
	}
	return nil
}

// put sets an inode with the attributes that are asked for.
func (m *Machine) put(real string, n node, a host.Attributes) error {
	if a.Mode != nil {
		n.Mode = *a.Mode
	}
	for _, name := range []string{a.Owner, a.Group} {
		if name != "" && !m.accounts[name] && !isID(name) {
			return errors.New("no user or group is named " + name)
		}
	}
	if a.Owner != "" {
		n.Owner = a.Owner
	}
	if a.Group != "" {
		n.Group = a.Group
	}
	m.files[real] = n
	return nil
}

func isID(name string) bool {
	_, err := strconv.ParseUint(name, 10, 32)
	return err == nil
}
