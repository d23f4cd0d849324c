package packages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
	foreign := b.foreign(now)
	var conflict error
	if len(foreign) > 0 {
		conflict = fmt.Errorf("package %s: %w", strings.Join(foreign, " "), step.ErrConflict)
	}
	reach, err := b.reach(ctx, h.View(), now, foreign)
	if err != nil {
		return errors.Join(conflict, err)
	}
	surplus := b.surplus(now, reach)
	if len(b.finding.Own) == 0 {
		if err := b.finding.Sorted(foreign, b.own(now, reach)); err != nil {
			return errors.Join(conflict, err)
		}
	}
	if needed := b.stay(ctx, h.View(), now, &surplus); needed != nil {
		return errors.Join(conflict, needed)
	}
	if err := b.manager.exchange(ctx, h, b.missing(now, reach)); err != nil {
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
	needed, err := neededBy(ctx, v, roots)
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

// missing is what to install again, in the version that was found.
func (b rpmBack) missing(now rpmTable, reach map[string]bool) rpmInstallation {
	i := rpmInstallation{erasing: true, repositories: b.record.Repositories, listsAge: age(b.record.ListsAge)}
	for key := range reach {
		was, is := b.before[key], now[key]
		for _, version := range was.Versions {
			switch word := nameVersion(key, version, was.Arch); {
			case slices.Contains(is.Versions, version):
			case is.there():
				i.others = append(i.others, word)
			default:
				i.words = append(i.words, word)
			}
		}
	}
	return i
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

// marks says again why packages are there, and which groups are.
func (b rpmBack) marks(ctx context.Context, h host.Host, reach map[string]bool) error {
	now, err := readRPMs(ctx, h.View())
	if err != nil {
		return err
	}
	now = maps.Clone(now)
	if err := b.manager.reasons(ctx, h.View(), now); err != nil {
		return err
	}
	todo := map[string][]string{}
	for key := range reach {
		was, is := b.before[key], now[key]
		if is.there() && was.there() && was.Reason != is.Reason && (!was.auto() || !is.auto()) {
			todo[was.Reason] = append(todo[was.Reason], key)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(todo)) {
		if err := b.manager.mark(ctx, h, reason, todo[reason]); err != nil {
			return err
		}
	}
	return b.groups(ctx, h)
}

func (b rpmBack) groups(ctx context.Context, h host.Host) error {
	if len(b.record.Groups) == 0 {
		return nil
	}
	installed, err := b.manager.groups(ctx, h.View())
	if err != nil {
		return err
	}
	for _, id := range b.record.Groups {
		verb := "remove"
		if b.record.Absent {
			verb = "install"
		}
		if slices.Contains(installed, id) == b.record.Absent {
			continue
		}
		if err := b.manager.run(ctx, h, "-C", "group", "mark", verb, id); err != nil {
			return err
		}
	}
	return nil
}

// locks sets the lines of the names in the list back. Where nothing else changed in
// it, it becomes what it was to the byte.
func (b rpmBack) locks(ctx context.Context, h host.Host, foreign []string) error {
	if !b.record.Hold {
		return nil
	}
	now, err := readLocks(ctx, h.View(), b.manager.tool)
	if err != nil || now.path == "" {
		return err
	}
	keys := slices.DeleteFunc(slices.Clone(b.record.Names), func(key string) bool { return slices.Contains(foreign, key) })
	was := lockList{tool: now.tool, text: b.record.Locks}
	switch {
	case was.only(keys) == now.only(keys):
		return nil
	case strings.TrimSpace(was.without(keys)) == strings.TrimSpace(now.without(keys)):
		return now.write(ctx, h, was.text, b.record.LockFile)
	}
	return now.write(ctx, h, now.without(keys)+was.only(keys), true)
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
