package fake

import (
	"context"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
)

// kernel is the door to the kernel's values.
type kernel struct{ m *Machine }

// A KernelHook is what the kernel makes of a value that is written: it returns
// the value that is read back, or the kernel's refusal (syscall.EINVAL).
type KernelHook func(m *Machine, value string) (string, error)

// OnKernel registers what becomes of values written to a kernel file through
// the door; without a hook they are read back as they were written.
func (m *Machine) OnKernel(name string, hook KernelHook) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hooks.kernel[path.Clean(name)] = hook
}

func underKernel(name string) bool {
	name = path.Clean(name) + "/"
	return strings.HasPrefix(name, "/proc/") || strings.HasPrefix(name, "/sys/")
}

func (k kernel) Get(ctx context.Context, name string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if !underKernel(name) {
		return "", pathError("read", name, fs.ErrInvalid)
	}
	value, ok := k.m.KernelValue(name)
	if !ok {
		return "", pathError("read", name, fs.ErrNotExist)
	}
	return strings.TrimSuffix(value, "\n"), nil
}

// List knows a directory by what is below it.
func (k kernel) List(ctx context.Context, dir string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !underKernel(dir) {
		return nil, pathError("list", dir, fs.ErrInvalid)
	}
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	below := path.Clean(dir) + "/"
	names := map[string]bool{}
	note := func(name string) {
		if rest, inside := strings.CutPrefix(name, below); inside {
			rest, _, _ = strings.Cut(rest, "/")
			names[rest] = true
		}
	}
	for name := range k.m.kernel {
		note(name)
	}
	for name := range k.m.kernelLinks {
		note(name)
	}
	if len(names) == 0 {
		return nil, pathError("list", dir, fs.ErrNotExist)
	}
	return slices.Sorted(maps.Keys(names)), nil
}

func (k kernel) Link(ctx context.Context, name string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if !underKernel(name) {
		return "", pathError("readlink", name, fs.ErrInvalid)
	}
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	target, ok := k.m.kernelLinks[path.Clean(name)]
	if !ok {
		return "", pathError("readlink", name, fs.ErrNotExist)
	}
	return target, nil
}

func (k kernel) Set(ctx context.Context, name, value string) error {
	defer k.m.effects.begin()()
	if _, err := k.Get(ctx, name); err != nil {
		return err
	}
	if ours, err := k.m.setPCI(name, value); ours {
		return pathError("write", name, err)
	}
	k.m.mu.Lock()
	hook := k.m.hooks.kernel[path.Clean(name)]
	k.m.mu.Unlock()
	if hook != nil {
		var err error
		if value, err = hook(k.m, value); err != nil {
			return pathError("write", name, err)
		}
	}
	k.m.SetKernel(name, value)
	return nil
}

var _ host.Kernel = kernel{}
