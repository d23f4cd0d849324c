package packages

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"weft/engine/host"
)

// cameRecord says what builddep brought: before it ran, which packages were there.
type cameRecord struct {
	Before []string `json:"before,omitzero"`
	Came   []string `json:"came,omitzero"`
	Done   bool     `json:"done,omitzero"`
}

func (s builds) builddep(ctx context.Context, h host.Host, store, spec string) error {
	tool, err := s.tool(ctx, h.View())
	if err != nil {
		return err
	}
	record, err := readCame(ctx, h.View(), store)
	if err != nil {
		return err
	}
	if record.Before == nil {
		t, err := readRPMs(ctx, h.View())
		if err != nil {
			return err
		}
		record.Before = append([]string{""}, slices.Sorted(maps.Keys(t))...) // "" for: it was read
		if err := writeCame(ctx, h, store, record); err != nil {
			return err
		}
	}
	argv := slices.Concat([]string{dnf, "-q", "-y", "builddep"}, s.macros(), []string{spec})
	if tool == yum {
		argv = slices.Concat([]string{"yum-builddep", "-q", "-y"}, []string{spec})
	}
	if _, err := h.Commands.Run(ctx, host.Command{Argv: argv, Timeout: aptTime}); err != nil {
		return fmt.Errorf("builddep: %w", explained(err))
	}
	t, err := readRPMs(ctx, h.View())
	if err != nil {
		return err
	}
	record.Came, record.Done = slices.DeleteFunc(slices.Sorted(maps.Keys(t)), func(key string) bool { return slices.Contains(record.Before, key) }), true
	return writeCame(ctx, h, store, record)
}

func readCame(ctx context.Context, v host.View, store string) (cameRecord, error) {
	var record cameRecord
	text, ok, err := readText(ctx, v, cameOf(store))
	if err == nil && ok {
		err = json.Unmarshal([]byte(text), &record)
	}
	return record, err
}

func writeCame(ctx context.Context, h host.Host, store string, record cameRecord) error {
	b, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return h.Files.Write(ctx, cameOf(store), b, host.Attributes{})
}

// takeBack removes what builddep brought and nothing else needs by now.
func takeBack(ctx context.Context, h host.Host, record buildFound) error {
	came, err := readCame(ctx, h.View(), record.Store)
	if err != nil || came.Before == nil {
		return err
	}
	now, err := readRPMs(ctx, h.View())
	if err != nil {
		return err
	}
	if !came.Done { // it was cut: whatever is there since
		came.Came = slices.DeleteFunc(slices.Sorted(maps.Keys(now)), func(key string) bool { return slices.Contains(came.Before, key) })
	}
	came.Came = slices.DeleteFunc(came.Came, func(key string) bool { return !now[key].there() })
	spare, _, err := now.spareable(ctx, h.View(), came.Came)
	if err != nil {
		return err
	}
	if err := (manager{tool: record.Tool}).remove(ctx, h, spare); err != nil {
		return fmt.Errorf("remove what builddep brought: %w", err)
	}
	return nil
}
