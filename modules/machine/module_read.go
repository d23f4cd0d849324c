package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// Read asks /sys, the files of the kernel's modules, and those that say what
// is loaded how.
func (kernelModules) Read(ctx context.Context, v host.View, want kernelModule) (kernelModule, error) {
	have := kernelModule{Name: want.Name}
	loaded, builtin, err := presence(ctx, v, want.Name)
	if err != nil {
		return have, err
	}
	if builtin {
		return builtIn(ctx, v, want)
	}
	have.State = stateOf(loaded, false)
	if have.Loaded, err = loadedModules(ctx, v); err != nil {
		return have, err
	}
	if loaded {
		if have.Users, err = usersOf(ctx, v, want.Name); err != nil {
			return have, err
		}
	}
	if err := have.readFiles(ctx, v, want); err != nil {
		return have, err
	}
	if err := have.readInForce(ctx, v, want); err != nil {
		return have, err
	}
	file, err := moduleFile(ctx, v, want.Name)
	if err != nil {
		return have, err
	}
	if file == "" && want.loaded() && !loaded {
		return have, noSuchModule(ctx, v, want.Name)
	}
	leaves := loaded && !want.loaded()
	if leaves || len(have.Stuck) > 0 {
		if have.Users, err = settledUsers(ctx, v, want.Name); err != nil {
			return have, err
		}
	}
	if leaves && have.Users.busy() != "" {
		return have, fmt.Errorf("it cannot be unloaded: it is in use by %s: %w", have.Users.busy(), step.ErrNotYet)
	}
	have.Early, err = earlyModule(ctx, v, want.Name, file)
	return have, err
}

// presence says how the kernel has a module. Only what can be unloaded has an
// initstate (Documentation/ABI/testing/sysfs-module).
func presence(ctx context.Context, v host.View, name string) (loaded, builtin bool, err error) {
	dir := "/sys/module/" + name
	if _, err := v.Kernel.Get(ctx, dir+"/initstate"); err == nil {
		return true, false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, false, err
	}
	if _, err := v.Kernel.List(ctx, dir); err == nil {
		return true, true, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, false, err
	}
	list, err := moduleTable(ctx, v, "modules.builtin")
	if err != nil {
		return false, false, err
	}
	_, builtin = list[name]
	return builtin, builtin, nil
}

// builtIn is the state of what no file can change.
func builtIn(ctx context.Context, v host.View, want kernelModule) (kernelModule, error) {
	have := want
	if !want.loaded() || want.Blacklisted.Or(false) {
		return have, errors.New("it is built into this kernel, so it cannot be absent")
	}
	have.Options.InForce = map[string]step.Attr[string]{}
	for key, asked := range want.Options.InForce {
		value, ok := asked.Get()
		if !ok {
			continue
		}
		now, err := v.Kernel.Get(ctx, parameterPath(want.Name, key))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return have, err
		}
		if err != nil || !sameValue(now, value) {
			return have, fmt.Errorf("it is built into this kernel, which takes its options from the kernel command line alone: give %s.%s=%s in a kernel_cmdline step", want.Name, key, value)
		}
		have.Options.InForce[key] = asked
	}
	return have, nil
}

func parameterPath(module, key string) string {
	return path.Join("/sys/module", module, "parameters", key)
}

func loadedModules(ctx context.Context, v host.View) ([]string, error) {
	text, err := v.Kernel.Get(ctx, "/proc/modules")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 0 {
			names = append(names, f[0])
		}
	}
	return names, nil
}

// patience is how long a use may last that is no use: udev opens the devices of
// a module that was just loaded, to see what they are.
const patience = time.Second

// settledUsers is usersOf once such a use is over.
func settledUsers(ctx context.Context, v host.View, name string) (u moduleUsers, err error) {
	_ = step.Await(ctx, patience, func() error {
		if u, err = usersOf(ctx, v, name); err == nil && len(u.Holders) == 0 && u.Count > 0 {
			return errors.New(u.busy())
		}
		return nil
	})
	return u, err
}

// usersOf reads who keeps a loaded module, and which links its devices have.
func usersOf(ctx context.Context, v host.View, name string) (moduleUsers, error) {
	var u moduleUsers
	text, err := v.Kernel.Get(ctx, "/sys/module/"+name+"/refcnt")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return u, err
	}
	if err == nil {
		if u.Count, err = strconv.Atoi(text); err != nil {
			return u, fmt.Errorf("read /sys/module/%s/refcnt: %q is no number", name, text)
		}
	}
	if u.Holders, err = v.Kernel.List(ctx, "/sys/module/"+name+"/holders"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return u, err
	}
	links, err := v.Kernel.List(ctx, "/sys/class/net")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return u, err
	}
	for _, link := range links {
		driver, err := v.Kernel.Link(ctx, "/sys/class/net/"+link+"/device/driver/module")
		if err == nil && path.Base(driver) == name {
			u.Links = append(u.Links, link)
		}
	}
	return u, nil
}

// readFiles reads what files say for the next load.
func (have *kernelModule) readFiles(ctx context.Context, v host.View, want kernelModule) (err error) {
	if have.LoadFile, err = readText(ctx, v, want.loadPath()); err != nil {
		return err
	}
	if have.ConfFile, err = readText(ctx, v, want.confPath()); err != nil {
		return err
	}
	named, err := namedForBoot(ctx, v, want.Name)
	if err != nil {
		return err
	}
	have.State = stateOf(have.loaded(), len(named) > 0)
	others := slices.DeleteFunc(named, func(name string) bool { return name == want.loadPath() })
	if len(others) > 0 && !want.named() {
		return fmt.Errorf("%s has it loaded at boot; that file is another hand's, so remove the line there", others[0])
	}
	return have.readRules(ctx, v, want)
}

// readRules reads the files of modprobe.d(5) in their order. What a file of
// another hand says against the step is an error: it would win, or is not ours
// to remove.
func (have *kernelModule) readRules(ctx context.Context, v host.View, want kernelModule) error {
	files, err := confFiles(ctx, v, modprobeDirs[:]...)
	if err != nil {
		return err
	}
	all := moduleRules{options: map[string]string{}}
	by := map[string]string{} // the file that has the last word on an option
	for _, f := range files {
		r := rulesIn(f.text, want.Name)
		foreign := f.path != want.confPath()
		if foreign && (r.blacklist || r.barred) && (want.named() || want.Blacklisted.Managed() && !want.Blacklisted.Or(true)) {
			return fmt.Errorf("%s keeps it from being loaded; that file is another hand's, so remove the line there", f.path)
		}
		all.blacklist, all.barred = all.blacklist || r.blacklist, all.barred || r.barred
		for key, value := range r.options {
			all.options[key], by[key] = value, f.path
		}
	}
	have.Blacklisted = step.Is(all.blacklist && all.barred)
	have.Options.Configured = map[string]step.Attr[string]{}
	for key, asked := range want.Options.Configured {
		have.Options.Configured[key] = step.None[string]()
		value, there := all.options[key]
		if there {
			have.Options.Configured[key] = step.Is(value)
		}
		wins := by[key] != want.confPath() && (path.Base(by[key]) > path.Base(want.confPath()) || asked.Absent())
		if there && wins && have.Options.Configured[key] != asked {
			return fmt.Errorf("%s sets the option %s=%s and has the last word; that file is another hand's, so change the line there", by[key], key, value)
		}
	}
	return have.refusedAtBoot(ctx, v, want)
}

// refusedAtBoot looks for the kernel's own blacklist.
func (have *kernelModule) refusedAtBoot(ctx context.Context, v host.View, want kernelModule) error {
	line, err := v.Kernel.Get(ctx, "/proc/cmdline")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, word := range kernelWords(line) {
		key, list, _ := strings.Cut(string(word.argument), "=")
		if key != "modprobe.blacklist" && key != "module_blacklist" || !want.loaded() {
			continue
		}
		for name := range strings.SplitSeq(list, ",") {
			if underscored(name) == want.Name {
				return fmt.Errorf("the kernel was started with %s=%s, which keeps it from being loaded; take it away by a kernel_cmdline step and boot", key, list)
			}
		}
	}
	return nil
}

// readInForce reads the parameters of a loaded module. One that cannot be read
// back (its permissions are 0) is taken to be what the files say, which held
// when the module was loaded.
func (have *kernelModule) readInForce(ctx context.Context, v host.View, want kernelModule) error {
	have.Options.InForce = map[string]step.Attr[string]{}
	var known []string // the module's parameters, asked for once
	for _, key := range slices.Sorted(maps.Keys(want.Options.InForce)) {
		asked := want.Options.InForce[key]
		now, err := v.Kernel.Get(ctx, parameterPath(want.Name, key))
		if errors.Is(err, fs.ErrNotExist) {
			if known == nil {
				if known, err = parametersOf(ctx, v, want.Name); err != nil {
					return err
				}
			}
			if len(known) > 0 && !slices.Contains(known, key) {
				return fmt.Errorf("it has no parameter %s, and the kernel would take no notice of it; it has %s", key, strings.Join(known, ", "))
			}
			have.Options.InForce[key] = step.None[string]()
			if have.loaded() {
				have.Options.InForce[key] = have.Options.Configured[key]
			}
		} else if err != nil {
			return err
		} else if value, ok := asked.Get(); ok && sameValue(now, value) {
			have.Options.InForce[key] = asked
		} else {
			have.Options.InForce[key] = step.Is(now)
		}
		if have.Options.InForce[key] != asked && have.loaded() && !changeable(ctx, v, want.Name, key) {
			have.Stuck = append(have.Stuck, key)
		}
	}
	return nil
}

// changeable says whether the kernel lets a parameter of a loaded module be
// written: the owner's write bit of its file.
func changeable(ctx context.Context, v host.View, module, key string) bool {
	r, err := v.Commands.Query(ctx, host.Command{Argv: []string{"stat", "-c", "%a", parameterPath(module, key)}})
	if err != nil {
		return false
	}
	mode, err := strconv.ParseUint(strings.TrimSpace(string(r.Stdout)), 8, 32)
	return err == nil && mode&0o200 != 0
}

// parametersOf are the parameters of a module by modinfo(8), none where it
// cannot tell.
func parametersOf(ctx context.Context, v host.View, name string) ([]string, error) {
	r, err := v.Commands.Query(ctx, host.Command{Argv: []string{"modinfo", "-F", "parm", name}})
	var exit *host.ExitError
	if errors.As(err, &exit) || errors.Is(err, host.ErrNotReady) {
		return nil, nil
	}
	var names []string
	for line := range strings.Lines(string(r.Stdout)) {
		if key, _, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			names = append(names, underscored(key))
		}
	}
	return names, err
}
