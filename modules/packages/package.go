package packages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	Name         string            `json:"name,omitzero" weft:"label" doc:"The package; name:architecture (apt) or name.architecture (rpm) for a foreign one; @id for a group of dnf."`
	Names        []string          `json:"names,omitzero" weft:"set" doc:"Several packages in one go, instead of name."`
	By           string            `json:"by,omitzero" weft:"enum=apt|dnf|yum" doc:"The package manager; where left out, that of the host's distribution."`
	Version      step.Attr[string] `json:"version,omitzero" doc:"The exact version; of a single package. Of an RPM its release and epoch may be left out."`
	Versions     map[string]string `json:"versions,omitzero" doc:"The exact version by name, of several packages."`
	Hold         step.Attr[bool]   `json:"hold,omitzero" doc:"Whether upgrades leave it alone: apt-mark hold, or a line in the list of dnf's and yum's versionlock."`
	State        step.State        `json:"state,omitzero" default:"present" doc:"Whether it is installed."`
	Purge        bool              `json:"purge,omitzero" doc:"With state absent: its configuration and data go too, which cannot be undone. Of apt only: rpm takes configuration along that nobody changed."`
	Recommends   bool              `json:"recommends,omitzero" doc:"Whether what it recommends is installed with it (weak dependencies of an RPM)."`
	Repositories []string          `json:"enable_repositories,omitzero" weft:"set" doc:"Repositories that stay disabled and are used for this installation, by name. Of dnf and yum only."`
	Data         []string          `json:"data,omitzero" weft:"set" doc:"Directories in which its programs keep what they make. Undo of the installation removes those that were not there before."`
	ListsAge     string            `json:"lists_age,omitzero" default:"24h" doc:"Before an installation, package lists older than this are fetched again."`
}

// packageName is what Debian's policy (5.6.1) allows, with an architecture, and
// what RPMs are called, which may have upper case and underscores; or a group.
var packageName = regexp.MustCompile(`^@?[A-Za-z0-9_][A-Za-z0-9_+.-]*(:[a-z0-9-]+)?$`)

// debName is what Debian's policy allows.
var debName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?$`)

var packageVersion = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+~^_:-]*$`)

// repositoryName is an id of a repository, and the name of its file.
var repositoryName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:-]*$`)

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

// problems gathers mistakes.
type problems []step.Problem

func (p *problems) add(path, message, hint string) {
	*p = append(*p, step.Problem{Path: path, Message: message, Hint: hint})
}

// Validate finds what is no package, and what does not go together.
func (s *PackageSpec) Validate() []step.Problem {
	var found problems
	s.checkNames(&found)
	if s.Version.Managed() && len(s.names()) > 1 {
		found.add("version", "is of one package, and there are several", "use versions, by name")
	}
	for name := range s.Versions {
		if !slices.Contains(s.names(), name) {
			found.add("versions", name+" is not among names", "")
		}
	}
	if !s.State.There() && (s.Version.Managed() || s.Hold.Managed() || len(s.Versions) > 0) {
		found.add("state", "is absent, so version and hold mean nothing", "")
	}
	for _, dir := range s.Data {
		if !path.IsAbs(dir) || path.Clean(dir) != dir || strings.Count(dir, "/") < 2 {
			found.add("data", fmt.Sprintf("%q is not a directory of a package", dir), `write it whole: "/var/lib/ovn"`)
		}
	}
	if len(s.Data) > 0 && !s.State.There() {
		found.add("data", "is about an installation", `with state = "absent", purge takes what the package knows of`)
	}
	if s.Purge && s.State.There() {
		found.add("purge", `means something only with state = "absent"`, "")
	}
	if s.Purge && s.By != "" && s.By != apt {
		found.add("purge", s.By+" keeps no configuration of what it removed but files that were changed, as NAME.rpmsave", "leave purge out")
	}
	for _, name := range s.Repositories {
		if !repositoryName.MatchString(name) {
			found.add("enable_repositories", fmt.Sprintf("%q is not the name of a repository", name), "")
		}
	}
	if len(s.Repositories) > 0 && (!s.State.There() || s.By == apt) {
		found.add("enable_repositories", "is about an installation by dnf or yum", oneTimeHint)
	}
	if d, err := time.ParseDuration(s.ListsAge); s.ListsAge != "" && (err != nil || d < 0) {
		found.add("lists_age", fmt.Sprintf("%q is not a time", s.ListsAge), `write it with its unit: "24h"`)
	}
	return found
}

const oneTimeHint = "apt has no repository for one time: leave it enabled, and have package_repository pin it low (pin = 100), so that nothing comes from it unasked but what no other has"

func (s *PackageSpec) checkNames(found *problems) {
	where := "name"
	if len(s.Names) > 0 {
		where = "names"
	}
	for _, name := range s.names() {
		group := strings.HasPrefix(name, "@")
		switch {
		case !packageName.MatchString(name), s.By == apt && !group && !debName.MatchString(name):
			found.add(where, fmt.Sprintf("%q is not the name of a package", name), "a version goes into the attribute version")
		case group && s.By == apt:
			found.add(where, fmt.Sprintf("%q is a group of dnf, and apt has none", name), "name its packages")
		case group && (s.version(name) != "" || s.Hold.Managed()):
			found.add(where, fmt.Sprintf("%q is a group, which has no version and is not held", name), "name its packages for that")
		}
		if v := s.version(name); v != "" && !packageVersion.MatchString(v) {
			found.add("version", fmt.Sprintf("%q is not a version", v), "write it whole, as apt-cache policy or rpm -q shows it")
		}
	}
}

func packageKind() step.Kind {
	return step.Kind{
		Name:    "package",
		Summary: "Packages of the distribution (apt, dnf, yum): installed, in a version, held, absent.",
		Doc: `A package that is there in any version is left alone unless version says otherwise: upgrades are never a surprise. What is installed
and in which version is read from dpkg's files or by one rpm -qa for all steps; the package manager is called only where something changes: once, without
questions, keeping configuration files that were changed by hand, waiting for another one that is at work. Lists are fetched only before an installation,
where there are none, they are older than lists_age, a repository was changed since, or something is not found. What an interrupted dpkg or rpm left is finished first.

Undo brings back the set of names, versions, automatic marks and holds that was found: what this step installed goes (apt: is purged), and with it what came as its
dependency and nothing else needs by now; what it upgraded is put back, if a repository still has that version; what it removed, and what went with it, is installed again.
A package that another hand's package needs in its new version stays, and so do package and data where a disk or a server's file system is mounted in a directory of
data. What a package's own daemon mounts there goes with the package; where it does not, the data stays.

Not brought back ("bare" means the packages, not the disk): logs and data that a program wrote outside the directories named by data, users and groups that a
package's scripts made, package lists and caches, the version that dpkg notes beside left-over configuration, what purge took, and, of an RPM that was removed,
changes to its configuration files: they lie beside as NAME.rpmsave.

By dnf and yum: hold is a line in the list of the plugin versionlock, a file that weft reads and writes itself, so the plugin must be there
(python3-dnf-plugin-versionlock, yum-plugin-versionlock). Locks of others hold, but for a package that a step names with a version. "@id" is a group: installed means that dnf calls it installed; a package of it that was removed since is not missed.`,
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
				return nil, fmt.Errorf("%s: %s is sensitive, and package managers show and log what they install", u.Address, u.Secret[0])
			}
			return packages{spec, u.Address}, nil
		},
	}
}

// packages is the step before it is known how the host installs.
type packages struct {
	spec    PackageSpec
	address string
}

// Check asks the step of the host's family.
func (s packages) Check(ctx context.Context, v host.View) (step.Finding, error) {
	by, err := managerOf(ctx, v, s.spec.By)
	if err != nil {
		return step.Finding{Object: s.object()}, fmt.Errorf("read %s: %w", s.object(), err)
	}
	return s.by(by).Check(ctx, v)
}

func (s packages) object() string {
	return "package " + strings.Join(slices.Sorted(slices.Values(s.spec.names())), " ")
}

func (s packages) by(manager string) step.Step {
	if manager == apt {
		return debs{s.spec}
	}
	return rpms{s.spec, manager, s.address}
}

// Apply is that of the host's family.
func (s packages) Apply(ctx context.Context, h host.Host, f step.Finding) error {
	by, err := managerOf(ctx, h.View(), s.spec.By)
	if err != nil {
		return err
	}
	return s.by(by).Apply(ctx, h, f)
}

// Undo goes by what the finding recorded: os-release may have changed since.
func (s packages) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	if f.Cost.Irreversible != "" {
		return fmt.Errorf("%s: %s: %w", f.Object, f.Cost.Irreversible, step.ErrIrreversible)
	}
	var record struct {
		By string `json:"by"`
	}
	if err := json.Unmarshal(f.Before, &record); err != nil {
		return fmt.Errorf("decode the record of %s: %w", f.Object, err)
	}
	if record.By == "" {
		return errors.New("the record of " + f.Object + " does not name a package manager")
	}
	return s.by(record.By).Undo(ctx, h, f)
}

// newDirectories are those of dirs that are not there.
func newDirectories(ctx context.Context, v host.View, dirs []string) ([]string, error) {
	var missing []string
	for _, dir := range dirs {
		ok, err := there(ctx, v, dir)
		if err != nil {
			return nil, err
		}
		if !ok {
			missing = append(missing, dir)
		}
	}
	return missing, nil
}

// removeData takes what the programs of a package made. What is mounted there may have
// come while the package went, or be a daemon's that did not unmount it.
func removeData(ctx context.Context, h host.Host, object string, dirs []string) error {
	if err := noMounts(ctx, h.View(), dirs, mount.any); err != nil {
		return fmt.Errorf("the data of %s stays: %w", object, err)
	}
	for _, dir := range dirs {
		if err := removeTree(ctx, h, dir); err != nil {
			return fmt.Errorf("remove the data that %s left: %w", object, err)
		}
	}
	return nil
}

// age reads lists_age; Validate refuses what is no time.
func age(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 24 * time.Hour // left out
	}
	return d
}
