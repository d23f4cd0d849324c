package fake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"

	"weft/engine/host"
)

// unit is what systemd remembers of a unit beyond its files.
type unit struct {
	loaded  definition // what an active unit was started from
	active  string
	sub     string
	pid     int
	started int64
}

// A UnitHook is what a unit does when it starts or stops; the verb is
// [host.Start] or [host.Stop]. An error of it fails the job and leaves the
// unit failed.
type UnitHook func(m *Machine, verb host.UnitVerb) error

// OnUnit registers what happens when a unit starts or stops. A restart is a
// stop and a start.
func (m *Machine) OnUnit(name string, hook UnitHook) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hooks.units[name] = hook
}

// Systemctl gives an order as another hand does. It panics where systemd
// refuses.
func (m *Machine) Systemctl(verb host.UnitVerb, name string) { must(m.do(verb, name)) }

// FailUnit ends the process of a unit and leaves it failed.
func (m *Machine) FailUnit(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.unit(m.definition(name))
	u.active, u.sub, u.pid = "failed", "failed", 0
}

// UnitState returns the state of a unit as systemd tells it.
func (m *Machine) UnitState(name string) host.Unit {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.definition(name)
	s := host.Unit{
		Name: d.name, LoadState: d.load, ActiveState: "inactive", SubState: "dead",
		FileState: m.files.fileState(m.files.define(d.name)), FragmentPath: d.fragment,
	}
	if d.load == "loaded" && strings.HasSuffix(d.name, ".service") {
		s.Type = serviceType(d)
		program, _, _ := strings.Cut(d.first("Service.ExecStart"), " ")
		s.ExecStart = strings.TrimLeft(program, "-@:+!")
	}
	if service, ok := strings.CutSuffix(d.name, ".socket"); ok && d.load == "loaded" {
		s.Triggers = cmp.Or(d.first("Socket.Service"), service+".service")
	}
	if u := m.units[d.name]; u != nil {
		s.ActiveState, s.SubState, s.MainPID, s.StartedAt = u.active, u.sub, u.pid, u.started
		s.Stale = u.active == "active" && !u.loaded.equal(m.files.define(d.name))
	}
	return s
}

func serviceType(d definition) string {
	switch {
	case d.first("Service.Type") != "":
		return d.first("Service.Type")
	case d.first("Service.ExecStart") == "":
		return "oneshot"
	}
	return "simple"
}

// Monotonic is the machine's CLOCK_MONOTONIC in microseconds: the clock that
// the StartedAt of its units is read from.
func (m *Machine) Monotonic() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clock
}

// units is the door to the units.
type units struct{ m *Machine }

func (u units) Unit(ctx context.Context, name string) (host.Unit, error) {
	if err := ctx.Err(); err != nil {
		return host.Unit{}, err
	}
	if !validUnit(name) {
		return host.Unit{}, fmt.Errorf("read unit %q: not the full name of a unit, like ssh.service", name)
	}
	return u.m.UnitState(name), nil
}

func (u units) Do(ctx context.Context, verb host.UnitVerb, name string) error {
	defer u.m.effects.begin()()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := u.m.do(verb, name); err != nil {
		return fmt.Errorf("%s %s: %w", verb, name, err)
	}
	return nil
}

func validUnit(name string) bool {
	return strings.Contains(name, ".") && !strings.ContainsAny(name, "/ \x00")
}

// definition is what systemd goes by: what an active unit was loaded from,
// else what the files say now. The caller holds the lock.
func (m *Machine) definition(name string) definition {
	d := m.files.define(name)
	if u := m.units[d.name]; u != nil && u.active == "active" {
		return u.loaded
	}
	return d
}

// unit is the memory of a unit. The caller holds the lock.
func (m *Machine) unit(d definition) *unit {
	u := m.units[d.name]
	if u == nil {
		u = &unit{active: "inactive", sub: "dead"}
		m.units[d.name] = u
	}
	return u
}

func (m *Machine) do(verb host.UnitVerb, name string) error {
	if verb != host.Reload && verb != host.Reboot && !validUnit(name) {
		return errors.New("not the full name of a unit, like ssh.service")
	}
	switch verb {
	case host.Start:
		return m.start(name)
	case host.Stop:
		_, err := m.stop(name)
		return err
	case host.Restart:
		stopped, err := m.stop(name)
		if err == nil {
			err = m.start(name)
		}
		for _, dependent := range stopped {
			err = errors.Join(err, m.start(dependent))
		}
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if verb == host.Reboot {
		m.goingDown = true
		return nil
	}
	defer m.reload()
	d := m.files.define(name)
	switch verb {
	case host.Enable:
		return m.enable(d, map[string]bool{})
	case host.Disable:
		return m.disable(d, map[string]bool{})
	case host.Mask:
		return m.mask(name)
	case host.Unmask:
		if d.load == "masked" {
			m.files.removeAll(path.Join("/etc/systemd/system", name))
		}
		return nil
	case host.Reload:
		return nil
	}
	return fmt.Errorf("unknown order %q", verb)
}

// reload makes active units go by their files again. The caller holds the
// lock.
func (m *Machine) reload() {
	for name, u := range m.units {
		if u.active == "active" {
			u.loaded = m.files.define(name)
		}
	}
}

func (m *Machine) enable(d definition, seen map[string]bool) error {
	wanted := m.files.wanted(d)
	switch {
	case seen[d.name]:
		return nil
	case d.load != "loaded":
		return fmt.Errorf("unit %s is %s", d.name, d.load)
	case len(wanted) == 0 && len(seen) == 0:
		return errors.New("its file has no [Install] section, so it cannot be enabled")
	}
	seen[d.name] = true
	for _, link := range wanted {
		m.mkdir(path.Dir(link))
		m.files[link] = node{Type: host.Symlink, Mode: 0o777, Owner: "root", Group: "root", Target: d.fragment}
	}
	for _, also := range d.words("Install.Also") {
		if err := m.enable(m.files.define(also), seen); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) disable(d definition, seen map[string]bool) error {
	if seen[d.name] {
		return nil
	}
	seen[d.name] = true
	links := m.files.enablers(d)
	if d.load == "not-found" && len(links) == 0 {
		return fmt.Errorf("unit file %s does not exist", d.name)
	}
	for _, link := range links {
		delete(m.files, link)
		if dir := path.Dir(link); dir != "/etc/systemd/system" && len(m.files.children(dir)) == 0 {
			delete(m.files, dir) // systemd removes an empty .wants directory
		}
	}
	for _, also := range d.words("Install.Also") {
		if err := m.disable(m.files.define(also), seen); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) mask(name string) error {
	at := path.Join("/etc/systemd/system", name)
	if old, there := m.files[at]; there && old.Target != "/dev/null" {
		return fmt.Errorf("mask: %s: %w", at, syscall.EEXIST)
	}
	m.files[at] = node{Type: host.Symlink, Mode: 0o777, Owner: "root", Group: "root", Target: "/dev/null"}
	return nil
}
