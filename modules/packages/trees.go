package packages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// noMounts refuses directories that are to go where a file system of those that refused
// chooses is mounted at or below one of them: what is on it is another hand's.
func noMounts(ctx context.Context, v host.View, dirs []string, refused func(mount) bool) error {
	if len(dirs) == 0 {
		return nil
	}
	table, err := v.Kernel.Get(ctx, "/proc/self/mountinfo")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mounts := mountsIn(table)
	for _, dir := range dirs {
		real, err := realPath(ctx, v, dir)
		if err != nil {
			return err
		}
		for _, m := range mounts {
			if refused(m) && (m.point == real || strings.HasPrefix(m.point, real+"/")) {
				return fmt.Errorf("%s holds data that would go with the package, and a file system is mounted at %s, whose content would go too; unmount it first: %w",
					dir, m.point, step.ErrConflict)
			}
		}
	}
	return nil
}

// A mount is a line of mountinfo.
type mount struct {
	point  string
	device string // major:minor; the major is 0 where no block device is behind it
	fstype string
	source string
}

// any is every mount.
func (mount) any() bool { return true }

// serverTypes are file systems of a server or a pool of disks whose sources need not look
// like one.
var serverTypes = []string{"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "lustre", "nfs", "nfs4", "smb3", "virtiofs", "zfs"}

// lasting says whether a disk or a server is behind it, bind mounts among them. Others
// (fuse.lxcfs, rpc_pipefs, tmpfs, overlay) are what a package's own daemon mounts, and
// unmounts when the package goes.
func (m mount) lasting() bool {
	fstype := strings.TrimPrefix(m.fstype, "fuse.")
	switch {
	case fstype == "":
		return true // what it is cannot be told
	case fstype == "autofs" || m.source == "/dev/fuse":
		return false
	}
	return !strings.HasPrefix(m.device, "0:") || slices.Contains(serverTypes, fstype) ||
		strings.HasPrefix(m.source, "/") || strings.Contains(m.source, ":")
}

// mountsIn are those of mountinfo (proc_pid_mountinfo(5)), by their points.
func mountsIn(mountinfo string) []mount {
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var mounts []mount
	for line := range strings.Lines(mountinfo) {
		words := strings.Fields(line)
		if len(words) <= 4 {
			continue
		}
		m := mount{point: plain.Replace(words[4]), device: words[2]}
		if end := slices.Index(words, "-"); end > 4 && len(words) > end+2 {
			m.fstype, m.source = words[end+1], words[end+2]
		}
		mounts = append(mounts, m)
	}
	slices.SortFunc(mounts, func(a, b mount) int { return strings.Compare(a.point, b.point) })
	return mounts
}

// linksMost is how many links a path may lead through, as the kernel has it.
const linksMost = 40

// realPath is where a path leads that is about to be removed: links above it are
// followed, as the kernel will; one at its end would go itself.
func realPath(ctx context.Context, v host.View, name string) (string, error) {
	rest := strings.Split(strings.Trim(path.Clean(name), "/"), "/")
	at, links := "/", 0
	for len(rest) > 0 {
		next := path.Join(at, rest[0])
		rest = rest[1:]
		info, err := v.Files.Stat(ctx, next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return path.Join(next, path.Join(rest...)), nil
		case err != nil:
			return "", err
		case info.Type != host.Symlink || len(rest) == 0:
			at = next
			continue
		}
		if links++; links > linksMost {
			return "", fmt.Errorf("%s leads through more than %d links", name, linksMost)
		}
		if path.IsAbs(info.Target) {
			at = "/"
		}
		rest = append(strings.Split(strings.Trim(path.Clean(info.Target), "/"), "/"), rest...)
	}
	return at, nil
}

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
