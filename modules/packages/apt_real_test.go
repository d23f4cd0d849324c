package packages

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/step/steptest"
)

const (
	realSources = "/etc/apt/sources.list.d/" + steptest.Prefix + ".list"
	// versionsDir holds a file of each package that is installed, with its
	// version: dpkg notes a version beside left-over configuration too.
	versionsDir = "/usr/share/" + steptest.Prefix
)

// ours are the packages of the repository that a test may install.
func ours() []string {
	names := slices.Sorted(maps.Keys(repository))
	return slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, steptest.Prefix) })
}

// realRepository builds the model's repository with dpkg-deb, and lets apt
// know it.
func realRepository(t *testing.T, _ host.Host) {
	dir, err := os.MkdirTemp("/var/lib", steptest.Prefix+"-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var index strings.Builder
	for _, name := range ours() {
		for _, r := range repository[name] {
			index.WriteString(build(t, dir, name, r))
		}
	}
	write(t, filepath.Join(dir, "Packages"), index.String(), 0o644)
	write(t, realSources, "deb [trusted=yes] file:"+dir+" ./\n", 0o644)
	program(t, "apt-get", "-q", "update")
	t.Cleanup(func() {
		program(t, "apt-get", append([]string{"-y", "-q", "--allow-change-held-packages", "purge"}, ours()...)...)
		for _, path := range []string{dir, realSources, versionsDir} {
			if err := os.RemoveAll(path); err != nil {
				t.Error(err)
			}
		}
		program(t, "apt-get", "-q", "update")
	})
}

// build makes a package and returns its stanza of the index.
func build(t *testing.T, dir, name string, r release) string {
	root := filepath.Join(dir, "build")
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: the laws <nobody@example.com>\nDepends: %s\nDescription: made by a test\n", name, r.version, strings.Join(r.depends, ", "))
	if len(r.depends) == 0 {
		control = strings.Replace(control, "Depends: \n", "", 1)
	}
	write(t, filepath.Join(root, "DEBIAN/control"), control, 0o644)
	write(t, filepath.Join(root, "DEBIAN/conffiles"), "/etc/"+name+".conf\n", 0o644)
	write(t, filepath.Join(root, "etc", name+".conf"), "default\n", 0o644)
	write(t, filepath.Join(root, versionsDir, name), r.version, 0o644)
	deb := name + "_" + r.version + ".deb"
	program(t, "dpkg-deb", "--root-owner-group", "-Znone", "--build", root, filepath.Join(dir, deb))
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, deb))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%sFilename: ./%s\nSize: %d\nSHA256: %x\n\n", control, deb, len(content), sha256.Sum256(content))
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(content), mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func program(t *testing.T, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// realPackages is what a walk may change of a real host's packages.
func realPackages() steptest.Touches {
	query := []string{"dpkg-query", "-W", "-f", "${Package} ${db:Status-Want} ${db:Status-Status}\n"}
	touches := steptest.Touches{
		Files: []string{versionsDir},
		Queries: []host.Command{
			{Argv: query}, {Argv: []string{"apt-mark", "showauto"}}, {Argv: []string{"apt-mark", "showhold"}},
		},
	}
	for _, name := range ours() {
		touches.Files = append(touches.Files, "/etc/"+name+".conf")
	}
	return touches
}

// barePackages leaves of the repository what the model's machine begins with.
func barePackages() []host.Command {
	const libc = steptest.Prefix + "-libc"
	return slices.Concat(
		by("", append([]string{"apt-get", "purge"}, ours()...)).Host,
		by("", install(libc+"=2.35"), []string{"apt-mark", "auto", libc}).Host,
	)
}
