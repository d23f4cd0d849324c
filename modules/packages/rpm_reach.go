package packages

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
)

// foreign are the names that another hand changed since.
func (b rpmBack) foreign(now rpmTable) []string {
	if !b.finding.Settled {
		return b.finding.Foreign
	}
	var names []string
	for _, key := range b.record.Names {
		was, is := b.before[key], now[key]
		wanted := b.record.Versions[key]
		switch {
		case slices.Equal(was.Versions, is.Versions):
		case b.record.Absent && is.there(), !b.record.Absent && was.there() && !is.there(), is.there() && !is.has(wanted):
			names = append(names, key)
		}
	}
	return names
}

// lockedSince are those of keys that differ and that another hand locked since: it wants
// them as they are. A step that holds its names locks those itself.
func (b rpmBack) lockedSince(keys []string, now rpmTable, locks lockList) []string {
	was := lockList{tool: locks.tool, text: b.record.Locks}
	var locked []string
	for _, key := range keys {
		is, one := now[key], []string{key}
		ours := b.record.Hold && slices.Contains(b.record.Names, key)
		if !ours && !slices.Equal(is.Versions, b.before[key].Versions) && locks.only(one) != was.only(one) && locks.holds(key, is) {
			locked = append(locked, key)
		}
	}
	return locked
}

// reach is what the step may have changed: its names, what a removal took along, and
// of what differs since: what the names need now, what came in the same transactions,
// and what those replaced. What was installed after the names were is another hand's.
// Where the change was never seen whole that cannot be told, and the whole table is
// brought back.
func (b rpmBack) reach(ctx context.Context, v host.View, now rpmTable, foreign []string) (map[string]bool, error) {
	reach := map[string]bool{}
	add := func(keys ...string) {
		for _, key := range keys {
			reach[key] = true
		}
	}
	defer maps.DeleteFunc(reach, func(key string, _ bool) bool { return slices.Contains(foreign, key) })
	switch {
	case len(b.finding.Own) > 0:
		add(b.finding.Own...)
		return reach, nil
	case !b.finding.Settled:
		add(slices.Collect(maps.Keys(b.before))...)
		add(slices.Collect(maps.Keys(now))...)
		return reach, nil
	}
	add(b.record.Names...)
	add(b.record.Along...)
	roots, err := b.roots(ctx, v, foreign)
	if err != nil {
		return nil, err
	}
	came, err := b.came(ctx, v, now, roots)
	if err != nil {
		return nil, err
	}
	add(came...)
	replaced, err := b.replaced(ctx, v, now, came)
	add(replaced...)
	return reach, err
}

// roots are what the step was told to install.
func (b rpmBack) roots(ctx context.Context, v host.View, foreign []string) ([]string, error) {
	if b.record.Absent {
		return nil, nil
	}
	roots := slices.Clone(b.record.Names)
	for _, id := range b.record.Groups {
		members, err := b.manager.members(ctx, v, id)
		if err != nil {
			return nil, err
		}
		roots = append(roots, members...)
	}
	return slices.DeleteFunc(roots, func(key string) bool { return slices.Contains(foreign, key) }), nil
}

// came are the packages that differ since, and came no later than the roots.
func (b rpmBack) came(ctx context.Context, v host.View, now rpmTable, roots []string) ([]string, error) {
	last := -1
	same := map[string]bool{}
	for _, key := range roots {
		if is := now[key]; is.there() && !slices.Equal(is.Versions, b.before[key].Versions) {
			same[is.Transaction] = true
			last = max(last, is.transaction())
		}
	}
	if last < 0 {
		return nil, nil
	}
	needed, err := neededBy(ctx, v, roots, nil)
	if err != nil {
		return nil, err
	}
	var came []string
	for key, is := range now {
		ours := same[is.Transaction] || is.transaction() <= last && (needed[key] || is.auto() && !b.before[key].there())
		if ours && !slices.Equal(is.Versions, b.before[key].Versions) {
			came = append(came, key)
		}
	}
	return came, nil
}

// replaced are packages that were there, are gone, and that one of those that came
// obsoletes.
func (b rpmBack) replaced(ctx context.Context, v host.View, now rpmTable, came []string) ([]string, error) {
	gone := slices.DeleteFunc(slices.Collect(maps.Keys(b.before)), func(key string) bool { return now[key].there() })
	if len(gone) == 0 || len(came) == 0 {
		return nil, nil
	}
	args := append([]string{"rpm", "-q", "--qf", `[%{OBSOLETENAME}\n]`}, now.nevras(came)...)
	r, err := v.Commands.Query(ctx, host.Command{Argv: args, Timeout: time.Minute})
	if err != nil {
		return nil, fmt.Errorf("ask rpm what was replaced: %w", explained(err))
	}
	obsoleted := strings.Fields(string(r.Stdout))
	return slices.DeleteFunc(gone, func(key string) bool { return !slices.Contains(obsoleted, key) }), nil
}
