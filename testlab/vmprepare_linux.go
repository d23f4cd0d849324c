package testlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

func vmPrograms() []program {
	return []program{
		{qemuProgram, "qemu-system-x86"},
		{"qemu-img", "qemu-utils"},
		{"mkfs.ext4", "e2fsprogs"},
	}
}

// checkMachine says what this machine lacks for the virtual machines of a lab, if it has any.
func (s Spec) checkMachine() error {
	var lacks []error
	for _, h := range s.Hosts {
		if h.VM == nil {
			continue
		}
		if runtime.GOARCH != "amd64" {
			return fmt.Errorf("host %s is a virtual machine, which the lab makes on amd64 alone", h.Name)
		}
		for _, p := range vmPrograms() {
			if _, err := exec.LookPath(p.Name); err != nil {
				lacks = append(lacks, fmt.Errorf("no program %s, for the virtual machine %s: apt-get install %s", p.Name, h.Name, p.Package))
			}
		}
		break
	}
	return errors.Join(append(lacks, s.checkFirmware())...)
}

// checkFirmware says whether this machine lacks the firmware that a virtual machine boots by.
func (s Spec) checkFirmware() error {
	for _, h := range s.Hosts {
		if h.VM == nil || !h.VM.uefi() {
			continue
		}
		for _, path := range []string{uefiCode, uefiVariables} {
			if _, err := os.Stat(path); err != nil {
				return fmt.Errorf("no UEFI firmware for the virtual machine %s: %w; apt-get install ovmf", h.Name, err)
			}
		}
		return nil
	}
	return nil
}

// makeVMs makes what the lab's virtual machines stand on, as far as it is not known yet: a disk, and a snapshot of each
// shape. It returns them by the names of their hosts.
func (l *Lab) makeVMs(ctx context.Context, c cache, before map[string]vmMachine) (map[string]vmMachine, error) {
	made := map[string]vmMachine{}
	for _, h := range l.spec.Hosts {
		if h.VM == nil {
			continue
		}
		if known, ok := before[h.Name]; ok {
			made[h.Name] = known
			continue
		}
		vm, err := l.makeVM(ctx, c, *h.VM)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", h.Name, err)
		}
		made[h.Name] = vm
	}
	return made, nil
}

func (l *Lab) makeVM(ctx context.Context, c cache, v VM) (vmMachine, error) {
	release, sources, err := readSources("/etc", l.spec.Image)
	if err != nil {
		return vmMachine{}, err
	}
	s := shape{Version: shapeVersion,
		VM: VM{Memory: v.memory(), CPUs: v.cpus(), NUMANodes: v.nodes(), IOMMU: v.IOMMU, Firmware: v.firmware()}}
	if s.Image, err = c.makeDiskImage(ctx, newDiskRecipe(release, sources)); err != nil {
		return vmMachine{}, err
	}
	if s.Built, err = madeAt(filepath.Join(s.Image, rawDiskName)); err != nil {
		return vmMachine{}, err
	}
	if v.uefi() {
		if s.UEFIBuilt, err = madeAt(uefiCode); err != nil {
			return vmMachine{}, err
		}
	}
	if s.Accelerator, err = c.accelerator(ctx, s.Image); err != nil {
		return vmMachine{}, err
	}
	if s.QEMU, err = qemuVersion(ctx); err != nil {
		return vmMachine{}, err
	}
	snapshot, err := c.makeSnapshot(ctx, s)
	return vmMachine{Shape: s, Snapshot: snapshot}, err
}

// madeAt is when a file was written, in nanoseconds since 1970.
func madeAt(path string) (int64, error) {
	file, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return file.ModTime().UnixNano(), nil
}

// checkMemory refuses virtual machines that this machine has no memory for. Those that run already have theirs.
func (l *Lab) checkMemory(groups cgroups) error {
	wanted := 0
	for _, h := range l.spec.Hosts {
		if h.VM != nil && !l.host(groups, h).group.populated() {
			wanted += h.VM.memory()
		}
	}
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return fmt.Errorf("read how much memory this machine has: %w", err)
	}
	_, rest, _ := strings.Cut(string(text), "\nMemAvailable:")
	available := 0
	if _, err := fmt.Sscanf(rest, "%d kB", &available); err != nil {
		return fmt.Errorf("read how much memory this machine has: %w", err)
	}
	if available /= 1024; wanted > available {
		return fmt.Errorf("its virtual machines want %d MiB of memory, and this machine has %d MiB available; give them less, or take another lab down",
			wanted, available)
	}
	return nil
}
