package guard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// poll is how often a lock that another process holds is tried again.
const poll = 50 * time.Millisecond

// Try takes the lock under which a guard is put up and taken down with all that
// belongs to it: a commit needs no lease, so the next run may come while what
// was committed is still being removed. The second result is false where
// another process has the lock. It is an flock(2) on STATE, which leaves no file
// behind and ends with its process.
func (s Store) Try() (unlock func(), ok bool, err error) {
	d, err := lock(filepath.Dir(s.Dir), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return func() { _ = d.Close() }, true, nil
}

// Lock is Try, and waits for another process until ctx ends.
func (s Store) Lock(ctx context.Context) (unlock func(), err error) {
	for {
		unlock, ok, err := s.Try()
		if err != nil || ok {
			return unlock, err
		}
		again := time.NewTimer(poll)
		select {
		case <-ctx.Done():
			again.Stop()
			return nil, context.Cause(ctx)
		case <-again.C:
		}
	}
}

// lock opens a directory and locks it; closing it lets go.
func lock(dir string, how int) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(d.Fd()), how)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), d.Close())
		}
		return d, nil
	}
}
