package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespaceDir is where iproute2 keeps the names of network namespaces
// (ip-netns(8)).
const namespaceDir = "/run/netns"

// namespacePath refuses what would lead out of the directory.
func namespacePath(name string) (string, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("network namespace %q: not a name: %w", name, syscall.EINVAL)
	}
	return filepath.Join(namespaceDir, name), nil
}

// openNamespace opens a namespace by its name; the host's own where it is
// empty. The error wraps fs.ErrNotExist where there is no such namespace.
func openNamespace(name string) (*os.File, error) {
	path := "/proc/self/ns/net" // of the first thread, which never leaves
	if name != "" {
		var err error
		if path, err = namespacePath(name); err != nil {
			return nil, err
		}
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("network namespace %q: %w", name, fs.ErrNotExist)
	}
	return file, err
}

// within calls act on a thread that is in a network namespace. What act opens
// or starts there stays there; act must not start goroutines for it.
func within(namespace string, act func() error) error {
	if namespace == "" {
		return act()
	}
	ns, err := openNamespace(namespace)
	if err != nil {
		return err
	}
	defer release(ns)
	return onThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %q: %w", namespace, err)
		}
		return act()
	})
}

// onThread calls act on a thread of its own, and brings the thread back to the
// host's network namespace. A thread that does not come back is thrown away.
func onThread(act func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(threadNamespace())
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer release(home)
		err = act()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// release closes what was only read or looked at: nothing is lost where that
// fails.
func release(c io.Closer) { _ = c.Close() }

// threadNamespace is the network namespace of the calling thread, for kernels
// without /proc/thread-self too.
func threadNamespace() string { return fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()) }

// addNamespace does what `ip netns add` does: a new namespace is kept alive by
// a bind mount on its name, in a directory whose mounts are shared.
func addNamespace(name string) error {
	path, err := namespacePath(name)
	if err != nil {
		return err
	}
	if err := shareNamespaceDir(); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := unix.Mount(threadNamespace(), path, "none", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind mount %s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func shareNamespaceDir() error {
	if err := os.MkdirAll(namespaceDir, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if err != unix.EINVAL {
		return err
	}
	// Not a mount point yet: make it one.
	if err := unix.Mount(namespaceDir, namespaceDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind mount %s on itself: %w", namespaceDir, err)
	}
	return unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
}

func removeNamespace(name string) error {
	path, err := namespacePath(name)
	if err != nil {
		return err
	}
	if _, err := lstat(path); err != nil {
		return fmt.Errorf("network namespace %q: %w", name, err)
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && err != unix.EINVAL { // EINVAL: left without its mount
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return os.Remove(path)
}
