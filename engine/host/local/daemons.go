package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"weft/engine/host"
)

// Daemons speaks to the control sockets of the daemons of Open vSwitch, by
// JSON-RPC 1.0, as ovs-appctl(8) does. Each question has a connection of its
// own: questions are few.
type Daemons struct {
	// Dirs are where a daemon keeps its pid file and its socket; the first
	// that has the pid file counts.
	Dirs []string
}

// Ask implements [host.Daemons].
func (d Daemons) Ask(ctx context.Context, daemon, command string, args ...string) (string, error) {
	if err := host.OnlyAsks(command, args...); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	said, err := d.ask(ctx, daemon, command, args)
	if err != nil {
		return "", fmt.Errorf("ask %s for %s: %w", daemon, command, err)
	}
	if said.refused != "" {
		return "", &host.DaemonError{Daemon: daemon, Command: command, Said: said.refused}
	}
	return said.text, nil
}

type reply struct{ text, refused string }

func (d Daemons) ask(ctx context.Context, daemon, command string, args []string) (reply, error) {
	socket, err := d.socket(daemon)
	if err != nil {
		return reply{}, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		err = fmt.Errorf("%w: it left its pid file behind; is it running? (%w)", host.ErrNotReady, err)
	}
	if err != nil {
		return reply{}, err
	}
	c := newConnection(conn)
	defer c.close(net.ErrClosed)
	params, err := json.Marshal(append([]string{}, args...)) // an empty list, never null
	if err != nil {
		return reply{}, err
	}
	m, err := c.call(ctx, command, params)
	if err != nil {
		return reply{}, err
	}
	return readAnswer(m)
}

// readAnswer reads an answer of unixctl: text, or text as an error.
func readAnswer(m message) (reply, error) {
	var a reply
	if !null(m.Error) {
		if err := json.Unmarshal(m.Error, &a.refused); err != nil || strings.TrimSpace(a.refused) == "" {
			a.refused = string(m.Error)
		}
		a.refused = strings.TrimSpace(a.refused)
		return a, nil
	}
	if err := json.Unmarshal(m.Result, &a.text); err != nil {
		return a, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return a, nil
}

// socket is named after the daemon's process, which its pid file names.
func (d Daemons) socket(daemon string) (string, error) {
	if daemon == "" || strings.ContainsAny(daemon, "/\x00") {
		return "", fmt.Errorf("%q is no name of a daemon", daemon)
	}
	for _, dir := range d.Dirs {
		b, err := os.ReadFile(filepath.Join(dir, daemon+".pid"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil || pid <= 0 {
			return "", fmt.Errorf("%s holds no process id", filepath.Join(dir, daemon+".pid"))
		}
		return filepath.Join(dir, fmt.Sprintf("%s.%d.ctl", daemon, pid)), nil
	}
	return "", fmt.Errorf("%w: it has no pid file; is it installed and running?", host.ErrNotReady)
}
