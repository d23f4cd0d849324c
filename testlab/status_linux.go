package testlab

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/sourcegraph/conc/pool"
)

// Status says how each host is, in the order of the description.
func (l *Lab) Status(ctx context.Context) ([]HostStatus, error) {
	groups, err := openCgroups()
	if err != nil {
		return nil, err
	}
	defer groups.close()
	p := pool.NewWithResults[HostStatus]().WithErrors()
	for _, h := range l.spec.Hosts {
		p.Go(func() (HostStatus, error) { return l.status(ctx, groups, h) })
	}
	found, err := p.Wait()
	slices.SortFunc(found, func(a, b HostStatus) int { return l.position(a.Name) - l.position(b.Name) })
	return found, err
}

func (l *Lab) position(name string) int {
	return slices.IndexFunc(l.spec.Hosts, func(h Host) bool { return h.Name == name })
}

func (l *Lab) status(ctx context.Context, groups cgroups, h Host) (HostStatus, error) {
	host := l.host(groups, h)
	boots, since, err := host.boots()
	if err != nil {
		return HostStatus{}, fmt.Errorf("host %s: %w", h.Name, err)
	}
	status := HostStatus{Name: h.Name, State: HostDown, Address: host.address.String(), Boots: boots, Since: since,
		Console: filepath.Join(host.dir, consoleFileName)}
	if addresses := l.spec.addresses(h); len(addresses) > 1 {
		status.Address6 = addresses[1].String()
	}
	switch {
	case !host.group.populated():
		status.Reason = host.reason()
	case host.answers(ctx, 2*time.Second):
		status.State = HostUp
	default:
		status.State = HostBooting
	}
	return status, nil
}
