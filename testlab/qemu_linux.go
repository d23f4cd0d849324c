package testlab

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// qemuProgram emulates virtual machines; qemu(1).
const qemuProgram = "qemu-system-x86_64"

// qemuStart is a qemu to be started.
type qemuStart struct {
	shape   shape
	files   vmFiles    // without file descriptors
	dir     string     // it runs there, and writes the console there
	taps    []*os.File // of the NICs' cables
	memory  *os.File   // of a snapshot, nil for a boot
	more    []string   // further arguments
	process *syscall.SysProcAttr
}

// qemu is a virtual machine that runs.
type qemu struct {
	cmd     *exec.Cmd
	control *qmp
	port    *net.UnixConn // the other end of its ttyS1
	lines   *bufio.Reader
	console string // path
}

func (s qemuStart) start() (*qemu, error) {
	console := filepath.Join(s.dir, consoleFileName)
	log, err := os.OpenFile(console, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the host's console: %w", err)
	}
	defer func() { _ = log.Close() }()
	port, theirPort, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer func() { _ = theirPort.Close() }()
	control, theirControl, err := socketPair()
	if err != nil {
		return nil, errors.Join(err, port.Close())
	}
	defer func() { _ = theirControl.Close() }()

	extra := []*os.File{theirPort, theirControl}
	const firstExtra = 3 // exec.Cmd: the number that its ExtraFiles begin with
	s.files.Port, s.files.Control = firstExtra, firstExtra+1
	if s.memory != nil {
		s.files.Memory = firstExtra + len(extra)
		extra = append(extra, s.memory)
	}
	for _, tap := range s.taps {
		s.files.Taps = append(s.files.Taps, firstExtra+len(extra))
		extra = append(extra, tap)
	}
	cmd := exec.Command(qemuProgram, append(s.shape.arguments(s.files), s.more...)...)
	cmd.Dir, cmd.ExtraFiles, cmd.SysProcAttr = s.dir, extra, s.process
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start qemu: %w", err), port.Close(), control.Close())
	}
	q := &qemu{cmd: cmd, port: port, lines: bufio.NewReader(port), console: console}
	if err := theirControl.Close(); err != nil { // so that we see it end
		return nil, errors.Join(err, q.end())
	}
	if q.control, err = newQMP(control); err != nil {
		return nil, errors.Join(fmt.Errorf("%w; what it said is in %s", err, console), q.end())
	}
	return q, nil
}

// end kills a machine that still runs.
func (q *qemu) end() error {
	_ = q.cmd.Process.Kill()
	_ = q.cmd.Wait()
	return q.port.Close()
}

// wait waits until the machine has ended, and says whether it wants to be booted again: by its own will, after a panic,
// or by its watchdog.
func (q *qemu) wait() (reboots bool, err error) {
	reason := ""
	for e := range q.control.events {
		if e.Event == "SHUTDOWN" {
			reason = e.Data.Reason
		}
	}
	err = errors.Join(q.cmd.Wait(), q.port.Close(), q.control.close())
	switch {
	case err != nil:
		return false, fmt.Errorf("qemu: %w", err)
	case reason == "":
		return false, errors.New("qemu ended without a word")
	}
	return reason == "guest-reset", nil
}

// expect waits until the guest says a word at its ttyS1.
func (q *qemu) expect(word string, within time.Duration) error {
	if err := q.port.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	for {
		line, err := q.lines.ReadString('\n')
		if strings.TrimSpace(line) == word {
			return nil
		}
		if err != nil {
			return fmt.Errorf("wait for the guest to say %q: %w", word, err)
		}
	}
}

// socketPair makes two sockets that are one connection: ours, and one for a child.
func socketPair() (*net.UnixConn, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "socket")
	defer func() { _ = ours.Close() }() // FileConn makes its own descriptor
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make a pair of sockets: %w", err), theirs.Close())
	}
	return conn.(*net.UnixConn), theirs, nil
}

// newUUID makes a UUID of chance, RFC 9562 section 5.4.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // it never fails: crypto/rand
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// deviceArgument writes a device as qemu's -device wants it.
func deviceArgument(device map[string]string) string {
	text := device["driver"]
	for _, key := range slices.Sorted(maps.Keys(device)) {
		if key != "driver" {
			text += "," + key + "=" + device[key]
		}
	}
	return text
}
