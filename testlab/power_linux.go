package testlab

import (
	"context"
	"fmt"
)

// Reboot asks the host's init to reboot, as systemctl reboot does, and returns when its sshd answers again.
func (l *Lab) Reboot(ctx context.Context, name string) error {
	return l.withHost(ctx, name, func(h host, boots int) error {
		if err := h.askReboot(); err != nil {
			return err
		}
		return h.waitUp(ctx, boots)
	})
}

// PowerCycle ends everything the host runs at once, without a word to it, boots it again, and returns when its sshd
// answers. A host that is down is booted.
func (l *Lab) PowerCycle(ctx context.Context, name string) error {
	return l.withHost(ctx, name, func(h host, boots int) error {
		if err := l.switchOn(ctx, h); err != nil {
			return err
		}
		return h.waitUp(ctx, boots)
	})
}

func (l *Lab) noHost(name string) error {
	return fmt.Errorf("lab %s has no host %q", l.spec.Name, name)
}

func (l *Lab) withHost(ctx context.Context, name string, f func(h host, boots int) error) error {
	described, ok := l.spec.host(name)
	if !ok {
		return l.noHost(name)
	}
	groups, err := openCgroups()
	if err != nil {
		return err
	}
	defer groups.close()
	return l.locked(ctx, func() error {
		h := l.host(groups, described)
		boots, _, err := h.boots()
		if err != nil {
			return err
		}
		return f(h, boots)
	})
}

// ColdBoot cuts the power of all hosts at once, boots them all, and returns when every sshd answers.
func (l *Lab) ColdBoot(ctx context.Context) error {
	groups, err := openCgroups()
	if err != nil {
		return err
	}
	defer groups.close()
	return l.locked(ctx, func() error {
		if err := groups.at(l.spec.Name).end(ctx); err != nil {
			return fmt.Errorf("lab %s: %w", l.spec.Name, err)
		}
		return l.boot(ctx, groups)
	})
}
