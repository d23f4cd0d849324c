package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

type unitFiles struct{}

// Read reads the file and asks systemd how it has the unit.
func (unitFiles) Read(ctx context.Context, v host.View, want unitFile) (unitFile, error) {
	have := unitFile{Unit: want.Unit, Path: want.Path, State: step.Absent, Restart: want.Restart, Private: want.Private}
	info, err := v.Files.Stat(ctx, want.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return have, err
	case info.Target == "/dev/null":
		return have, errors.New("the unit is masked; a service step with masked = false before this one frees it")
	default:
		text, _, err := readPlain(ctx, v, want.Path)
		if err != nil {
			return have, err
		}
		have.State, have.Mode, have.Owner, have.Group = step.Present, formatMode(info.Mode), info.Owner, info.Group
		if want.dropIn() {
			have.Override = step.Is(content(text))
		} else {
			have.Content = step.Is(content(text))
		}
	}
	if want.dropIn() {
		names, err := v.Files.List(ctx, path.Dir(want.Path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return have, err
		}
		have.Bare, have.Empty = step.Is(err != nil), err == nil && len(names) == 0
	}
	if have.Other, err = packaged(ctx, v, want.Unit); err != nil {
		return have, err
	}
	if have.Later, err = readLater(ctx, v, want); err != nil {
		return have, err
	}
	return asLoaded(ctx, v, have, want)
}

// asLoaded adds what systemd has of the unit.
func asLoaded(ctx context.Context, v host.View, have, want unitFile) (unitFile, error) {
	if want.template() {
		return have, nil
	}
	u, err := v.Units.Unit(ctx, want.Unit)
	if err != nil {
		return have, err
	}
	have.Runs, have.Load = active(u) || u.ActiveState == "activating", u.LoadState
	// A unit that was asked for before its file was there is remembered as missing.
	have.Stale = u.Stale || have.State.There() && !have.dropIn() && u.LoadState == "not-found"
	if want.State.There() && have.State.There() && !want.Enabled.Managed() {
		return have, nil
	}
	have.Running = step.Is(have.Runs)
	enabled := slices.Contains([]string{"enabled", "linked", "alias"}, u.FileState)
	if u.LoadState == "not-found" {
		if enabled, err = enabledBehindMask(ctx, v, u.Name); err != nil { // links to a file that is gone
			return have, err
		}
	}
	have.Enabled = step.Is(enabled)
	return have, nil
}

func notThere(ctx context.Context, v host.View, name string) (bool, error) {
	_, err := v.Files.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// packaged is the file that the unit has where ours is not there.
func packaged(ctx context.Context, v host.View, unit string) (string, error) {
	for _, dir := range []string{"/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator", "/run/systemd/generator.late"} {
		name := path.Join(dir, unit)
		if gone, err := notThere(ctx, v, name); err != nil || !gone {
			return name, err
		}
	}
	return "", nil
}

// readLater is a drop-in that has the last word on something that ours says: files are
// read in the order of their names, and of two with one name that in the earlier
// directory counts.
func readLater(ctx context.Context, v host.View, want unitFile) (string, error) {
	text, ok := want.text().Get()
	if !ok {
		return "", nil
	}
	ours := parseUnitText(string(text)).keys
	byName := map[string]string{}
	for _, dir := range []string{unitDir, "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"} {
		names, err := v.Files.List(ctx, path.Join(dir, want.Unit+".d"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		for _, name := range names {
			if _, hidden := byName[name]; !hidden && path.Ext(name) == ".conf" && (!want.dropIn() || name > path.Base(want.Path)) {
				byName[name] = path.Join(dir, want.Unit+".d", name)
			}
		}
	}
	later := ""
	for _, name := range byName {
		b, err := v.Files.Read(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a symlink to nothing
		}
		if err != nil {
			return "", err
		}
		shared := func(key string) bool { return slices.Contains(ours, key) }
		if slices.ContainsFunc(parseUnitText(string(b)).keys, shared) && path.Base(name) > path.Base(later) {
			later = name
		}
	}
	return later, nil
}

// Diff compares the file, and finds a systemd that has not read it.
func (unitFiles) Diff(have, want unitFile) []step.Delta {
	deltas := step.Compare(have, want)
	for _, d := range []struct {
		path       string
		have, want step.Attr[bool]
	}{{"enabled", have.Enabled, want.Enabled}, {"running", have.Running, want.Running}} {
		if was, ok := d.want.Get(); ok && want.State.There() && d.have.Or(false) != was {
			deltas = append(deltas, step.Change(d.path, d.have.Or(false), was))
		}
	}
	if mode := want.mode(); mode != "" && mode != have.Mode && have.State.There() && want.State.There() {
		deltas = append(deltas, step.Change("mode", have.Mode, mode))
	}
	if want.Bare.Or(false) && have.Empty {
		deltas = append(deltas, step.Change("directory", true, nil))
	}
	switch {
	case have.Stale:
		deltas = append(deltas, step.Change("loaded", "an earlier file", "this file"))
	case want.State.There() && have.State.There() && (have.Load == "bad-setting" || have.Load == "error"):
		deltas = append(deltas, step.Change("loaded", have.Load, "loaded"))
	}
	return deltas
}

// Write writes or removes the file and has systemd read it.
func (u unitFiles) Write(ctx context.Context, h host.Host, have, want unitFile) error {
	var err error
	if want.State.There() {
		err = u.put(ctx, h, have, want)
	} else {
		err = u.take(ctx, h, have, want)
	}
	if err != nil {
		return err
	}
	if err := h.Units.Do(ctx, host.Reload, ""); err != nil {
		return err
	}
	if want.template() || !want.State.There() {
		return nil
	}
	now, err := h.Units.Unit(ctx, want.Unit)
	if err != nil {
		return err
	}
	if now.LoadState == "bad-setting" || now.LoadState == "error" {
		return fmt.Errorf("systemd cannot load %s with it (%s); look at: systemd-analyze verify %s (a drop-in that sets ExecStart must clear it before by an empty ExecStart=)", want.Unit, now.LoadState, want.Unit)
	}
	if want.Enabled.Or(false) && !have.Enabled.Or(false) {
		if err := h.Units.Do(ctx, host.Enable, want.Unit); err != nil {
			return err
		}
	}
	if want.Running.Or(false) && !have.Running.Or(false) {
		return h.Units.Do(ctx, host.Start, want.Unit)
	}
	return nil
}

// put writes the file where it differs.
func (unitFiles) put(ctx context.Context, h host.Host, have, want unitFile) error {
	if want.dropIn() && have.Bare.Or(false) {
		if err := h.Files.MakeDirectory(ctx, path.Dir(want.Path), host.Attributes{}); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	a := host.Attributes{Owner: want.Owner, Group: want.Group}
	if text := cmp.Or(want.mode(), want.Mode); text != "" {
		mode, err := parseMode(text)
		if err != nil {
			return err
		}
		a.Mode = &mode
	}
	text, ok := want.text().Get()
	if found, there := have.text().Get(); !ok || there && found == text {
		if mode := want.mode(); mode != "" && mode != have.Mode {
			return h.Files.SetAttributes(ctx, want.Path, host.Attributes{Mode: a.Mode})
		}
		return nil
	}
	return h.Files.Write(ctx, want.Path, []byte(text), a)
}

// take removes the file; a unit that has no other is stopped and disabled before.
func (unitFiles) take(ctx context.Context, h host.Host, have, want unitFile) error {
	if have.State.There() && !want.dropIn() && have.Other == "" && !want.template() {
		now, err := h.Units.Unit(ctx, want.Unit)
		if err != nil {
			return err
		}
		if !want.Running.Or(false) && now.ActiveState != "inactive" && now.ActiveState != "failed" {
			if err := h.Units.Do(ctx, host.Stop, want.Unit); err != nil {
				return err
			}
		}
		if !want.Enabled.Or(false) && slices.Contains([]string{"enabled", "linked", "alias"}, now.FileState) {
			if err := h.Units.Do(ctx, host.Disable, want.Unit); err != nil {
				return err
			}
		}
	}
	if err := h.Files.Remove(ctx, want.Path); err != nil {
		return err
	}
	if !want.Bare.Or(false) {
		return nil
	}
	dir := path.Dir(want.Path)
	names, err := h.Files.List(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) || len(names) > 0 {
		return nil // what another hand put there stays, and its directory
	}
	if err != nil {
		return err
	}
	return h.Files.Remove(ctx, strings.TrimSuffix(dir, "/"))
}
