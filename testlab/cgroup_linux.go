package testlab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups is the cgroup2 hierarchy, reached through a mount that belongs to this process alone. So it does not matter
// where the machine has mounted it (/sys/fs/cgroup under systemd, elsewhere or nowhere otherwise), and nothing is left.
type cgroups struct{ mount int }

func openCgroups() (cgroups, error) {
	opened, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return cgroups{}, fmt.Errorf("open cgroup2: %w", err)
	}
	defer func() { _ = unix.Close(opened) }()
	if err := unix.FsconfigCreate(opened); err != nil {
		return cgroups{}, fmt.Errorf("configure cgroup2: %w", err)
	}
	mount, err := unix.Fsmount(opened, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return cgroups{}, fmt.Errorf("mount cgroup2: %w", err)
	}
	return cgroups{mount}, nil
}

func (c cgroups) close() { _ = unix.Close(c.mount) }

// at returns the group of a path below the lab's part of the hierarchy.
func (c cgroups) at(elements ...string) cgroup {
	return cgroup(filepath.Join(append([]string{fmt.Sprintf("/proc/self/fd/%d/weft-lab", c.mount)}, elements...)...))
}

// cgroup is one control group: every process in it and below it.
type cgroup string

// make makes the group and those above it. The last lab to go down takes the topmost away, maybe just now: then again.
// One that went between os.MkdirAll's mkdir and its look at what stood in the way is said to exist, which it no longer
// does.
func (g cgroup) make() error {
	var err error
	for range 100 {
		err = os.MkdirAll(string(g), 0o755)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("make a cgroup: %w", err)
	}
	return nil
}

func (g cgroup) exists() bool {
	_, err := os.Stat(string(g))
	return err == nil
}

// populated says whether a process lives in the group or below it.
func (g cgroup) populated() bool {
	events, err := os.ReadFile(filepath.Join(string(g), "cgroup.events"))
	return err == nil && strings.Contains(string(events), "populated 1")
}

// end kills every process in the group and below it, forks included, and removes the groups. A group that is not there
// is fine.
func (g cgroup) end(ctx context.Context) error {
	if !g.exists() {
		return nil
	}
	if g.populated() {
		if err := os.WriteFile(filepath.Join(string(g), "cgroup.kill"), []byte("1"), 0); err != nil {
			return fmt.Errorf("kill a cgroup: %w", err)
		}
	}
	for g.populated() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for killed processes to end: %w", context.Cause(ctx))
		case <-time.After(pollInterval / 4):
		}
	}
	return g.remove()
}

// remove takes the group and those below it away, the lowest first.
func (g cgroup) remove() error {
	children, err := os.ReadDir(string(g))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list a cgroup: %w", err)
	}
	for _, child := range children {
		if child.IsDir() {
			if err := cgroup(filepath.Join(string(g), child.Name())).remove(); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(string(g)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove cgroup %s: %w", g, err)
	}
	return nil
}

// open returns the group as what clone3(2) wants in CLONE_INTO_CGROUP.
func (g cgroup) open() (*os.File, error) {
	return os.Open(string(g))
}

// tidy removes the lab's part of the hierarchy once no lab is in it.
func (c cgroups) tidy() error {
	err := unix.Rmdir(string(c.at()))
	if err == nil || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("remove the lab's cgroup: %w", err)
}
