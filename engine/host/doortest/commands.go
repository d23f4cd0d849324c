package doortest

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"testing"

	"weft/engine/host"
)

// kernelValue belongs to this process alone, so a test may change it.
const kernelValue = "/proc/self/oom_score_adj"

// Kernel checks the door to /proc and /sys.
func Kernel(t *testing.T, k host.Kernel) {
	found, err := k.Get(t.Context(), kernelValue)
	must(t, err)
	t.Cleanup(func() { must(t, k.Set(after(t), kernelValue, found)) })
	must(t, k.Set(t.Context(), kernelValue, "7"))
	got, err := k.Get(t.Context(), kernelValue)
	must(t, err)
	equal(t, "value", got, "7")

	names, err := k.List(t.Context(), "/proc/self")
	must(t, err)
	if !slices.Contains(names, "oom_score_adj") || !slices.IsSorted(names) {
		t.Errorf("/proc/self holds %q", names)
	}
	target, err := k.Link(t.Context(), "/proc/self/cwd")
	must(t, err)
	if !path.IsAbs(target) {
		t.Errorf("/proc/self/cwd leads to %q", target)
	}

	_, err = k.List(t.Context(), "/sys/weft-test")
	wantError(t, "list of nothing", err, fs.ErrNotExist)
	_, err = k.Link(t.Context(), "/sys/weft-test")
	wantError(t, "link of nothing", err, fs.ErrNotExist)
	_, err = k.Get(t.Context(), "/proc/sys/weft-test/no")
	wantError(t, "get of nothing", err, fs.ErrNotExist)
	wantError(t, "set of nothing", k.Set(t.Context(), "/sys/weft-test/no", "1"), fs.ErrNotExist)
	for _, name := range []string{"/etc/hosts", "/proc/../etc/hosts", "proc/version", ""} {
		_, err = k.Get(t.Context(), name)
		wantError(t, "get "+name, err, fs.ErrInvalid)
		_, err = k.List(t.Context(), name)
		wantError(t, "list "+name, err, fs.ErrInvalid)
		_, err = k.Link(t.Context(), name)
		wantError(t, "link "+name, err, fs.ErrInvalid)
		wantError(t, "set "+name, k.Set(t.Context(), name, "1"), fs.ErrInvalid)
	}
}

// Disks checks the door to the room on file systems.
func Disks(t *testing.T, d host.Disks) {
	s, err := d.Space(t.Context(), "/tmp")
	must(t, err)
	if s.Total <= 0 || s.Free < 0 || s.Free > s.Total || s.ReadOnly {
		t.Errorf("/tmp has %+v", s)
	}
	_, err = d.Space(t.Context(), "/weft-test/no")
	wantError(t, "space of nothing", err, fs.ErrNotExist)
}

// Commands checks the door to the programs. It needs cat, false and ls.
func Commands(t *testing.T, c host.Commands) {
	for name, do := range map[string]func(host.Command) (host.Result, error){
		"Query": func(cmd host.Command) (host.Result, error) { return c.Query(t.Context(), cmd) },
		"Run":   func(cmd host.Command) (host.Result, error) { return c.Run(t.Context(), cmd) },
	} {
		t.Run(name, func(t *testing.T) { commandRuns(t, do) })
	}
}

func commandRuns(t *testing.T, do func(host.Command) (host.Result, error)) {
	for _, program := range []string{"cat", "/bin/cat"} {
		r, err := do(host.Command{Argv: []string{program}, Stdin: []byte("in\x00\n")})
		must(t, err)
		equal(t, "stdout", string(r.Stdout), "in\x00\n")
		r, err = do(host.Command{Argv: []string{program}})
		must(t, err)
		equal(t, "stdout without stdin", string(r.Stdout), "")
	}

	r, err := do(host.Command{Argv: []string{"false"}})
	var exit *host.ExitError
	if !errors.As(err, &exit) || exit.Result.Exit != 1 || r.Exit != 1 {
		t.Errorf("false: %+v, %v", r, err)
	}
	r, err = do(host.Command{Argv: []string{"ls", "/weft-test/no"}})
	if !errors.As(err, &exit) || len(exit.Result.Stderr) == 0 || len(r.Stderr) == 0 {
		t.Errorf("ls of nothing: %+v, %v", r, err)
	}

	for _, program := range []string{"weft-test-no-such-program", "/weft-test/no"} {
		_, err = do(host.Command{Argv: []string{program}})
		wantError(t, program, err, host.ErrNotReady)
	}
	_, err = do(host.Command{})
	wantError(t, "an empty command", err, nil)
	if errors.Is(err, host.ErrNotReady) {
		t.Errorf("an empty command is not something that comes later: %v", err)
	}
	_, err = do(host.Command{Argv: []string{"cat"}, Namespace: "weft-test-no"})
	wantError(t, "no such namespace", err, fs.ErrNotExist)
}
