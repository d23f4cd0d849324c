package packages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/engine/host"
)

// An rpmPackage is a package as rpm's database and the manager's history know it.
type rpmPackage struct {
	Versions    []string // [epoch:]version-release, epoch 0 left out; several only of kernels, or half-way through an upgrade
	Arch        string
	Transaction string // INSTALLTID: the same of all packages that one transaction installed
	Reason      string // "user", "dependency", "weak-dependency", "group", …; only where it was asked for
}

func (p rpmPackage) there() bool { return len(p.Versions) > 0 }

// auto says whether only another package wanted it.
func (p rpmPackage) auto() bool {
	return p.Reason == "dependency" || p.Reason == "weak-dependency" || p.Reason == "dep"
}

// transaction is when it was installed: seconds since 1970. What rpm does not say is
// old.
func (p rpmPackage) transaction() int {
	n, err := strconv.Atoi(p.Transaction)
	if err != nil {
		return 0
	}
	return n
}

// shown is for people.
func (p rpmPackage) shown() string { return strings.Join(p.Versions, ", ") }

// rpmTable is all packages of a host, by [keyOf].
type rpmTable map[string]rpmPackage

// keyOf is how a package is called: by its name, as long as it is of the host's
// architecture; else by name.architecture. On a 64-bit host only 32-bit packages
// are of another.
func keyOf(name, arch string) string {
	if slices.Contains([]string{"i386", "i486", "i586", "i686", "athlon", "armv7hl"}, arch) {
		return name + "." + arch
	}
	return name
}

// canonicalName is the key for what an author wrote.
func canonicalName(written string) string {
	name, arch, ok := cutArch(written)
	if !ok {
		return written
	}
	return keyOf(name, arch)
}

// cutArch takes the architecture off the end of a name or a NEVRA.
func cutArch(text string) (rest, arch string, ok bool) {
	i := strings.LastIndexByte(text, '.')
	if i <= 0 {
		return text, "", false
	}
	switch arch = text[i+1:]; arch {
	case "noarch", "x86_64", "aarch64", "ppc64le", "ppc64", "s390x", "riscv64", "i386", "i486", "i586", "i686", "athlon", "armv7hl", "*":
		return text[:i], arch, true
	}
	return text, "", false
}

// cutVersion splits NAME-[EPOCH:]VERSION-RELEASE.
func cutVersion(text string) (name, evr string, ok bool) {
	release := strings.LastIndexByte(text, '-')
	if release <= 0 {
		return "", "", false
	}
	version := strings.LastIndexByte(text[:release], '-')
	if version <= 0 {
		return "", "", false
	}
	return text[:version], text[version+1:], true
}

// keyOfNEVRA reads what rpm calls an installed package in its messages:
// openvswitch-2.17.0-1.el8.x86_64.
func keyOfNEVRA(nevra string) (string, bool) {
	rest, arch, _ := cutArch(nevra)
	name, _, ok := cutVersion(rest)
	return keyOf(name, arch), ok
}

// matchesVersion says whether a version is what an author asked for, who may leave
// out the release and the epoch.
func matchesVersion(want, evr string) bool {
	epoch, vr, ok := strings.Cut(evr, ":")
	if !ok {
		epoch, vr = "0", evr
	}
	wantEpoch, wantVR, ok := strings.Cut(want, ":")
	if !ok {
		wantEpoch, wantVR = epoch, want
	}
	if wantEpoch != epoch {
		return false
	}
	version, _, _ := strings.Cut(vr, "-")
	return wantVR == vr || wantVR == version
}

// has says whether it is there in the version; any will do where that is empty.
func (p rpmPackage) has(version string) bool {
	return p.there() && (version == "" || slices.ContainsFunc(p.Versions, func(v string) bool { return matchesVersion(version, v) }))
}

// several says whether a package may be there in several versions (installonlypkgs
// of dnf.conf(5)).
func several(key string) bool {
	return strings.HasPrefix(key, "kernel") || strings.HasPrefix(key, "gpg-pubkey")
}

// twice says whether an rpm was interrupted between installing one version and
// removing the other.
func (t rpmTable) twice(key string) bool { return len(t[key].Versions) > 1 && !several(key) }

const rpmFormat = `%{NAME}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\t%{ARCH}\t%{INSTALLTID}\n`

// readRPMs asks rpm once until the next effect.
func readRPMs(ctx context.Context, v host.View) (rpmTable, error) {
	return host.Recall(v.Memo, "rpm", func() (rpmTable, error) {
		r, err := v.Commands.Query(ctx, host.Command{Argv: []string{"rpm", "-qa", "--qf", rpmFormat}, Timeout: 2 * time.Minute})
		if err != nil {
			return nil, explained(err)
		}
		// rpm skips what it cannot read in its database, and exits with 0.
		for line := range strings.Lines(string(r.Stderr)) {
			if strings.HasPrefix(line, "error:") {
				return nil, explained(fmt.Errorf("rpm -qa: %s", strings.TrimSpace(line)))
			}
		}
		return parseRPMs(string(r.Stdout))
	})
}

func parseRPMs(text string) (rpmTable, error) {
	t := rpmTable{}
	for line := range strings.Lines(text) {
		words := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(words) != 4 || words[0] == "" || words[1] == "" {
			return nil, fmt.Errorf("rpm -qa: a line that is no package: %q", line)
		}
		key := keyOf(words[0], words[2])
		p := t[key]
		p.Versions = append(p.Versions, strings.TrimPrefix(words[1], "0:"))
		slices.Sort(p.Versions)
		p.Arch, p.Transaction = words[2], words[3]
		t[key] = p
	}
	return t, nil
}

// record is the table as a journal keeps it: a line a package.
func (t rpmTable) record() []string {
	lines := make([]string, 0, len(t))
	for key, p := range t {
		reason := p.Reason
		if reason == "" {
			reason = "-"
		}
		lines = append(lines, key+" "+strings.Join(p.Versions, ",")+" "+p.Arch+" "+reason)
	}
	slices.Sort(lines)
	return lines
}

// recalledRPMs reads a record.
func recalledRPMs(lines []string) (rpmTable, error) {
	t := rpmTable{}
	for _, line := range lines {
		words := strings.Split(line, " ")
		if len(words) != 4 {
			return nil, fmt.Errorf("a recorded package that is none: %q", line)
		}
		t[words[0]] = rpmPackage{Versions: strings.Split(words[1], ","), Arch: words[2], Reason: strings.TrimPrefix(words[3], "-")}
	}
	return t, nil
}

// dependents are what rpm names in a line "CAPABILITY is needed by (installed)
// NEVRA": what is needed, and by whom.
type dependent struct{ capability, key string }

// breaks asks rpm what would lack something if packages went.
func breaks(ctx context.Context, v host.View, nevras []string) ([]dependent, error) {
	r, err := v.Commands.Query(ctx, host.Command{Argv: append([]string{"rpm", "-e", "--test"}, nevras...), Timeout: 2 * time.Minute})
	if err == nil {
		return nil, nil
	}
	found := parseBreaks(string(r.Stderr) + string(r.Stdout))
	var exit *host.ExitError
	if !errors.As(err, &exit) || len(found) == 0 {
		return nil, fmt.Errorf("ask rpm what needs %s: %w", strings.Join(nevras, " "), explained(err))
	}
	return found, nil
}

func parseBreaks(text string) []dependent {
	var found []dependent
	for line := range strings.Lines(text) {
		capability, who, ok := strings.Cut(strings.TrimSpace(line), " is needed by ")
		if !ok {
			continue
		}
		who = strings.TrimSpace(strings.TrimPrefix(who, "(installed)"))
		if key, ok := keyOfNEVRA(who); ok && capability != "" {
			found = append(found, dependent{capability, key})
		}
	}
	return found
}

// nevras are the packages as rpm -e takes them.
func (t rpmTable) nevras(keys []string) []string {
	var out []string
	for _, key := range keys {
		for _, version := range t[key].Versions {
			out = append(out, nameVersion(key, version, t[key].Arch))
		}
	}
	slices.Sort(out)
	return out
}

// nameVersion is NAME-VERSION-RELEASE.ARCH, without the epoch, which rpm of EL7
// does not take.
func nameVersion(key, evr, arch string) string {
	if _, vr, ok := strings.Cut(evr, ":"); ok {
		evr = vr
	}
	name, _, _ := cutArch(key)
	return name + "-" + evr + "." + arch
}

// goesAlong are the packages that must go with keys, since they need them.
func (t rpmTable) goesAlong(ctx context.Context, v host.View, keys []string) ([]string, error) {
	all := slices.Clone(keys)
	for {
		found, err := breaks(ctx, v, t.nevras(all))
		if err != nil {
			return nil, err
		}
		before := len(all)
		for _, d := range found {
			if t[d.key].there() && !slices.Contains(all, d.key) {
				all = append(all, d.key)
			}
		}
		if len(all) == before {
			along := all[len(keys):]
			slices.Sort(along)
			return along, nil
		}
	}
}

// spareable leaves of keys what nothing else needs. Needed says who needs the rest.
func (t rpmTable) spareable(ctx context.Context, v host.View, keys []string) (spare []string, needed map[string]string, err error) {
	spare, needed = slices.Clone(keys), map[string]string{}
	for len(spare) > 0 {
		found, err := breaks(ctx, v, t.nevras(spare))
		if err != nil || len(found) == 0 {
			return spare, needed, err
		}
		providers, err := t.providers(ctx, v, found)
		if err != nil {
			return nil, nil, err
		}
		before := len(spare)
		spare = slices.DeleteFunc(spare, func(key string) bool {
			by, ok := providers[key]
			if ok {
				needed[key] = by
			}
			return ok
		})
		if len(spare) == before {
			return nil, nil, fmt.Errorf("rpm says that %s is needed by %s, and not what provides it", found[0].capability, found[0].key)
		}
	}
	return spare, needed, nil
}

// providers are the packages that provide what others need, with one of the others.
func (t rpmTable) providers(ctx context.Context, v host.View, needs []dependent) (map[string]string, error) {
	out := map[string]string{}
	asked := map[string]bool{}
	for _, need := range needs {
		capability, _, _ := strings.Cut(need.capability, " ") // without "= 1.1"
		if asked[capability] {
			continue
		}
		asked[capability] = true
		r, err := v.Commands.Query(ctx, host.Command{Argv: []string{"rpm", "-q", "--whatprovides", capability, "--qf", rpmFormat}, Timeout: time.Minute})
		if err != nil {
			return nil, fmt.Errorf("ask rpm what provides %s: %w", capability, explained(err))
		}
		found, err := parseRPMs(string(r.Stdout))
		if err != nil {
			return nil, err
		}
		for key := range found {
			out[key] = need.key
		}
	}
	return out, nil
}

// neededBy are the packages that the roots need, themselves included, as far as the
// names of capabilities tell: files that are needed are not looked up.
func neededBy(ctx context.Context, v host.View, roots []string) (map[string]bool, error) {
	const format = `%{NAME}\t%{ARCH}\t[%{PROVIDENAME} ]\t[%{REQUIRENAME} ]\n`
	r, err := v.Commands.Query(ctx, host.Command{Argv: []string{"rpm", "-qa", "--qf", format}, Timeout: 5 * time.Minute})
	if err != nil {
		return nil, fmt.Errorf("ask rpm what packages need: %w", explained(err))
	}
	providers, needs := parseNeeds(string(r.Stdout))
	seen := map[string]bool{}
	for todo := slices.Clone(roots); len(todo) > 0; {
		key := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[key] {
			continue
		}
		seen[key] = true
		for _, capability := range needs[key] {
			todo = append(todo, providers[capability]...)
		}
	}
	return seen, nil
}

// parseNeeds reads what packages provide and require. A rich dependency ("(a if b)")
// counts by its words.
func parseNeeds(text string) (providers, needs map[string][]string) {
	providers, needs = map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(text) {
		words := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(words) != 4 {
			continue
		}
		key := keyOf(words[0], words[1])
		for _, capability := range strings.Fields(words[2]) {
			providers[capability] = append(providers[capability], key)
		}
		for _, capability := range strings.Fields(words[3]) {
			needs[key] = append(needs[key], strings.TrimPrefix(capability, "("))
		}
	}
	return providers, needs
}
