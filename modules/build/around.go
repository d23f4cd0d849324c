package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// planAround is about what leads to the tree: links to programs, the dynamic
// linker's file, units. What is there and is not ours is refused.
func (b build) planAround(ctx context.Context, v host.View, p *plan) error {
	if err := b.planPrograms(ctx, v, p); err != nil {
		return err
	}
	if err := b.planFile(ctx, v, p, part{linker, b.linkerFile()}, b.linkerText(), "libraries"); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(b.units)) {
		text := b.units[name]
		if text != "" {
			text = b.mark() + text
		}
		at := part{unit, path.Join(unitDir, name)}
		if err := b.planFile(ctx, v, p, at, text, "units."+name); err != nil {
			return err
		}
		if state, changes := p.want[at.name()]; changes && state == "" {
			if err := idle(ctx, v, at.path); err != nil {
				return err
			}
		}
	}
	return nil
}

// planPrograms compares the links of programs with those that lead here.
func (b build) planPrograms(ctx context.Context, v host.View, p *plan) error {
	want := map[string]string{}
	if !b.absent {
		for _, program := range b.programs {
			want[linkOf(program)] = path.Join(b.prefix, program)
		}
	}
	have, err := b.linked(ctx, v)
	if err != nil {
		return err
	}
	for _, at := range slices.Sorted(maps.Keys(want)) {
		state, err := part{link, at}.stand(ctx, v)
		if err != nil {
			return err
		}
		was := strings.TrimPrefix(state, "-> ")
		switch {
		case was == want[at]:
			continue
		case was != "" && have[at] == "":
			return fmt.Errorf("%s is there, and leads to no program of %s: move it away, or leave %s out of programs", at, b.name, path.Base(at))
		}
		p.set(link, at, "-> "+want[at])
		p.setParents(at)
		p.delta("programs."+strings.TrimPrefix(want[at], b.prefix+"/"), orNil(was), "linked")
	}
	for _, at := range slices.Sorted(maps.Keys(have)) {
		if want[at] == "" {
			p.set(link, at, "")
			p.delta("programs."+path.Base(at), have[at], nil)
		}
	}
	return nil
}

func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// linked are the links that lead below the prefix, by path.
func (b build) linked(ctx context.Context, v host.View) (map[string]string, error) {
	links := map[string]string{}
	for _, dir := range []string{"bin", "sbin"} {
		dir = path.Join(localDir, dir)
		names, err := v.Files.List(ctx, dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, name := range names {
			info, err := v.Files.Stat(ctx, path.Join(dir, name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if strings.HasPrefix(info.Target, b.prefix+"/") {
				links[path.Join(dir, name)] = info.Target
			}
		}
	}
	return links, nil
}

func (b build) linkerText() string {
	if b.absent || len(b.libraries) == 0 {
		return ""
	}
	text := b.mark()
	for _, dir := range slices.Sorted(slices.Values(b.libraries)) {
		text += path.Join(b.prefix, dir) + "\n"
	}
	return text
}

// planFile compares a file of ours; an empty text is none.
func (b build) planFile(ctx context.Context, v host.View, p *plan, at part, text, attribute string) error {
	state, err := at.stand(ctx, v)
	if err != nil {
		return err
	}
	was, is := strings.CutPrefix(state, "= ")
	ours := is && strings.HasPrefix(was, b.mark())
	switch {
	case state == "" && text == "" || ours && was == text:
		return nil
	case state != "" && !ours && text == "":
		return nil // another hand's
	case state != "" && !ours:
		return fmt.Errorf("%s is there, and was not written by weft for this build: move it away", at.path)
	}
	want := ""
	var from, to any
	if text != "" {
		want, to = "= "+text, "as wanted"
		p.setParents(at.path)
	}
	if was != "" {
		from = "another text"
		if text == "" {
			from = "there"
		}
	}
	p.set(at.class, at.path, want)
	p.delta(attribute, from, to)
	return nil
}

// removal plans that nothing of the build stays but its results in the cache, from
// which undo brings all back.
func (b build) removal(ctx context.Context, v host.View, p *plan, target string) error {
	trees, err := b.trees(ctx, v)
	if err != nil {
		return err
	}
	if target != "" || len(trees) > 0 {
		p.delta("state", step.Present, nil)
	}
	if target != "" {
		p.set(prefix, b.prefix, "")
	}
	for _, tree := range slices.Sorted(maps.Keys(trees)) {
		m := trees[tree]
		extras, err := m.extras(ctx, v.Files, tree)
		if err != nil {
			return err
		}
		if len(extras) > 0 {
			return fmt.Errorf("other hands put files into %s (%s): move them away first", tree, strings.Join(extras[:min(3, len(extras))], ", "))
		}
		who, err := b.linkedTo(ctx, v, tree)
		if err != nil {
			return err
		}
		if who != "" {
			return waits(who + " before this one")
		}
		p.set(treePart, tree, "")
		p.setHidden(tree)
		if err := b.planPacked(ctx, v, p, tree, m); err != nil {
			return err
		}
	}
	if err := b.planAround(ctx, v, p); err != nil {
		return err
	}
	if len(p.deltas) > 0 {
		p.setParents(path.Join(cacheDir, "x"))
	}
	return nil
}

// planPacked is about the archive that a tree which goes can come back from. Of a tree
// that drifted none is made: it would hold another's work as what was built.
func (b build) planPacked(ctx context.Context, v host.View, p *plan, tree string, m *manifest) error {
	sum, err := archiveSum(ctx, v, b.packed(m.Key))
	if err != nil {
		return err
	}
	if sum == "" {
		drift, err := m.drift(ctx, v.Files, tree)
		if err != nil {
			return err
		}
		if len(drift) > 0 {
			p.lost = fmt.Sprintf("%s in %s is not as it was built (%s), and the result that the tree could come back from is gone", drift[0].Path, tree, drift[0].What)
			return nil
		}
	}
	p.setArchive(b.packed(m.Key))
	return nil
}

// idle refuses to take a unit away that runs or that a boot starts: its links would
// lead nowhere.
func idle(ctx context.Context, v host.View, file string) error {
	u, err := useOf(ctx, v, file)
	switch {
	case err != nil:
		return err
	case u.runs:
		return waits(u.name + " runs: stop it first, by a step \"service\" before this one")
	case u.enabled:
		return waits(u.name + " is enabled: disable it first, by a step \"service\" with enabled = false before this one")
	}
	return nil
}

// use is what systemd has of a unit of ours.
type use struct {
	name          string
	runs, enabled bool
}

// useOf is the use of the unit in a file; none where systemd reads it from another.
func useOf(ctx context.Context, v host.View, file string) (use, error) {
	u, err := v.Units.Unit(ctx, path.Base(file))
	if err != nil || u.FragmentPath != file {
		return use{}, err
	}
	return use{
		name: u.Name, runs: slices.Contains([]string{"active", "activating", "reloading", "deactivating"}, u.ActiveState),
		enabled: u.FileState == "enabled" || u.FileState == "enabled-runtime",
	}, nil
}

// stops says by which command the use of a unit ends; empty where there is none. A unit
// that runs and was never enabled may have been started by another that requires it.
func (u use) stops() string {
	switch {
	case u.runs && u.enabled:
		return "it runs and is enabled: systemctl disable --now " + u.name
	case u.runs:
		return "it runs: systemctl stop " + u.name
	case u.enabled:
		return "it is enabled: systemctl disable " + u.name
	}
	return ""
}

// waits says what an earlier step of the host is to stop first: a plan that has such a
// step knows the rest only once it was done.
type waits string

func (w waits) Error() string { return string(w) }

// Is makes it a [step.ErrNotYet].
func (waits) Is(target error) bool { return target == step.ErrNotYet }

// trees are all of this build's trees beside its prefix, by path.
func (b build) trees(ctx context.Context, v host.View) (map[string]*manifest, error) {
	dir := path.Dir(b.prefix)
	names, err := v.Files.List(ctx, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	found := map[string]*manifest{}
	for _, name := range names {
		tree := path.Join(dir, name)
		if !strings.HasPrefix(tree, b.prefix+"-") {
			continue
		}
		if info, err := v.Files.Stat(ctx, tree); err != nil || info.Type != host.Directory {
			continue
		}
		m, err := readManifest(ctx, v.Files, tree)
		if err != nil {
			return nil, err
		}
		if m != nil && m.Name == b.name && m.Tree == tree {
			found[tree] = m
		}
	}
	return found, nil
}
