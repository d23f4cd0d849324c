package packages

import (
	"context"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
)

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
