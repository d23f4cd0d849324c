package testlab

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// vmBootTime is how long a virtual machine may take until its sshd answers: a minute where it is emulated and the
	// machine has nothing else to do.
	vmBootTime = 7 * time.Minute
	// overlayName is the disk of a virtual machine: what it wrote since it was made.
	overlayName = "disk.qcow2"
	// variablesName is what the UEFI firmware of a virtual machine remembers, where it has one.
	variablesName = "uefi-variables.fd"
)

// personalAnswer is what a guest that became ready is told; see guest/personalise.
type personalAnswer struct {
	Now     float64 // seconds since 1970
	Entropy []byte
	BootID  string
	Files   []machineFile
	NICs    map[string]string // MAC by name
}

// bootVM runs a virtual machine from power-on until it resets or powers itself off.
func (s supervisor) bootVM() (reboots bool, err error) {
	taps, err := s.plugInTaps()
	if err != nil {
		return false, err
	}
	defer func() {
		for _, tap := range taps {
			_ = tap.Close()
		}
	}()
	if _, err := s.countBoot(); err != nil {
		return false, err
	}
	groups, err := openCgroups()
	if err != nil {
		return false, err
	}
	defer groups.close()
	group := groups.at(s.machine.Lab, s.machine.Name, "qemu")
	if err := group.make(); err != nil {
		return false, err
	}
	into, err := group.open()
	if err != nil {
		return false, fmt.Errorf("open the host's cgroup: %w", err)
	}
	defer func() { _ = into.Close() }()
	start := qemuStart{shape: s.machine.VM.Shape, dir: s.dir, taps: taps,
		files:   vmFiles{Disk: overlayName, Variables: variablesName, Repository: s.machine.Repository},
		more:    []string{"-qmp", "unix:" + monitorName + ",server=on,wait=off"},
		process: &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(into.Fd())},
	}
	q, err := s.start(start)
	if err != nil {
		return false, errors.Join(err, group.end(context.Background()))
	}
	reboots, err = q.wait()
	return reboots, errors.Join(err, group.end(context.Background()))
}

// start starts the machine; the first time on a fresh disk, and from a snapshot if there is one.
func (s supervisor) start(start qemuStart) (*qemu, error) {
	if start.files.Repository == "" {
		start.files.Repository = filepath.Join(s.dir, "repository")
		if err := os.MkdirAll(start.files.Repository, 0o755); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(filepath.Join(s.dir, personalName)); err == nil {
		for slot, l := range s.machine.Links {
			start.more = append(start.more, "-device", deviceArgument(start.shape.nicDevice(slot, l)))
		}
		return start.start()
	}
	backing, format, variables := filepath.Join(start.shape.Image, rawDiskName), "raw", uefiVariables
	if s.machine.VM.Snapshot != "" {
		variables = filepath.Join(s.machine.VM.Snapshot, variablesName)
		backing, format = filepath.Join(s.machine.VM.Snapshot, overlayName), "qcow2"
		memory, err := os.Open(filepath.Join(s.machine.VM.Snapshot, memoryName))
		if err != nil {
			return nil, fmt.Errorf("open the snapshot: %w", err)
		}
		defer func() { _ = memory.Close() }()
		start.memory = memory
	}
	if err := makeOverlay(context.Background(), filepath.Join(s.dir, overlayName), backing, format); err != nil {
		return nil, err
	}
	if err := start.shape.makeVariables(s.dir, variables); err != nil {
		return nil, err
	}
	q, err := start.start()
	if err != nil {
		return nil, err
	}
	if err := s.personaliseVM(q, start); err != nil {
		return nil, errors.Join(fmt.Errorf("make the virtual machine a host: %w", err), q.end())
	}
	return q, writeFile(filepath.Join(s.dir, personalName), nil, 0o644)
}

// makeOverlay makes an empty disk on another one that it never writes to.
func makeOverlay(ctx context.Context, path, backing, format string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cmd := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", format, path)
	_, err := output(cmd)
	return err
}

// makeVariables gives a machine that boots by UEFI variables of its own, which begin as others are.
func (s shape) makeVariables(dir, from string) error {
	if !s.uefi() {
		return nil
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read the variables of a UEFI firmware: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, variablesName), content, 0o600)
}

// personaliseVM gives a machine that is ready, or that a snapshot was made of when it was, its own files and NICs.
func (s supervisor) personaliseVM(q *qemu, start qemuStart) error {
	if start.memory == nil {
		if err := q.expect("ready", vmBootTime); err != nil {
			return err
		}
	}
	answer := personalAnswer{Entropy: make([]byte, 64), BootID: newUUID(), Files: s.machine.Files, NICs: map[string]string{}}
	rand.Read(answer.Entropy) // it never fails: crypto/rand
	for _, l := range s.machine.Links {
		answer.NICs[l.Name] = strings.ToLower(l.MAC)
	}
	if start.memory != nil {
		if err := q.goOn(); err != nil {
			return err
		}
	}
	answer.Now = float64(time.Now().UnixMicro()) / 1e6
	text, err := json.Marshal(answer)
	if err != nil {
		panic(fmt.Sprintf("testlab: an answer is plain data: %v", err))
	}
	if _, err := q.port.Write(append(text, '\n')); err != nil {
		return err
	}
	if err := q.expect("written", vmBootTime); err != nil {
		return err
	}
	for slot, l := range s.machine.Links {
		if _, err := q.control.do("device_add", start.shape.nicDevice(slot, l)); err != nil {
			return fmt.Errorf("plug NIC %s in: %w", l.Name, err)
		}
	}
	return q.expect("done", vmBootTime)
}

// goOn waits until a machine has taken its snapshot's memory in, in which it was stopped, and lets it go on.
func (q *qemu) goOn() error {
	deadline := time.After(vmBootTime)
	for {
		text, err := q.control.do("query-status", nil)
		if err != nil {
			return err
		}
		var state struct{ Status string }
		if err := json.Unmarshal(text, &state); err != nil {
			return err
		}
		if state.Status != "inmigrate" {
			_, err := q.control.do("cont", nil)
			return err
		}
		select {
		case <-deadline:
			return fmt.Errorf("qemu has not taken the snapshot in after %s", vmBootTime)
		case <-time.After(pollInterval):
		}
	}
}

// plugInTaps makes the cables of a virtual machine: a tap for each of its NICs, in the bridge of its network. A tap goes
// when the last process that has it open ends.
func (s supervisor) plugInTaps() ([]*os.File, error) {
	var taps []*os.File
	for _, l := range s.machine.Links {
		tap, err := plugTap(s.machine.Lab, l, portName(s.machine.Name, l.Name))
		if err != nil {
			return nil, fmt.Errorf("plug NIC %s into network %s: %w", l.Name, l.Network, err)
		}
		taps = append(taps, tap)
	}
	return taps, nil
}

func plugTap(lab string, l machineLink, port string) (*os.File, error) {
	var tun *os.File
	err := inNetns(fabricNetns(lab), func() (err error) {
		if tun, err = os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err != nil {
			return err
		}
		bridge, err := netlink.LinkByName(bridgeName(l.Network))
		if err != nil {
			return fmt.Errorf("find the bridge: %w", err)
		}
		request, err := unix.NewIfreq(port)
		if err != nil {
			return err
		}
		// Without IFF_VNET_HDR, so that what the guest sends has its checksums: see checksumHere.
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(int(tun.Fd()), unix.TUNSETIFF, request); err != nil {
			return fmt.Errorf("make tap %s: %w", port, err)
		}
		link, err := netlink.LinkByName(port)
		if err != nil {
			return err
		}
		// The guest's MTU alone decides what passes.
		if err := errors.Join(netlink.LinkSetMTU(link, largestMTU-14), netlink.LinkSetMaster(link, bridge), netlink.LinkSetUp(link)); err != nil || !l.Wire {
			return err
		}
		return passAll(link)
	})
	if err != nil && tun != nil {
		err = errors.Join(err, tun.Close())
	}
	return tun, err
}
