package packages

import (
	"context"
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
