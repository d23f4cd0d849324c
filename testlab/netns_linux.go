package testlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// netnsDir is where ip-netns(8) keeps named network namespaces.
const netnsDir = "/run/netns"

func netnsPath(name string) string { return filepath.Join(netnsDir, name) }

// fabricNetns and hostNetns name the namespaces of a lab. Names of labs and hosts have no dot, so no two labs can meet.
func fabricNetns(lab string) string     { return "weft." + lab }
func hostNetns(lab, host string) string { return "weft." + lab + "." + host }

// labNetns lists the namespaces of a lab that exist.
func labNetns(lab string) ([]string, error) {
	entries, err := os.ReadDir(netnsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() == fabricNetns(lab) || strings.HasPrefix(e.Name(), fabricNetns(lab)+".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// onThread runs f on a thread that ends with it, so that what f does to the thread's namespaces touches nobody else.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the runtime then ends the thread
		if unix.Gettid() == unix.Getpid() {
			// The main thread alone does not end with its goroutine. While we keep it busy, f gets another one.
			done <- onThread(f)
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}()
	return <-done
}

// makeNetns makes a named network namespace; one that has the name already is replaced.
func makeNetns(name string) error {
	if err := removeNetns(name); err != nil {
		return err
	}
	if err := shareNetnsDir(); err != nil {
		return fmt.Errorf("make the directory of network namespaces: %w", err)
	}
	if err := os.WriteFile(netnsPath(name), nil, 0o444); err != nil {
		return fmt.Errorf("name a network namespace: %w", err)
	}
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		if err := unix.Mount("/proc/thread-self/ns/net", netnsPath(name), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("name network namespace %s: %w", name, err)
		}
		return nil
	})
}

// shareNetnsDir makes the directory a shared mount of itself, as ip-netns(8) does. Were that left to a later `ip netns
// add`, each of our names would be mounted twice, one mount over the other, and could not be removed any more.
func shareNetnsDir() error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(netnsDir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // which unlocks it
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", netnsDir, err)
	}
	err = unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) { // EINVAL: not a mount yet
		return err
	}
	if err := unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "")
}

// netnsExists says whether the name stands for a namespace, and is not just a file that a crash left.
func netnsExists(name string) bool {
	var stat unix.Statfs_t
	return unix.Statfs(netnsPath(name), &stat) == nil && stat.Type == unix.NSFS_MAGIC
}

func removeNetns(name string) error {
	err := unix.Unmount(netnsPath(name), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // EINVAL: not a mount
		return fmt.Errorf("unmount network namespace %s: %w", name, err)
	}
	if err := os.Remove(netnsPath(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the name of a network namespace: %w", err)
	}
	return nil
}

// inNetns runs f, and the programs that f starts, in a named network namespace.
func inNetns(name string, f func() error) error {
	return onThread(func() error {
		ns, err := os.Open(netnsPath(name))
		if err != nil {
			return fmt.Errorf("open network namespace %s: %w", name, err)
		}
		defer func() { _ = ns.Close() }()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", name, err)
		}
		return f()
	})
}
