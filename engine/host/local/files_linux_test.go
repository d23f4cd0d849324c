package local

import (
	"errors"
	"os"
	"os/exec"
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
	dir := mounted(t, "size=64k,nr_inodes=4")
	path := filepath.Join(dir, "a")
	f := newFiles()
	if err := f.Write(t.Context(), path, []byte("old"), host.Attributes{}); err != nil {
		t.Fatal(err)
	}
	err := f.Write(t.Context(), path, make([]byte, 100_000), host.Attributes{})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	mention(t, err, "write "+path+": no space left on device: 100000 bytes are wanted, and "+dir+" has 61440 left")
	if got, err := f.Read(t.Context(), path); string(got) != "old" {
		t.Errorf("the file holds %q, %v", got, err)
	}
	if got := namesIn(t, dir); got != "a" {
		t.Errorf("the directory holds %q", got)
	}

	// No name is left either: nothing can be made, what is there can be removed.
	for _, name := range []string{"b", "c"} {
		if err := f.Write(t.Context(), filepath.Join(dir, name), nil, host.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	for what, err := range map[string]error{
		"write": f.Write(t.Context(), path, []byte("new"), host.Attributes{}),
		"mkdir": f.MakeDirectory(t.Context(), path+"d", host.Attributes{}),
		"link":  f.Link(t.Context(), path+"l", "a"),
	} {
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no inode left") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := namesIn(t, dir); got != "a b c" {
		t.Errorf("the directory holds %q", got)
	}
	if err := f.Remove(t.Context(), path); err != nil {
		t.Error(err)
	}
}

func mention(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%v: want %q", err, text)
	}
}

// changes are all effects on a file that is there and beside it.
func changes(t *testing.T, f *files, path string) map[string]error {
	mode := os.FileMode(0o600)
	return map[string]error{
		"write":      f.Write(t.Context(), path, nil, host.Attributes{}),
		"new file":   f.Write(t.Context(), path+"b", nil, host.Attributes{}),
		"mkdir":      f.MakeDirectory(t.Context(), path+"d", host.Attributes{}),
		"link":       f.Link(t.Context(), path+"l", "a"),
		"attributes": f.SetAttributes(t.Context(), path, host.Attributes{Mode: &mode}),
		"remove":     f.Remove(t.Context(), path),
	}
}

// Both a file system and a bind mount of a part of it may be read-only.
func TestReadOnlyFileSystem(t *testing.T) {
	for what, flags := range map[string]uintptr{"file system": 0, "bind mount": unix.MS_BIND} {
		dir := mounted(t, "")
		path := filepath.Join(dir, "a")
		f := newFiles()
		if err := f.Write(t.Context(), path, []byte("old"), host.Attributes{}); err != nil {
			t.Fatal(err)
		}
		if flags != 0 {
			if err := unix.Mount(dir, dir, "", flags, ""); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY|flags, ""); err != nil {
			t.Fatal(err)
		}
		for act, err := range changes(t, f, path) {
			if !errors.Is(err, syscall.EROFS) {
				t.Errorf("%s, %s: %v", what, act, err)
			}
			mention(t, err, dir+" is mounted read-only")
		}
		if got := namesIn(t, dir); got != "a" {
			t.Errorf("%s: it holds %q", what, got)
		}
	}
}

// Owner and mode are those of the file that was written, whatever its name
// leads to by then.
func TestAttributesFollowNoLink(t *testing.T) {
	dir := t.TempDir()
	victim, link := filepath.Join(dir, "victim"), filepath.Join(dir, "link")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("victim", link); err != nil {
		t.Fatal(err)
	}
	open := attributes{mode: 0o666, uid: -1, gid: -1}
	if err := open.applyAt(link); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a symlink was followed: %v", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "made"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := errors.Join(os.Remove(file.Name()), os.Symlink("victim", file.Name()), open.apply(file)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(victim); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("another file has mode %v, %v", info.Mode(), err)
	}
}

// What chattr(1) forbids is named: even root is told no more than EPERM.
func TestImmutable(t *testing.T) {
	dir := mounted(t, "")
	path := filepath.Join(dir, "a")
	f := newFiles()
	if err := f.Write(t.Context(), path, []byte("old"), host.Attributes{}); err != nil {
		t.Fatal(err)
	}
	chattr := func(flag, path string) {
		t.Helper()
		if out, err := exec.Command("chattr", flag, path).CombinedOutput(); err != nil {
			t.Skipf("chattr %s: %v: %s", flag, err, out)
		}
	}
	chattr("+i", path)
	mode := os.FileMode(0o600)
	for what, err := range map[string]error{
		"write":      f.Write(t.Context(), path, nil, host.Attributes{}),
		"attributes": f.SetAttributes(t.Context(), path, host.Attributes{Mode: &mode}),
		"remove":     f.Remove(t.Context(), path),
	} {
		if !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s: %v", what, err)
		}
		mention(t, err, path+" is immutable (lsattr, chattr -i)")
	}
	chattr("-i", path)
	chattr("+i", dir)
	mention(t, f.Write(t.Context(), path, nil, host.Attributes{}), dir+" is immutable")
	chattr("-i", dir)
	if got := namesIn(t, dir); got != "a" {
		t.Errorf("it holds %q", got)
	}
}

func TestDeepestMount(t *testing.T) {
	const table = "1 0 8:1 / / rw - ext4 /dev/a rw\n" +
		"2 1 8:2 / /var rw - ext4 /dev/b rw\n" +
		"3 2 8:3 / /var/my\\040disk rw - ext4 /dev/c rw\nbroken\n4 1 8:4 / /x\\04 rw\n"
	for path, want := range map[string]string{
		"/": "/", "/etc": "/", "/var": "/var", "/var/lib": "/var", "/various": "/", "/var/my disk/a": "/var/my disk", `/x\04/a`: `/x\04`,
	} {
		if got := deepest(table, path); got != want {
			t.Errorf("%s is on %q, want %q", path, got, want)
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
			if err := crash(host.Temporary(path)); err != nil {
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
