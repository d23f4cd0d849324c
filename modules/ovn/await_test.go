package ovn

import (
	"context"
	"testing"
	"time"
)

// contextThatEnds cuts waits short where a test expects that they are in vain.
func contextThatEnds(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), 20*time.Millisecond)
}
