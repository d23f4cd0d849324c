package packages

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"weft/engine/step"
)

// BuildSpec is the spec of kind rpm_build.
type BuildSpec struct {
	Name      string            `json:"name,omitzero" weft:"label" doc:"What the build is called."`
	Sources   []string          `json:"sources" weft:"required" doc:"Absolute paths on the host: the tarball, and what else the spec names (Source, Patch)."`
	Spec      string            `json:"spec" weft:"required" doc:"The spec file: an absolute path on the host, or the path inside the first source, below its top directory."`
	User      string            `json:"user" weft:"required" doc:"Who builds. Never root: a spec is a program that may write everywhere."`
	Builddep  bool              `json:"builddep,omitzero" doc:"Whether what the spec needs to be built is installed first (dnf builddep)."`
	With      []string          `json:"with,omitzero" weft:"set" doc:"Conditions of the spec to switch on: --with NAME."`
	Without   []string          `json:"without,omitzero" weft:"set" doc:"Conditions of the spec to switch off: --without NAME. check leaves the tests out where the spec knows it."`
	Defines   map[string]string `json:"defines,omitzero" doc:"Macros, by name."`
	Directory string            `json:"directory,omitzero" doc:"Where the repository is found: a link. /var/cache/weft/rpms/NAME where left out."`
	Timeout   string            `json:"timeout,omitzero" default:"2h" doc:"How long rpmbuild may take, with its unit."`
	State     step.State        `json:"state,omitzero" default:"present" doc:"Whether it is there. Absent takes the link; the files stay in /var/cache/weft, so that undo needs no build."`
}

// BuildOutputs are the outputs of kind rpm_build.
type BuildOutputs struct {
	Key       string            `json:"key" doc:"Digest of all that the build was made of."`
	Directory string            `json:"directory" doc:"The repository, for the uris of a package_repository: \"file://\" before it."`
	Version   string            `json:"version" doc:"VERSION-RELEASE of what was built."`
	RPMs      map[string]string `json:"rpms" doc:"SHA-256 of each file of the repository, by its path."`
}

const buildStore = "/var/cache/weft/rpms"

var (
	userName  = regexp.MustCompile(`^[a-z_][a-z0-9_.-]{0,31}\$?$`)
	macroName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	condition = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
	plainPath = regexp.MustCompile(`^[A-Za-z0-9_./+~@-]+$`)
)

func (s *BuildSpec) directory() string {
	if s.Directory != "" {
		return s.Directory
	}
	return buildStore + "/" + s.Name
}

// Validate finds what is no path, and a build by root.
func (s *BuildSpec) Validate() []step.Problem {
	var found problems
	if !repositoryName.MatchString(s.Name) {
		found.add("name", fmt.Sprintf("%q is not a name", s.Name), "letters, digits, dots, dashes")
	}
	if len(s.Sources) == 0 {
		found.add("sources", "is empty", "the path of a tarball on the host: a download brings it")
	}
	for _, source := range s.Sources {
		if !path.IsAbs(source) || path.Clean(source) != source || !plainPath.MatchString(source) {
			found.add("sources", fmt.Sprintf("%q is not a path on the host", source), "weft builds what is there: a download brings it")
		}
	}
	if s.Spec == "" || path.Clean(s.Spec) != s.Spec || strings.HasPrefix(s.Spec, "..") || !plainPath.MatchString(s.Spec) {
		found.add("spec", fmt.Sprintf("%q is not a path", s.Spec), `inside the tarball: "rhel/openvswitch-fedora.spec"`)
	}
	if s.User == "root" || !userName.MatchString(s.User) {
		found.add("user", fmt.Sprintf("%q must not build", s.User), "make a user for it by a step before: rpmbuild as root fails with bad owner, or worse writes over the host")
	}
	for name, list := range map[string][]string{"with": s.With, "without": s.Without} {
		for _, word := range list {
			if !condition.MatchString(word) {
				found.add(name, fmt.Sprintf("%q is not the name of a condition", word), "")
			}
		}
	}
	for name, value := range s.Defines {
		if !macroName.MatchString(name) || name == "_topdir" || strings.ContainsAny(value, "\n\x00") {
			found.add("defines", fmt.Sprintf("%q is not a macro to set", name), "")
		}
	}
	if s.Directory != "" && (!path.IsAbs(s.Directory) || path.Clean(s.Directory) != s.Directory || strings.Count(s.Directory, "/") < 2 || !plainPath.MatchString(s.Directory)) {
		found.add("directory", fmt.Sprintf("%q is not a directory for a repository", s.Directory), `"/srv/rpms/openvswitch"`)
	}
	if d, err := time.ParseDuration(s.Timeout); s.Timeout != "" && (err != nil || d <= 0) {
		found.add("timeout", fmt.Sprintf("%q is not a time", s.Timeout), `write it with its unit: "2h"`)
	}
	return found
}

func buildKind() step.Kind {
	return step.Kind{
		Name:    "rpm_build",
		Summary: "RPMs built from source by a user that is not root, in a repository of the host.",
		Doc: `The sources are laid out for rpmbuild below /var/cache/weft/rpms, the build user packs a source RPM by which builddep is asked for what the spec
needs, rpmbuild runs as the build user, and what it made becomes a repository (createrepo_c) that a package_repository names by file:. The directory is a link to a result that is named by its inputs, so an
upgrade is one rename, and the former result is there for undo.

The inputs are the bytes of the sources and of the spec, the conditions and macros, the distribution and the architecture. Where a result of the same inputs is there and
whole, nothing is built. Compiler and build dependencies are no inputs: an upgrade of them builds nothing anew.

What fails names the phase (%prep, %build, %install, %check), the line that says why, and the log in /var/log, which stays also where the rest is taken back. A build
that was killed starts clean.

Undo takes the result with all that the build laid out, the packages that builddep brought and nothing else needs, and leads the link where it led.`,
		Spec: BuildSpec{}, Outputs: BuildOutputs{},
		Example: `step "rpm_build" "openvswitch" {
  sources  = ["/usr/src/openvswitch.tar.gz"]
  spec     = "rhel/openvswitch-fedora.spec"
  user     = "builder"
  builddep = true
  without  = ["check"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[BuildSpec](u)
			if err != nil {
				return nil, err
			}
			if len(u.Secret) > 0 {
				return nil, fmt.Errorf("%s: %s is sensitive, and rpmbuild shows and logs what it is told", u.Address, u.Secret[0])
			}
			return builds{spec}, nil
		},
	}
}
