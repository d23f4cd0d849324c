package onhost

import (
	"context"
	"fmt"
	"time"

	"weft/engine/step"
)

// A limitError ends a step whose time is over. Unlike an order to stop it also
// ends the effect in flight: a program that hangs is killed.
type limitError struct{ limit time.Duration }

func (e *limitError) Error() string {
	return fmt.Sprintf("it took longer than its time_limit of %s", e.limit)
}

// limited is ctx with the time that a unit may take.
func limited(ctx context.Context, u step.Unit) (context.Context, context.CancelFunc) {
	if u.Limit <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, u.Limit, &limitError{u.Limit})
}
