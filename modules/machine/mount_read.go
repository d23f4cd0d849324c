package machine

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

// Read asks the kernel, fstab and systemd.
func (mounts) Read(ctx context.Context, v host.View, want mountPoint) (mountPoint, error) {
	have := mountPoint{Path: want.Path}
	if err := ownedByUnit(ctx, v, want.Path); err != nil {
		return have, err
	}
	if err := have.readNow(ctx, v, want); err != nil {
		return have, err
	}
	if err := have.readFstab(ctx, v, want); err != nil {
		return have, err
	}
	if !have.Mounted.Or(false) && !have.Persistent.Or(false) {
		have = mountPoint{Path: want.Path, State: step.Absent, Fstab: have.Fstab}
	}
	return have, have.readDirectory(ctx, v, want)
}

// readNow reads what is mounted. What means the same is told in the words of
// want.
func (have *mountPoint) readNow(ctx context.Context, v host.View, want mountPoint) error {
	none := step.None[string]()
	have.Mounted = step.Is(false)
	have.Source.Now, have.Type.Now, have.Options.Now = none, none, step.None[[]string]()
	m, ok, err := mountedAt(ctx, v, want.Path)
	if err != nil || !ok {
		return err
	}
	have.Mounted = step.Is(true)
	have.Found = &foundMount{m.source, m.inForce()}
	have.Source.Now, have.Type.Now, have.Options.Now = step.Is(m.source), step.Is(m.fsType), step.Is(m.inForce())
	if kind, ok := want.Type.Now.Get(); ok && (kind == m.fsType || kind == "nfs" && m.fsType == "nfs4") {
		have.Type.Now = want.Type.Now
	}
	if source, ok := want.Source.Now.Get(); ok {
		same, err := sameSource(ctx, v, m.fsType, m.source, source)
		if err != nil {
			return err
		}
		if same {
			have.Source.Now = want.Source.Now
		}
	}
	if options, ok := want.Options.Now.Get(); ok && m.satisfied(options) {
		have.Options.Now = want.Options.Now
	}
	return nil
}

// mountedAt is the file system at a mount point.
func mountedAt(ctx context.Context, v host.View, point string) (mounted, bool, error) {
	text, err := v.Kernel.Get(ctx, "/proc/self/mountinfo")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return mounted{}, false, err
	}
	var here []mounted
	for _, m := range readMounts(text) {
		if m.point == point && m.fsType != "autofs" { // systemd waits there for who comes
			here = append(here, m)
		}
	}
	switch len(here) {
	case 0:
		return mounted{}, false, nil
	case 1:
		return here[0], true, nil
	}
	return mounted{}, false, fmt.Errorf("%d file systems are mounted there, one over the other; unmount all but one by hand", len(here))
}

// sameSource says whether two names stand for one source. Of a file system that
// the kernel makes itself the source is a word without meaning.
func sameSource(ctx context.Context, v host.View, kind, a, b string) (bool, error) {
	if a == b || slices.Contains([]string{"tmpfs", "ramfs", "hugetlbfs", "proc", "sysfs", "debugfs", "tracefs", "devpts", "bpf", "cgroup2", "configfs", "securityfs", "mqueue"}, kind) {
		return true, nil
	}
	x, err := deviceOf(ctx, v, a)
	if err != nil {
		return false, err
	}
	y, err := deviceOf(ctx, v, b)
	return x == y, err
}

// deviceOf follows UUID=, LABEL= and udev's links to the device itself.
func deviceOf(ctx context.Context, v host.View, source string) (string, error) {
	if tag, value, ok := strings.Cut(source, "="); ok {
		dir := map[string]string{"UUID": "by-uuid", "LABEL": "by-label", "PARTUUID": "by-partuuid", "PARTLABEL": "by-partlabel"}[tag]
		if dir != "" {
			source = "/dev/disk/" + dir + "/" + strings.Trim(value, `"`)
		}
	}
	if !strings.HasPrefix(source, "/dev/") {
		return source, nil
	}
	info, err := v.Files.Stat(ctx, source)
	if errors.Is(err, fs.ErrNotExist) {
		return source, nil
	}
	if err != nil || info.Type != host.Symlink {
		return source, err
	}
	if path.IsAbs(info.Target) {
		return info.Target, nil
	}
	return path.Join(path.Dir(source), info.Target), nil
}

// readFstab reads the line for the boot.
func (have *mountPoint) readFstab(ctx context.Context, v host.View, want mountPoint) (err error) {
	if have.Fstab, err = readText(ctx, v, fstabPath); err != nil {
		return err
	}
	line, err := fstabLine(have.Fstab.Or(""), want.Path)
	if err != nil {
		return err
	}
	none := step.None[string]()
	have.Source.Boot, have.Type.Boot, have.Options.Boot = none, none, step.None[[]string]()
	have.Dump, have.Pass = step.None[int](), step.None[int]()
	e, ok := parseFstab(line.Or(""))
	have.Persistent = step.Is(ok)
	if !ok {
		return nil
	}
	have.Source.Boot, have.Type.Boot, have.Options.Boot = step.Is(e.source), step.Is(e.fsType), step.Is(e.options)
	have.Dump, have.Pass = step.Is(e.dump), step.Is(e.pass)
	if options, ok := want.Options.Boot.Get(); ok && sameOptions(e.options, options) {
		have.Options.Boot = want.Options.Boot
	}
	return nil
}

// readDirectory looks at the mount point. What is not empty is not taken for a
// directory that nobody needs.
func (have *mountPoint) readDirectory(ctx context.Context, v host.View, want mountPoint) error {
	info, err := v.Files.Stat(ctx, want.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		have.Directory = step.None[bool]()
		if !want.State.There() {
			return nil
		}
		if _, err := v.Files.Stat(ctx, path.Dir(want.Path)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is not there either; make it by a directory step: %w", path.Dir(want.Path), step.ErrNotYet)
		} else if err != nil {
			return err
		}
		return nil
	case err != nil:
		return err
	case info.Type == host.Symlink:
		return fmt.Errorf("it is a symlink to %s; give that path", info.Target)
	case info.Type != host.Directory:
		return fmt.Errorf("it is a %s, not a directory", info.Type)
	}
	have.Directory = step.Is(true)
	if want.Directory.Absent() && !have.Mounted.Or(false) {
		names, err := v.Files.List(ctx, want.Path)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			have.Directory = step.Attr[bool]{}
		}
	}
	return nil
}

// ownedByUnit refuses a mount point that a unit file mounts.
func ownedByUnit(ctx context.Context, v host.View, point string) error {
	name := mountUnit(point)
	u, err := v.Units.Unit(ctx, name)
	if errors.Is(err, host.ErrNotReady) {
		return nil // no systemd, no unit
	}
	if err != nil {
		return err
	}
	if u.LoadState == "loaded" && u.FragmentPath != "" && !strings.HasPrefix(u.FragmentPath, "/run/systemd/generator") {
		return fmt.Errorf("the unit %s (%s) mounts it, and would again; mask or remove that unit, or choose another path", name, u.FragmentPath)
	}
	return nil
}

// mountUnit is the name of the unit of a mount point (systemd.unit(5), "string
// escaping for inclusion in unit names").
func mountUnit(point string) string {
	var b strings.Builder
	for i, c := range []byte(strings.Trim(point, "/")) {
		switch {
		case c == '/':
			b.WriteByte('-')
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == ':', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String() + ".mount"
}
