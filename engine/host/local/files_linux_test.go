package local

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"weft/engine/host"
)

func newFiles() *files { return &files{accounts: &accounts{}} }

// mounted mounts a tmpfs for the test.
func mounted(t *testing.T, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func namesIn(t *testing.T, dir string) string {
	t.Helper()
	names, err := newFiles().List(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func TestFullDiskLeavesTheOldFileAlone(t *testing.T) {
	dir := mounted(t, "size=64k")
	path := filepath.Join(dir, "a")
	f := newFiles()
	if err := f.Write(t.Context(), path, []byte("old"), host.Attributes{}); err != nil {
		t.Fatal(err)
	}
	err := f.Write(t.Context(), path, make([]byte, 100_000), host.Attributes{})
	if !errors.Is(err, syscall.ENOSPC) || err.Error() != "write "+path+": no space left on device" {
		t.Errorf("got %v", err)
	}
	if got, err := f.Read(t.Context(), path); string(got) != "old" {
		t.Errorf("the file holds %q, %v", got, err)
	}
	if got := namesIn(t, dir); got != "a" {
		t.Errorf("the directory holds %q", got)
	}
}

func TestReadOnlyFileSystem(t *testing.T) {
	dir := mounted(t, "")
	path := filepath.Join(dir, "a")
	f := newFiles()
	if err := f.Write(t.Context(), path, []byte("old"), host.Attributes{}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	mode := os.FileMode(0o600)
	for what, err := range map[string]error{
		"write":      f.Write(t.Context(), path, nil, host.Attributes{}),
		"new file":   f.Write(t.Context(), path+"b", nil, host.Attributes{}),
		"mkdir":      f.MakeDirectory(t.Context(), path+"d", host.Attributes{}),
		"link":       f.Link(t.Context(), path+"l", "a"),
		"attributes": f.SetAttributes(t.Context(), path, host.Attributes{Mode: &mode}),
		"remove":     f.Remove(t.Context(), path),
	} {
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What a crash left under the temporary name does not stand in the way, and
// does not stay.
func TestLeftoverOfACrash(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	leave := map[string]func(temporary string) error{
		"a file":      func(p string) error { return os.WriteFile(p, []byte("half"), 0o600) },
		"a directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"a link":      func(p string) error { return os.Symlink("/etc/passwd", p) },
	}
	for name, crash := range leave {
		t.Run(name, func(t *testing.T) {
			if err := crash(temporaryName(path)); err != nil {
				t.Fatal(err)
			}
			if err := newFiles().Write(t.Context(), path, []byte("whole"), host.Attributes{}); err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(path); string(got) != "whole" {
				t.Errorf("the file holds %q", got)
			}
			if got := namesIn(t, dir); got != "a" {
				t.Errorf("the directory holds %q", got)
			}
		})
	}
}

func TestSpecialFilesAreNotRead(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFiles()
	for _, path := range []string{fifo, "/dev/zero"} {
		if _, err := f.Read(t.Context(), path); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("read %s: %v", path, err)
		}
		if info, err := f.Stat(t.Context(), path); err != nil || info.Type != host.Special {
			t.Errorf("stat %s: %+v, %v", path, info, err)
		}
	}
	if err := f.Write(t.Context(), fifo, nil, host.Attributes{}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("write: %v", err)
	}
}

// An account that a package brings during the run is known at once.
func TestAccountsAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	write := func(text string) {
		t.Helper()
		if err := newFiles().Write(t.Context(), path, []byte(text), host.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	var f accountFile
	write("root:x:0:0::/root:/bin/sh\n")
	if got := f.name(path, 4242); got != "4242" {
		t.Errorf("got %q", got)
	}
	write("root:x:0:0::/root:/bin/sh\nopenvswitch:x:4242:4242::/:/bin/false\n")
	if got := f.name(path, 4242); got != "openvswitch" {
		t.Errorf("got %q", got)
	}
	if id, err := f.id(path, "openvswitch"); id != 4242 || err != nil {
		t.Errorf("got %d, %v", id, err)
	}
}

func FuzzParseAccounts(f *testing.F) {
	f.Add([]byte("root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:\n"))
	f.Add([]byte("+::::::\n:x:1:\nbad:x:-1:1\nbig:x:4294967296:1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		names, byName := parseAccounts(text)
		for name, id := range byName {
			if name == "" || strings.ContainsAny(name, ":\n") || names[id] == "" {
				t.Errorf("%q has id %d, which has name %q", name, id, names[id])
			}
		}
	})
}
