package network

import (
	"context"
	"time"
)

// await calls holds until it returns no error, or the time is over, and
// returns its last answer.
func await(ctx context.Context, timeout time.Duration, holds func() error) error {
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
