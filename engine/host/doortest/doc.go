// Package doortest is what every implementation of the doors of package host
// must do: one suite, run on the machine in memory and on a real one.
//
//	func TestDoors(t *testing.T) { doortest.Run(t, fake.New().Host()) }
//
// On a real machine it runs as root (also as a compiled test binary that was
// copied there), names all it makes with the prefix weft-test, and leaves
// nothing behind. A part whose door is not there (no systemd) is skipped and
// says so.
//
// It needs the programs cat, false and ls, and the kernel value
// /proc/self/oom_score_adj, which a fake must arrange.
package doortest

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"weft/engine/host"
)

// Run holds h to the contract of package host.
func Run(t *testing.T, h host.Host) {
	t.Run("Files", func(t *testing.T) { Files(t, h.Files) })
	t.Run("Kernel", func(t *testing.T) { Kernel(t, h.Kernel) })
	t.Run("Disks", func(t *testing.T) { Disks(t, h.Disks) })
	t.Run("Commands", func(t *testing.T) { Commands(t, h.Commands) })
	t.Run("Units", func(t *testing.T) { Units(t, h) })
	t.Run("Links", func(t *testing.T) { Links(t, h) })
	t.Run("Cancelled", func(t *testing.T) { Cancelled(t, h) })
}

// must ends the test at an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks that an error is there, and is of a kind.
func wantError(t *testing.T, what string, err, kind error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
	} else if kind != nil && !errors.Is(err, kind) {
		t.Errorf("%s: %v is no %v", what, err, kind)
	}
}

// equal checks one value.
func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func ptr[T any](v T) *T { return &v }

// after is the context for taking away what a test made.
func after(t *testing.T) context.Context { return context.WithoutCancel(t.Context()) }

// Cancelled checks that no effect begins under a context that is done.
func Cancelled(t *testing.T, h host.Host) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := "/tmp/weft-test-cancelled"
	effects := map[string]func() error{
		"write":         func() error { return h.Files.Write(ctx, dir, nil, host.Attributes{}) },
		"receive":       func() error { return h.Files.Receive(ctx, dir, nil, 0, "", host.Attributes{}) },
		"mkdir":         func() error { return h.Files.MakeDirectory(ctx, dir, host.Attributes{}) },
		"link":          func() error { return h.Files.Link(ctx, dir, "x") },
		"attributes":    func() error { return h.Files.SetAttributes(ctx, "/tmp", host.Attributes{}) },
		"remove":        func() error { return h.Files.Remove(ctx, dir) },
		"kernel":        func() error { return h.Kernel.Set(ctx, kernelValue, "0") },
		"run":           func() error { _, err := h.Commands.Run(ctx, host.Command{Argv: []string{"false"}}); return err },
		"unit":          func() error { return h.Units.Do(ctx, host.Reload, "") },
		"add namespace": func() error { return h.Links.AddNamespace(ctx, "weft-test-c") },
		"add veth":      func() error { return h.Links.AddVeth(ctx, "weft-test-c0", "weft-test-c1") },
		"add link":      func() error { return h.Links.AddLink(ctx, host.NewLink{Name: "weft-test-c0", Kind: "bridge"}) },
		"define":        func() error { return h.Libvirt.Define(ctx, host.VirtualNetwork, "weft-test-c", "<network/>") },
		"order":         func() error { return h.Libvirt.Order(ctx, host.VirtualStart, host.VirtualNetwork, "weft-test-c") },
		"device":        func() error { return h.Libvirt.Device(ctx, host.DeviceAttach, "weft-test-c", "<interface/>") },
		"set link":      func() error { return h.Links.Set(ctx, "", "lo", host.LinkChange{MTU: 1500}) },
	}
	for name, effect := range effects {
		wantError(t, name, effect(), context.Canceled)
	}
	_, err := h.Files.Stat(t.Context(), dir)
	wantError(t, "stat of what a cancelled effect would have made", err, fs.ErrNotExist)
}
