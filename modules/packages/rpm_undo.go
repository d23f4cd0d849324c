package packages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// rpmBack brings the packages of one step back. Everything is worked out from the
// table of now, so that a killed undo is finished by the next.
type rpmBack struct {
	manager manager
	record  rpmFound
	before  rpmTable
	finding step.Finding
}

// bring has what is missing installed first, older versions among it, then removes
// what came and nothing needs any more. Marks, groups and locks follow.
func (b rpmBack) bring(ctx context.Context, h host.Host) error {
	now, err := b.now(ctx, h)
	if err != nil {
		return err
	}
	locks, err := readLocks(ctx, h.View(), b.manager.tool)
	if err != nil {
		return err
	}
	foreign := slices.Concat(b.foreign(now), b.lockedSince(b.record.Names, now, locks))
	reach, err := b.reach(ctx, h.View(), now, foreign)
	if err != nil {
		return errors.Join(conflictOf(foreign), err)
	}
	for _, key := range b.lockedSince(slices.Collect(maps.Keys(reach)), now, locks) {
		delete(reach, key)
		foreign = append(foreign, key)
	}
	slices.Sort(foreign)
	foreign = slices.Compact(foreign)
	conflict := conflictOf(foreign)
	surplus := b.surplus(now, reach)
	if len(b.finding.Own) == 0 {
		if err := b.finding.Sorted(foreign, b.own(now, reach)); err != nil {
			return errors.Join(conflict, err)
		}
	}
	if needed := b.stay(ctx, h.View(), now, &surplus); needed != nil {
		return errors.Join(conflict, needed)
	}
	if err := b.putBack(ctx, h, now, reach, locks); err != nil {
		return errors.Join(conflict, fmt.Errorf("put packages back: %w", err))
	}
	if err := b.remove(ctx, h, surplus); err != nil {
		return errors.Join(conflict, fmt.Errorf("remove what was installed: %w", err))
	}
	if err := b.marks(ctx, h, reach); err != nil {
		return errors.Join(conflict, fmt.Errorf("set the marks back: %w", err))
	}
	if err := b.locks(ctx, h, foreign); err != nil {
		return errors.Join(conflict, fmt.Errorf("set the locks back: %w", err))
	}
	return errors.Join(conflict, b.verify(ctx, h, foreign))
}

func conflictOf(foreign []string) error {
	if len(foreign) == 0 {
		return nil
	}
	return fmt.Errorf("package %s: %w", strings.Join(foreign, " "), step.ErrConflict)
}

// own are the parts that this undo will change, for another that goes on with it.
func (b rpmBack) own(now rpmTable, reach map[string]bool) []string {
	var keys []string
	for key := range reach {
		if slices.Contains(b.record.Names, key) || !slices.Equal(b.before[key].Versions, now[key].Versions) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// now is the table with the reasons, once what an interrupted rpm left is finished.
func (b rpmBack) now(ctx context.Context, h host.Host) (rpmTable, error) {
	t, err := readRPMs(ctx, h.View())
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(slices.Collect(maps.Keys(t)), func(key string) bool { return t.twice(key) && !b.before.twice(key) }) {
		if err := b.manager.finish(ctx, h); err != nil {
			return nil, fmt.Errorf("finish an interrupted upgrade: %w", err)
		}
		if t, err = readRPMs(ctx, h.View()); err != nil {
			return nil, err
		}
	}
	t = maps.Clone(t)
	return t, b.manager.reasons(ctx, h.View(), t)
}

// surplus are the packages to remove: what was not there, and was asked for by the
// step or came as a dependency.
func (b rpmBack) surplus(now rpmTable, reach map[string]bool) []string {
	if b.record.Absent {
		return nil
	}
	var keys []string
	for key := range reach {
		is := now[key]
		if !is.there() || b.before[key].there() {
			continue
		}
		half := !b.finding.Settled && (is.Reason == "" || is.Reason == "unknown") // what an interrupted dnf installed
		ofGroup := len(b.record.Groups) > 0 && is.Reason == "group"
		if slices.Contains(b.record.Names, key) || is.auto() || half || ofGroup {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// stay leaves out of surplus what others need. It is a conflict where that is what
// the step was told to install.
func (b rpmBack) stay(ctx context.Context, v host.View, now rpmTable, surplus *[]string) error {
	spare, needed, err := now.spareable(ctx, v, *surplus)
	if err != nil {
		return err
	}
	for _, key := range b.record.Names {
		if by, ok := needed[key]; ok && slices.Contains(*surplus, key) {
			return fmt.Errorf("package %s stays, since %s needs it: %w", key, by, step.ErrConflict)
		}
	}
	*surplus = spare
	return nil
}

// remove takes what is surplus, and versions of a kernel that were not there.
func (b rpmBack) remove(ctx context.Context, h host.Host, surplus []string) error {
	now, err := readRPMs(ctx, h.View())
	if err != nil {
		return err
	}
	words := slices.DeleteFunc(slices.Clone(surplus), func(key string) bool { return !now[key].there() })
	for _, key := range b.record.Names {
		if was := b.before[key]; several(key) && was.there() && !b.record.Absent {
			for _, version := range now[key].Versions {
				if !slices.Contains(was.Versions, version) {
					words = append(words, nameVersion(key, version, now[key].Arch))
				}
			}
		}
	}
	return b.manager.remove(ctx, h, words)
}

// verify reads again what undo should have brought back.
func (b rpmBack) verify(ctx context.Context, h host.Host, foreign []string) error {
	now, err := readRPMs(ctx, h.View())
	if err != nil {
		return err
	}
	for _, key := range slices.Concat(b.record.Names, b.record.Along) {
		was, is := b.before[key], now[key]
		if slices.Contains(foreign, key) || slices.Equal(was.Versions, is.Versions) {
			continue
		}
		return fmt.Errorf("undo package %s: it did not come back: found %s, is %s", key, orNothing(was), orNothing(is))
	}
	return nil
}

func orNothing(p rpmPackage) string {
	if !p.there() {
		return "absent"
	}
	return p.shown()
}
