package local

import (
	"os"
	"testing"

	"weft/engine/host/doortest"
)

// The suite of all doors. Compiled (go test -c) it also runs on another host.
func TestDoors(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: it makes network namespaces and gives files away")
	}
	doortest.Run(t, New())
}
