//go:build !chaos

package onhost

import "weft/engine/host"

// chaos lets every effect happen; the build tag chaos makes a runner that can
// be stopped at any of them, for tests.
type chaos struct{}

func (*chaos) around(_, _, _ string, _ host.Effect, act func() error) error { return act() }
