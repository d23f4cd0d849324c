package host

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Daemons asks the daemons of Open vSwitch what they are doing, over their
// control sockets, as ovs-appctl(8) does. It changes nothing, so it is part of
// a View.
type Daemons interface {
	// Ask sends a command to a daemon ("ovs-vswitchd") and returns what it
	// says. A command that is not known to change nothing is refused. The
	// error wraps [ErrNotReady] where the daemon does not run, and is a
	// [*DaemonError] where it refuses the command.
	Ask(ctx context.Context, daemon, command string, args ...string) (string, error)
}

// DaemonError is a daemon's refusal of a command.
type DaemonError struct {
	Daemon  string
	Command string
	Said    string // "no such bond"
}

// Error names the daemon, the command and what was said.
func (e *DaemonError) Error() string {
	return fmt.Sprintf("%s refuses %s: %s", e.Daemon, e.Command, e.Said)
}

// OnlyAsks refuses commands that are not known to change nothing; every
// implementation of [Daemons] calls it. See ovs-vswitchd(8) for what they say.
//
// ofproto/trace is let through with a bridge and a flow alone: with a packet, or
// told to make one, it learns addresses from it.
func OnlyAsks(command string, args ...string) error {
	if command == "ofproto/trace" {
		if len(args) != 2 || strings.HasPrefix(args[0], "-") || strings.HasPrefix(args[1], "-") {
			return fmt.Errorf("%s %s is not known to change nothing", command, strings.Join(args, " "))
		}
		return nil
	}
	if !slices.Contains([]string{"bond/show", "dpif-netdev/pmd-rxq-show", "fdb/show", "lacp/show", "lacp/show-stats", "version"}, command) {
		return fmt.Errorf("%s is not known to change nothing", command)
	}
	return nil
}
