package testlab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// imageRecipe is all that decides what an image holds. Its digest is part of the image's name in the cache, so that a
// changed recipe is another image.
type imageRecipe struct {
	Version  int // of the code that follows the recipe: one more whenever it makes something else of the same recipe
	Release  release
	Sources  []source
	Packages []string
	Users    []imageUser
	Files    map[string]string // path in the image: content
	Links    map[string]string `json:",omitempty"` // path in the image: what the symbolic link says
	Masked   []string          // units that never start
	Removed  []string          // globs of what a host must not share with others
}

// imageUser is a login besides root.
type imageUser struct {
	Name     string
	Password string // crypt(5) hash, empty for none
	Sudo     string // sudoers(5) rule without the name, empty for what the group sudo allows
}

func imageUsers() []string { return []string{"operator", "deploy"} }

// repositoryPath is where hosts see the lab's apt repository.
const repositoryPath = "/srv/repository"

func newImageRecipe(r release, sources []source) imageRecipe {
	return imageRecipe{
		Version: 1,
		Release: r,
		Sources: sources,
		Packages: []string{
			"apt", "systemd", "systemd-sysv", "dbus", "openssh-server", "sudo",
			"iproute2", "ifupdown", "iputils-ping", "netbase", "procps", "ca-certificates",
			"python3", // for Ansible, not for weft
		},
		Users: []imageUser{
			// The hash is of "weft": the lab's addresses exist on this machine only.
			{Name: "operator", Password: "$6$weftlabs$SHkpOhlV0NOK7N1Z1cxIwUsV6OAbiXR31UaX9bdevrep.MZlUHHAW1Hy4IGRBjFcqvTLO0OLhO.9sXW7S1jH01"},
			{Name: "deploy", Sudo: "ALL=(ALL:ALL) NOPASSWD: ALL"},
		},
		Files: map[string]string{
			"/etc/apt/sources.list":           "deb [trusted=yes] file:" + repositoryPath + " ./\n",
			"/etc/network/interfaces":         "auto lo\niface lo inet loopback\n\nsource /etc/network/interfaces.d/*\n",
			"/etc/ssh/sshd_config.d/lab.conf": "HostKey /etc/ssh/ssh_host_ed25519_key\nUseDNS no\nPasswordAuthentication yes\n",
			"/etc/resolv.conf":                "# The lab has no name server.\n",
			"/etc/apt/apt.conf.d/90lab":       "Acquire::Languages \"none\";\n",
			// An sshd that answers while PAM still keeps all but root out (pam_nologin) is not up.
			"/etc/systemd/system/ssh.service.d/lab.conf": "[Unit]\nAfter=systemd-user-sessions.service\n",
			// A unit that does not stop would hold a reboot up for 90 s.
			"/etc/systemd/system.conf.d/lab.conf": "[Manager]\nDefaultTimeoutStopSec=10s\n",
		},
		Masked: []string{
			// They take apt's lock at a moment of their own choice.
			"apt-daily.timer", "apt-daily-upgrade.timer",
			// They look after hardware that is the machine's.
			"e2scrub_reap.service", "e2scrub_all.timer", "fstrim.timer", "systemd-pstore.service",
			"console-getty.service", "getty@tty1.service",
		},
		Removed: []string{"/etc/ssh/ssh_host_*", "/etc/machine-id", "/var/lib/dbus/machine-id", "/etc/hostname",
			"/etc/apt/sources.list.d/*", "/var/lib/systemd/random-seed"},
	}
}

// key names the image in the cache.
func (r imageRecipe) key() string { return r.Release.Image + "-" + recipeDigest(r) }

// repositoryRecipe is all that decides what a repository holds: it is the closure of some packages relative to an image.
type repositoryRecipe struct {
	Image    string // key of the image
	Packages []string
}

func (r repositoryRecipe) key() string { return r.Image + "-" + recipeDigest(r) }

// binariesAndSources parts the packages of a repository.
func binariesAndSources(all []string) (packages, sources []string) {
	for _, name := range all {
		if source, is := strings.CutPrefix(name, sourcePrefix); is {
			sources = append(sources, source)
		} else {
			packages = append(packages, name)
		}
	}
	return packages, sources
}

// recipeDigest is eight bytes of a recipe's SHA-256: plenty for a handful of images.
func recipeDigest(recipe any) string {
	text, err := json.Marshal(recipe)
	if err != nil {
		panic(fmt.Sprintf("testlab: a recipe is plain data: %v", err))
	}
	return shortDigest(string(text), 16)
}

// readSources reads this machine's release and its apt sources, as far as the image's release can be made from them.
func readSources(etc, image string) (release, []source, error) {
	osRelease, err := os.ReadFile(filepath.Join(etc, "os-release"))
	if err != nil {
		return release{}, nil, fmt.Errorf("read this machine's release: %w", err)
	}
	machine, err := machineRelease(osRelease)
	if err != nil {
		return release{}, nil, err
	}
	want := machine
	if image != "" {
		if want, err = findRelease(image); err != nil {
			return release{}, nil, err
		}
	}
	all, err := readSourceFiles(filepath.Join(etc, "apt"))
	if err != nil {
		return release{}, nil, err
	}
	chosen, err := sourcesFor(want, machine, all)
	return want, chosen, err
}

func readSourceFiles(apt string) ([]source, error) {
	files, err := filepath.Glob(filepath.Join(apt, "sources.list.d", "*"))
	if err != nil {
		return nil, fmt.Errorf("list apt's sources: %w", err)
	}
	var all []source
	for _, file := range append([]string{filepath.Join(apt, "sources.list")}, files...) {
		var parse func([]byte) ([]source, error)
		switch {
		case strings.HasSuffix(file, ".list"):
			parse = parseOneLine
		case strings.HasSuffix(file, ".sources"):
			parse = parseDeb822
		default:
			continue
		}
		data, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read apt's sources: %w", err)
		}
		sources, err := parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, sources...)
	}
	return all, nil
}
