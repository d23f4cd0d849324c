package packages

import (
	"context"
	"encoding/json"
	"fmt"

	"weft/engine/host"
	"weft/engine/step"
)

// Undo takes the result with all that was laid out for it, the packages that builddep
// brought, and leads the link where it led.
func (s builds) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	var record buildFound
	if err := json.Unmarshal(f.Before, &record); err != nil {
		return fmt.Errorf("decode the record of %s: %w", f.Object, err)
	}
	target, err := readLink(ctx, h.View(), record.Link)
	if err != nil {
		return err
	}
	if f.Settled && target != record.Target && target != record.Store {
		return fmt.Errorf("%s leads to %s: %w", record.Link, orNothingText(target), step.ErrConflict)
	}
	switch {
	case target == record.Target:
	case record.Target == "":
		err = h.Files.Remove(ctx, record.Link)
	default:
		err = h.Files.Link(ctx, record.Link, record.Target)
	}
	if err != nil || record.Store == "" {
		return err
	}
	if record.Builddep {
		if err := takeBack(ctx, h, record); err != nil {
			return err
		}
	}
	gone := []string{workOf(record.Store), freshOf(record.Store)}
	if !record.Was {
		gone = append(gone, cameOf(record.Store), record.Store)
	}
	if err := erase(ctx, h, gone...); err != nil {
		return err
	}
	return removeEmpty(ctx, h, record.Missing)
}

func orNothingText(target string) string {
	if target == "" {
		return "nothing"
	}
	return target
}
