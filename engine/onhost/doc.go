// Package onhost is what happens in the runner: it converges units on the host
// it runs on, and says how it went.
//
// [Serve] is one session with one controller, over two streams. In it the life
// of a unit is
//
//	check    what differs? (writes nothing; check.go)
//	record   onto the disk, before anything moves (package journal)
//	apply    each effect is announced in the journal first (apply.go)
//	verify   check again: what still differs is a failure, unless an open
//	         need covers it (needs.go)
//
// and back, on any day, by its records alone: undo.go. What is not the life of
// a unit has a place of its own: who may change the host in package lease, the
// facts in package facts, and what must not be said aloud in package scrub.
//
// The order to stop, a lost controller and a lost lease all meet in one place,
// gate.go: the effect in flight finishes, and no other begins.
package onhost
