package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"weft/engine/host"
	"weft/engine/host/trial"
	"weft/engine/step"
)

// Undo ends the trial and writes the configuration back.
func (s cmdline) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	var found foundBoots
	var want wantedBoots
	if err := errors.Join(json.Unmarshal(f.Before, &found), json.Unmarshal(f.Want, &want)); err != nil {
		return fmt.Errorf("decode the record of %s: %w", f.Object, err)
	}
	b, err := readBoots(ctx, h.View())
	if err != nil {
		return err
	}
	back, foreign, err := b.back(found, want)
	if err != nil {
		return err
	}
	if err := f.Sorted(foreign, nil); err != nil {
		return err
	}
	if len(foreign) > 0 {
		back = nil // the rest of a sequence would be one that nobody asked for
	}
	if err := s.takeBack(ctx, h, &b, back, found, want); err != nil {
		return err
	}
	if len(foreign) > 0 {
		return fmt.Errorf("%s in %s: %w", f.Object, strings.Join(foreign, ", "), step.ErrConflict)
	}
	return nil
}

// takeBack ends the trial first: it must not be booted any more. Without
// stores to write back the configuration is left as it is.
func (s cmdline) takeBack(ctx context.Context, h host.Host, b *boots, back stores, found foundBoots, want wantedBoots) error {
	left, err := b.left(ctx, h.View(), want.Step)
	if err != nil {
		return err
	}
	if left {
		if err := b.disarm(ctx, h, want.Step); err != nil {
			return fmt.Errorf("end the trial: %w", err)
		}
	}
	if b.hasEnv && !found.HadEnv && b.emptyEnv() {
		if err := h.Files.Remove(ctx, b.place.env); err != nil {
			return err
		}
	}
	if back == nil {
		return nil
	}
	if err := b.write(ctx, h, back); err != nil {
		return fmt.Errorf("write the configuration back: %w", err)
	}
	stale, err := b.stale(want.Request, back)
	if err != nil || !stale {
		return err
	}
	return b.generate(ctx, h)
}

// emptyEnv says whether the environment block holds nothing but our order, or
// what GRUB leaves of it.
func (b *boots) emptyEnv() bool {
	next, ordered := b.env["next_entry"]
	return len(b.env) == 0 || len(b.env) == 1 && ordered && (next == "" || next == trial.Entry)
}

// back is the configuration as it was found, and the files whose managed
// arguments another hand changed since.
func (b *boots) back(found foundBoots, want wantedBoots) (back stores, foreign []string, err error) {
	ours, err := found.Stores.edited(want.Request, want.Variable)
	if err != nil {
		return nil, nil, err
	}
	for _, now := range b.stores {
		was, there := found.Stores.at(now.Path, now.Format)
		if !there {
			// A file that came since: a kernel's entry, or another hand's word.
			sets, err := now.sets(want.Request)
			if err != nil {
				return nil, nil, err
			}
			if sets && now.Format == shellVariables {
				foreign = append(foreign, now.Path)
			}
			back = append(back, now)
			continue
		}
		made, _ := ours.at(now.Path, now.Format)
		s, err := now.restored(want.Request, was, made)
		switch {
		case errors.Is(err, step.ErrConflict):
			foreign = append(foreign, now.Path)
			s = now
		case err != nil:
			return nil, nil, err
		}
		back = append(back, s)
	}
	return back, foreign, nil
}

// stale says whether the menu in grub.cfg is of another configuration.
func (b *boots) stale(r request, now stores) (bool, error) {
	if b.place.entries != "" {
		return false, nil
	}
	e, ok := b.menu.chosen(b.env["saved_entry"])
	if !ok {
		return true, nil
	}
	value, _, err := evaluated(now)
	return !r.of(grubWords(value[everyEntry] + " " + value[normalEntry])).equal(r.of(e.arguments())), err
}

// Returned says whether another boot would bring nothing more back.
func (s cmdline) Returned(ctx context.Context, v host.View, f step.Finding) (bool, error) {
	var found foundBoots
	var want wantedBoots
	if err := errors.Join(json.Unmarshal(f.Before, &found), json.Unmarshal(f.Want, &want)); err != nil {
		return false, fmt.Errorf("decode the record of %s: %w", f.Object, err)
	}
	b, err := readBoots(ctx, v)
	if err != nil {
		return false, err
	}
	running := want.Request.of(b.running)
	next, err := b.permanent(want.Request)
	return running.equal(found.Running) || running.equal(next), err
}
