package build

import (
	"context"
	"encoding/json"
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

// build is the step of all kinds of this family.
type build struct{ recipe }

// made is the step of a recipe. What goes into a build is written down in its result,
// for all to read.
func made(u step.Unit, r recipe, err error) (step.Step, error) {
	if err != nil {
		return nil, err
	}
	if len(u.Secret) > 0 {
		return nil, fmt.Errorf("%s: %s is sensitive, and whoever has the result of a build can read what went into it", u.Address, u.Secret[0])
	}
	return build{r}, nil
}

// A record is the state in a finding: the parts that a change touches, as they were
// found and as they should be.
type record struct {
	Parts parts `json:"parts"`
}

// A plan is what is to be done.
type plan struct {
	want   parts
	key    string // of the tree that should be in use
	from   origin
	in     inputs // what it is built of; only where it is built
	deltas []step.Delta
	notes  []string
	m      *manifest // of the tree that is in use
	lost   string    // why what is removed cannot come back; empty where it can
}

// origin is where a tree comes from.
type origin string

const (
	nowhere  origin = ""         // it is there
	compiled origin = "source"   // it is compiled
	cached   origin = "cache"    // its archive lies on this host
	foreign  origin = "archive"  // another host's archive is taken
	repaired origin = "repaired" // some of its files come from its archive
)

// set adds a part as it should be.
func (p *plan) set(c class, path, state string) { p.want[part{c, path}.name()] = state }

func (p *plan) delta(path string, from, to any) {
	p.deltas = append(p.deltas, step.Change(path, from, to))
}

// Check compares what is installed with what is asked for.
func (b build) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f := step.Finding{Object: "build " + b.name + " in " + b.prefix}
	p, err := b.plan(ctx, v)
	if err != nil {
		return f, fmt.Errorf("read %s: %w", f.Object, err)
	}
	f.Deltas, f.Warnings, f.Cost.Irreversible = p.deltas, p.notes, p.lost
	if f.Outputs, err = b.outputs(ctx, v, p); err != nil {
		return f, err
	}
	if !f.Changed() {
		p.want = parts{} // a run that takes over from a cut one records this
	}
	found := parts{}
	for name := range p.want {
		if found[name], err = partOf(name).stand(ctx, v); err != nil {
			return f, err
		}
		if file := lost(found[name]); file != "" {
			f.Cost.Irreversible = fmt.Sprintf("%s in %s was changed by another hand, and is too big to be kept", file, partOf(name).path)
		}
	}
	if f.Before, err = json.Marshal(record{found}); err != nil {
		return f, err
	}
	f.Want, err = json.Marshal(record{p.want})
	return f, err
}

// plan works out what is to be done, from what is there now.
func (b build) plan(ctx context.Context, v host.View) (*plan, error) {
	p := &plan{want: parts{}}
	target, err := b.inUse(ctx, v)
	if err != nil {
		return nil, err
	}
	if target != "" {
		if p.m, err = readManifest(ctx, v.Files, target); err != nil {
			return nil, err
		}
	}
	if b.absent {
		if err := b.removal(ctx, v, p, target); err != nil {
			return nil, err
		}
		return p, b.planLeft(ctx, v, p, step.Absent)
	}
	if b.obstacle != nil {
		if err := b.obstacle(ctx, v); err != nil {
			return nil, err
		}
	}
	if err := b.planTree(ctx, v, p, target); err != nil {
		return nil, err
	}
	if err := b.planAround(ctx, v, p); err != nil {
		return nil, err
	}
	if err := b.planLeft(ctx, v, p, step.Present); err != nil {
		return nil, err
	}
	if len(p.deltas) > 0 {
		p.set(scratch, b.work(p.key), "")
		p.setParents(path.Join(cacheDir, "x"))
		p.setParents(path.Join(b.dir, "x"))
	}
	return p, nil
}

// planLeft is about what was left where a build or a removal was cut: nothing of it
// stays, also where all else is as it should be.
func (b build) planLeft(ctx context.Context, v host.View, p *plan, want step.State) error {
	for _, dir := range slices.Compact([]string{path.Dir(b.prefix), cacheDir, b.dir}) {
		names, err := v.Files.List(ctx, dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, name := range names {
			if b.passing(dir, name) {
				p.set(scratch, path.Join(dir, name), "")
			}
		}
	}
	if len(p.deltas) == 0 && len(p.want) > 0 {
		p.delta("state", "half made", want)
	}
	return nil
}

// passing says whether a name in a directory is one of those of this build that are
// there only while something is under way.
func (b build) passing(dir, name string) bool {
	if dir == path.Dir(b.prefix) {
		rest, ours := strings.CutPrefix(strings.TrimSuffix(name, ".old"), ".weft-"+path.Base(b.prefix)+"-")
		version, key, _ := strings.Cut(rest, "-")
		return ours && versionPattern.MatchString(version) && keyPattern(key)
	}
	key, ours := strings.CutPrefix(strings.TrimSuffix(name, ".tar.new"), b.name+"-")
	return ours && keyPattern(key)
}

// setHidden adds where a tree is on its way in or out.
func (p *plan) setHidden(tree string) {
	p.set(scratch, hidden(tree), "")
	p.set(scratch, outgoing(tree), "")
}

// setArchive adds a result that should be there.
func (p *plan) setArchive(file string) {
	p.set(archive, file, there)
	p.set(scratch, file+".new", "")
}

// setParents adds the directories above a path.
func (p *plan) setParents(name string) {
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		p.set(parent, dir, there)
	}
}

// inUse is the tree that the prefix leads to; empty where there is no prefix. What
// another hand put there is refused.
func (b build) inUse(ctx context.Context, v host.View) (string, error) {
	info, err := v.Files.Stat(ctx, b.prefix)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	tree := info.Target
	if !path.IsAbs(tree) {
		tree = path.Join(path.Dir(b.prefix), tree)
	}
	if info.Type != host.Symlink || !strings.HasPrefix(tree, b.prefix+"-") || path.Dir(tree) != path.Dir(b.prefix) {
		return "", fmt.Errorf("%s is there, and not made by weft: move it away, or choose another prefix", b.prefix)
	}
	stands, err := v.Files.Stat(ctx, tree)
	if errors.Is(err, fs.ErrNotExist) {
		return tree, nil
	}
	if err != nil {
		return "", err
	}
	m, err := readManifest(ctx, v.Files, tree)
	if err != nil {
		return "", err
	}
	if stands.Type != host.Directory || m == nil || m.Name != b.name || m.Tree != tree {
		return "", fmt.Errorf("%s leads to %s, which is no tree of %s: move both away, or choose another prefix", b.prefix, tree, b.name)
	}
	return tree, nil
}

// planTree is about the tree and the link to it.
func (b build) planTree(ctx context.Context, v host.View, p *plan, target string) error {
	asked, err := b.resolved(ctx, v)
	if err != nil {
		return err
	}
	switch {
	case target == "":
		p.delta("state", nil, step.Present)
		p.delta("version", nil, b.version)
	case p.m == nil:
		p.delta("prefix", path.Base(target)+", which is gone", b.version)
	default:
		p.key = p.m.Key
		b.compareAsked(p, asked)
		if len(p.deltas) > 0 {
			break
		}
		drift, err := p.m.drift(ctx, v.Files, target)
		if err != nil || len(drift) == 0 {
			return err
		}
		for _, d := range drift {
			p.delta("prefix."+d.Path, d.What, "as built")
		}
		sum, err := archiveSum(ctx, v, b.packed(p.key))
		if err != nil {
			return err
		}
		if sum != "" {
			p.from = repaired
			p.set(treePart, target, whole(p.key))
			return nil
		}
	}
	if err := b.choose(ctx, v, p, asked); err != nil {
		return err
	}
	b.planNew(p)
	return nil
}

// planNew is about a tree that is not in use yet.
func (b build) planNew(p *plan) {
	tree := b.tree(p.key)
	p.setHidden(tree)
	p.setArchive(b.packed(p.key))
	p.set(treePart, tree, whole(p.key))
	p.set(prefix, b.prefix, "-> "+path.Base(tree))
	p.setParents(b.prefix)
}

// resolved is what was asked for, with the DPDK that a prefix leads to now: a tree
// that is built against it goes on with that one, whatever the prefix becomes.
func (b build) resolved(ctx context.Context, v host.View) (inputs, error) {
	asked := inputs(maps.Clone(b.asked))
	if b.dpdk == "" {
		return asked, nil
	}
	tree := b.dpdk
	info, err := v.Files.Stat(ctx, tree)
	if err == nil && info.Type == host.Symlink {
		tree = info.Target
		if !path.IsAbs(tree) {
			tree = path.Join(path.Dir(b.dpdk), tree)
		}
	}
	asked["dpdk"] = tree
	_, err = v.Files.Stat(ctx, path.Join(tree, "lib/pkgconfig/libdpdk.pc"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no DPDK in %s; a step \"dpdk_build\" before it brings one: %w", b.dpdk, step.ErrNotYet)
	}
	return asked, err
}

// compareAsked adds what was asked for otherwise when the tree was built.
func (b build) compareAsked(p *plan, asked inputs) {
	names := map[string]bool{}
	for _, m := range []inputs{p.m.Inputs, asked} {
		for name := range m {
			names[name] = !ofHost(name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, knew := p.m.Inputs[name]
		is, wants := asked[name]
		if !names[name] || was == is && knew == wants {
			continue
		}
		var from, to any
		if knew {
			from = was
		}
		if wants {
			to = is
		}
		p.delta(name, from, to)
	}
}

// outputs are what will hold.
func (b build) outputs(ctx context.Context, v host.View, p *plan) (json.RawMessage, error) {
	if b.absent {
		return json.RawMessage("{}"), nil
	}
	known := map[string]string{"key": p.key, "version": b.version, "prefix": b.prefix, "tree": b.tree(p.key)}
	sum, err := archiveSum(ctx, v, b.packed(p.key))
	if err != nil {
		return nil, err
	}
	if sum != "" {
		known["sha256"] = sum
	}
	if sum != "" || p.from == compiled || p.from == foreign { // else another hand emptied the cache
		known["archive"] = b.packed(p.key)
	}
	return json.Marshal(known)
}
