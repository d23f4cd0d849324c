package build

import (
	"fmt"
	"slices"
	"strings"

	"weft/engine/step"
)

// SourceSpec is the spec of kind source_build.
type SourceSpec struct {
	Name        string            `json:"name,omitzero" weft:"label" doc:"What it is called here: /opt/NAME, and its files in the cache."`
	Version     string            `json:"version,omitzero" doc:"Its version, for the tree's name. Required."`
	Source      string            `json:"source,omitzero" doc:"Path of the tarball on the host. Required."`
	SHA256      string            `json:"sha256,omitzero" doc:"SHA-256 of the tarball, checked again before it is unpacked. Required."`
	By          string            `json:"by,omitzero" weft:"enum=autotools|meson|make" default:"autotools" doc:"What builds it: ./configure and make, meson and ninja, or make alone."`
	Options     []string          `json:"options,omitzero" doc:"Arguments of configure, of meson setup, or variables of make."`
	Prepare     [][]string        `json:"prepare,omitzero" doc:"Programs with their arguments that run in the unpacked source first."`
	Configure   [][]string        `json:"configure,omitzero" doc:"Programs that configure, instead of the usual one."`
	Compile     [][]string        `json:"compile,omitzero" doc:"Programs that compile, instead of the usual one."`
	Install     [][]string        `json:"install,omitzero" doc:"Programs that install into {staging}, instead of the usual one."`
	Environment map[string]string `json:"environment,omitzero" doc:"Variables of these programs, such as CFLAGS."`
	Packages    []string          `json:"packages,omitzero" weft:"set" doc:"Packages that it is built with. They must be there, and their versions are part of the key."`
	Compiler    string            `json:"compiler,omitzero" default:"cc" doc:"The compiler, whose version is part of the key; none for what needs no compiler."`
	Prefix      string            `json:"prefix,omitzero" doc:"The symlink to the tree that is in use; /opt/NAME where left out."`
	Programs    []string          `json:"programs,omitzero" weft:"set" doc:"Programs below the prefix (bin/x) that /usr/local/bin or /usr/local/sbin gets links to."`
	Libraries   []string          `json:"libraries,omitzero" weft:"set" doc:"Directories below the prefix (lib) in which the dynamic linker looks for libraries."`
	Archive     string            `json:"archive,omitzero" doc:"Path of a result of another host, that is taken where it is of the same inputs."`
	User        string            `json:"user,omitzero" doc:"The user that unpacks, compiles and stages; root where left out."`
	Jobs        int               `json:"jobs,omitzero" doc:"How many compilers at a time; as many as processors where left out."`
	Timeout     string            `json:"timeout,omitzero" default:"3h" doc:"The longest that one phase may take."`
	Directory   string            `json:"directory,omitzero" doc:"Where it is compiled; /var/cache/weft/builds where left out."`
	State       step.State        `json:"state,omitzero" default:"present" doc:"Whether it is installed."`
}

// Outputs are the outputs of all kinds of builds.
type Outputs struct {
	Key     string `json:"key" doc:"Digest of all that went in."`
	Version string `json:"version" doc:"The version."`
	Prefix  string `json:"prefix" doc:"The symlink to the tree that is in use."`
	Tree    string `json:"tree" doc:"The tree itself, which a later build leaves alone."`
	Archive string `json:"archive" doc:"Path of the result, for file_copy to another host."`
	SHA256  string `json:"sha256" doc:"SHA-256 of that archive, known once it is there."`
}

func (s *SourceSpec) common() common {
	return common{
		name: s.Name, version: s.Version, source: s.Source, sum: s.SHA256, prefix: s.Prefix, state: s.State,
		packages: s.Packages, programs: s.Programs, libraries: s.Libraries, environment: s.Environment,
		directory: s.Directory, user: s.User, timeout: s.Timeout, archive: s.Archive, jobs: s.Jobs,
	}
}

// Validate finds what cannot be built.
func (s *SourceSpec) Validate() []step.Problem {
	all := s.common().problems()
	attributes := []string{"prepare", "configure", "compile", "install"}
	for i, programs := range [][][]string{s.Prepare, s.Configure, s.Compile, s.Install} {
		attribute := attributes[i]
		for _, argv := range programs {
			if len(argv) == 0 || argv[0] == "" {
				all = append(all, step.Problem{Path: attribute, Message: "has a program without a name", Hint: `write each as a list: [["make", "all"]]`})
			}
			for _, word := range argv {
				if unknown := unknownWord(word); unknown != "" {
					all = append(all, step.Problem{Path: attribute, Message: fmt.Sprintf("%s is no word that is filled in", unknown), Hint: "there are " + strings.Join(wordNames(), ", ")})
				}
			}
		}
	}
	return all
}

func sourceKind() step.Kind {
	return step.Kind{
		Name:    "source_build",
		Summary: "A program built from its source, in a tree of its own.",
		Doc: sharedDoc + `

The usual programs are, by autotools: SOURCE/configure --prefix=TREE OPTIONS, make, make install; by meson: meson setup --prefix=TREE --libdir=lib OPTIONS, ninja, meson install; by make: make
PREFIX=TREE prefix=TREE OPTIONS in the source itself, and the same with install. Where a source for autotools has no configure, its boot.sh or autogen.sh makes one, or autoreconf.
prepare, configure, compile and install are lists of programs with their arguments, never a shell's words. Filled in are {source} (the unpacked source), {build} (an
empty directory, where configure and compile run), {prefix} (the tree), {staging} (what DESTDIR is: the tree's parent is made below it) and {jobs}.`,
		Spec: SourceSpec{}, Outputs: Outputs{},
		Example: `step "source_build" "hello" {
  version  = "2.12"
  source   = "/var/cache/hello-2.12.tar.gz"
  sha256   = "cf04af86dc085268c5f4470fbae49b18afbc221b78096aab842d934a76bad0ab"
  packages = ["gcc", "make"]
  programs = ["bin/hello"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			s, err := step.Decode[SourceSpec](u)
			return made(u, s.recipe(), err)
		},
	}
}

// recipe fills in the usual programs.
func (s *SourceSpec) recipe() recipe {
	r := s.common().recipe("source_build")
	r.compiler = s.Compiler
	if s.Compiler == "none" {
		r.compiler = ""
	}
	r.phases = phasesOf(s.By, s.Options)
	r.ask("by", s.By)
	r.ask("options", s.Options...)
	for i, own := range [][][]string{s.Prepare, s.Configure, s.Compile, s.Install} {
		if own == nil {
			continue
		}
		r.phases[i] = phase{name: r.phases[i].name, argv: own, dir: r.phases[i].dir, once: r.phases[i].once}
		for _, argv := range own {
			r.asked[r.phases[i].name] += quoted(argv) + "\n"
		}
	}
	return r
}

// ask adds an attribute to what decides the result.
func (r recipe) ask(attribute string, values ...string) {
	if len(values) > 0 {
		r.asked[attribute] = quoted(values)
	}
}

// quoted tells two lists apart whatever their words hold.
func quoted(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w
		if w == "" || strings.ContainsAny(w, " \t\n\"\\") {
			out[i] = fmt.Sprintf("%q", w)
		}
	}
	return strings.Join(out, " ")
}

// phasesOf are the usual phases: prepare, configure, compile, install.
func phasesOf(by string, options []string) []phase {
	phases := []phase{{name: "prepare", dir: "{source}", once: true}, {name: "configure", dir: "{build}", once: true}, {name: "compile", dir: "{build}"}, {name: "install", dir: "{build}"}}
	switch by {
	case "meson":
		phases[1].argv = [][]string{slices.Concat([]string{"meson", "setup", "{build}", "{source}", "--prefix={prefix}", "--libdir=lib"}, options)}
		phases[2].argv = [][]string{{"ninja", "-C", "{build}", "-j{jobs}"}}
		phases[3].argv = [][]string{{"meson", "install", "-C", "{build}", "--no-rebuild", "--destdir", "{staging}"}}
	case "make":
		phases[2].argv = [][]string{slices.Concat([]string{"make", "-j{jobs}", "PREFIX={prefix}", "prefix={prefix}"}, options)}
		phases[3].argv = [][]string{slices.Concat([]string{"make", "install", "DESTDIR={staging}", "PREFIX={prefix}", "prefix={prefix}"}, options)}
		phases[2].dir, phases[3].dir = "{source}", "{source}"
	default:
		phases[0].made = true
		phases[1].argv = [][]string{slices.Concat([]string{"{source}/configure", "--prefix={prefix}"}, options)}
		phases[2].argv = [][]string{{"make", "-j{jobs}"}}
		phases[3].argv = [][]string{{"make", "install", "DESTDIR={staging}"}}
	}
	return phases
}
