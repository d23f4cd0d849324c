package packages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
)

// gather makes a repository of what was built, beside its place, then renames it.
func (s builds) gather(ctx context.Context, h host.Host, store, key string) error {
	work := workOf(store)
	built, err := s.made(ctx, h.View(), topOf(work)+"/RPMS")
	if err != nil {
		return err
	}
	if len(built) == 0 {
		return errors.New("rpmbuild made no RPM: the spec has no %files, or builds for another architecture")
	}
	fresh := freshOf(store)
	if err := h.Files.MakeDirectory(ctx, fresh, host.Attributes{}); err != nil {
		return err
	}
	m := buildManifest{Key: key}
	if m.Files, err = s.handOver(ctx, h, work, built, fresh); err != nil {
		return fmt.Errorf("gather the RPMs: %w", err)
	}
	var files []string
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		files = append(files, fresh+"/"+name)
	}
	if m.Version, err = builtVersion(ctx, h.View(), files); err != nil {
		return err
	}
	if _, err := h.Commands.Run(ctx, host.Command{Argv: []string{"createrepo_c", "-q", fresh}, Timeout: aptTime}); err != nil {
		return fmt.Errorf("index the repository: %w", err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := h.Files.Write(ctx, fresh+"/"+manifestName, b, host.Attributes{}); err != nil {
		return err
	}
	if err := erase(ctx, h, store); err != nil { // what is damaged serves until here
		return err
	}
	_, err = h.Commands.Run(ctx, host.Command{Argv: []string{"mv", "-T", "--", fresh, store}})
	return err
}

// builtVersion is that of the package with the shortest name: the others are parts
// of it.
func builtVersion(ctx context.Context, v host.View, files []string) (string, error) {
	argv := append([]string{"rpm", "-qp", "--qf", `%{NAME}\t%{VERSION}-%{RELEASE}\n`}, files...)
	r, err := v.Commands.Query(ctx, host.Command{Argv: argv, Timeout: time.Minute})
	if err != nil {
		return "", fmt.Errorf("ask for the version of what was built: %w", explained(err))
	}
	name, version := "", ""
	for line := range strings.Lines(string(r.Stdout)) {
		n, v, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if ok && (name == "" || len(n) < len(name)) {
			name, version = n, v
		}
	}
	return version, nil
}
