package testlab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Files of a disk image in the cache.
const (
	rawDiskName = "disk.raw"
	kernelName  = "vmlinuz" // the kernel that is on it, to try KVM with
	initrdName  = "initrd.img"
)

// makeDiskImage returns the directory of the recipe's disk, built if the cache lacks it.
func (c cache) makeDiskImage(ctx context.Context, r diskRecipe) (string, error) {
	return c.make(disksDir, r.key(), func(dir string) error {
		c.log("building disk image %s from %s (once for this recipe; about two minutes)", r.key(), r.Root.Sources[0].URI)
		tree, into := filepath.Join(dir, "tree"), filepath.Join(dir, "root")
		for _, d := range []string{tree, into} {
			if err := os.Mkdir(d, 0o755); err != nil {
				return err
			}
		}
		if err := buildImage(ctx, r.Root, tree); err != nil {
			return err
		}
		if err := buildDisk(ctx, r, filepath.Join(tree, "root"), into); err != nil {
			return fmt.Errorf("make a disk of image %s: %w", r.Root.Release.Image, err)
		}
		return os.RemoveAll(tree)
	})
}

// buildDisk makes a disk of a directory: a DOS partition table, one ext4 file system, an EFI system partition, and GRUB for
// a BIOS and for UEFI.
func buildDisk(ctx context.Context, r diskRecipe, tree, into string) error {
	if err := makeInitramfs(ctx, r, tree); err != nil {
		return err
	}
	for _, name := range []string{kernelName, initrdName} {
		found, err := filepath.Glob(filepath.Join(tree, "boot", name+"-*"))
		if err != nil || len(found) == 0 {
			return errors.Join(fmt.Errorf("the kernel's package brought no %s", name), err)
		}
		content, err := os.ReadFile(found[0])
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(into, name), content, 0o644); err != nil {
			return err
		}
	}
	disk := filepath.Join(into, rawDiskName)
	if err := partition(disk, r.Size); err != nil {
		return err
	}
	if _, err := output(exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-L", "root", "-d", tree,
		"-E", fmt.Sprintf("offset=%d", partitionStart), disk, fmt.Sprintf("%dk", (r.Size-partitionStart-espBytes)/1024))); err != nil {
		return err
	}
	return finishDisk(ctx, into)
}

// makeInitramfs makes an initramfs that is small enough for an emulated processor to unpack.
func makeInitramfs(ctx context.Context, r diskRecipe, tree string) error {
	modules := strings.Join(r.Modules, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(tree, "etc/initramfs-tools/modules"), []byte(modules), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/usr/sbin/update-initramfs", "-u", "-k", "all")
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: tree, Pdeathsig: syscall.SIGKILL}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	_, err := output(cmd)
	return err
}

// partition makes a disk with a DOS partition table of two partitions: Linux's, which begins where partitionStart says,
// and behind it an EFI system partition (UEFI specification, section 5.2.2).
func partition(path string, size int64) error {
	const sector, table, entry, bootable, linux, esp = 512, 446, 16, 0x80, 0x83, 0xef
	mbr := make([]byte, sector)
	for i, p := range []struct {
		flag, kind  byte
		start, size int64 // bytes
	}{{bootable, linux, partitionStart, size - partitionStart - espBytes}, {0, esp, size - espBytes, espBytes}} {
		at := mbr[table+i*entry:]
		// Nobody reads addresses in cylinders, heads and sectors any more: they say that they are too large to be said.
		copy(at, []byte{p.flag, 0xfe, 0xff, 0xff, p.kind, 0xfe, 0xff, 0xff})
		binary.LittleEndian.PutUint32(at[8:], uint32(p.start/sector))
		binary.LittleEndian.PutUint32(at[12:], uint32(p.size/sector))
	}
	copy(mbr[sector-2:], []byte{0x55, 0xaa})
	if err := os.WriteFile(path, mbr, 0o644); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

// finishDisk boots what is on a disk once, as far as guest/finish: what GRUB writes depends on the disk it finds itself on.
func finishDisk(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, vmBootTime, fmt.Errorf("it did not end within %s", vmBootTime))
	defer cancel()
	cmd := exec.CommandContext(ctx, qemuProgram, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "q35", "-accel", "tcg", "-cpu", "max,la57=off,svm=off", "-m", fmt.Sprint(defaultMemory),
		"-serial", "file:"+consoleFileName, "-serial", "stdio",
		"-drive", "if=none,id=disk,format=raw,cache=unsafe,file="+rawDiskName, "-device", "virtio-blk-pci,drive=disk",
		"-kernel", kernelName, "-initrd", initrdName, "-append", "root=/dev/vda1 ro console=ttyS0 no_timer_check panic=-1 init="+finishPath)
	cmd.Dir, cmd.SysProcAttr, cmd.WaitDelay = dir, contained(), time.Second
	said, err := output(cmd)
	if err == nil && strings.TrimSpace(string(said)) == "finished" {
		return os.Remove(filepath.Join(dir, consoleFileName))
	}
	return errors.Join(fmt.Errorf("its boot loader could not be installed; the console ends with:\n%s",
		consoleEnd(filepath.Join(dir, consoleFileName))), err, context.Cause(ctx))
}
