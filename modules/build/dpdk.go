package build

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/engine/step"
)

// DPDKSpec is the spec of kind dpdk_build.
type DPDKSpec struct {
	Name        string            `json:"name,omitzero" weft:"label" doc:"What it is called here: /opt/NAME, and its files in the cache."`
	Version     string            `json:"version,omitzero" doc:"Its version, for the tree's name. Required."`
	Source      string            `json:"source,omitzero" doc:"Path of the tarball on the host. Required."`
	SHA256      string            `json:"sha256,omitzero" doc:"SHA-256 of the tarball, checked again before it is unpacked. Required."`
	Drivers     []string          `json:"drivers,omitzero" weft:"set" doc:"Drivers to build, as meson's enable_drivers names them (net/ixgbe, bus/pci); all that can be where left out."`
	Apps        []string          `json:"apps,omitzero" weft:"set" doc:"Programs to build, as meson's enable_apps names them (test-pmd); none where left out."`
	Platform    string            `json:"platform,omitzero" default:"generic" doc:"What processors it runs on, as meson's platform: generic, or native for those like this host's alone."`
	Options     []string          `json:"options,omitzero" doc:"Further arguments of meson setup."`
	Environment map[string]string `json:"environment,omitzero" doc:"Variables of meson and ninja, such as CFLAGS."`
	Packages    []string          `json:"packages,omitzero" weft:"set" doc:"Packages that it is built with. They must be there, and their versions are part of the key."`
	Prefix      string            `json:"prefix,omitzero" doc:"The symlink to the tree that is in use; /opt/NAME where left out."`
	Programs    []string          `json:"programs,omitzero" weft:"set" doc:"Programs below the prefix (bin/dpdk-devbind.py) that /usr/local/bin or /usr/local/sbin gets links to."`
	Libraries   []string          `json:"libraries,omitzero" weft:"set" doc:"Directories below the prefix (lib) in which the dynamic linker looks for libraries. ovs_build needs none."`
	Archive     string            `json:"archive,omitzero" doc:"Path of a result of another host, that is taken where it is of the same inputs."`
	User        string            `json:"user,omitzero" doc:"The user that unpacks, compiles and stages; root where left out."`
	Jobs        int               `json:"jobs,omitzero" doc:"How many compilers at a time; as many as processors where left out."`
	Timeout     string            `json:"timeout,omitzero" default:"3h" doc:"The longest that one phase may take."`
	Directory   string            `json:"directory,omitzero" doc:"Where it is compiled; /var/cache/weft/builds where left out."`
	State       step.State        `json:"state,omitzero" default:"present" doc:"Whether it is installed."`
}

func (s *DPDKSpec) common() common {
	return common{
		name: s.Name, version: s.Version, source: s.Source, sum: s.SHA256, prefix: s.Prefix, state: s.State,
		packages: s.Packages, programs: s.Programs, libraries: s.Libraries, environment: s.Environment,
		directory: s.Directory, user: s.User, timeout: s.Timeout, archive: s.Archive, jobs: s.Jobs,
	}
}

// Validate finds what cannot be built.
func (s *DPDKSpec) Validate() []step.Problem {
	all := s.common().problems()
	for attribute, names := range map[string][]string{"drivers": s.Drivers, "apps": s.Apps} {
		for _, name := range names {
			if name == "" || strings.ContainsAny(name, ", ") {
				all = append(all, step.Problem{Path: attribute, Message: fmt.Sprintf("%q is not one name", name), Hint: `a list of them: ["net/ixgbe", "bus/pci"]`})
			}
		}
	}
	return all
}

func dpdkKind() step.Kind {
	return step.Kind{
		Name:    "dpdk_build",
		Summary: "DPDK built from its source, in a tree of its own.",
		Doc: sharedDoc + `

It is built by meson and ninja (python3-pyelftools beside them), into shared and static libraries in the tree's lib. A step ovs_build takes the tree by its output tree, and goes on with it
until it is built anew. A platform of native ties a result to processors like this host's: their flags are part of the key then.`,
		Spec: DPDKSpec{}, Outputs: Outputs{},
		Example: `step "dpdk_build" "dpdk" {
  version  = "22.11.11"
  source   = "/var/cache/dpdk-22.11.11.tar.xz"
  sha256   = "27a3bb1f57e02eb68c7c0a6f8bbf9fb74ec198c5aab74ed602da5b71c492a476"
  drivers  = ["bus/pci", "bus/vdev", "mempool/ring", "net/ixgbe"]
  packages = ["gcc", "libnuma-dev"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			s, err := step.Decode[DPDKSpec](u)
			return made(u, s.recipe(), err)
		},
	}
}

func (s *DPDKSpec) recipe() recipe {
	r := s.common().recipe("dpdk_build")
	options := []string{"--buildtype=release", "-Dtests=false", "-Dplatform=" + s.Platform, "-Denable_apps=" + commas(s.Apps)}
	if len(s.Apps) == 0 {
		options[3] = "-Ddisable_apps=*"
	}
	if len(s.Drivers) > 0 {
		options = append(options, "-Denable_drivers="+commas(s.Drivers))
	}
	r.phases = phasesOf("meson", append(options, s.Options...))
	r.env = joined(map[string]string{"LDFLAGS": runPath("{prefix}")}, s.Environment)
	r.native = s.Platform == "native"
	r.ask("platform", s.Platform)
	r.ask("drivers", slices.Sorted(slices.Values(s.Drivers))...)
	r.ask("apps", slices.Sorted(slices.Values(s.Apps))...)
	r.ask("options", s.Options...)
	return r
}

// runPath has the linker note where the libraries of a tree lie. Those are found
// through each other, which the newer of the two notes does not do; ld.so(8).
func runPath(tree string) string { return "-Wl,--disable-new-dtags,-rpath," + tree + "/lib" }

// joined are variables of a kind and those of a playbook, which come after ours where
// a variable is a list, and else win.
func joined(own, theirs map[string]string) map[string]string {
	all := maps.Clone(own)
	for name, value := range theirs {
		if separator := map[string]string{"PKG_CONFIG_PATH": ":", "LDFLAGS": " "}[name]; separator != "" && own[name] != "" {
			value = own[name] + separator + value
		}
		all[name] = value
	}
	return all
}

func commas(names []string) string { return strings.Join(slices.Sorted(slices.Values(names)), ",") }
