package step

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestAwait(t *testing.T) {
	calls := 0
	err := Await(context.Background(), time.Minute, func() error {
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || calls != 3 {
		t.Errorf("%v after %d calls", err, calls)
	}
	never := errors.New("never")
	if err := Await(context.Background(), time.Millisecond, func() error { return never }); !errors.Is(err, never) {
		t.Errorf("the last answer is lost: %v", err)
	}
}
