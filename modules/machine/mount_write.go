package machine

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// Write mounts first, since the kernel refuses what makes no sense, and has the
// boot follow.
func (r mounts) Write(ctx context.Context, h host.Host, have, want mountPoint) error {
	deltas := r.Diff(have, want)
	differs := func(paths ...string) bool {
		return slices.ContainsFunc(deltas, func(d step.Delta) bool { return slices.Contains(paths, d.Path) })
	}
	wanted := want.State.There() && want.Mounted.Or(have.Mounted.Or(false))
	switch is := have.Mounted.Or(false); {
	case is && !wanted:
		if err := unmount(ctx, h, want.Path); err != nil {
			return err
		}
	case !is && wanted:
		if have.Directory.Absent() {
			if err := h.Files.MakeDirectory(ctx, want.Path, host.Attributes{}); err != nil {
				return err
			}
		}
		if err := mountNow(ctx, h, want, ""); err != nil {
			return err
		}
	case is && differs("source.now", "type.now"):
		if err := mountAnew(ctx, h, want); err != nil {
			return err
		}
	case is && differs("options.now"):
		if err := remount(ctx, h, want); err != nil {
			return err
		}
	}
	if err := writeFstab(ctx, h, have, want); err != nil {
		return err
	}
	return leaveDirectory(ctx, h, want)
}

// mountNow mounts by mount(8), which knows the programs of file systems that
// need one. An undo uses the words of the mount that was found.
func mountNow(ctx context.Context, h host.Host, want mountPoint, first string) error {
	source, options := want.Source.Now.Or(""), want.Options.Now.Or(nil)
	if want.Found != nil {
		source = want.Found.Source
		if want.Found.had(options, want.Type.Now.Or("")) {
			options = want.Found.Options
		}
	}
	argv := []string{"mount", "-t", want.Type.Now.Or(""), "-o", first + optionList(options), source, want.Path}
	_, err := h.Commands.Run(ctx, host.Command{Argv: argv})
	return err
}

func mountAnew(ctx context.Context, h host.Host, want mountPoint) error {
	if err := unmount(ctx, h, want.Path); err != nil {
		return err
	}
	return mountNow(ctx, h, want, "")
}

// remount changes options in place. Some file systems do not follow, and do not
// say so: hugetlbfs keeps its size of pages.
func remount(ctx context.Context, h host.Host, want mountPoint) error {
	err := mountNow(ctx, h, want, "remount,")
	var exit *host.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	m, ok, err := mountedAt(ctx, h.View(), want.Path)
	if err != nil || !ok {
		return err
	}
	asked := want.Options.Now.Or(nil)
	back := want.Found == nil || !want.Found.had(asked, m.fsType) || sameSet(m.inForce(), want.Found.Options)
	if m.satisfied(asked) && back {
		return nil
	}
	return mountAnew(ctx, h, want)
}

// had says whether a mount that was found had the options.
func (f foundMount) had(asked []string, fsType string) bool {
	return mounted{fsType: fsType, flags: f.Options, super: f.Options}.satisfied(asked)
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// unmount names who is in the way.
func unmount(ctx context.Context, h host.Host, point string) error {
	_, err := h.Commands.Run(ctx, host.Command{Argv: []string{"umount", point}})
	var exit *host.ExitError
	if errors.As(err, &exit) && strings.Contains(string(exit.Result.Stderr), "busy") {
		if users := usersBelow(ctx, h.View(), point); len(users) > 0 {
			return fmt.Errorf("%w; it is in use by %s; stop them first", err, strings.Join(users, ", "))
		}
	}
	return err
}

// maxUsers is how many processes an error names.
const maxUsers = 8

// usersBelow are processes that have something below a path open, mapped, or as
// their directory, as far as /proc tells: "qemu-system-x86 (4711)".
func usersBelow(ctx context.Context, v host.View, point string) []string {
	var users []string
	pids, _ := v.Kernel.List(ctx, "/proc") // what cannot be read is not named
	for _, pid := range pids {
		if pid[0] < '0' || pid[0] > '9' || !uses(ctx, v, "/proc/"+pid, point) {
			continue
		}
		name, _ := v.Kernel.Get(ctx, "/proc/"+pid+"/comm")
		if users = append(users, name+" ("+pid+")"); len(users) == maxUsers {
			return append(users, "…")
		}
	}
	return users
}

func uses(ctx context.Context, v host.View, proc, point string) bool {
	below := func(name string) bool { return name == point || strings.HasPrefix(name, point+"/") }
	links := []string{"cwd", "root"}
	open, _ := v.Kernel.List(ctx, proc+"/fd")
	for _, fd := range open {
		links = append(links, "fd/"+fd)
	}
	for _, link := range links {
		if target, err := v.Kernel.Link(ctx, path.Join(proc, link)); err == nil && below(target) {
			return true
		}
	}
	maps, _ := v.Kernel.Get(ctx, proc+"/maps")
	for line := range strings.Lines(maps) {
		if f := strings.Fields(line); len(f) > 5 && below(f[5]) {
			return true
		}
	}
	return false
}

// writeFstab writes the line, or takes it away, and has systemd read it.
func writeFstab(ctx context.Context, h host.Host, have, want mountPoint) error {
	p := fstabPortion(want.Path)
	now := have.Fstab
	value := step.None[string]()
	if want.State.There() && want.Persistent.Or(false) {
		value = step.Is(want.fstabLine(p.value(now.Or("")), p.value(want.Fstab.Or(""))))
	}
	text := now
	if value != p.value(now.Or("")) {
		text = p.settled(now, want.Fstab, value)
	}
	if text == now {
		return nil
	}
	if err := writeText(ctx, h, fstabPath, now, text); err != nil {
		return err
	}
	err := h.Units.Do(ctx, host.Reload, "")
	if errors.Is(err, host.ErrNotReady) {
		return nil // no systemd
	}
	return err
}

// fstabLine is the line that says what is wanted: the one that is there, or the
// one that was found, where it says so already.
func (m mountPoint) fstabLine(now, found step.Attr[string]) string {
	for _, line := range []step.Attr[string]{found, now} {
		if e, ok := parseFstab(line.Or("")); ok && m.says(e) {
			return line.Or("")
		}
	}
	old, _ := parseFstab(now.Or(""))
	return fstabEntry{
		source: m.Source.Boot.Or(old.source), point: m.Path, fsType: m.Type.Boot.Or(old.fsType),
		options: m.Options.Boot.Or(old.options), dump: m.Dump.Or(old.dump), pass: m.Pass.Or(old.pass),
	}.line()
}

// says whether an entry is what is wanted.
func (m mountPoint) says(e fstabEntry) bool {
	options, managed := m.Options.Boot.Get()
	return e.source == m.Source.Boot.Or(e.source) && e.fsType == m.Type.Boot.Or(e.fsType) &&
		e.dump == m.Dump.Or(e.dump) && e.pass == m.Pass.Or(e.pass) && (!managed || sameOptions(e.options, options))
}

// leaveDirectory takes a mount point away that weft made, if nobody has put
// anything in it.
func leaveDirectory(ctx context.Context, h host.Host, want mountPoint) error {
	if !want.Directory.Absent() {
		return nil
	}
	names, err := h.Files.List(ctx, want.Path)
	if err != nil || len(names) > 0 {
		return nil
	}
	return h.Files.Remove(ctx, want.Path)
}
