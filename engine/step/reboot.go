package step

import (
	"context"

	"weft/engine/host"
)

// Machine is the object of a need that is about the whole machine.
const Machine = "host"

// RebootPolicy says what becomes of a need to boot the machine anew.
type RebootPolicy string

// The policies. Empty is RebootAuto.
const (
	// RebootAuto has weft boot the machine, once a run at most.
	RebootAuto RebootPolicy = "auto"
	// RebootNever leaves the need open and reports it; whatever boots the
	// machine in the meantime finds it as safe as it was.
	RebootNever RebootPolicy = "never"
	// RebootStaged leaves the need open too, and has the next boot, whoever
	// asks for it, try the change.
	RebootStaged RebootPolicy = "staged"
)

// A Keeper is a step whose change is only tried at first, because it may cost
// the machine: kernel arguments that panic. Keep makes it permanent. It is
// called once the machine has booted anew for the change and is up, before the
// step is checked again. An error says why there is nothing to keep, and fails
// the step.
type Keeper interface {
	Keep(ctx context.Context, h host.Host, f Finding) error
}

// A Returner can tell, after Undo of a change that needed a reboot, whether the
// machine runs as it was found. Where it does not, it is booted once more.
// Without it, a change that the machine never booted with needs no boot back,
// and one that it did needs one.
type Returner interface {
	Returned(ctx context.Context, v host.View, f Finding) (bool, error)
}
