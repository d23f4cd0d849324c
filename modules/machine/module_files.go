package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

const modulesDir = "/lib/modules"

func release(ctx context.Context, v host.View) (string, error) {
	return v.Kernel.Get(ctx, "/proc/sys/kernel/osrelease")
}

// moduleTable reads modules.dep or modules.builtin of the running kernel
// (modules.dep(5)): the line of each module by its name. It is empty where the
// file is not there.
func moduleTable(ctx context.Context, v host.View, file string) (map[string]string, error) {
	return host.Recall(v.Memo, "machine: "+file, func() (map[string]string, error) {
		rel, err := release(ctx, v)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		text, err := v.Files.Read(ctx, path.Join(modulesDir, rel, file))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		table := map[string]string{}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			first, _, _ := strings.Cut(line, ":")
			table[moduleName(first)] = line
		}
		return table, err
	})
}

// moduleName is the name of the module in a file.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return underscored(name)
}

// moduleFile is where a module's file lies below the directory of its kernel;
// empty where it has none.
func moduleFile(ctx context.Context, v host.View, name string) (string, error) {
	table, err := moduleTable(ctx, v, "modules.dep")
	file, _, _ := strings.Cut(table[name], ":")
	return file, err
}

// noSuchModule says why there is no file. A boot or a package may bring it.
func noSuchModule(ctx context.Context, v host.View, name string) error {
	rel, err := release(ctx, v)
	if err != nil {
		return err
	}
	kernels, err := v.Files.List(ctx, modulesDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case slices.Contains(kernels, rel):
		return fmt.Errorf("the running kernel %s has no such module; on Ubuntu the package linux-modules-extra-%s may bring it: %w", rel, rel, step.ErrNotYet)
	case len(kernels) > 0:
		return fmt.Errorf("%s/%s is not there, but %s is: the kernel was upgraded and the host not booted since; boot it: %w", modulesDir, rel, kernels[len(kernels)-1], step.ErrNotYet)
	}
	return fmt.Errorf("%s/%s is not there: the running kernel %s came without modules: %w", modulesDir, rel, rel, step.ErrNotYet)
}

// earlyModule says whether the initramfs may hold a module: those that reach
// the root file system are there by default, others where they are named.
func earlyModule(ctx context.Context, v host.View, name, file string) (bool, error) {
	for _, dir := range []string{"ata", "block", "firmware", "gpu", "hid", "input", "md", "message", "mmc", "net/ethernet", "nvme", "scsi", "usb", "virtio"} {
		if strings.HasPrefix(file, "kernel/drivers/"+dir+"/") {
			return true, nil
		}
	}
	if strings.HasPrefix(file, "kernel/fs/") {
		return true, nil
	}
	text, err := readText(ctx, v, "/etc/initramfs-tools/modules")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(text.Or("")) {
		if f := strings.Fields(line); len(f) > 0 && underscored(f[0]) == name {
			return true, nil
		}
	}
	return false, nil
}
