package testlab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// kvmTime is how long a kernel may take under KVM until it looks for its root. Where KVM works that is a second or two.
const kvmTime = 10 * time.Second

// accelerator says what virtual machines of a disk image run with on this machine: "kvm" where a stock kernel gets as far
// as looking for its root under it, else "tcg". That /dev/kvm is there proves nothing: within a virtual machine it may
// not run one. What was found is kept until this machine boots.
func (c cache) accelerator(ctx context.Context, image string) (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	path, key := filepath.Join(c.dir, "accelerator"), strings.TrimSpace(string(boot))+" "
	known, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if found, ok := strings.CutPrefix(strings.TrimSpace(string(known)), key); ok {
		return found, nil
	}
	found := "tcg"
	if _, err := os.Stat("/dev/kvm"); err == nil {
		c.log("trying whether KVM runs a stock kernel here (once a boot of this machine; %s at most)", kvmTime)
		if bootsUnderKVM(ctx, filepath.Join(image, kernelName)) {
			found = "kvm"
		}
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return found, writeFile(path, fmt.Appendln(nil, key+found), 0o644)
}

// bootsUnderKVM boots a kernel without a root file system: it panics for the lack of one, which is as far as it can get,
// and qemu ends.
func bootsUnderKVM(ctx context.Context, kernel string) bool {
	ctx, cancel := context.WithTimeout(ctx, kvmTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemuProgram, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "256", "-serial", "stdio",
		"-kernel", kernel, "-append", "console=ttyS0 panic=-1")
	cmd.SysProcAttr = contained()
	console, _ := output(cmd) // of one that hangs is nothing to be said
	return strings.Contains(string(console), "Unable to mount root fs")
}
