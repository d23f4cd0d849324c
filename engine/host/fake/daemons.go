package fake

import (
	"context"
	"fmt"

	"weft/engine/host"
)

// OnAsk says what a daemon answers to a command; without it every command is
// refused.
func (m *Machine) OnAsk(answer func(m *Machine, daemon, command string, args []string) (string, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hooks.ask = answer
}

// daemons is the door to the daemons of Open vSwitch, which answer while their
// services run.
type daemons struct{ m *Machine }

func (d daemons) Ask(ctx context.Context, daemon, command string, args ...string) (string, error) {
	if err := host.OnlyAsks(command, args...); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if d.m.UnitState(daemon+".service").ActiveState != "active" {
		return "", fmt.Errorf("ask %s for %s: %w", daemon, command, host.ErrNotReady)
	}
	d.m.mu.Lock()
	answer := d.m.hooks.ask
	d.m.mu.Unlock()
	if answer == nil {
		return "", &host.DaemonError{Daemon: daemon, Command: command, Said: fmt.Sprintf("%q is not a valid command", command)}
	}
	return answer(d.m, daemon, command, args)
}
