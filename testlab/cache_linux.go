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
)

// Directories of the cache.
const (
	imagesDir       = "images"
	repositoriesDir = "repositories"
	disksDir        = "disks"
	snapshotsDir    = "snapshots"
	usersDir        = "users" // a file a lab: the path of its lab.json
)

// keepUnused is how long something stays in the cache that no lab uses: long enough to go back and forth between two
// versions of a recipe.
const keepUnused = 24 * time.Hour

// cache is the directory of what takes long to make. It is used under its lock alone.
type cache struct {
	dir string
	log func(format string, args ...any)
	now time.Time
}

func (l *Lab) lockCache(ctx context.Context) (cache, *lock, error) {
	path := filepath.Join(l.options.Cache, "lock")
	held, err := acquireLock(ctx, path, func() { l.options.Log("waiting for another lab that fills the cache") })
	if err != nil {
		return cache{}, nil, fmt.Errorf("lock the lab's cache: %w", err)
	}
	log := func(format string, args ...any) { l.options.Log(fmt.Sprintf(format, args...)) }
	return cache{dir: l.options.Cache, log: log, now: time.Now()}, held, nil
}

// make returns the directory root below KIND/KEY, which build fills if it is not there. What a build that failed or was
// killed left is never taken for a whole one.
func (c cache) make(kind, key string, build func(dir string) error) (string, error) {
	whole := filepath.Join(c.dir, kind, key)
	if _, err := os.Stat(whole); err == nil {
		return filepath.Join(whole, "root"), os.Chtimes(whole, c.now, c.now)
	}
	partial := whole + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", err
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return "", err
	}
	if err := build(partial); err != nil {
		return "", errors.Join(err, os.RemoveAll(partial))
	}
	return filepath.Join(whole, "root"), os.Rename(partial, whole)
}

// user is where the cache remembers that a lab uses it.
func (c cache) user(recordPath string) string {
	return filepath.Join(c.dir, usersDir, shortDigest(recordPath, 16))
}

// prune removes what no lab uses and nobody asked for lately, and what builds left unfinished.
func (c cache) prune() error {
	used, err := c.used()
	if err != nil {
		return err
	}
	for _, kind := range []string{imagesDir, repositoriesDir, disksDir, snapshotsDir} {
		entries, err := os.ReadDir(filepath.Join(c.dir, kind))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			path := filepath.Join(c.dir, kind, e.Name())
			info, err := e.Info()
			if err != nil {
				return err
			}
			fresh := c.now.Sub(info.ModTime()) < keepUnused
			if used[filepath.Join(path, "root")] || fresh && !strings.HasSuffix(path, ".partial") {
				continue
			}
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// used lists the directories that labs stand on, and forgets labs that are gone.
func (c cache) used() (map[string]bool, error) {
	used := map[string]bool{}
	users, err := filepath.Glob(filepath.Join(c.dir, usersDir, "*"))
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		path, err := os.ReadFile(user)
		if err != nil {
			return nil, err
		}
		r, err := readRecord(string(path))
		if errors.Is(err, fs.ErrNotExist) {
			err = os.Remove(user)
		}
		if err != nil {
			return nil, err
		}
		used[r.Image], used[r.Repository] = true, true
		for _, vm := range r.VMs {
			used[vm.Shape.Image], used[vm.Snapshot] = true, true
		}
	}
	return used, nil
}
