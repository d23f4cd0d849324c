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
	kept := f.Foreign
	if f.Settled {
		var err error
		if kept, err = b.others(ctx, h.View(), target, want.Parts); err != nil {
			return err
		}
		if err := f.Sorted(kept, nil); err != nil {
			return err
		}
	}
	var conflict error
	if len(kept) > 0 {
		conflict = fmt.Errorf("%s: %s: %w", f.Object, strings.Join(kept, ", "), step.ErrConflict)
	}
	for _, name := range kept {
		delete(target, name)
	}
	return errors.Join(conflict, b.settle(ctx, h, target))
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
// into a tree, or started a unit.
func inUse(ctx context.Context, v host.View, at part) (bool, error) {
	switch at.class {
	case unit:
		err := idle(ctx, v, at.path)
		if errors.As(err, new(waits)) {
			return true, nil
		}
		return false, err
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
