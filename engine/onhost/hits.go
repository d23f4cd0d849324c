package onhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"weft/engine/host/guests"
	"weft/engine/step"
)

// switchUnits are those whose restart restarts ovs-vswitchd: its own by the names
// that distributions and weft's builds give it, its database, which it requires,
// and the units that stand for both.
func switchUnits() []string {
	return []string{
		"ovs-vswitchd", "ovsdb-server", "openvswitch-switch", "openvswitch", "openvswitch-nonetwork",
		"weft-ovs-vswitchd", "weft-ovsdb-server",
	}
}

// hits are the virtual machines that run and that settling a need hits: all by a
// reboot, those with a card on the switch by a restart of that.
func (s *session) hits(ctx context.Context, n step.Need) (found guests.Found, err error) {
	switch {
	case isReboot(n):
		found, err = guests.Running(ctx, s.Host.View())
	case slices.Contains(switchUnits(), strings.TrimSuffix(n.Object, ".service")):
		u, lost := s.Host.Units.Unit(ctx, switchUnits()[0]+".service")
		if lost == nil && (u.ActiveState == "failed" || u.ActiveState == "inactive") {
			break // who had a card on it is cut off already
		}
		found, err = guests.OnSwitch(ctx, s.Host.View())
	}
	if err != nil {
		err = fmt.Errorf("find the virtual machines that %s of %s hits: %w", n.Verb, n.Object, err)
	}
	return found, err
}

// nameGuests names in what was found the virtual machines that the change hits
// beside those that its kind knows of: by the needs that it raises, by those left
// of earlier runs that are settled here, and by what becomes of the unit that the
// step manages.
func (c *change) nameGuests(ctx context.Context) error {
	var needs []step.Need
	if c.found.Changed() || len(c.half) > 0 {
		needs = c.needs()
		if c.x.settles != nil && c.found.Cost.Disruption != "" {
			needs = append(needs, *c.x.settles)
		}
	}
	for _, n := range c.left {
		if c.s.toCome(n) {
			needs = append(needs, n.Need)
		}
	}
	f := &c.found
	for _, n := range needs {
		if isReboot(n) && (c.x.Reboot == step.RebootNever || c.x.Reboot == step.RebootStaged) {
			continue // nobody orders it
		}
		if isReboot(n) && c.rebootCame() && !slices.ContainsFunc(c.left, func(o openNeed) bool { return isReboot(o.Need) }) {
			continue
		}
		found, err := c.s.hits(ctx, n)
		if err != nil {
			return err
		}
		f.Cost.Guests = union(f.Cost.Guests, found.Names)
		f.Warnings = union(f.Warnings, found.Warnings)
		if len(found.Names) > 0 && f.Cost.Disruption == "" {
			f.Cost.Disruption = disruption(n)
		}
	}
	return nil
}

// union is a with what it lacks of b; a stays as it is.
func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// toCome says whether a need that was left is settled by this run: a reboot is
// only where somebody wants it.
func (s *session) toCome(n openNeed) bool {
	return !isReboot(n.Need) || slices.ContainsFunc(n.raised, func(r raised) bool {
		p := s.rebootPolicy(n.Need, r)
		return !s.bootedSince(r.record) && p != step.RebootNever && p != step.RebootStaged
	})
}

// allowed refuses a change, or what was left of one, that hits virtual machines
// without the operator's word.
func (c *change) allowed() error {
	if !c.found.Changed() && len(c.left)+len(c.half) == 0 || c.disrupts || len(c.found.Cost.Guests) == 0 {
		return nil
	}
	return fmt.Errorf("the change hits virtual machines that run here, %s: %s; move them or shut them down, or allow it by --allow-disruption",
		strings.Join(c.found.Cost.Guests, ", "), c.found.Cost.Disruption)
}

// settleOnwards settles needs on the way through an apply. One that earlier
// sessions alone raised may come before the step that it is shown at, and nobody
// was asked for it: it stays open where it hits virtual machines, unless that is
// allowed.
func (s *session) settleOnwards(ctx context.Context, needs []openNeed) (restarted bool, err error) {
	var free []openNeed
	var errs []error
	for _, n := range needs {
		if err := s.mayHit(ctx, n); err != nil {
			errs = append(errs, s.needFailed(ctx, n, err, 0))
			continue
		}
		free = append(free, n)
	}
	restarted, err = s.settle(ctx, free)
	return restarted, errors.Join(append(errs, err)...)
}

func (s *session) mayHit(ctx context.Context, n openNeed) error {
	ours := slices.ContainsFunc(n.raised, func(r raised) bool { return !s.isLeft(r) })
	if s.disrupts || ours || !s.toCome(n) {
		return nil
	}
	if !isReboot(n.Need) {
		if u, err := s.Host.Units.Unit(ctx, n.Object); err != nil || s.moot(n, u) {
			return err
		}
	}
	found, err := s.hits(ctx, n.Need)
	if err != nil || len(found.Names) == 0 {
		return err
	}
	return fmt.Errorf("an earlier run left it open, and it hits virtual machines that run here, %s; move them or shut them down, or allow it by --allow-disruption",
		strings.Join(found.Names, ", "))
}
