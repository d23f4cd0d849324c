package testlab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// namespaceBootTime is how long a host may take until its sshd answers. It takes two seconds where the machine is idle.
	namespaceBootTime = 90 * time.Second
	// signalReboot is SIGRTMIN+5 of glibc, at which systemd starts reboot.target; systemd(1).
	signalReboot = syscall.Signal(34 + 5)
)

// host is one host of a lab on this machine.
type host struct {
	lab, name string
	dir       string
	address   netip.Addr
	group     cgroup
	bootTime  time.Duration // until its sshd answers
	vm        bool
}

func (l *Lab) host(groups cgroups, h Host) host {
	found := host{lab: l.spec.Name, name: h.Name, dir: l.hostDir(h.Name), group: groups.at(l.spec.Name, h.Name), bootTime: namespaceBootTime}
	if h.VM != nil {
		found.vm, found.bootTime = true, vmBootTime
	}
	if nic, ok := l.spec.access(h); ok {
		found.address = nic.Address.Addr()
	}
	return found
}

// start switches the host on: it starts its supervisor, which outlives this process.
func (h host) start(supervisor []string) error {
	group := cgroup(filepath.Join(string(h.group), "weft"))
	if err := group.make(); err != nil {
		return err
	}
	into, err := group.open()
	if err != nil {
		return fmt.Errorf("open the host's cgroup: %w", err)
	}
	defer func() { _ = into.Close() }()
	console, err := os.OpenFile(filepath.Join(h.dir, consoleFileName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the host's console: %w", err)
	}
	defer func() { _ = console.Close() }()
	if err := os.Remove(filepath.Join(h.dir, reasonFileName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cmd := exec.Command(supervisor[0], append(supervisor[1:len(supervisor):len(supervisor)], h.dir)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:      true,
		Cloneflags:  syscall.CLONE_NEWPID,
		UseCgroupFD: true, CgroupFD: int(into.Fd()),
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the host's supervisor: %w", err)
	}
	go func() { _ = cmd.Wait() }() // or a long-lived caller, as a test is, would keep a zombie
	return nil
}

// boots reads when the host was booted.
func (h host) boots() (number int, last time.Time, err error) {
	data, err := os.ReadFile(filepath.Join(h.dir, bootsFileName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, time.Time{}, nil
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	last, err = time.Parse(time.RFC3339Nano, lines[len(lines)-1])
	return len(lines), last, err
}

func (h host) reason() string {
	data, err := os.ReadFile(filepath.Join(h.dir, reasonFileName))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// waitUp waits until the host was booted more than so many times and its sshd answers.
func (h host) waitUp(ctx context.Context, boots int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, h.bootTime, fmt.Errorf("no answer within %s", h.bootTime))
	defer cancel()
	for {
		number, _, err := h.boots()
		if err != nil {
			return fmt.Errorf("host %s: %w", h.name, err)
		}
		// The kernel sends a lost SYN again after a second; we are sooner.
		if number > boots && h.answers(ctx, 250*time.Millisecond) {
			return nil
		}
		if !h.group.populated() {
			return fmt.Errorf("host %s went down while it booted: %s; its console, %s, ends with:\n%s",
				h.name, h.reason(), filepath.Join(h.dir, consoleFileName), h.consoleEnd())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for sshd of host %s at %s: %w; its console, %s, ends with:\n%s",
				h.name, h.address, context.Cause(ctx), filepath.Join(h.dir, consoleFileName), h.consoleEnd())
		case <-time.After(pollInterval):
		}
	}
}

// answers says whether an sshd says its name within a time, RFC 4253 section 4.2.
func (h host) answers(ctx context.Context, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(h.address.String(), "22"))
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return false
	}
	banner, err := bufio.NewReaderSize(conn, 256).ReadSlice('\n')
	return err == nil && bytes.HasPrefix(banner, []byte("SSH-"))
}

func (h host) consoleEnd() string { return consoleEnd(filepath.Join(h.dir, consoleFileName)) }

// consoleEnd returns the last lines of a host's console, harmless for a terminal.
func consoleEnd(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "  (nothing)"
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	var b strings.Builder
	for _, line := range lines[max(0, len(lines)-8):] {
		fmt.Fprintf(&b, "  %s\n", strings.Trim(strconv.QuoteToGraphic(strings.TrimRight(line, "\r")), `"`))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// initPid is the process of the host's own init.
func (h host) initPid() (int, error) {
	path := filepath.Join(string(h.group), "nspawn", "payload", "init.scope", "cgroup.procs")
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("find the init of host %s: %w", h.name, err)
	}
	first, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return 0, fmt.Errorf("host %s has no init", h.name)
	}
	return pid, nil
}

// askReboot has the host's init reboot it in order: by a signal, or as the keyboard of a virtual machine does.
func (h host) askReboot() error {
	if !h.vm {
		return h.signalInit(signalReboot)
	}
	return h.withMonitor(func(q *qmp) error {
		_, err := q.do("send-key", map[string]any{"keys": []map[string]string{
			{"type": "qcode", "data": "ctrl"}, {"type": "qcode", "data": "alt"}, {"type": "qcode", "data": "delete"}}})
		return err
	})
}

// signalInit sends a signal to the host's own init.
func (h host) signalInit(signal syscall.Signal) error {
	pid, err := h.initPid()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, signal); err != nil {
		return fmt.Errorf("signal the init of host %s: %w", h.name, err)
	}
	return nil
}
