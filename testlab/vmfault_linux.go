package testlab

import (
	"context"
	_ "embed" // for the guest's own programs
	"fmt"
	"os/exec"
	"strings"
)

func (l *Lab) isVM(name string) bool {
	h, ok := l.spec.host(name)
	return ok && h.VM != nil
}

// atCards brings the cables of some cards of a virtual machine into this state: its cards see no carrier.
func (c cable) atCards(q *qmp, nics []NIC, wanted func(NIC) bool) error {
	for slot, n := range nics {
		if !wanted(n) {
			continue
		}
		if _, err := q.do("set_link", map[string]any{"name": nicID(slot), "up": c == plugged}); err != nil {
			return fmt.Errorf("the cable of NIC %s: %w", n.Name, err)
		}
	}
	return nil
}

//go:embed guest/fill
var guestFill string

//go:embed guest/free
var guestFree string

// inside runs a Python program as root on a virtual machine, whose disk cannot be reached but through it.
func (l *Lab) inside(ctx context.Context, name, program string) error {
	return l.withHost(ctx, name, func(h host, _ int) error {
		cmd := exec.CommandContext(ctx, "ssh", "-F", l.SSHConfigPath(), "-o", "BatchMode=yes", "-l", "root", name, "python3", "-")
		cmd.Stdin = strings.NewReader(program)
		if _, err := output(cmd); err != nil {
			return fmt.Errorf("host %s: %w", h.name, err)
		}
		return nil
	})
}
