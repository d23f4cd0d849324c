package machine

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// Write says first what holds for the next load, then loads; what is to go is
// unloaded first, which the kernel may refuse.
func (kernelModules) Write(ctx context.Context, h host.Host, have, want kernelModule) error {
	if have.loaded() && !want.loaded() {
		if err := unload(ctx, h, have, want); err != nil {
			return err
		}
	}
	if err := writeRules(ctx, h, have, want); err != nil {
		return err
	}
	if err := writeLoad(ctx, h, have, want); err != nil {
		return err
	}
	switch {
	case !want.loaded():
		return nil
	case !have.loaded():
		return load(ctx, h, want)
	}
	return setInForce(ctx, h, have, want)
}

// writeLoad names the module for the boot, or does not.
func writeLoad(ctx context.Context, h host.Host, have, want kernelModule) error {
	if have.named() == want.named() {
		return nil
	}
	p := loadPortion(want.Name)
	value := step.None[string]()
	switch {
	case want.LoadFile.Managed():
		value = p.value(want.LoadFile.Or(""))
	case want.named():
		value = step.Is(want.Name)
	}
	return writeText(ctx, h, want.loadPath(), have.LoadFile, p.settled(have.LoadFile, want.LoadFile, value))
}

// writeRules writes the options and the blacklist. Only what differs is
// touched: a file of another hand may say the rest.
func writeRules(ctx context.Context, h host.Host, have, want kernelModule) error {
	now, found := rulesIn(have.ConfFile.Or(""), want.Name), rulesIn(want.ConfFile.Or(""), want.Name)
	undo := want.ConfFile.Managed()
	rules := moduleRules{options: maps.Clone(now.options), blacklist: now.blacklist, barred: now.barred}
	for key, asked := range want.Options.Configured {
		if have.Options.Configured[key] == asked {
			continue
		}
		value, there := asked.Get()
		if undo {
			value, there = found.options[key]
		}
		delete(rules.options, key)
		if there {
			rules.options[key] = value
		}
	}
	if barred, ok := want.Blacklisted.Get(); ok && have.Blacklisted != want.Blacklisted {
		rules.blacklist, rules.barred = barred, barred
		if undo {
			rules.blacklist, rules.barred = found.blacklist, found.barred
		}
	}
	p := rulesPortion(want.Name)
	rest := func(a step.Attr[string]) string { return p.with(a.Or(""), step.None[string]()) }
	text := have.ConfFile
	switch {
	case undo && rules.equal(found) && rest(want.ConfFile) == rest(have.ConfFile):
		text = want.ConfFile
	case !rules.equal(now):
		text = p.settled(have.ConfFile, step.Attr[string]{}, rules.lines(want.Name))
	}
	return writeText(ctx, h, want.confPath(), have.ConfFile, text)
}

// load loads a module with what the files say; where an undo brings back a
// parameter that was in force beside them, with that.
func load(ctx context.Context, h host.Host, want kernelModule) error {
	argv := []string{"modprobe", want.Name}
	for _, key := range slices.Sorted(maps.Keys(want.Options.InForce)) {
		value, ok := want.Options.InForce[key].Get()
		if ok && want.Options.InForce[key] != want.Options.Configured[key] && value != "(null)" { // so /sys shows a string that is not set
			argv = append(argv, key+"="+value)
		}
	}
	if _, err := h.Commands.Run(ctx, host.Command{Argv: argv}); err != nil {
		return fmt.Errorf("%w (the reason is in: dmesg | tail)", err)
	}
	return nil
}

// unload takes a module out. An undo takes along, in the same effect, what was
// loaded with it and nothing else uses.
func unload(ctx context.Context, h host.Host, have, want kernelModule) error {
	names := []string{want.Name}
	if want.ConfFile.Managed() {
		table, err := moduleTable(ctx, h.View(), "modules.dep")
		if err != nil {
			return err
		}
		_, needed, _ := strings.Cut(table[want.Name], ":")
		for file := range strings.FieldsSeq(needed) {
			name := moduleName(path.Base(file))
			if slices.Contains(want.Loaded, name) || !slices.Contains(have.Loaded, name) {
				continue
			}
			u, err := usersOf(ctx, h.View(), name)
			if err != nil {
				return err
			}
			if others := slices.DeleteFunc(u.Holders, func(holder string) bool { return slices.Contains(names, holder) }); len(others) == 0 {
				names = append(names, name)
			}
		}
	}
	return remove(ctx, h, names...)
}

// remove takes modules out, the first of which is the one that may be in use.
func remove(ctx context.Context, h host.Host, names ...string) error {
	u, err := settledUsers(ctx, h.View(), names[0])
	if err != nil {
		return err
	}
	_, err = h.Commands.Run(ctx, host.Command{Argv: append([]string{"rmmod"}, names...)})
	if busy := u.busy(); err != nil && busy != "" {
		return fmt.Errorf("%w: it is in use by %s", err, busy)
	}
	return err
}

// setInForce changes the parameters of a loaded module: in place where the
// kernel lets us, else by loading it anew where nobody uses it. What is left is
// a boot's, and the finding said so.
func setInForce(ctx context.Context, h host.Host, have, want kernelModule) error {
	left := false
	for _, key := range slices.Sorted(maps.Keys(want.Options.InForce)) {
		value, ok := want.Options.InForce[key].Get()
		if !ok || have.Options.InForce[key] == want.Options.InForce[key] {
			continue
		}
		if !changeable(ctx, h.View(), want.Name, key) {
			left = true
			continue
		}
		if value == "" {
			value = "Y"
		}
		if err := h.Kernel.Set(ctx, parameterPath(want.Name, key), value); err != nil {
			return err
		}
	}
	if !left || have.Users.busy() != "" {
		return nil
	}
	if err := remove(ctx, h, want.Name); err != nil {
		return err
	}
	return load(ctx, h, want)
}
