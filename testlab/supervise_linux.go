package testlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Files in a host's directory.
const (
	machineFileName = "machine.json"
	bootsFileName   = "boots"    // a line a boot: when
	reasonFileName  = "reason"   // why it is down
	personalName    = "personal" // it has its own files
)

// rebootStatus is what systemd-nspawn exits with, when told to keep its unit, after the container asked for a reboot.
const rebootStatus = 133

// cgroupDir is where systemd-nspawn looks for cgroups.
const cgroupDir = "/sys/fs/cgroup"

// Supervise runs one host until it is powered off, booting it again whenever it reboots. dir is the host's directory in
// the lab's state. Up starts it, as the first process of a PID namespace and in the host's cgroup; it is of no use by hand.
func Supervise(dir string) error {
	if os.Getpid() != 1 {
		return errors.New("a host's supervisor is started by: weft lab up")
	}
	var m machine
	if err := readJSON(filepath.Join(dir, machineFileName), &m); err != nil {
		return fmt.Errorf("read what host this is: %w", err)
	}
	s := supervisor{dir: dir, machine: m}
	for {
		boot := s.boot
		if m.VM != nil {
			boot = s.bootVM
		}
		reboots, err := boot()
		if err != nil {
			err = fmt.Errorf("host %s: %w", m.Name, err)
			return errors.Join(err, s.note(reasonFileName, err.Error()))
		}
		if !reboots {
			return s.note(reasonFileName, "it powered itself off")
		}
	}
}

// supervisor boots one host.
type supervisor struct {
	dir     string
	machine machine
}

func (s supervisor) note(file, text string) error {
	return writeFile(filepath.Join(s.dir, file), []byte(text+"\n"), 0o644)
}

// boot runs the host from power-on until its init has ended, and says whether it wants to be booted again.
func (s supervisor) boot() (reboots bool, err error) {
	if err := s.plugIn(); err != nil {
		return false, err
	}
	number, err := s.countBoot()
	if err != nil {
		return false, err
	}
	groups, err := openCgroups()
	if err != nil {
		return false, err
	}
	defer groups.close()
	group := groups.at(s.machine.Lab, s.machine.Name, "nspawn")
	if err := group.make(); err != nil {
		return false, err
	}
	err = onThread(func() error {
		root, err := s.mount(number)
		if err != nil {
			return err
		}
		reboots, err = s.run(root, group)
		return errors.Join(err, unix.Unmount(root, unix.MNT_DETACH))
	})
	return reboots, errors.Join(err, group.end(context.Background()))
}

// plugIn makes the host's network namespace afresh, as a real reboot would: links, addresses and sysctls that
// nobody made permanent are gone.
func (s supervisor) plugIn() error {
	ns := hostNetns(s.machine.Lab, s.machine.Name)
	if err := makeNetns(ns); err != nil {
		return err
	}
	for _, l := range s.machine.Links {
		end := plugEnd{name: l.Name, mac: l.MAC, mtu: l.MTU, netns: ns, wire: l.Wire}
		if err := plug(s.machine.Lab, l.Network, portName(s.machine.Name, l.Name), end); err != nil {
			return err
		}
	}
	return nil
}

// countBoot notes one more boot and returns its number.
func (s supervisor) countBoot() (int, error) {
	path := filepath.Join(s.dir, bootsFileName)
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("read how often the host was booted: %w", err)
	}
	now := time.Now().UTC().Format(time.RFC3339Nano) + "\n"
	if err := writeFile(path, append(before, now...), 0o644); err != nil {
		return 0, fmt.Errorf("count the boot: %w", err)
	}
	return strings.Count(string(before), "\n") + 1, nil
}

// mount gives the calling thread a mount namespace with all that systemd-nspawn wants, and returns the host's root.
func (s supervisor) mount(boot int) (string, error) {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return "", fmt.Errorf("make a mount namespace: %w", err)
	}
	// What is mounted from here on is nobody else's.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return "", fmt.Errorf("keep mounts to itself: %w", err)
	}
	disk, err := s.disk()
	if err != nil {
		return "", fmt.Errorf("make the host's disk: %w", err)
	}
	root, upper := filepath.Join(s.dir, "root"), filepath.Join(disk, "upper")
	// A work directory belongs to one mount: that of the last boot may not have ended in the kernel yet.
	work := filepath.Join(disk, fmt.Sprintf("work.%d", boot))
	for _, dir := range []string{root, upper, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("make the host's disk: %w", err)
		}
	}
	// Nobody wants the lab's disks after a crash of the machine, so they need not wait for the machine's (volatile).
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,volatile", s.machine.Image, upper, work)
	mounts := []struct {
		what, where, kind string
		flags             uintptr
		data              string
	}{
		{"overlay", root, "overlay", 0, layers},
		{"proc", "/proc", "proc", 0, ""},                  // that of this PID namespace
		{"tmpfs", "/run/systemd", "tmpfs", 0, "mode=755"}, // the machine's own systemd, if it has one, is not asked
		{"cgroup2", cgroupDir, "cgroup2", 0, ""},
	}
	// Where the machine runs systemd it is there already, and the kernel mounts nothing onto itself.
	var there unix.Statfs_t
	if unix.Statfs(cgroupDir, &there) == nil && there.Type == unix.CGROUP2_SUPER_MAGIC {
		mounts = mounts[:len(mounts)-1]
	}
	if err := os.MkdirAll("/run/systemd", 0o755); err != nil {
		return "", fmt.Errorf("make a place for systemd-nspawn: %w", err)
	}
	for _, m := range mounts {
		if err := unix.Mount(m.what, m.where, m.kind, m.flags, m.data); err != nil {
			return "", fmt.Errorf("mount %s on %s: %w", m.kind, m.where, err)
		}
	}
	return root, s.personalise(root)
}

// personalise writes the host's own files, before its first boot only: afterwards they are the host's.
func (s supervisor) personalise(root string) error {
	done := filepath.Join(s.dir, personalName)
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	for _, f := range s.machine.Files {
		path := filepath.Join(root, f.Path)
		dir := filepath.Dir(path)
		if _, err := os.Stat(dir); err != nil {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return fmt.Errorf("write the host's own files: %w", err)
			}
			if err := os.Chown(dir, f.Owner, -1); err != nil {
				return fmt.Errorf("write the host's own files: %w", err)
			}
		}
		if err := writeFile(path, []byte(f.Content), f.Mode); err != nil {
			return fmt.Errorf("write the host's own files: %w", err)
		}
		if err := os.Chown(path, f.Owner, -1); err != nil {
			return fmt.Errorf("write the host's own files: %w", err)
		}
	}
	return writeFile(done, nil, 0o644)
}

// run starts the host's init and waits until it has ended.
func (s supervisor) run(root string, group cgroup) (reboots bool, err error) {
	into, err := group.open()
	if err != nil {
		return false, fmt.Errorf("open the host's cgroup: %w", err)
	}
	defer func() { _ = into.Close() }()
	cmd := exec.Command("systemd-nspawn", nspawnArguments(s.machine, root)...)
	cmd.Env = append(os.Environ(),
		"SYSTEMD_SECCOMP=0",                       // or programs of the host meet refusals that no real host has
		"SYSTEMD_NSPAWN_API_VFS_WRITABLE=network", // sysctls of net.* are the host's own
		"SYSTEMD_NSPAWN_LOCK=0",                   // its lock would lie in the machine's /run
	)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(into.Fd())}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == rebootStatus {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("systemd-nspawn: %w", err)
	}
	return false, nil
}

func nspawnArguments(m machine, root string) []string {
	arguments := []string{
		"--quiet",
		"--directory=" + root,
		"--machine=" + m.Name,
		"--register=no", "--keep-unit", // no systemd of the machine is asked for anything
		"--network-namespace-path=" + netnsPath(hostNetns(m.Lab, m.Name)),
		"--capability=all",
		"--bind=/dev/net/tun",
		"--bind-ro=/sys/module", // which nspawn leaves out, and DPDK does not start without
		"--console=read-only",
		"--resolv-conf=off", "--timezone=off", "--link-journal=no",
	}
	if m.Repository != "" {
		arguments = append(arguments, "--bind-ro="+m.Repository+":"+repositoryPath)
	}
	// What follows is for the host's systemd: its console is the first thing to read when a boot fails.
	return append(arguments, "--boot", "--", "--show-status=yes")
}
