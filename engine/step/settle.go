package step

import (
	"context"

	"weft/engine/host"
)

// A Settler is a step that settles a need when its place comes, because it
// manages the need's object: a service step restarts its unit there. The
// changes of the steps named by its triggers raise that need.
type Settler interface {
	Settles() Need
}

// An Explainer is a step, or a resource, that knows where to look when a need
// which it raised cannot be settled: why a daemon does not start. What it says
// follows the error; it is empty where nothing is known.
type Explainer interface {
	Explain(ctx context.Context, v host.View, n Need) string
}
