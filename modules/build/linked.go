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
)

// linkedTo says which tree is linked to the shared libraries of another, and what to do
// about it; empty where none is. Trees lie beside this build's, or in /opt.
func (b build) linkedTo(ctx context.Context, v host.View, tree string) (string, error) {
	dirs := []string{path.Dir(b.prefix), "/opt"}
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		names, err := v.Files.List(ctx, dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		for _, name := range names {
			at := path.Join(dir, name)
			info, err := v.Files.Stat(ctx, path.Join(at, manifestName))
			if errors.Is(err, fs.ErrNotExist) || err == nil && info.Type != host.Regular {
				continue
			}
			if err != nil {
				return "", err
			}
			m, err := readManifest(ctx, v.Files, at)
			if err != nil {
				return "", err
			}
			// What has another name than its manifest says is on its way in or out.
			if m != nil && m.Tree == at && at != tree && m.Inputs["dpdk"] == tree {
				return fmt.Sprintf("%s, a tree of %s, is linked to %s: take it away first, by a step \"ovs_build\" %q with state = \"absent\"",
					at, m.Name, tree, m.Name), nil
			}
		}
	}
	return "", nil
}

// linkedTrees are the trees among parts that are to go and that other trees are linked to,
// each with what [build.linkedTo] says.
func (b build) linkedTrees(ctx context.Context, v host.View, target parts) (map[string]string, error) {
	all := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(target)) {
		at := partOf(name)
		if at.class != treePart || stays(target[name]) {
			continue
		}
		now, err := at.stand(ctx, v)
		if err != nil {
			return nil, err
		}
		if now == target[name] {
			continue
		}
		who, err := b.linkedTo(ctx, v, at.path)
		if err != nil {
			return nil, err
		}
		if who != "" {
			all[name] = who
		}
	}
	return all, nil
}

// keyOf is the key in the name of a tree.
func keyOf(tree string) string { return tree[strings.LastIndexByte(tree, '-')+1:] }
