package fake

import (
	"context"
	"io/fs"
	"path"
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

func (k kernel) Set(ctx context.Context, name, value string) error {
	defer k.m.effects.begin()()
	if _, err := k.Get(ctx, name); err != nil {
		return err
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
