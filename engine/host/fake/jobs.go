package fake

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"weft/engine/host"
)

// start starts a unit and before it those that it requires or wants.
func (m *Machine) start(name string) error {
	m.mu.Lock()
	d := m.definition(name)
	u := m.units[d.name]
	up := u != nil && (u.active == "active" || u.active == "activating")
	m.mu.Unlock()
	switch {
	case up:
		return nil
	case d.load != "loaded":
		return fmt.Errorf("unit %s is %s", d.name, d.load)
	}
	if service := m.UnitState(d.name).Triggers; service != "" && m.UnitState(service).ActiveState == "active" {
		return fmt.Errorf("socket service %s already active, refusing", service)
	}
	m.settle(d, "activating", "start")
	for _, wanted := range d.words("Unit.Wants") {
		_ = m.start(wanted) // systemd.unit(5): its failure does not matter
	}
	for _, required := range d.words("Unit.Requires", "Unit.BindsTo") {
		if err := m.start(required); err != nil {
			m.settle(d, "inactive", "dead")
			return fmt.Errorf("a dependency of %s failed: %w", d.name, err)
		}
	}
	if err := m.callHook(d.name, host.Start); err != nil {
		m.settle(d, "failed", "failed")
		return fmt.Errorf("the job failed: %w", err)
	}
	active, sub := upState(d)
	m.settle(d, active, sub)
	return nil
}

// upState is what a unit of its type is once its start is done.
func upState(d definition) (active, sub string) {
	kind := d.name[strings.LastIndexByte(d.name, '.')+1:]
	switch kind {
	case "service":
	case "socket":
		return "active", "listening"
	case "timer", "path":
		return "active", "waiting"
	case "mount":
		return "active", "mounted"
	default:
		return "active", "active"
	}
	if serviceType(d) != "oneshot" {
		return "active", "running"
	}
	if slices.Contains([]string{"yes", "true", "on", "1"}, d.first("Service.RemainAfterExit")) {
		return "active", "exited"
	}
	return "inactive", "dead"
}

// stop stops a unit and before it those that go down with it, which it
// returns.
func (m *Machine) stop(name string) (dependents []string, err error) {
	m.mu.Lock()
	d := m.definition(name)
	u := m.units[d.name]
	down := u == nil || u.active != "active" && u.active != "failed"
	if !down {
		for other, o := range m.units {
			if o.active == "active" && slices.Contains(o.loaded.words("Unit.Requires", "Unit.BindsTo", "Unit.PartOf"), d.name) {
				dependents = append(dependents, other)
			}
		}
		u.active, u.sub = "deactivating", "stop" // so that units that depend on each other come here once
	}
	m.mu.Unlock()
	if down {
		if d.load == "not-found" {
			err = fmt.Errorf("unit %s is not loaded", d.name)
		}
		return nil, err
	}
	slices.Sort(dependents)
	var further []string
	for _, dependent := range dependents {
		more, stopErr := m.stop(dependent)
		further = append(further, more...)
		err = errors.Join(err, stopErr)
	}
	m.settle(d, "inactive", "dead")
	return append(dependents, further...), errors.Join(err, m.callHook(d.name, host.Stop))
}

// settle sets the state of a unit.
func (m *Machine) settle(d definition, active, sub string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.unit(d)
	u.active, u.sub, u.pid = active, sub, 0
	if active != "active" {
		return
	}
	u.loaded = d
	m.clock += 1_000_000
	u.started = m.clock
	if sub == "running" {
		m.pids++
		u.pid = m.pids
	}
}

// callHook tells the model of a unit what happened to it.
func (m *Machine) callHook(name string, verb host.UnitVerb) error {
	m.mu.Lock()
	hook := m.hooks.units[name]
	m.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(m, verb)
}
