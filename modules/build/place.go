package build

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// Apply makes the result, and every part as it should be.
func (b build) Apply(ctx context.Context, h host.Host, f step.Finding) error {
	var want record
	if err := json.Unmarshal(f.Want, &want); err != nil {
		return fmt.Errorf("decode the record of %s: %w", f.Object, err)
	}
	p, err := b.plan(ctx, h.View())
	if err != nil {
		return err
	}
	if !maps.Equal(p.want, want.Parts) {
		return fmt.Errorf("%s: the host is not as it was a moment ago; plan again", f.Object)
	}
	if err := b.begin(ctx, h, p); err != nil {
		return err
	}
	if err := b.obtain(ctx, h, p); err != nil {
		return err
	}
	return b.settle(ctx, h, p.want)
}

// begin makes the directory that says that a build is under way, and those above it.
func (b build) begin(ctx context.Context, h host.Host, p *plan) error {
	for _, name := range slices.Sorted(maps.Keys(p.want)) {
		if at := partOf(name); at.class == parent {
			if err := b.bring(ctx, h, at, there); err != nil {
				return err
			}
		}
	}
	if b.absent {
		return nil
	}
	return b.workPlace(ctx, h, p.key)
}

// obtain makes or brings the archive, and sees that what is to be linked is in it.
func (b build) obtain(ctx context.Context, h host.Host, p *plan) error {
	switch p.from {
	case compiled:
		if err := b.compile(ctx, h, p); err != nil {
			return err
		}
	case foreign:
		h.Tell("taking " + b.archive)
		fresh := b.packed(p.key) + ".new"
		if err := layOut(ctx, h, fresh, ""); err != nil {
			return err
		}
		if err := run(ctx, h, "cp", "--no-target-directory", "--", b.archive, fresh); err != nil {
			return err
		}
		if err := enter(ctx, h, fresh, b.packed(p.key)); err != nil {
			return err
		}
	}
	if p.from == nowhere || p.from == repaired {
		return b.offers(p.m)
	}
	if err := b.bring(ctx, h, part{treePart, b.tree(p.key)}, whole(p.key)); err != nil {
		return err
	}
	m, err := readManifest(ctx, h.Files, b.tree(p.key))
	if err != nil {
		return err
	}
	return b.offers(m)
}

// offers sees that the programs to link are there.
func (b build) offers(m *manifest) error {
	if m == nil || b.absent {
		return nil
	}
	for _, program := range b.programs {
		if !slices.ContainsFunc(m.Files, func(f file) bool { return f.Path == program }) {
			return fmt.Errorf("programs: the build has no %s; it has %s", program, strings.Join(m.programs(), ", "))
		}
	}
	return nil
}

// programs are what lies in bin and sbin.
func (m *manifest) programs() []string {
	var all []string
	for _, f := range m.Files {
		if dir := path.Dir(f.Path); dir == "bin" || dir == "sbin" {
			all = append(all, f.Path)
		}
	}
	if len(all) == 0 {
		return []string{"none in bin and sbin"}
	}
	return all
}

// settle makes every part as it should be: first what should be there and whole, in the
// order of classes, then what should not, in reverse. What systemd and the dynamic linker
// remember is read again before what says that this is under way goes.
func (b build) settle(ctx context.Context, h host.Host, want parts) error {
	order := slices.SortedFunc(maps.Keys(want), byClass)
	for _, name := range order {
		if stays(want[name]) {
			if err := b.bring(ctx, h, partOf(name), want[name]); err != nil {
				return err
			}
		}
	}
	reloaded := false
	for _, name := range slices.Backward(order) {
		at := partOf(name)
		if stays(want[name]) {
			continue
		}
		if !reloaded && (at.class == scratch || at.class == parent) {
			if err := b.reload(ctx, h, want); err != nil {
				return err
			}
			reloaded = true
		}
		if err := b.bring(ctx, h, at, want[name]); err != nil {
			return err
		}
	}
	if !reloaded {
		return b.reload(ctx, h, want)
	}
	return nil
}

// stays says whether a state is that of something whole.
func stays(state string) bool { return state != "" && state != broken }

// byClass orders parts: what lies in others comes after them.
func byClass(a, b string) int {
	order := classes()
	x, y := partOf(a), partOf(b)
	if d := slices.Index(order, x.class) - slices.Index(order, y.class); d != 0 {
		return d
	}
	return strings.Compare(x.path, y.path)
}

// reload has what was changed seen: ldconfig(8), and systemd's daemon-reload.
func (b build) reload(ctx context.Context, h host.Host, want parts) error {
	libraries, units := false, false
	for name := range want {
		switch c := partOf(name).class; c {
		case linker:
			libraries = true
		case prefix:
			libraries = libraries || len(b.libraries) > 0
		case unit:
			units = true
		}
	}
	if libraries {
		if err := run(ctx, h, "ldconfig"); err != nil {
			return err
		}
	}
	if units {
		return h.Units.Do(ctx, host.Reload, "")
	}
	return nil
}

// bring makes one part stand as it should, from however it stands.
func (b build) bring(ctx context.Context, h host.Host, at part, want string) error {
	now, err := at.stand(ctx, h.View())
	if err != nil || now == want {
		return err
	}
	switch at.class {
	case parent:
		return bringParent(ctx, h, at.path, want)
	case scratch:
		if want == "" {
			return removeAll(ctx, h, at.path)
		}
		return nil
	case archive:
		return b.bringArchive(ctx, h, at.path, want)
	case treePart:
		return b.bringTree(ctx, h, at.path, now, want)
	}
	if target, is := strings.CutPrefix(want, "-> "); is {
		return h.Files.Link(ctx, at.path, target)
	}
	if text, is := strings.CutPrefix(want, "= "); is {
		return h.Files.Write(ctx, at.path, []byte(text), host.Attributes{})
	}
	return h.Files.Remove(ctx, at.path)
}

// bringParent leaves a directory that others use.
func bringParent(ctx context.Context, h host.Host, dir, want string) error {
	if want == there {
		return h.Files.MakeDirectory(ctx, dir, host.Attributes{})
	}
	names, err := h.Files.List(ctx, dir)
	if err != nil || len(names) > 0 {
		return err
	}
	return h.Files.Remove(ctx, dir)
}

// bringArchive removes an archive, or packs one of a tree that is to go.
func (b build) bringArchive(ctx context.Context, h host.Host, archive, want string) error {
	if want != there {
		err := h.Files.Remove(ctx, sumFile(archive))
		if err != nil || want == broken {
			return err
		}
		return h.Files.Remove(ctx, archive)
	}
	trees, err := b.trees(ctx, h.View())
	if err != nil {
		return err
	}
	for tree, m := range trees {
		if b.packed(m.Key) != archive {
			continue
		}
		drift, err := m.drift(ctx, h.Files, tree)
		if err != nil {
			return err
		}
		name := ""
		if len(drift) > 0 {
			name = drift[0].Path
		} else if name, err = m.spoiled(ctx, h.Files, tree); err != nil {
			return err
		}
		if name != "" {
			return fmt.Errorf("%s in %s is not as it was built, so no result is packed of it: have a step with state = \"present\" repair it first", name, tree)
		}
		return b.archived(ctx, h, tree, archive)
	}
	return nil // a cache that another hand emptied
}
