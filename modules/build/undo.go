package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// Undo makes every part as it was found, but for what another hand changed since.
func (b build) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	if f.Cost.Irreversible != "" {
		return fmt.Errorf("%s: %s: %w", f.Object, f.Cost.Irreversible, step.ErrIrreversible)
	}
	var before, want record
	if err := errors.Join(json.Unmarshal(f.Before, &before), json.Unmarshal(f.Want, &want)); err != nil {
		return fmt.Errorf("decode the record of %s: %w", f.Object, err)
	}
	target := maps.Clone(before.Parts)
	// What another hand took of the cache since is not made of trees that it may have changed too.
	maps.DeleteFunc(target, func(name, state string) bool { return partOf(name).class == archive && state == there })
	kept, said, err := b.kept(ctx, h.View(), f, target, want.Parts)
	if err != nil {
		return err
	}
	var conflict error
	if len(kept) > 0 {
		conflict = fmt.Errorf("%s: %s: %w", f.Object, strings.Join(said, ", "), step.ErrConflict)
	}
	if err := b.keepUnder(ctx, h.View(), kept, target); err != nil {
		return err
	}
	for _, name := range kept {
		delete(target, name)
		if at := partOf(name); at.class == treePart {
			delete(target, part{archive, b.packed(keyOf(at.path))}.name()) // it is repaired from
		}
	}
	return errors.Join(conflict, b.settle(ctx, h, target))
}

// keepUnder leaves what a unit that runs or that a boot starts works with, where such a
// unit is kept: the prefix as it leads now, and all that would go.
func (b build) keepUnder(ctx context.Context, v host.View, kept []string, target parts) error {
	used := false
	for _, name := range kept {
		if at := partOf(name); at.class == unit {
			u, err := useOf(ctx, v, at.path)
			if err != nil {
				return err
			}
			used = used || u.stops() != ""
		}
	}
	if !used {
		return nil
	}
	maps.DeleteFunc(target, func(name, state string) bool {
		switch partOf(name).class {
		case prefix:
			return true
		case treePart, archive, linker, link:
			return !stays(state)
		}
		return false
	})
	return nil
}

// kept are the parts that are left as they are, and the same for people, with reasons.
func (b build) kept(ctx context.Context, v host.View, f step.Finding, target, want parts) (names, said []string, err error) {
	names = slices.Clone(f.Foreign)
	if f.Settled {
		if names, err = b.others(ctx, v, target, want); err != nil {
			return nil, nil, err
		}
	}
	linked, err := b.linkedTrees(ctx, v, target)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(linked)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if f.Settled {
		if err := f.Sorted(names, nil); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range names {
		why := linked[name]
		if at := partOf(name); at.class == unit {
			u, err := useOf(ctx, v, at.path)
			if err != nil {
				return nil, nil, err
			}
			why = u.stops()
		}
		if why != "" {
			name += " (" + why + ", and then undo again)"
		}
		said = append(said, name)
	}
	return names, said, nil
}

// others are the parts that another hand changed since they were seen as they should
// be, or that something uses.
func (b build) others(ctx context.Context, v host.View, before, want parts) ([]string, error) {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		at := partOf(name)
		if at.class == scratch || at.class == parent || at.class == archive {
			continue
		}
		now, err := at.stand(ctx, v)
		if err != nil {
			return nil, err
		}
		if now == before[name] {
			continue
		}
		wanted, known := want[name]
		foreign := known && now != wanted
		if !foreign && before[name] == "" {
			if foreign, err = inUse(ctx, v, at); err != nil {
				return nil, err
			}
		}
		if foreign {
			all = append(all, name)
		}
	}
	return all, nil
}

// inUse says whether another hand works with a part that is to go: it put files
// into a tree, or started or enabled a unit.
func inUse(ctx context.Context, v host.View, at part) (bool, error) {
	switch at.class {
	case unit:
		u, err := useOf(ctx, v, at.path)
		return u.stops() != "", err
	case treePart:
		m, err := readManifest(ctx, v.Files, at.path)
		if err != nil || m == nil {
			return false, err
		}
		extras, err := m.extras(ctx, v.Files, at.path)
		return len(extras) > 0, err
	}
	return false, nil
}
