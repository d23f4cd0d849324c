package packages

import (
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
	rpmRepoFile = "/etc/yum.repos.d/" + steptest.Prefix + ".repo"
	// realRPMDirectory holds the repository.
	realRPMDirectory = "/var/lib/" + steptest.Prefix + "-rpms"

	emptyLocks = "# locks of others\nsomething-0:1-1.*\n"
)

func ourRPMs() []string { return slices.Sorted(maps.Keys(rpmRepository)) }

// dressed makes a Debian host one that has rpm and dnf at work, as far as their
// packages of Debian go: rpm's database and dnf's configuration stand where Red Hat
// has them.
func dressed(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("dnf"); err != nil {
		program(t, "apt-get", "-q", "update")
		program(t, "apt-get", "-q", "-y", "--no-install-recommends", "install", "rpm", "dnf", "dnf-plugins-core", "createrepo-c")
	}
	write(t, "/etc/rpm/macros", "%_dbpath /var/lib/rpm\n", 0o644)
	write(t, "/etc/dnf/plugins/local.conf", "[main]\nenabled = false\n", 0o644)
	write(t, "/etc/dnf/vars/releasever", "9\n", 0o644)
	program(t, "rpm", "--initdb")
}

// realRPMs builds the model's repository with rpmbuild and createrepo_c, and lets
// dnf know it.
func realRPMs(t *testing.T, _ host.Host) {
	dressed(t)
	const dir = realRPMDirectory
	for _, name := range ourRPMs() {
		for _, r := range rpmRepository[name] {
			buildRPM(t, dir, name, r)
		}
	}
	members := ""
	for _, name := range herd {
		members += "<packagereq type=\"mandatory\">" + name + "</packagereq>"
	}
	write(t, filepath.Join(dir, "comps.xml"), "<comps><group><id>"+steptest.Prefix+"-herd</id><name>The herd</name><description>x</description>"+
		"<default>false</default><uservisible>true</uservisible><packagelist>"+members+"</packagelist></group></comps>\n", 0o644)
	program(t, "createrepo_c", "-q", "-g", "comps.xml", dir)
	write(t, rpmRepoFile, "["+steptest.Prefix+"]\nname=laws\nbaseurl=file://"+dir+"\ngpgcheck=0\nmetadata_expire=1\n", 0o644)
	write(t, lockFile, emptyLocks, 0o644)
	const libc = steptest.Prefix + "-libc"
	program(t, "dnf", "-q", "-y", "install", libc)
	program(t, "dnf", "-q", "-y", "mark", "remove", libc) // which dnf remembers of a package that went
	t.Cleanup(func() {
		program(t, "sh", "-c", "rpm -e --nodeps $(rpm -qa '"+steptest.Prefix+"*')")
		for _, path := range []string{dir, rpmRepoFile} {
			if err := os.RemoveAll(path); err != nil {
				t.Error(err)
			}
		}
	})
}

// realRepoFiles leaves no repository behind, which other walks would meet.
func realRepoFiles(t *testing.T, _ host.Host) {
	dressed(t)
	t.Cleanup(func() {
		for _, path := range []string{"/etc/yum.repos.d", "/etc/pki/rpm-gpg"} {
			if err := os.RemoveAll(path); err != nil {
				t.Error(err)
			}
		}
	})
}

// buildRPM makes a package.
func buildRPM(t *testing.T, dir, name string, r release) {
	version, rel, _ := strings.Cut(r.version, "-")
	spec := fmt.Sprintf("Name: %s\nVersion: %s\nRelease: %s\nSummary: made by a test\nLicense: none\nBuildArch: noarch\n", name, version, rel)
	for _, need := range r.depends {
		spec += "Requires: " + need + "\n"
	}
	spec += fmt.Sprintf("%%description\nx\n%%install\nmkdir -p %%{buildroot}/etc\necho default > %%{buildroot}/etc/%s.conf\n%%files\n%%config(noreplace) /etc/%s.conf\n", name, name)
	path := filepath.Join(dir, name+".spec")
	write(t, path, spec, 0o644)
	program(t, "rpmbuild", "-bb", "--quiet", "--define", "_topdir "+filepath.Join(dir, "build"), "--define", "_rpmdir "+dir, path)
}

// realRPMTouches is what a walk may change of a real host's RPMs.
func realRPMTouches() steptest.Touches {
	quiet := []string{"dnf", "-q", "-C", "--disablerepo=*", "--disableplugin=*"}
	touches := steptest.Touches{
		Files: []string{lockFile},
		Queries: []host.Command{
			{Argv: slices.Concat(quiet, []string{"repoquery", "--installed", "--qf", "%{name} %{evr} %{reason}"})},
			{Argv: slices.Concat(quiet, []string{"group", "list", "--installed"})},
		},
	}
	for _, name := range ourRPMs() {
		touches.Files = append(touches.Files, "/etc/"+name+".conf")
	}
	return touches
}

// bareRPMs leaves of the repository what the model's machine begins with.
func bareRPMs() []host.Command {
	const script = `rpm -e --nodeps $(rpm -qa '` + steptest.Prefix + `*'); rpm -i ` + realRPMDirectory + `/noarch/` + steptest.Prefix + `-libc-2.35-1.noarch.rpm`
	return []host.Command{
		{Argv: []string{"sh", "-c", script}},
		{Argv: []string{"dnf", "-q", "-C", "group", "mark", "remove", steptest.Prefix + "-herd"}},
		{Argv: []string{"tee", lockFile}, Stdin: []byte(emptyLocks)},
	}
}
