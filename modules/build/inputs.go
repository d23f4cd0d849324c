package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// inputs are all that decides a result: what was asked for by attribute, and what
// the host brought: "distribution", "architecture", "compiler", "package NAME".
type inputs map[string]string

// key is the digest that a result goes by.
func (in inputs) key() string {
	text, err := json.Marshal(in)
	if err != nil {
		panic("build: inputs that are no JSON: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// ofHost are the inputs that are the host's and not the playbook's.
func ofHost(name string) bool {
	return name == "distribution" || name == "architecture" || name == "compiler" || name == "processor" || strings.HasPrefix(name, "package ")
}

// differences says in which inputs another result differs. Those that this host
// does not know are passed over.
func (in inputs) differences(other inputs) []string {
	names := map[string]bool{}
	for _, m := range []inputs{in, other} {
		for name := range m {
			names[name] = true
		}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		here, known := in[name]
		if there := other[name]; here != there && (known || !ofHost(name)) {
			all = append(all, fmt.Sprintf("%s is %q there and %q here", name, there, here))
		}
	}
	return all
}

// gather reads what the host brings. The error says what it lacks to build, and
// wraps [step.ErrNotYet]; what is known is returned nevertheless.
func (r recipe) gather(ctx context.Context, v host.View) (inputs, error) {
	in := inputs{}
	maps.Copy(in, r.asked)
	release, err := v.Files.Read(ctx, "/etc/os-release")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return in, err
	}
	in["distribution"] = strings.TrimSpace(field(string(release), "ID") + " " + field(string(release), "VERSION_ID"))
	machine, err := v.Commands.Query(ctx, host.Command{Argv: []string{"uname", "-m"}})
	if err != nil {
		return in, err
	}
	in["architecture"] = strings.TrimSpace(string(machine.Stdout))
	if r.native {
		in["processor"] = processor(ctx, v)
	}
	if r.compiler != "" {
		c, err := v.Commands.Query(ctx, host.Command{Argv: []string{r.compiler, "--version"}})
		if err != nil {
			return in, fmt.Errorf("the compiler: %w", err)
		}
		in["compiler"], _, _ = strings.Cut(strings.TrimSpace(string(c.Stdout)), "\n")
	}
	versions, err := versionsOf(ctx, v, r.packages)
	for name, version := range versions {
		in["package "+name] = version
	}
	return in, err
}

// field is a value of os-release(5).
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return strings.Trim(value, `"'`)
		}
	}
	return ""
}

// processor is what the first processor can do; cpuinfo of proc(5).
func processor(ctx context.Context, v host.View) string {
	text, err := v.Kernel.Get(ctx, "/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok && (strings.TrimSpace(name) == "flags" || strings.TrimSpace(name) == "Features") {
			sum := sha256.Sum256([]byte(value))
			return hex.EncodeToString(sum[:8])
		}
	}
	return ""
}

// versionsOf asks the package manager, whichever the host has. A package that is
// not there is [step.ErrNotYet].
func versionsOf(ctx context.Context, v host.View, names []string) (map[string]string, error) {
	versions := map[string]string{}
	if len(names) == 0 {
		return versions, nil
	}
	argv := []string{"rpm", "-q", "--qf", `%{NAME}\t%{VERSION}-%{RELEASE}\tinstalled\n`, "--"}
	if _, err := v.Files.Stat(ctx, "/var/lib/dpkg/status"); err == nil {
		argv = []string{"dpkg-query", "-W", "-f", `${Package}\t${Version}\t${db:Status-Status}\n`, "--"}
	}
	answer, err := v.Commands.Query(ctx, host.Command{Argv: append(argv, names...)})
	var exit *host.ExitError
	if err != nil && !errors.As(err, &exit) { // it exits so where a package is unknown
		return versions, fmt.Errorf("ask for the versions of packages: %w", err)
	}
	for line := range strings.Lines(string(answer.Stdout)) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 3 && f[2] == "installed" {
			versions[f[0]] = f[1]
		}
	}
	var missing []string
	for _, name := range names {
		bare, _, _ := strings.Cut(name, ":")
		if versions[bare] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return versions, fmt.Errorf("it is built with packages that are not installed: %s; a step \"package\" before it brings them: %w", strings.Join(missing, ", "), step.ErrNotYet)
	}
	return versions, nil
}
