package local

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"weft/engine/host/doortest"
)

// The suite of all doors. Compiled (go test -c) it also runs on another host.
func TestDoors(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: it makes network namespaces and gives files away")
	}
	alone(t)
	doortest.Run(t, New())
}

// alone waits until no other run of these tests is at work on this machine:
// their namespaces and links have the same names.
func alone(t *testing.T) {
	t.Helper()
	dir, err := os.Open("/run") // a lock that leaves no file behind
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { release(dir) })
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
}
