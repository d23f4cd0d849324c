package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// PackageSpec is the spec of kind package.
type PackageSpec struct {
	Name       string            `json:"name,omitzero" weft:"label" doc:"The package; name:architecture for a foreign one."`
	Names      []string          `json:"names,omitzero" weft:"set" doc:"Several packages in one go, instead of name."`
	Version    step.Attr[string] `json:"version,omitzero" doc:"The exact version; of a single package."`
	Versions   map[string]string `json:"versions,omitzero" doc:"The exact version by name, of several packages."`
	Hold       step.Attr[bool]   `json:"hold,omitzero" doc:"Whether upgrades leave it alone (apt-mark hold)."`
	State      step.State        `json:"state,omitzero" default:"present" doc:"Whether it is installed."`
	Purge      bool              `json:"purge,omitzero" doc:"With state absent: its configuration and data go too, which cannot be undone."`
	Recommends bool              `json:"recommends,omitzero" doc:"Whether what it recommends is installed with it."`
	Data       []string          `json:"data,omitzero" weft:"set" doc:"Directories in which its programs keep what they make. Undo of the installation removes those that were not there before."`
	ListsAge   string            `json:"lists_age,omitzero" default:"24h" doc:"Before an installation, package lists older than this are fetched again."`
}

// packageName is what Debian's policy (5.6.1) allows, with an architecture.
var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?$`)

var packageVersion = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+~:-]*$`)

func (s *PackageSpec) names() []string {
	if len(s.Names) > 0 {
		return s.Names
	}
	return []string{s.Name}
}

func (s *PackageSpec) version(name string) string {
	if v, ok := s.Version.Get(); ok {
		return v
	}
	return s.Versions[name]
}

// Validate finds what is no package, and what does not go together.
func (s *PackageSpec) Validate() []step.Problem {
	var problems []step.Problem
	problem := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	where := "name"
	if len(s.Names) > 0 {
		where = "names"
	}
	for _, name := range s.names() {
		if !packageName.MatchString(name) {
			problem(where, fmt.Sprintf("%q is not the name of a package", name), "a version goes into the attribute version")
		}
		if v := s.version(name); v != "" && !packageVersion.MatchString(v) {
			problem("version", fmt.Sprintf("%q is not a version", v), "write it whole, as apt-cache policy shows it")
		}
	}
	if s.Version.Managed() && len(s.names()) > 1 {
		problem("version", "is of one package, and there are several", "use versions, by name")
	}
	for name := range s.Versions {
		if !slices.Contains(s.names(), name) {
			problem("versions", name+" is not among names", "")
		}
	}
	if !s.State.There() && (s.Version.Managed() || s.Hold.Managed() || len(s.Versions) > 0) {
		problem("state", "is absent, so version and hold mean nothing", "")
	}
	for _, dir := range s.Data {
		if !path.IsAbs(dir) || path.Clean(dir) != dir || strings.Count(dir, "/") < 2 {
			problem("data", fmt.Sprintf("%q is not a directory of a package", dir), `write it whole: "/var/lib/ovn"`)
		}
	}
	if len(s.Data) > 0 && !s.State.There() {
		problem("data", "is about an installation", `with state = "absent", purge takes what the package knows of`)
	}
	if s.Purge && s.State.There() {
		problem("purge", `means something only with state = "absent"`, "")
	}
	if d, err := time.ParseDuration(s.ListsAge); s.ListsAge != "" && (err != nil || d < 0) {
		problem("lists_age", fmt.Sprintf("%q is not a time", s.ListsAge), `write it with its unit: "24h"`)
	}
	return problems
}

func packageKind() step.Kind {
	return step.Kind{
		Name:    "package",
		Summary: "Packages of the distribution (apt): installed, in a version, held, absent.",
		Doc: `A package that is there in any version is left alone unless version says otherwise: upgrades are never a surprise. What is installed
and in which version is read from dpkg's files; apt is called only where something changes: once, without questions, keeping configuration files that
were changed by hand, waiting up to five minutes for another apt. Lists are fetched only before an installation, where there are none, they are older than
lists_age, or apt does not find what it should. An interrupted dpkg is finished first.

Undo brings back the set of names, versions, automatic marks and holds that was found: what this step installed is purged, and with it what came as its
dependency and nothing else needs by now; what it upgraded is put back, if a repository still has that version; what it removed, and what went with it, is installed again.

Not brought back ("bare" means the packages, not the disk): logs and data that a program wrote outside the directories named by data, users and groups that a maintainer script made,
package lists and caches of apt, the version that dpkg notes beside left-over configuration, and what purge took.`,
		Spec: PackageSpec{},
		Example: `step "package" "openvswitch-switch" {
  hold = true
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[PackageSpec](u)
			if err != nil {
				return nil, err
			}
			if len(u.Secret) > 0 {
				return nil, fmt.Errorf("%s: %s is sensitive, and apt shows and logs what it installs", u.Address, u.Secret[0])
			}
			return packages{spec}, nil
		},
	}
}

// packages is a step of its own: what it changes (dependencies) is more than
// what it compares.
type packages struct{ spec PackageSpec }

// found is the finding's record. Nothing but the names is in it where nothing
// is to be done.
type found struct {
	Names    []string          `json:"names"`
	Table    []string          `json:"table,omitzero"`     // all packages
	Along    []string          `json:"along,omitzero"`     // what a removal takes along
	Versions map[string]string `json:"versions,omitzero"`  // asked for
	Absent   bool              `json:"absent,omitzero"`    // a removal
	ListsAge string            `json:"lists_age,omitzero"` // for what undo installs
	Data     []string          `json:"data,omitzero"`      // directories that were not there
}

// Check compares the names with dpkg's table.
func (s packages) Check(ctx context.Context, v host.View) (step.Finding, error) {
	names := slices.Sorted(slices.Values(s.spec.names()))
	f := step.Finding{Object: "package " + strings.Join(names, " ")}
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
	record := found{Names: names, Table: t.record(), Absent: !s.spec.State.There(), ListsAge: s.spec.ListsAge}
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
		if record.Data, err = s.newData(ctx, v); err != nil {
			return f, err
		}
	}
	f.Before, err = json.Marshal(record)
	return f, err
}

// newData are the directories of data that are not there.
func (s packages) newData(ctx context.Context, v host.View) ([]string, error) {
	var missing []string
	for _, dir := range s.spec.Data {
		_, err := v.Files.Stat(ctx, dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, dir)
		case err != nil:
			return nil, err
		}
	}
	return missing, nil
}

// removal adds what a removal costs.
func (s packages) removal(ctx context.Context, v host.View, t table, f *step.Finding, record *found) error {
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
func (s packages) differences(name string, p pkg) []step.Delta {
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
func (s packages) Apply(ctx context.Context, h host.Host, _ step.Finding) error {
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

func (s packages) holds(ctx context.Context, h host.Host) error {
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

func age(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 24 * time.Hour // left out; Validate refuses what is no time
	}
	return d
}

// Undo brings the packages of a finding back.
func (s packages) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	if f.Cost.Irreversible != "" {
		return fmt.Errorf("%s: %s: %w", f.Object, f.Cost.Irreversible, step.ErrIrreversible)
	}
	var record found
	if err := json.Unmarshal(f.Before, &record); err != nil {
		return fmt.Errorf("decode the record of %s: %w", f.Object, err)
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
	for _, dir := range record.Data {
		if err := removeTree(ctx, h, DirectorySpec{Path: dir, Recursive: true}); err != nil {
			return fmt.Errorf("remove the data that %s left: %w", f.Object, err)
		}
	}
	return nil
}
