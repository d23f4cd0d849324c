package packages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// rpms is the step where dnf or yum installs.
type rpms struct {
	spec    PackageSpec
	tool    string
	address string
}

func (s rpms) manager() manager { return manager{tool: s.tool, comment: s.address} }

// rpmFound is the finding's record.
type rpmFound struct {
	By           string            `json:"by"`
	Names        []string          `json:"names"`                 // keys of the table
	Groups       []string          `json:"groups,omitzero"`       // ids that were not installed, or that were and go
	Table        []string          `json:"table,omitzero"`        // all packages
	Along        []string          `json:"along,omitzero"`        // what a removal takes along
	Versions     map[string]string `json:"versions,omitzero"`     // asked for
	Absent       bool              `json:"absent,omitzero"`       // a removal
	Locks        string            `json:"locks,omitzero"`        // the list of versionlock, whole
	LockFile     bool              `json:"lock_file,omitzero"`    // whether it was there
	Hold         bool              `json:"hold,omitzero"`         // whether the step manages locks
	Repositories []string          `json:"repositories,omitzero"` // for what undo installs
	ListsAge     string            `json:"lists_age,omitzero"`
	Data         []string          `json:"data,omitzero"` // directories that were not there
}

// names are the packages, by their keys, and the groups.
func (s rpms) names() (keys, groups []string) {
	for _, name := range s.spec.names() {
		if id, ok := strings.CutPrefix(name, "@"); ok {
			groups = append(groups, id)
		} else {
			keys = append(keys, canonicalName(name))
		}
	}
	slices.Sort(keys)
	slices.Sort(groups)
	return keys, groups
}

func (s rpms) version(key string) string {
	for _, name := range s.spec.names() {
		if canonicalName(name) == key {
			return s.spec.version(name)
		}
	}
	return ""
}

// rpmState is what a check and an apply look at.
type rpmState struct {
	table  rpmTable
	groups []string // installed ones, where the step is about any
	locks  lockList
}

func (s rpms) read(ctx context.Context, v host.View) (rpmState, error) {
	var state rpmState
	var err error
	if state.table, err = readRPMs(ctx, v); err != nil {
		return state, err
	}
	if _, groups := s.names(); len(groups) > 0 {
		if state.groups, err = s.manager().groups(ctx, v); err != nil {
			return state, err
		}
	}
	if state.locks, err = readLocks(ctx, v, s.tool); err != nil {
		return state, err
	}
	if s.spec.Hold.Or(false) && state.locks.path == "" {
		return state, state.locks.absence()
	}
	return state, nil
}

// Check compares the names with rpm's table.
func (s rpms) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f := step.Finding{Object: packages{s.spec, s.address}.object()}
	state, err := s.read(ctx, v)
	if err != nil {
		return f, fmt.Errorf("read %s: %w", f.Object, err)
	}
	keys, groups := s.names()
	for _, id := range groups {
		f.Deltas = append(f.Deltas, s.groupDifference(id, slices.Contains(state.groups, id))...)
	}
	for _, key := range keys {
		f.Deltas = append(f.Deltas, s.differences(key, state)...)
	}
	if !f.Changed() {
		return f, nil
	}
	if s.spec.Purge {
		f.Warnings = append(f.Warnings, "purge means nothing to "+s.tool+": rpm takes the configuration along that nobody changed, and keeps the rest as NAME.rpmsave")
	}
	record, err := s.record(ctx, v, state, &f)
	if err != nil {
		return f, fmt.Errorf("read %s: %w", f.Object, err)
	}
	f.Before, err = json.Marshal(record)
	return f, err
}

func (s rpms) groupDifference(id string, installed bool) []step.Delta {
	switch {
	case installed && !s.spec.State.There():
		return []step.Delta{step.Change("state.@"+id, step.Present, nil)}
	case !installed && s.spec.State.There():
		return []step.Delta{step.Change("state.@"+id, nil, step.Present)}
	}
	return nil
}

// differences are the deltas of one package.
func (s rpms) differences(key string, state rpmState) []step.Delta {
	p := state.table[key]
	if !s.spec.State.There() {
		if p.there() {
			return []step.Delta{step.Change("state."+key, p.shown(), nil)}
		}
		return nil
	}
	version := s.version(key)
	var deltas []step.Delta
	switch {
	case !p.there():
		deltas = append(deltas, step.Change("state."+key, nil, orPresent(version)))
	case state.table.twice(key):
		deltas = append(deltas, step.Change("state."+key, p.shown(), orPresent(version)))
	case !p.has(version):
		deltas = append(deltas, step.Change("version."+key, p.shown(), version))
	}
	if hold, ok := s.spec.Hold.Get(); ok {
		if held := state.locks.holds(key, p); held != hold {
			deltas = append(deltas, step.Change("hold."+key, held, hold))
		}
	}
	return deltas
}

// record is what undo will need.
func (s rpms) record(ctx context.Context, v host.View, state rpmState, f *step.Finding) (rpmFound, error) {
	keys, groups := s.names()
	record := rpmFound{
		By: s.tool, Names: keys, Absent: !s.spec.State.There(), Locks: state.locks.text, LockFile: state.locks.file,
		Hold: s.spec.Hold.Managed(), Repositories: s.spec.Repositories, ListsAge: s.spec.ListsAge, Versions: map[string]string{},
	}
	for _, id := range groups {
		if slices.Contains(state.groups, id) == record.Absent {
			record.Groups = append(record.Groups, id)
		}
	}
	before := maps.Clone(state.table) // the table is shared
	if err := s.manager().reasons(ctx, v, before); err != nil {
		return record, err
	}
	record.Table = before.record()
	if record.Absent {
		return record, s.removal(ctx, v, state, f, &record)
	}
	for _, key := range keys {
		if version := s.version(key); version != "" {
			record.Versions[key] = version
		}
	}
	var err error
	record.Data, err = newDirectories(ctx, v, s.spec.Data)
	return record, err
}

// removal says what a removal takes along.
func (s rpms) removal(ctx context.Context, v host.View, state rpmState, f *step.Finding, record *rpmFound) error {
	going := slices.DeleteFunc(slices.Clone(record.Names), func(key string) bool { return !state.table[key].there() })
	for _, id := range record.Groups {
		members, err := s.manager().members(ctx, v, id)
		if err != nil {
			return err
		}
		for _, member := range members {
			if state.table[member].there() && !slices.Contains(going, member) {
				going = append(going, member)
				record.Along = append(record.Along, member)
			}
		}
	}
	if len(going) == 0 {
		return nil
	}
	along, err := state.table.goesAlong(ctx, v, going)
	record.Along = append(record.Along, along...)
	if len(along) > 0 {
		f.Cost.Disruption = "also removes " + strings.Join(along, ", ")
	}
	return err
}

// Apply makes one call of the manager, and writes the list of locks.
func (s rpms) Apply(ctx context.Context, h host.Host, _ step.Finding) error {
	state, err := s.read(ctx, h.View())
	if err != nil {
		return err
	}
	keys, groups := s.names()
	if slices.ContainsFunc(keys, state.table.twice) {
		if err := s.manager().finish(ctx, h); err != nil {
			return fmt.Errorf("finish an interrupted upgrade: %w", err)
		}
		if state, err = s.read(ctx, h.View()); err != nil {
			return err
		}
	}
	if !s.spec.State.There() {
		words := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !state.table[key].there() })
		for _, id := range groups {
			if slices.Contains(state.groups, id) {
				words = append(words, "@"+id)
			}
		}
		return s.manager().remove(ctx, h, words)
	}
	if err := s.install(ctx, h, state); err != nil {
		return err
	}
	return s.hold(ctx, h)
}

func (s rpms) install(ctx context.Context, h host.Host, state rpmState) error {
	i := rpmInstallation{recommends: s.spec.Recommends, repositories: s.spec.Repositories, listsAge: age(s.spec.ListsAge)}
	keys, groups := s.names()
	for _, id := range groups {
		if !slices.Contains(state.groups, id) {
			i.words = append(i.words, "@"+id)
		}
	}
	var told []string
	for _, key := range keys {
		version := s.version(key)
		if version != "" {
			told = append(told, key)
		}
		word := withVersion(key, version)
		switch p := state.table[key]; {
		case !p.there():
			i.words = append(i.words, word)
		case !p.has(version):
			i.others = append(i.others, word)
		}
	}
	i.locks = state.locks.past(told, state.table)
	return s.manager().exchange(ctx, h, i)
}

// withVersion is a package as dnf install takes it.
func withVersion(key, version string) string {
	if version == "" {
		return key
	}
	name, arch, foreign := cutArch(key)
	if foreign && strings.Contains(version, "-") {
		return name + "-" + version + "." + arch
	}
	return name + "-" + version
}

func (s rpms) hold(ctx context.Context, h host.Host) error {
	hold, ok := s.spec.Hold.Get()
	if !ok {
		return nil
	}
	state, err := s.read(ctx, h.View())
	if err != nil {
		return err
	}
	keys, _ := s.names()
	var change []string
	lines := ""
	for _, key := range keys {
		p := state.table[key]
		if state.locks.holds(key, p) == hold {
			continue
		}
		if hold && !p.there() {
			return errors.New(key + " is not there to be held")
		}
		change = append(change, key)
		if hold {
			lines += state.locks.line(key, p)
		}
	}
	if len(change) == 0 {
		return nil
	}
	rest := state.locks.without(change)
	if rest != "" && !strings.HasSuffix(rest, "\n") {
		rest += "\n"
	}
	return state.locks.write(ctx, h, rest+lines, state.locks.file || lines != "")
}

// Undo brings the packages of a finding back.
func (s rpms) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	var record rpmFound
	if err := json.Unmarshal(f.Before, &record); err != nil {
		return fmt.Errorf("decode the record of %s: %w", f.Object, err)
	}
	if err := noMounts(ctx, h.View(), record.Data, mount.lasting); err != nil {
		return fmt.Errorf("%s stays: %w", f.Object, err)
	}
	before, err := recalledRPMs(record.Table)
	if err != nil {
		return err
	}
	if err := (rpmBack{manager: s.manager(), record: record, before: before, finding: f}).bring(ctx, h); err != nil {
		return err
	}
	return removeData(ctx, h, f.Object, record.Data)
}
