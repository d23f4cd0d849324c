package packages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// debs is the step where apt installs.
type debs struct{ spec PackageSpec }

// found is the finding's record. Nothing but the names is in it where nothing
// is to be done.
type found struct {
	By       string            `json:"by"`
	Names    []string          `json:"names"`
	Table    []string          `json:"table,omitzero"`     // all packages
	Along    []string          `json:"along,omitzero"`     // what a removal takes along
	Versions map[string]string `json:"versions,omitzero"`  // asked for
	Absent   bool              `json:"absent,omitzero"`    // a removal
	ListsAge string            `json:"lists_age,omitzero"` // for what undo installs
	Data     []string          `json:"data,omitzero"`      // directories that were not there
}

// Check compares the names with dpkg's table.
func (s debs) Check(ctx context.Context, v host.View) (step.Finding, error) {
	names := slices.Sorted(slices.Values(s.spec.names()))
	f := step.Finding{Object: "package " + strings.Join(names, " ")}
	if err := s.refused(); err != nil {
		return f, err
	}
	t, err := readTable(ctx, v)
	if err != nil {
		return f, fmt.Errorf("read %s: %w", f.Object, err)
	}
	for _, name := range names {
		f.Deltas = append(f.Deltas, s.differences(name, t[name])...)
	}
	if !f.Changed() {
		return f, nil
	}
	record := found{By: apt, Names: names, Table: t.record(), Absent: !s.spec.State.There(), ListsAge: s.spec.ListsAge}
	if record.Absent {
		if err := s.removal(ctx, v, t, &f, &record); err != nil {
			return f, err
		}
	} else {
		record.Versions = map[string]string{}
		for _, name := range names {
			if version := s.spec.version(name); version != "" {
				record.Versions[name] = version
			}
		}
		if record.Data, err = newDirectories(ctx, v, s.spec.Data); err != nil {
			return f, err
		}
	}
	f.Before, err = json.Marshal(record)
	return f, err
}

// refused are attributes that apt has nothing for, where by did not say before
// that it is apt.
func (s debs) refused() error {
	if len(s.spec.Repositories) > 0 {
		return errors.New("enable_repositories is for dnf and yum, and this host has apt: " + oneTimeHint)
	}
	for _, name := range s.spec.names() {
		if !debName.MatchString(name) {
			return fmt.Errorf("%q is not the name of a package of apt, which this host has", name)
		}
	}
	return nil
}

// removal adds what a removal costs.
func (s debs) removal(ctx context.Context, v host.View, t table, f *step.Finding, record *found) error {
	going := slices.DeleteFunc(slices.Clone(record.Names), func(n string) bool { return !t[n].there() })
	if len(going) > 0 {
		var err error
		if record.Along, err = (installation{without: going}).goWith(ctx, v); err != nil {
			return err
		}
	}
	if len(record.Along) > 0 {
		f.Cost.Disruption = "also removes " + strings.Join(record.Along, ", ")
	}
	if s.spec.Purge {
		f.Cost.Irreversible = "purge takes configuration and data of the package"
	}
	return nil
}

// differences are the deltas of one package.
func (s debs) differences(name string, p pkg) []step.Delta {
	if !s.spec.State.There() {
		switch {
		case p.there():
			return []step.Delta{step.Change("state."+name, shownState(p), nil)}
		case s.spec.Purge && p.State != "":
			return []step.Delta{step.Change("state."+name, p.State, nil)}
		}
		return nil
	}
	version := s.spec.version(name)
	var deltas []step.Delta
	switch {
	case !p.there():
		deltas = append(deltas, step.Change("state."+name, nil, orPresent(version)))
	case p.broken():
		deltas = append(deltas, step.Change("state."+name, p.State, orPresent(version)))
	case version != "" && version != p.Version:
		deltas = append(deltas, step.Change("version."+name, p.Version, version))
	}
	if hold, ok := s.spec.Hold.Get(); ok && hold != (p.Hold && p.there()) {
		deltas = append(deltas, step.Change("hold."+name, p.Hold && p.there(), hold))
	}
	return deltas
}

func shownState(p pkg) string {
	if p.installed() {
		return p.Version
	}
	return p.State
}

func orPresent(version string) string {
	if version == "" {
		return string(step.Present)
	}
	return version
}

// Apply makes one call of apt-get, and sets holds.
func (s debs) Apply(ctx context.Context, h host.Host, _ step.Finding) error {
	t, err := readTable(ctx, h.View())
	if err != nil {
		return err
	}
	if t, err = repaired(ctx, h, t); err != nil {
		return err
	}
	if !s.spec.State.There() {
		verb, gone := "remove", pkg.there
		if s.spec.Purge {
			verb, gone = "purge", func(p pkg) bool { return p.State != "" }
		}
		return remove(ctx, h, verb, slices.DeleteFunc(slices.Clone(s.spec.names()), func(n string) bool { return !gone(t[n]) }))
	}
	want := installation{packages: map[string]string{}, recommends: s.spec.Recommends, listsAge: age(s.spec.ListsAge)}
	for _, name := range s.spec.names() {
		version := s.spec.version(name)
		if p := t[name]; !p.there() || p.broken() || version != "" && version != p.Version {
			want.packages[name] = version
		}
	}
	if len(want.packages) > 0 {
		if err := want.run(ctx, h); err != nil {
			return err
		}
	}
	return s.holds(ctx, h)
}

func (s debs) holds(ctx context.Context, h host.Host) error {
	hold, ok := s.spec.Hold.Get()
	if !ok {
		return nil
	}
	t, err := readTable(ctx, h.View())
	if err != nil {
		return err
	}
	names := slices.DeleteFunc(slices.Clone(s.spec.names()), func(n string) bool { return t[n].Hold == hold })
	return mark(ctx, h, holdVerb(hold), names)
}

func holdVerb(hold bool) string {
	if hold {
		return "hold"
	}
	return "unhold"
}

// repaired finishes an interrupted dpkg and reads again.
func repaired(ctx context.Context, h host.Host, t table) (table, error) {
	for _, p := range t {
		if p.broken() {
			if err := configure(ctx, h); err != nil {
				return t, fmt.Errorf("finish an interrupted dpkg: %w", err)
			}
			return readTable(ctx, h.View())
		}
	}
	return t, nil
}

// Undo brings the packages of a finding back.
func (s debs) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	var record found
	if err := json.Unmarshal(f.Before, &record); err != nil {
		return fmt.Errorf("decode the record of %s: %w", f.Object, err)
	}
	if err := noMounts(ctx, h.View(), record.Data, mount.lasting); err != nil {
		return fmt.Errorf("%s stays: %w", f.Object, err)
	}
	before, err := recalled(record.Table)
	if err != nil {
		return err
	}
	now, err := readTable(ctx, h.View())
	if err != nil {
		return err
	}
	if now, err = repaired(ctx, h, now); err != nil {
		return err
	}
	if err := newBack(record, before, now, f).bring(ctx, h, now); err != nil {
		return err
	}
	return removeData(ctx, h, f.Object, record.Data)
}
