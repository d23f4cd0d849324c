package private

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestMake(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	for range 2 {
		if err := Make(deep); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(filepath.Dir(deep)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, mode := range []fs.FileMode{0o777, 0o770, 0o707} {
		if err := os.Chmod(deep, mode); err != nil {
			t.Fatal(err)
		}
		if err := Make(deep); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Make(deep); err != nil {
		t.Errorf("a directory that others may read: %v", err)
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to give a directory away")
	}
	if err := os.Chown(deep, 4001, 4001); err != nil {
		t.Fatal(err)
	}
	if err := Make(deep); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("another user's: %v", err)
	}
	if err := os.Symlink("b", filepath.Join(dir, "a", "link")); err != nil {
		t.Fatal(err)
	}
	if err := Make(filepath.Join(dir, "a", "link")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a link to another user's: %v", err)
	}
}

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	err := errors.Join(os.WriteFile(path("file"), []byte("x"), 0o600), os.Symlink("file", path("link")),
		syscall.Mkfifo(path("fifo"), 0o600), os.Mkdir(path("dir"), 0o700), os.Truncate(path("file"), 1))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := ReadFile(path("file")); string(b) != "x" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	for _, name := range []string{"link", "fifo", "dir"} {
		for _, flag := range []int{os.O_RDONLY, os.O_RDWR | os.O_CREATE} {
			done := make(chan error, 1)
			go func() {
				f, err := Open(path(name), flag, 0o600)
				if err == nil {
					f.Close()
				}
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil {
					t.Errorf("%s was opened", name)
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("opening %s waits", name)
			}
		}
	}
	if err := os.Truncate(path("file"), 1<<20+1); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path("file")); err == nil {
		t.Error("a long file was read")
	}
}
