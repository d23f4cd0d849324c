package build

import (
	"testing"

	"weft/engine/onhost/killtest"
	"weft/engine/step/steptest"
)

// laws holds a kind to the laws of a step, and the runner to its promise
// wherever it is stopped in it.
func laws(t *testing.T, s steptest.Subject) {
	t.Helper()
	steptest.Laws(t, s)
	t.Run("killed", func(t *testing.T) { killtest.Subject(t, s) })
}
