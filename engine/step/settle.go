package step

// A Settler is a step that settles a need when its place comes, because it
// manages the need's object: a service step restarts its unit there. The
// changes of the steps named by its triggers raise that need.
type Settler interface {
	Settles() Need
}
