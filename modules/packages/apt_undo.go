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

// back brings the packages of one step back. Everything is worked out from the
// table of now, so that a killed undo is finished by the next.
type back struct {
	record  found
	before  table
	settled bool
	finding step.Finding    // what it says of an undo that was cut
	reach   map[string]bool // what the step may have changed of what was there
}

// newBack works out how far the step reached: to its names, and to what they
// need now. Where the change was never seen whole, or an undo was cut, that
// cannot be told any more, and the whole table is brought back.
func newBack(record found, before, now table, f step.Finding) back {
	b := back{record: record, before: before, settled: f.Settled, finding: f, reach: map[string]bool{}}
	if f.Settled {
		b.reach = now.closure(record.Names, func(string) bool { return true })
	} else {
		for name := range before {
			b.reach[name] = true
		}
	}
	for _, name := range slices.Concat(record.Names, record.Along) {
		b.reach[name] = true
	}
	return b
}

// bring makes one call of apt, since what comes and what goes may need each
// other, then takes the configuration of what went, and sets the marks.
func (b back) bring(ctx context.Context, h host.Host, now table) error {
	foreign := b.foreign(now)
	var conflict error
	if len(foreign) > 0 {
		conflict = fmt.Errorf("package %s: %w", strings.Join(foreign, " "), step.ErrConflict)
	}
	surplus, left := b.surplus(now, foreign)
	if len(b.finding.Own) == 0 {
		if err := b.finding.Sorted(foreign, union(surplus, left)); err != nil {
			return errors.Join(conflict, err)
		}
	}
	i := installation{packages: b.missing(now, foreign), without: surplus, listsAge: age(b.record.ListsAge)}
	if err := b.exchange(ctx, h, i); err != nil {
		return errors.Join(conflict, err)
	}
	if err := remove(ctx, h, "purge", left); err != nil {
		return errors.Join(conflict, fmt.Errorf("purge what was installed: %w", err))
	}
	if err := b.marks(ctx, h, foreign); err != nil {
		return errors.Join(conflict, err)
	}
	return errors.Join(conflict, b.verify(ctx, h, foreign))
}

// exchange is a conflict where something that was installed since needs what
// should go.
func (b back) exchange(ctx context.Context, h host.Host, i installation) error {
	if len(i.without) > 0 {
		along, err := installation{without: i.without, packages: i.packages}.goWith(ctx, h.View())
		if err != nil {
			return err
		}
		if len(along) > 0 {
			return fmt.Errorf("package %s stays, since %s needs it: %w", strings.Join(i.without, " "), strings.Join(along, ", "), step.ErrConflict)
		}
	}
	if len(i.without)+len(i.packages) == 0 {
		return nil
	}
	if err := i.run(ctx, h); err != nil {
		return fmt.Errorf("put packages back: %w", err)
	}
	return nil
}

// foreign are the names that another hand changed since.
func (b back) foreign(now table) []string {
	var names []string
	if !b.settled {
		return b.finding.Foreign
	}
	for _, name := range b.record.Names {
		was, is := b.before[name], now[name]
		wanted := b.record.Versions[name]
		switch {
		case is.there() == was.there() && is.Version == was.Version:
		case b.record.Absent && is.there(), !b.record.Absent && was.there() && !is.there(),
			is.there() && wanted != "" && is.Version != wanted:
			names = append(names, name)
		}
	}
	return names
}

// missing are the packages to install again, with the version that was found.
func (b back) missing(now table, foreign []string) map[string]string {
	packages := map[string]string{}
	for name := range b.reach {
		was, is := b.before[name], now[name]
		if was.installed() && !slices.Contains(foreign, name) && (!is.there() || is.Version != was.Version) {
			packages[name] = was.Version
		}
	}
	return packages
}

// surplus are the packages to remove: the names that were not there, and what
// came with them and nothing else needs. Left are those of them to purge: all
// but what had left its configuration before.
func (b back) surplus(now table, foreign []string) (surplus, left []string) {
	// An apt that is cut, or meets a full disk, may lose the marks of what is
	// automatic: only the undo that began this one saw them.
	known := slices.Concat(b.record.Names, b.finding.Own)
	ours := func(name string) bool {
		return slices.Contains(known, name) && !b.before[name].there() && !slices.Contains(foreign, name)
	}
	var roots []string
	for name, p := range now {
		if b.before[name].there() || !p.Auto && !ours(name) || slices.Contains(foreign, name) {
			roots = append(roots, name)
		}
	}
	// What was there before lived without what it recommends.
	needed := now.closure(roots, func(name string) bool { return !b.before[name].there() })
	for _, name := range slices.Sorted(maps.Keys(now)) {
		was, is := b.before[name], now[name]
		if was.there() || b.record.Absent {
			continue
		}
		orphan := is.there() && is.Auto && !needed[name]
		half := !is.there() && !b.settled // an undo that was cut removed it
		if !ours(name) && !orphan && !half {
			continue
		}
		if is.there() {
			surplus = append(surplus, name)
		}
		if was.State == "" {
			left = append(left, name)
		}
	}
	return surplus, left
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// marks sets the holds of the names, and the automatic marks of all that this
// step may have touched.
func (b back) marks(ctx context.Context, h host.Host, foreign []string) error {
	now, err := readTable(ctx, h.View())
	if err != nil {
		return err
	}
	todo := map[string][]string{}
	for name := range b.reach {
		was, is := b.before[name], now[name]
		if !is.there() || !was.there() || slices.Contains(foreign, name) {
			continue
		}
		if was.Auto != is.Auto {
			verb := "manual"
			if was.Auto {
				verb = "auto"
			}
			todo[verb] = append(todo[verb], name)
		}
		if was.Hold != is.Hold {
			todo[holdVerb(was.Hold)] = append(todo[holdVerb(was.Hold)], name)
		}
	}
	for _, verb := range []string{"auto", "manual", "hold", "unhold"} {
		if err := mark(ctx, h, verb, todo[verb]); err != nil {
			return fmt.Errorf("set the marks back: %w", err)
		}
	}
	return nil
}

// verify reads again what undo should have brought back.
func (b back) verify(ctx context.Context, h host.Host, foreign []string) error {
	now, err := readTable(ctx, h.View())
	if err != nil {
		return err
	}
	for _, name := range slices.Concat(b.record.Names, b.record.Along) {
		was, is := b.before[name], now[name]
		if slices.Contains(foreign, name) || was.there() == is.there() && (!was.there() || was.Version == is.Version) {
			continue
		}
		return fmt.Errorf("undo package %s: it did not come back: found %s, is %s", name, orAbsent(was), orAbsent(is))
	}
	return nil
}

func orAbsent(p pkg) string {
	if !p.there() {
		return "absent"
	}
	return p.Version
}
