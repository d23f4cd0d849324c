package packages

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	buildSource = "/var/lib/" + steptest.Prefix + "-source.tar.gz"
	buildLink   = "/var/lib/" + steptest.Prefix + "-link"
	buildTop    = steptest.Prefix + "-hello-1.0"
)

const helloSpec = `Name: weft-laws-hello
Version: 1.0
Release: 1
Summary: made by a test
License: none
BuildArch: noarch
BuildRequires: weft-laws-stable
Source0: weft-laws-source.tar.gz
%bcond_without check
%description
x
%prep
%setup -q
%build
echo hello > hello
%install
mkdir -p %{buildroot}/usr/share/weft-laws-hello
cp hello %{buildroot}/usr/share/weft-laws-hello/
%check
%if %{with check}
echo error: the tests fail
exit 1
%endif
%files
/usr/share/weft-laws-hello
`

// buildMachine has the programs that a build calls. What the fake calls a tarball is
// the spec in it.
func buildMachine() *fake.Machine {
	m := redhatMachine()
	m.WriteFile("/etc/passwd", "root:x:0:0::/root:/bin/sh\n"+steptest.Prefix+":x:900:900::/nowhere:/bin/sh\ntoor:x:0:0::/root:/bin/sh\n")
	m.AddAccount(steptest.Prefix)
	m.WriteFile(buildSource, helloSpec)
	m.Mkdir("/var/cache")
	d := dnfPrograms{log: &transactionLog{of: map[string]int{}}}
	m.Program("rpm", func(m *fake.Machine, c host.Command) host.Result {
		switch {
		case c.Argv[1] == "--eval":
			return printed("x86_64 .el9\n")
		case c.Argv[1] == "-qp" && strings.Contains(c.Argv[3], "REQUIRENAME"):
			return printed("weft-laws-stable\nrpmlib(CompressedFileNames)\n")
		case c.Argv[1] == "-qp":
			return printed("weft-laws-hello\t1.0-1\n")
		}
		return d.rpm(m, c)
	})
	m.Program("dnf", func(m *fake.Machine, c host.Command) host.Result {
		for i, word := range c.Argv {
			if word == "builddep" {
				return d.builddep(m, c.Argv[:i:i], c.Argv[len(c.Argv)-1])
			}
		}
		return d.dnf(m, c)
	})
	m.Program("sha256sum", func(m *fake.Machine, c host.Command) host.Result {
		var b strings.Builder
		for _, file := range c.Argv[2:] {
			text, _ := m.File(file)
			fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256([]byte(text)), file)
		}
		return printed("%s", b.String())
	})
	m.Program("tar", func(m *fake.Machine, c host.Command) host.Result {
		text, _ := m.File(c.Argv[2])
		return printed("%s", text)
	})
	m.Program("cp", func(m *fake.Machine, c host.Command) host.Result {
		for _, from := range c.Argv[1 : len(c.Argv)-1] {
			if text, ok := m.File(from); ok {
				m.WriteFile(c.Argv[len(c.Argv)-1]+path.Base(from), text)
			}
		}
		return host.Result{}
	})
	m.Program("rm", func(m *fake.Machine, c host.Command) host.Result {
		for _, p := range c.Argv[3:] {
			removeAll(m, p)
		}
		return host.Result{}
	})
	m.Program("install", func(m *fake.Machine, c host.Command) host.Result {
		dirs := c.Argv[3:]
		if c.Argv[2] == "-o" {
			dirs = c.Argv[5:]
		}
		for _, dir := range dirs {
			m.Mkdir(dir)
			if c.Argv[2] == "-o" {
				m.Chown(dir, c.Argv[3], "")
			}
		}
		return host.Result{}
	})
	m.Program("chown", func(m *fake.Machine, c host.Command) host.Result {
		chownAll(m, c.Argv[5], c.Argv[3])
		return host.Result{}
	})
	m.Program("mv", func(m *fake.Machine, c host.Command) host.Result {
		from, to := c.Argv[3], c.Argv[4]
		moveAll(m, from, to)
		removeAll(m, from)
		return host.Result{}
	})
	m.Program("createrepo_c", func(m *fake.Machine, c host.Command) host.Result {
		m.Mkdir(c.Argv[2] + "/repodata")
		m.WriteFile(c.Argv[2]+"/repodata/repomd.xml", "index")
		return host.Result{}
	})
	m.Program("runuser", buildUserModel)
	return m
}

// eachChild calls do for what is in a directory.
func eachChild(m *fake.Machine, dir string, do func(child string)) {
	names, err := m.Host().Files.List(context.Background(), dir)
	if err != nil {
		return
	}
	for _, name := range names {
		do(dir + "/" + name)
	}
}

func removeAll(m *fake.Machine, p string) {
	eachChild(m, p, func(child string) { removeAll(m, child) })
	m.Remove(p)
}

func chownAll(m *fake.Machine, p, owner string) {
	eachChild(m, p, func(child string) { chownAll(m, child, owner) })
	m.Chown(p, owner, "")
}

func moveAll(m *fake.Machine, from, to string) {
	if text, ok := m.File(from); ok {
		m.WriteFile(to, text)
		return
	}
	m.Mkdir(to)
	eachChild(m, from, func(child string) { moveAll(m, child, to+"/"+path.Base(child)) })
}

func helloBuild() BuildSpec {
	return BuildSpec{Sources: []string{buildSource}, Spec: "rpm/hello.spec", User: steptest.Prefix, Builddep: true, Without: []string{"check"}, Directory: buildLink}
}

func TestBuildLaws(t *testing.T) {
	other := helloBuild()
	other.Defines = map[string]string{"dist": ".laws"}
	absent := helloBuild()
	absent.State = step.Absent
	old := steptest.Hand{
		Name: "another build",
		Fake: func(m *fake.Machine) {
			m.Mkdir("/srv")
			m.Symlink(buildLink, "/srv")
		},
		Host: steptest.Run("ln", "-sfn", "/srv", buildLink),
	}
	gone := steptest.Hand{Name: "state", Fake: func(m *fake.Machine) { m.Remove(buildLink) }, Host: steptest.Run("rm", "-f", buildLink)}
	onlyWhole(t)
	laws(t, steptest.Subject{
		Kind: buildKind(), Machine: buildMachine,
		Policy: []string{"sources", "spec", "user", "builddep", "with", "without", "defines", "directory", "timeout"},
		Found:  []steptest.Hand{{Name: "absent"}, old},
		Cases: []steptest.Case{
			{Name: "whole", Spec: helloBuild(), Drift: []steptest.Hand{gone}},
			{Name: "other inputs", Spec: other},
			{Name: "absent", Spec: absent},
		},
		Forget: func(m *fake.Machine) { // half a build is nothing to bring back, nor is a result that no link leads to
			removeAll(m, buildStore)
			m.Mkdir(buildStore)
			r := loadRPM(m)
			for _, name := range []string{"weft-laws-stable", "weft-laws-libpony"} {
				delete(r.Packages, name)
				m.Remove("/etc/" + name + ".conf")
			}
			saveRPM(m, r)
		},
		Touches: steptest.Touches{Files: []string{buildLink}, Queries: append(steptest.Run("ls", buildStore), realRPMTouches().Queries...)},
		Clean:   append(bareRPMs(), steptest.Run("rm", "-rf", buildLink, "/var/cache/weft")...),
		Prepare: realSource,
	})
}

// realSource makes the tarball, the user who builds, and the repository that has what
// the spec needs.
func realSource(t *testing.T, h host.Host) {
	realRPMs(t, h)
	dir := t.TempDir()
	write(t, filepath.Join(dir, buildTop, "rpm/hello.spec"), helloSpec, 0o644)
	program(t, "tar", "-czf", buildSource, "-C", dir, buildTop)
	program(t, "useradd", "--system", "--no-create-home", steptest.Prefix)
	t.Cleanup(func() {
		program(t, "userdel", steptest.Prefix)
		if err := os.Remove(buildSource); err != nil {
			t.Error(err)
		}
	})
}

func buildStep(spec BuildSpec) builds {
	spec.Name = "hello"
	return builds{spec}
}

// TestBuildTellsWhyItFailed: the phase, the line, and where the log lies.
func TestBuildTellsWhyItFailed(t *testing.T) {
	m := buildMachine()
	spec := helloBuild()
	spec.Without = nil
	s := buildStep(spec)
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	err = s.Apply(t.Context(), m.Host(), f)
	if err == nil {
		t.Fatal("a build whose tests fail succeeds")
	}
	_, log, _ := strings.Cut(err.Error(), "(log: ")
	log = strings.TrimSuffix(log, ")")
	if text, ok := m.File(log); !ok || !strings.Contains(text, "Bad exit status") || !strings.Contains(err.Error(), "in %check: error: the tests fail") {
		t.Errorf("%v\nlog %s: %s", err, log, text)
	}
}

// TestBuildIsMadeOnce: a result of the same inputs is taken, a damaged one is not.
func TestBuildIsMadeOnce(t *testing.T) {
	m := buildMachine()
	s := buildStep(helloBuild())
	f := applied(t, m, s)
	built := 0
	m.Program("runuser", func(m *fake.Machine, c host.Command) host.Result {
		if slices.Contains(c.Argv, "-bb") {
			built++
		}
		return buildUserModel(m, c)
	})
	m.Remove(buildLink)
	applied(t, m, s)
	if built != 0 {
		t.Error("it was built again, and the result was there")
	}
	m.WriteFile(s.store(keyIn(t, f))+"/weft-laws-hello-1.0-1.noarch.rpm", "damaged")
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil || len(f.Deltas) != 1 || f.Deltas[0].Path != "files" {
		t.Fatalf("damage: %v, %v", f.Deltas, err)
	}
	if applied(t, m, s); built != 1 {
		t.Errorf("a damaged result was built %d times", built)
	}
	m.WriteFile(buildSource, helloSpec+"# changed\n")
	if f, err := s.Check(t.Context(), m.Host().View()); err != nil || !f.Changed() {
		t.Errorf("another tarball: %v, %v", f.Deltas, err)
	}
}

func keyIn(t *testing.T, f step.Finding) string {
	t.Helper()
	_, rest, _ := strings.Cut(string(f.Outputs), `"key":"`)
	key, _, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("no key in %s", f.Outputs)
	}
	return key
}

func TestBuildRefuses(t *testing.T) {
	m := buildMachine()
	root := helloBuild()
	root.User = "toor"
	if _, err := buildStep(root).Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), "root by another name") {
		t.Errorf("a user with the id 0: %v", err)
	}
	nobody := helloBuild()
	nobody.User = "nobody-there"
	if _, err := buildStep(nobody).Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("a user who is not there: %v", err)
	}
	m.Mkdir(buildLink)
	if _, err := buildStep(helloBuild()).Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), "no link of weft's") {
		t.Errorf("a directory in the place of the link: %v", err)
	}
	for name, spec := range map[string]BuildSpec{
		"user":      {Name: "x", Sources: []string{"/x"}, Spec: "x", User: "root"},
		"sources":   {Name: "x", Sources: []string{"http://x/y"}, Spec: "x", User: "u"},
		"spec":      {Name: "x", Sources: []string{"/x"}, Spec: "../x", User: "u"},
		"without":   {Name: "x", Sources: []string{"/x"}, Spec: "x", User: "u", Without: []string{"a b"}},
		"defines":   {Name: "x", Sources: []string{"/x"}, Spec: "x", User: "u", Defines: map[string]string{"_topdir": "/"}},
		"directory": {Name: "x", Sources: []string{"/x"}, Spec: "x", User: "u", Directory: "/srv"},
		"timeout":   {Name: "x", Sources: []string{"/x"}, Spec: "x", User: "u", Timeout: "soon"},
	} {
		if found := spec.Validate(); len(found) != 1 || found[0].Path != name {
			t.Errorf("%s: %v", name, found)
		}
	}
}

func TestFailure(t *testing.T) {
	for text, want := range map[string][2]string{
		"error: Failed build dependencies:\n\tgcc is needed by x-1-1.x86_64\n\tmake is needed by x-1-1.x86_64\n":                                           {"dependencies", "gcc is needed by x-1-1.x86_64"},
		"Executing(%build): /bin/sh -e x\n+ make\nx.c:3: error: no\nmake: *** [x.o] Error 1\nerror: Bad exit status from /x (%build)\nRPM build errors:\n": {"%build", "x.c:3: error: no"},
		"error: File /x/SOURCES/a.tar.gz: No such file or directory\n":                                                                                     {"its preparation", "error: File /x/SOURCES/a.tar.gz: No such file or directory"},
		"": {"its preparation", ""},
	} {
		if phase, line := failure(text); [2]string{phase, line} != want {
			t.Errorf("%q: %q, %q", text, phase, line)
		}
	}
}

func FuzzFailure(f *testing.F) {
	f.Add("Executing(%build): x\nerror: y\n")
	f.Fuzz(func(t *testing.T, text string) {
		if phase, line := failure(text); phase == "" || strings.Contains(line, "\n") {
			t.Errorf("%q, %q", phase, line)
		}
	})
}
