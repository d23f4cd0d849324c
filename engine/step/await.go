package step

import (
	"context"
	"time"
)

// Await calls holds, ten times a second, until it returns no error or the time
// is over, and returns its last answer. It is for what a daemon does a moment
// after it was asked, and for probes.
func Await(ctx context.Context, timeout time.Duration, holds func() error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
