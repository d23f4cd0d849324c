package testlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// pollInterval is how often a condition is looked at that the kernel has no event for.
const pollInterval = 20 * time.Millisecond

// lock is an exclusive flock(2) on a file that lives as long as the lock.
type lock struct{ file *os.File }

// acquireLock waits for the lock as long as the context lets it. waiting is told once if somebody else has it.
func acquireLock(ctx context.Context, path string, waiting func()) (*lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	told := false
	for {
		l, err := tryLock(path)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return l, err
		}
		if !told {
			waiting()
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another weft that holds %s: %w", path, context.Cause(ctx))
		case <-time.After(pollInterval):
		}
	}
}

func tryLock(path string) (*lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	// Who had the lock before us may have removed the file: then ours is no longer the one that others open.
	ours, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if theirs, err := os.Stat(path); err != nil || !os.SameFile(ours, theirs) {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, unix.EWOULDBLOCK), file.Close())
	}
	return &lock{file}, nil
}

func (l *lock) release() error {
	return errors.Join(os.Remove(l.file.Name()), l.file.Close())
}
