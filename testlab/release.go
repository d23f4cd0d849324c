package testlab

import (
	"fmt"
	"strings"
)

// release is one release of a distribution that the lab can make an image of.
type release struct {
	Image    string // "debian-12"
	Distro   string // ID of os-release(5)
	Codename string // VERSION_CODENAME of os-release(5), and the suite in apt's sources
}

// kernelPackage is the package that pulls the release's stock kernel in.
func (r release) kernelPackage() string {
	if r.Distro == "ubuntu" {
		return "linux-image-generic"
	}
	return "linux-image-amd64"
}

func releases() []release {
	return []release{
		{"debian-12", "debian", "bookworm"},
		{"debian-13", "debian", "trixie"},
		{"ubuntu-22.04", "ubuntu", "jammy"},
		{"ubuntu-24.04", "ubuntu", "noble"},
	}
}

func findRelease(image string) (release, error) {
	var known []string
	for _, r := range releases() {
		if r.Image == image {
			return r, nil
		}
		known = append(known, r.Image)
	}
	return release{}, fmt.Errorf("image %q is not known; the lab can make %s", image, strings.Join(known, ", "))
}

// machineRelease reads os-release(5).
func machineRelease(osRelease []byte) (release, error) {
	fields := map[string]string{}
	for line := range strings.Lines(string(osRelease)) {
		key, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if found {
			fields[key] = strings.Trim(value, `"'`)
		}
	}
	for _, r := range releases() {
		if r.Distro == fields["ID"] && r.Codename == fields["VERSION_CODENAME"] {
			return r, nil
		}
	}
	return release{}, fmt.Errorf("this machine runs %q %q, of which the lab knows no apt sources; it needs Debian 12, Debian 13, Ubuntu 22.04 or Ubuntu 24.04",
		fields["ID"], fields["VERSION_CODENAME"])
}
