package fake

import (
	"context"
	"fmt"
	"path"
	"strings"

	"weft/engine/host"
)

// A Program is what a program does to the machine and what it prints.
type Program func(m *Machine, c host.Command) host.Result

// Program registers a program under the name it is called by ("apt-get"); a
// path to it finds it too. A nil program removes it.
func (m *Machine) Program(name string, p Program) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p == nil {
		delete(m.hooks.programs, name)
		return
	}
	m.hooks.programs[name] = p
}

// commands is the door to the programs.
type commands struct{ m *Machine }

func (c commands) Run(ctx context.Context, cmd host.Command) (host.Result, error) {
	defer c.m.effects.begin()()
	return c.exec(ctx, cmd)
}

func (c commands) Query(ctx context.Context, cmd host.Command) (host.Result, error) {
	begun, quiet := c.m.effects.quiet()
	before := c.m.Snapshot()
	result, err := c.exec(ctx, cmd)
	after := c.m.Snapshot()
	if now, still := c.m.effects.quiet(); before != after && quiet && still && now == begun {
		panic(fmt.Sprintf("fake: %q was run by Query, and changed the machine; run it by Run, or find a read-only way:\n%s", cmd.String(), firstDifference(before, after)))
	}
	return result, err
}

func (c commands) exec(ctx context.Context, cmd host.Command) (host.Result, error) {
	if err := ctx.Err(); err != nil {
		return host.Result{}, err
	}
	if len(cmd.Argv) == 0 || cmd.Argv[0] == "" {
		return host.Result{}, fmt.Errorf("run a program: the command is empty")
	}
	c.m.mu.Lock()
	_, ok := c.m.net.spaces[cmd.Namespace]
	program := c.m.hooks.programs[cmd.Argv[0]]
	if program == nil {
		program = c.m.hooks.programs[path.Base(cmd.Argv[0])]
	}
	c.m.mu.Unlock()
	if !ok {
		return host.Result{}, fmt.Errorf("run %s: %w", cmd, noNamespace(cmd.Namespace))
	}
	if program == nil {
		return host.Result{}, fmt.Errorf("run %s: there is no program %s: %w", cmd, cmd.Argv[0], host.ErrNotReady)
	}
	result := program(c.m, cmd)
	if result.Exit != 0 {
		return result, &host.ExitError{Command: cmd.String(), Result: result}
	}
	return result, nil
}

// firstDifference shows the first line that differs between two snapshots.
func firstDifference(before, after string) string {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return "before: " + line(a, i) + "\nafter:  " + line(b, i)
}

func line(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(end)"
}
