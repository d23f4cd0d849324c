package packages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"weft/engine/host"
)

// The package managers, as the attribute by spells them.
const (
	apt = "apt"
	dnf = "dnf" // version 4, of Red Hat 8 and later
	yum = "yum" // version 3, of Red Hat 7
)

// managerOf is the package manager of a host: what by says, else that of the
// distribution's family, else the one that is there.
func managerOf(ctx context.Context, v host.View, by string) (string, error) {
	if by != "" {
		return by, nil
	}
	return host.Recall(v.Memo, "package manager", func() (string, error) {
		family, err := familyOf(ctx, v)
		if err != nil || family == "debian" {
			return apt, err
		}
		candidates := []struct{ path, manager string }{{"/usr/bin/dnf", dnf}, {"/usr/bin/yum", yum}, {dpkgStatus, apt}}
		if family == "redhat" {
			candidates = candidates[:2]
		}
		for _, c := range candidates {
			if ok, err := there(ctx, v, c.path); err != nil || ok {
				return c.manager, err
			}
		}
		if family == "redhat" {
			return "", fmt.Errorf("the host is of Red Hat's family and has neither dnf nor yum: %w", host.ErrNotReady)
		}
		return "", errors.New("the host does not use dpkg, and has neither dnf nor yum: weft knows no other package manager")
	})
}

// familyOf reads os-release(5): "debian", "redhat", or nothing for what is neither.
func familyOf(ctx context.Context, v host.View) (string, error) {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		text, err := v.Files.Read(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		return familyIn(string(text)), nil
	}
	return "", nil
}

// familyIn looks at ID first, then at ID_LIKE, whose first words are the nearest
// relatives.
func familyIn(osRelease string) string {
	fields := map[string]string{}
	for line := range strings.Lines(osRelease) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			fields[name] = strings.ToLower(strings.Trim(value, `"'`))
		}
	}
	for _, id := range append([]string{fields["ID"]}, strings.Fields(fields["ID_LIKE"])...) {
		switch {
		case slices.Contains([]string{"debian", "ubuntu"}, id):
			return "debian"
		case slices.Contains([]string{"rhel", "centos", "fedora", "rocky", "almalinux", "ol", "redhat"}, id):
			return "redhat"
		}
	}
	return ""
}
