package build

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

const (
	// cacheDir holds results, and builds under way.
	cacheDir = "/var/cache/weft/builds"
	// logDir holds the log of the last build of a name that failed.
	logDir = "/var/log"
	// defaultTimeout is for one phase.
	defaultTimeout = 3 * time.Hour
)

// A recipe is what all kinds of this family come to.
type recipe struct {
	kind    string
	name    string
	version string
	absent  bool

	source string // path of the tarball
	sum    string // its SHA-256 in hexadecimal
	prefix string // a symlink to the tree
	phases []phase
	env    map[string]string

	// asked is all that a playbook says and that decides the result, by
	// attribute.
	asked map[string]string
	// packages and compiler are what of the host decides it too.
	packages []string
	compiler string
	// native says that the compiler makes what this very processor can do.
	native bool

	dir     string // of builds under way
	user    string // who builds; root where empty
	jobs    int    // as many as processors where 0
	timeout time.Duration
	archive string // a result of another host; may be empty

	programs  []string          // below the prefix, linked to localDir
	libraries []string          // directories below the prefix for the dynamic linker
	units     map[string]string // text of systemd units by name
	// dpdk is a prefix of a DPDK that is built against; empty for none.
	dpdk string
	// obstacle says what on the host stands in the way of an installation; nil
	// where nothing can.
	obstacle func(ctx context.Context, v host.View) error
}

// A phase is a part of a build: programs, run one after the other in a directory.
type phase struct {
	name string
	argv [][]string
	dir  string // word of a directory, see [words]
	// once says that it is not begun again by a build that goes on: what it did
	// stays, or it is done anew from an empty directory.
	once bool
	// made says that the source's own programs make its configure where it comes
	// without.
	made bool
}

// common is what the specs of all kinds say alike.
type common struct {
	name, version, source, sum, prefix string
	state                              step.State
	packages, programs, libraries      []string
	environment                        map[string]string
	directory, user, timeout, archive  string
	jobs                               int
}

func (c common) recipe(kind string) recipe {
	r := recipe{
		kind: kind, name: c.name, version: c.version, absent: !c.state.There(),
		source: c.source, sum: strings.ToLower(c.sum), prefix: cmp.Or(c.prefix, "/opt/"+c.name), env: c.environment,
		packages: c.packages, compiler: "cc", dir: cmp.Or(c.directory, cacheDir), user: c.user, jobs: c.jobs, timeout: defaultTimeout,
		archive: c.archive, programs: c.programs, libraries: c.libraries,
	}
	if d, err := time.ParseDuration(c.timeout); err == nil {
		r.timeout = d
	}
	if r.user == "root" {
		r.user = ""
	}
	r.asked = map[string]string{"kind": kind, "version": r.version, "sha256": r.sum, "prefix": r.prefix}
	for _, name := range slices.Sorted(maps.Keys(c.environment)) {
		r.asked["environment."+name] = c.environment[name]
	}
	return r
}

var (
	namePattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]{0,63}$`)
	versionPattern = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+~_]{0,63}$`)
	sumPattern     = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
	packagePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+._:-]*$`)
	userPattern    = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
)

// problems are the mistakes that all kinds see alike.
func (c common) problems() []step.Problem {
	var all []step.Problem
	add := func(path, hint, format string, args ...any) {
		all = append(all, step.Problem{Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	if !namePattern.MatchString(c.name) {
		add("name", "lower-case letters, digits and +.-", "%q is not the name of a build", c.name)
	}
	if !versionPattern.MatchString(c.version) && c.state.There() {
		add("version", `write it as the project does: "3.1.0"`, "%q is not a version", c.version)
	}
	if c.state.There() && !sumPattern.MatchString(c.sum) {
		add("sha256", "it is what sha256sum prints of the tarball", "%q is not a SHA-256", c.sum)
	}
	if c.state.There() && !clean(c.source) {
		add("source", "a step \"download\" or \"file_copy\" brings it", "%q is not the absolute path of a tarball", c.source)
	}
	for _, at := range [][2]string{{"prefix", c.prefix}, {"directory", c.directory}} {
		path, dir := at[0], at[1]
		if dir != "" && (!clean(dir) || strings.Count(dir, "/") < 2 || slices.Contains(shared, dir)) {
			add(path, "it is the build's alone, as /opt/"+c.name+"; programs links what is to be on the PATH", "%q is not a directory of its own", dir)
		}
	}
	if c.archive != "" && !clean(c.archive) {
		add("archive", "", "%q is not an absolute path", c.archive)
	}
	for _, name := range c.packages {
		if !packagePattern.MatchString(name) {
			add("packages", "", "%q is not the name of a package", name)
		}
	}
	for i, p := range slices.Concat(c.programs, c.libraries) {
		if !within(p) {
			attribute := "programs"
			if i >= len(c.programs) {
				attribute = "libraries"
			}
			add(attribute, `write it from the prefix on: "bin/x"`, "%q does not lie below the prefix", p)
		}
	}
	for i, p := range c.programs {
		if slices.ContainsFunc(c.programs[:i], func(o string) bool { return linkOf(o) == linkOf(p) }) {
			add("programs", "", "two of them would be %s", linkOf(p))
		}
	}
	if c.user != "" && !userPattern.MatchString(c.user) {
		add("user", "", "%q is not the name of a user", c.user)
	}
	if c.jobs < 0 {
		add("jobs", "leave it out for as many as the host has processors", "is less than nothing")
	}
	if d, err := time.ParseDuration(c.timeout); c.timeout != "" && (err != nil || d <= 0) {
		add("timeout", `write it with its unit: "3h"`, "%q is not a time", c.timeout)
	}
	return all
}

// shared are directories that many build for.
var shared = []string{"/usr/local", "/usr/share", "/usr/bin", "/usr/lib", "/usr/sbin", "/var/lib", "/var/cache", "/var/log", "/var/tmp", "/etc/default"}

// clean says whether a path is whole and spelled the short way, and cannot be
// taken for an option or for several words.
func clean(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && p != "/" && !strings.ContainsAny(p, " \t\n:'\"\\$`{}")
}

// within says whether a path lies below where it is looked up.
func within(p string) bool { return p != "" && p != "." && clean("/"+p) && !strings.HasPrefix(p, "..") }

// base is the name of this build's files: those of another key have another.
func (r recipe) base(key string) string { return r.name + "-" + key }

// tree is where the result of a key lies.
func (r recipe) tree(key string) string { return r.prefix + "-" + r.version + "-" + key }

// hidden is where a tree is unpacked, and outgoing from where it is removed: what
// has a tree's own name is whole.
func hidden(tree string) string { return path.Join(path.Dir(tree), ".weft-"+path.Base(tree)) }

func outgoing(tree string) string { return hidden(tree) + ".old" }

// work is the directory of a build under way.
func (r recipe) work(key string) string { return path.Join(r.dir, r.base(key)) }

// home is where the build user's programs leave what they will.
func (r recipe) home(key string) string { return path.Join(r.work(key), "home") }

// packed is the archive of a result.
func (r recipe) packed(key string) string { return path.Join(cacheDir, r.base(key)+".tar") }

// log is where the whole of what a failed phase printed lies.
func (r recipe) log() string { return path.Join(logDir, "weft-build-"+r.name+".log") }

// localDir is where links to programs go.
const localDir = "/usr/local"

// linkOf is the link to a program: sbin/x goes to /usr/local/sbin, all else to
// /usr/local/bin.
func linkOf(program string) string {
	dir := "bin"
	if path.Base(path.Dir(program)) == "sbin" {
		dir = "sbin"
	}
	return path.Join(localDir, dir, path.Base(program))
}

// linkerFile tells the dynamic linker of a build's libraries; ldconfig(8).
func (r recipe) linkerFile() string { return "/etc/ld.so.conf.d/weft-" + r.name + ".conf" }

// unitDir is where units of this host lie; systemd.unit(5).
const unitDir = "/etc/systemd/system"

// mark begins the files that are ours.
func (r recipe) mark() string { return "# Written by weft for " + r.kind + " " + r.name + ".\n" }
