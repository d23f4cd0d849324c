package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/onhost/guard"
)

// What waits for a guard's deadline is a service of its own, so that neither
// the end of a session nor a daemon-reload ends it, and one that is enabled, so
// that a boot starts it again. It is not ordered after the network: what it
// takes back may be what keeps the network from coming up.
const (
	guardUnit = "weft-guard.service"
	guardFile = "/etc/systemd/system/" + guardUnit
)

// standing is how long an armed guard may take to be seen at work.
const standing = 10 * time.Second

func (s *session) guardService(a guard.Armed) string {
	return fmt.Sprintf(`# Written by weft, and removed when the guard is decided.
[Unit]
Description=weft: take run %s back unless it is confirmed
After=local-fs.target ovsdb-server.service ovs-vswitchd.service openvswitch-switch.service openvswitch.service
StartLimitIntervalSec=0

[Service]
Type=simple
ExecStart=%s guard
Environment=WEFT_STATE=%s WEFT_RUNTIME=%s
Restart=on-failure
RestartSec=1s
OOMScoreAdjust=-900

[Install]
WantedBy=multi-user.target
`, a.Run, escaped(s.Host.Self), escaped(s.State), escaped(s.Runtime))
}

// escaped keeps systemd.unit(5) from reading specifiers.
func escaped(path string) string { return strings.ReplaceAll(path, "%", "%%") }

// putUp installs the service, puts the guard on the disk, starts the service
// and sees it at work.
func (s *session) putUp(ctx context.Context, a guard.Armed) error {
	unlock, err := s.guards().Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.guards().Prepare(); err != nil {
		return err
	}
	h := s.Host
	if err := h.Files.Write(ctx, guardFile, []byte(s.guardService(a)), host.Attributes{}); err != nil {
		return err
	}
	if err := h.Units.Do(ctx, host.Enable, guardUnit); err != nil {
		return fmt.Errorf("enable %s: %w", guardUnit, err)
	}
	if err := s.guards().Arm(a); err != nil {
		return err
	}
	if err := h.Units.Do(ctx, host.Start, guardUnit); err != nil {
		return fmt.Errorf("start %s: %w", guardUnit, err)
	}
	deadline := time.Now().Add(standing)
	for s.guards().Watcher() == 0 {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not come up; see: journalctl -u %s", guardUnit, guardUnit)
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// Whether standDown ends the process that waits: it is not told to where it is
// the one that stands down.
type watcher int

const (
	stopWatcher watcher = iota
	amWatcher
)

// standDown removes all of a guard but its report. It is done again without
// harm.
func (s *session) standDown(ctx context.Context, w watcher) error {
	if w == amWatcher {
		unlock, ok, err := s.guards().Try()
		if err != nil || !ok {
			return err // who has the lock stands it down, and waits for the end of this process
		}
		defer unlock()
		return s.clear(ctx, w)
	}
	unlock, err := s.guards().Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return s.clear(ctx, w)
}

// clear is standDown for who has the lock.
func (s *session) clear(ctx context.Context, w watcher) error {
	ctx = context.WithoutCancel(ctx)
	h := s.Host
	var errs []error
	u, err := h.Units.Unit(ctx, guardUnit)
	if err != nil {
		return fmt.Errorf("find %s: %w", guardUnit, err)
	}
	// One that still stands was put up half, and nothing came under it.
	if err := s.guards().Commit(); err != nil && !errors.Is(err, guard.ErrNone) {
		return err
	}
	if w == stopWatcher && u.ActiveState != "inactive" && u.LoadState != "not-found" {
		errs = append(errs, h.Units.Do(ctx, host.Stop, guardUnit))
	}
	if _, err := h.Files.Stat(ctx, guardFile); err == nil {
		errs = append(errs, h.Units.Do(ctx, host.Disable, guardUnit), h.Files.Remove(ctx, guardFile), h.Units.Do(ctx, host.Reload, ""))
	} else if !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.guards().Forget()
}
