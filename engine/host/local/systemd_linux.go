package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/godbus/dbus/v5"

	"weft/engine/host"
)

// systemdSocket is where systemd speaks D-Bus to root without a bus daemon, as
// systemctl does. A minimal system has no bus daemon.
const systemdSocket = "/run/systemd/private"

const (
	systemdName   = "org.freedesktop.systemd1"
	systemdPath   = dbus.ObjectPath("/org/freedesktop/systemd1")
	managerMethod = systemdName + ".Manager."
)

// systemd is a connection to systemd. It learns of the end of jobs.
type systemd struct {
	conn *dbus.Conn

	mu   sync.Mutex // held while a job is ordered, so that its end is not missed
	jobs map[dbus.ObjectPath]chan<- string
}

// dialSystemd returns an error that wraps host.ErrNotReady where no systemd
// listens.
func dialSystemd(socket string) (*systemd, error) {
	conn, err := dbus.Dial("unix:path=" + dbus.EscapeBusAddressValue(socket))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("no systemd listens at %s: %w", socket, host.ErrNotReady)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to systemd: %w", err), conn.Close())
	}
	s := &systemd{conn: conn, jobs: map[dbus.ObjectPath]chan<- string{}}
	signals := make(chan *dbus.Signal, 64)
	conn.Signal(signals)
	go s.listen(signals)
	return s, nil
}

// listen ends when the connection is closed, which closes the channel.
func (s *systemd) listen(signals <-chan *dbus.Signal) {
	for signal := range signals {
		if signal.Name != managerMethod+"JobRemoved" {
			continue
		}
		var id uint32
		var job dbus.ObjectPath
		var unit, result string
		if dbus.Store(signal.Body, &id, &job, &unit, &result) != nil {
			continue
		}
		s.mu.Lock()
		if ended := s.jobs[job]; ended != nil {
			delete(s.jobs, job)
			ended <- result
		}
		s.mu.Unlock()
	}
}

// call calls a method of the manager and stores what it returns.
func (s *systemd) call(ctx context.Context, method string, args []any, results ...any) error {
	return s.conn.Object(systemdName, systemdPath).CallWithContext(ctx, managerMethod+method, 0, args...).Store(results...)
}

// job orders a job and waits for its end. The result is a word of
// org.freedesktop.systemd1(5): "done", "failed", "timeout", "dependency", …
func (s *systemd) job(ctx context.Context, method, unit string) (string, error) {
	ended := make(chan string, 1)
	var job dbus.ObjectPath
	s.mu.Lock()
	err := s.call(ctx, method, []any{unit, "replace"}, &job)
	if err == nil {
		s.jobs[job] = ended
	}
	s.mu.Unlock()
	if err != nil {
		return "", err
	}
	select {
	case result := <-ended:
		return result, nil
	case <-s.conn.Context().Done():
		return "", errors.New("systemd closed the connection while the job ran; see what became of the unit")
	case <-ctx.Done():
		s.mu.Lock()
		delete(s.jobs, job)
		s.mu.Unlock()
		return "", fmt.Errorf("the job still runs: %w", ctx.Err())
	}
}

// property is one property of a unit, and where its value goes.
type property struct {
	object string // "Unit" or "Service"
	name   string
	into   any
}

// read asks for all properties at once and then collects the answers. Asking
// loads the unit where it is not loaded.
func (s *systemd) read(ctx context.Context, unit string, properties []property) error {
	object := s.conn.Object(systemdName, systemdPath+"/unit/"+dbus.ObjectPath(escapeUnit(unit)))
	calls := make([]*dbus.Call, len(properties))
	for i, p := range properties {
		calls[i] = object.GoWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0,
			make(chan *dbus.Call, 1), systemdName+"."+p.object, p.name)
	}
	for i, p := range properties {
		var value dbus.Variant
		call := <-calls[i].Done
		if err := call.Store(&value); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if err := value.Store(p.into); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// escapeUnit makes a part of an object path of a unit's name
// (sd_bus_path_encode(3)).
func escapeUnit(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		digit := c >= '0' && c <= '9'
		if letter || digit && i > 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "_%02x", c)
	}
	return b.String()
}
