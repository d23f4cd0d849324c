package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// choose decides where a tree comes from.
func (b build) choose(ctx context.Context, v host.View, p *plan, asked inputs) error {
	in, lacks := b.gather(ctx, v)
	maps.Copy(in, asked)
	if lacks != nil && !errors.Is(lacks, step.ErrNotYet) {
		return lacks
	}
	if b.archive != "" {
		m, err := b.offered(ctx, v)
		if err != nil {
			return err
		}
		switch {
		case m == nil:
			p.notes = append(p.notes, b.archive+" is no result of a build that is there now")
		case len(in.differences(m.Inputs)) > 0:
			p.notes = append(p.notes, fmt.Sprintf("the result in %s is of other inputs, so it is built here: %s", b.archive, strings.Join(in.differences(m.Inputs), "; ")))
		default:
			p.key, p.from, p.in = m.Key, foreign, m.Inputs
			return b.preferCached(ctx, v, p)
		}
	}
	if lacks != nil {
		return lacks
	}
	p.key, p.from, p.in = in.key(), compiled, in
	return b.preferCached(ctx, v, p)
}

// preferCached takes what lies on this host already.
func (b build) preferCached(ctx context.Context, v host.View, p *plan) error {
	sum, err := archiveSum(ctx, v, b.packed(p.key))
	if err != nil {
		return err
	}
	if sum != "" {
		p.from = cached
		return nil
	}
	if p.from != compiled {
		return nil
	}
	_, err = v.Files.Stat(ctx, b.source)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("its source %s is not there: %w", b.source, step.ErrNotYet)
	}
	return err
}

// offered is the manifest of another host's result; nil where there is none.
func (b build) offered(ctx context.Context, v host.View) (*manifest, error) {
	if _, err := v.Files.Stat(ctx, b.archive); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	answer, err := v.Commands.Query(ctx, host.Command{Argv: []string{"tar", "--extract", "--to-stdout", "--occurrence=1", "--file=" + b.archive, "./" + manifestName}})
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := parseManifest(answer.Stdout)
	if m == nil || m.Name != b.name || m.Tree != b.tree(m.Key) || m.Key != m.Inputs.key() {
		return nil, nil
	}
	return m, nil
}
