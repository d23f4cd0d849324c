package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"weft/engine/host"
)

// units is systemd. One connection is kept as long as it lasts.
type units struct {
	commands commands

	mu  sync.Mutex
	bus *systemd
}

// jobTime is how long a job may take. systemd's own time-outs are shorter but
// for units that have none.
const jobTime = 10 * time.Minute

func (u *units) connect() (*systemd, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.bus != nil && u.bus.conn.Connected() {
		return u.bus, nil
	}
	bus, err := dialSystemd(systemdSocket)
	if err == nil {
		u.bus = bus
	}
	return bus, err
}

func (u *units) Unit(ctx context.Context, name string) (host.Unit, error) {
	if err := ctx.Err(); err != nil {
		return host.Unit{}, err
	}
	if err := validUnit(name); err != nil {
		return host.Unit{}, fmt.Errorf("read unit %q: %w", name, err)
	}
	bus, err := u.connect()
	if err != nil {
		return host.Unit{}, fmt.Errorf("read unit %s: %w", name, err)
	}
	unit, err := bus.unit(ctx, name)
	if err != nil {
		return host.Unit{}, fmt.Errorf("read unit %s: %w", name, err)
	}
	return unit, nil
}

// execCommand is the signature of ExecStart: path, arguments, whether a
// failure is ignored, times, process id and exit of the last run.
type execCommand struct {
	Path                         string
	Args                         []string
	Ignore                       bool
	Start, StartMono, Stop, Mono uint64
	PID                          uint32
	Code, Status                 int32
}

func (s *systemd) unit(ctx context.Context, name string) (host.Unit, error) {
	var u host.Unit
	var started uint64
	properties := []property{
		{"Unit", "Id", &u.Name},
		{"Unit", "LoadState", &u.LoadState},
		{"Unit", "ActiveState", &u.ActiveState},
		{"Unit", "SubState", &u.SubState},
		{"Unit", "UnitFileState", &u.FileState},
		{"Unit", "FragmentPath", &u.FragmentPath},
		{"Unit", "ActiveEnterTimestampMonotonic", &started},
		{"Unit", "NeedDaemonReload", &u.Stale},
	}
	var pid uint32
	var exec []execCommand
	if strings.HasSuffix(name, ".service") {
		properties = append(properties,
			property{"Service", "Type", &u.Type},
			property{"Service", "MainPID", &pid},
			property{"Service", "ExecStart", &exec})
	}
	var triggers []string
	if strings.HasSuffix(name, ".socket") {
		properties = append(properties, property{"Unit", "Triggers", &triggers})
	}
	if err := s.read(ctx, name, properties); err != nil {
		return host.Unit{}, err
	}
	if len(triggers) > 0 {
		u.Triggers = triggers[0]
	}
	u.MainPID, u.StartedAt = int(pid), int64(started)
	if len(exec) > 0 {
		u.ExecStart = exec[0].Path
	}
	if u.LoadState != "loaded" {
		u.Type = "" // systemd's default, not the unit's
	}
	return u, nil
}

func (u *units) Do(ctx context.Context, verb host.UnitVerb, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// The order is carried out to its end: see the package doc.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jobTime)
	defer cancel()
	if err := u.do(ctx, verb, name); err != nil {
		return fmt.Errorf("%s: %w", strings.TrimSpace(string(verb)+" "+name), err)
	}
	return nil
}

func (u *units) do(ctx context.Context, verb host.UnitVerb, name string) error {
	if verb != host.Reload && verb != host.Reboot {
		if err := validUnit(name); err != nil {
			return err
		}
	}
	bus, err := u.connect()
	if err != nil {
		return err
	}
	switch verb {
	case host.Start:
		return u.job(ctx, bus, "StartUnit", name)
	case host.Stop:
		return u.job(ctx, bus, "StopUnit", name)
	case host.Restart:
		return u.job(ctx, bus, "RestartUnit", name)
	case host.Reload:
		return bus.call(ctx, "Reload", nil)
	case host.Reboot:
		// What systemctl(1) reboot does; the manager's own Reboot stops no
		// service. The job ends everything, so nobody waits for it.
		var job dbus.ObjectPath
		return bus.call(ctx, "StartUnit", []any{"reboot.target", "replace-irreversibly"}, &job)
	}
	if err := bus.changeFiles(ctx, verb, name); err != nil {
		return err
	}
	return bus.call(ctx, "Reload", nil)
}

// changeFiles makes and removes the symlinks of a unit below
// /etc/systemd/system.
func (s *systemd) changeFiles(ctx context.Context, verb host.UnitVerb, name string) error {
	const forThisBootOnly, overwriteLinks = false, false
	files := []string{name}
	var changes []struct{ Kind, Path, Target string }
	switch verb {
	case host.Enable:
		var installable bool
		err := s.call(ctx, "EnableUnitFiles", []any{files, forThisBootOnly, overwriteLinks}, &installable, &changes)
		if err == nil && !installable {
			err = errors.New("its file has no [Install] section, so it cannot be enabled")
		}
		return s.explainGenerated(ctx, name, err)
	case host.Disable:
		err := s.call(ctx, "DisableUnitFiles", []any{files, forThisBootOnly}, &changes)
		return s.explainGenerated(ctx, name, err)
	case host.Mask:
		return s.call(ctx, "MaskUnitFiles", []any{files, forThisBootOnly, overwriteLinks}, &changes)
	case host.Unmask:
		return s.call(ctx, "UnmaskUnitFiles", []any{files, forThisBootOnly}, &changes)
	}
	return fmt.Errorf("unknown order %q", verb)
}

// explainGenerated says what to do about a unit that a generator made of a
// System V script: it has no file of its own to enable.
func (s *systemd) explainGenerated(ctx context.Context, name string, err error) error {
	if err == nil {
		return nil
	}
	if u, readErr := s.unit(ctx, name); readErr == nil && u.FileState == "generated" {
		return fmt.Errorf("%w (the unit is made of a System V script; its links are kept by update-rc.d or chkconfig)", err)
	}
	return err
}

// job runs a job to its end. A failure carries the end of the unit's log.
func (u *units) job(ctx context.Context, bus *systemd, method, name string) error {
	result, err := bus.job(ctx, method, name)
	if err != nil {
		return err
	}
	if result == "done" || result == "skipped" {
		return nil
	}
	log := u.log(ctx, name)
	if len(log) == 0 {
		return fmt.Errorf("the job ended as %q; look at journalctl -u %s", result, name)
	}
	return fmt.Errorf("the job ended as %q; its log ends:\n%s", result, log)
}

// maxLog is the most of a log that an error carries, in bytes.
const maxLog = 8 << 10

// log is the last lines of a unit's log; empty where there is no journal.
func (u *units) log(ctx context.Context, name string) []byte {
	// What a program wrote right before its end may not be in the journal yet.
	sync := host.Command{Argv: []string{"journalctl", "--sync"}, Timeout: 10 * time.Second}
	_, _ = u.commands.Query(ctx, sync) // systemd before 228 does not know it
	r, err := u.commands.Query(ctx, host.Command{
		Argv:    []string{"journalctl", "--unit=" + name, "--lines=20", "--no-pager", "--output=cat", "--quiet"},
		Timeout: 10 * time.Second,
	})
	if err != nil {
		return nil
	}
	text := bytes.TrimSpace(r.Stdout)
	return text[max(0, len(text)-maxLog):]
}

func validUnit(name string) error {
	if !strings.Contains(name, ".") || strings.ContainsAny(name, "/ \x00") {
		return errors.New("not the full name of a unit, like ssh.service")
	}
	return nil
}
