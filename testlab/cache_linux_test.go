package testlab

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

func testCache(t *testing.T) cache {
	t.Helper()
	return cache{dir: t.TempDir(), log: func(string, ...any) {}, now: time.Now()}
}

func (c cache) entries(t *testing.T, kind string) []string {
	t.Helper()
	found, err := os.ReadDir(filepath.Join(c.dir, kind))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range found {
		names = append(names, e.Name())
	}
	return names
}

func TestCacheBuildsOnce(t *testing.T) {
	c := testCache(t)
	built := 0
	build := func(dir string) error {
		built++
		return writeFile(filepath.Join(dir, "root", "etc", "hostname"), []byte("x"), 0o644)
	}
	for range 2 {
		root, err := c.make(imagesDir, "a", build)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(root, "etc/hostname")); err != nil {
			t.Fatal(err)
		}
	}
	if built != 1 {
		t.Errorf("built %d times, want once", built)
	}
}

func TestCacheNeverKeepsHalfAnImage(t *testing.T) {
	c := testCache(t)
	half := filepath.Join(c.dir, imagesDir, "a.partial", "half") // as a build that was killed leaves it
	if err := writeFile(half, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	fails := errors.New("no mirror")
	if _, err := c.make(imagesDir, "a", func(dir string) error {
		if _, err := os.Stat(half); err == nil {
			t.Error("the build begins on what another left")
		}
		return errors.Join(fails, writeFile(filepath.Join(dir, "root", "x"), nil, 0o644))
	}); !errors.Is(err, fails) {
		t.Errorf("make = %v, want the build's own error", err)
	}
	if names := c.entries(t, imagesDir); len(names) > 0 {
		t.Errorf("the cache holds %v, want nothing", names)
	}
}

func TestCachePrunesWhatNoLabUses(t *testing.T) {
	c := testCache(t)
	long := c.now.Add(-keepUnused - time.Minute)
	place := func(kind, key string, asked time.Time) string {
		t.Helper()
		dir := filepath.Join(c.dir, kind, key)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, asked, asked); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, "root")
	}
	lab := func(name string, r record) string {
		t.Helper()
		path := filepath.Join(c.dir, name, "lab.json")
		if err := writeJSON(path, r, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(c.user(path), []byte(path), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	lab("runs", record{Image: place(imagesDir, "used", long), Repository: place(repositoriesDir, "used", long)})
	gone := lab("gone", record{Image: place(imagesDir, "old", long)})
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	place(imagesDir, "fresh", c.now)
	place(imagesDir, "half.partial", c.now)
	place(repositoriesDir, "old", long)
	if err := c.prune(); err != nil {
		t.Fatal(err)
	}
	if got, want := c.entries(t, imagesDir), []string{"fresh", "used"}; !slices.Equal(got, want) {
		t.Errorf("images: %v, want %v", got, want)
	}
	if got, want := c.entries(t, repositoriesDir), []string{"used"}; !slices.Equal(got, want) {
		t.Errorf("repositories: %v, want %v", got, want)
	}
	if got := c.entries(t, usersDir); len(got) != 1 {
		t.Errorf("%d labs use the cache, want 1", len(got))
	}
}

func TestLockLetsOneIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := acquireLock(t.Context(), path, func() { t.Error("waits for nobody") })
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 3*pollInterval)
	defer cancel()
	told := 0
	if _, err := acquireLock(soon, path, func() { told++ }); !errors.Is(err, context.DeadlineExceeded) || told != 1 {
		t.Errorf("the second got %v and was told %d times to wait, want a deadline and once", err, told)
	}
	if err := held.release(); err != nil {
		t.Fatal(err)
	}
	again, err := acquireLock(t.Context(), path, func() { t.Error("waits for nobody") })
	if err != nil {
		t.Fatal(err)
	}
	if err := again.release(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file of the lock is left")
	}
}

func TestChecksDoNotMeet(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes cgroups")
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if err := tryCgroups(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
