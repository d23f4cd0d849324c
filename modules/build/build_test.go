package build

import (
	"context"
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// hello is a build by make.
func hello() SourceSpec {
	return SourceSpec{
		Name: "hello", Version: "1.0", Source: lawsSource, SHA256: sumOf([]byte(helloSource())), By: "make", Compiler: "cc",
		Packages: []string{"gcc"}, Programs: []string{"bin/hello"},
	}
}

func greeting() recipe { s := hello(); return s.recipe() }

func found(t *testing.T, m *fake.Machine, s SourceSpec) step.Finding {
	t.Helper()
	f, err := build{s.recipe()}.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func applied(t *testing.T, m *fake.Machine, s SourceSpec) step.Finding {
	t.Helper()
	f := found(t, m, s)
	if err := (build{s.recipe()}).Apply(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if again := found(t, m, s); again.Changed() {
		t.Fatalf("after the apply there is still %s to do", again.Deltas[0].Path)
	}
	f.Settled = true
	return f
}

// refused is the error of a check or an apply.
func refused(t *testing.T, m *fake.Machine, s SourceSpec) error {
	t.Helper()
	b := build{s.recipe()}
	f, err := b.Check(t.Context(), m.Host().View())
	if err != nil {
		return err
	}
	before := m.Snapshot()
	if err = b.Apply(t.Context(), m.Host(), f); err == nil {
		t.Fatal("nothing was refused")
	}
	if undo := b.Undo(t.Context(), m.Host(), f); undo != nil {
		t.Errorf("undo: %v", undo)
	}
	m.Remove(b.log())
	if after := m.Snapshot(); after != before {
		t.Errorf("a build that failed was taken back, and left\n%s\nof\n%s", after, before)
	}
	return err
}

func outputs(t *testing.T, f step.Finding) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := json.Unmarshal(f.Outputs, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// sourceOf lays a source out, and returns the spec that builds it.
func sourceOf(m *fake.Machine, files map[string]string) SourceSpec {
	text := archiveOf(files)
	m.WriteFile(lawsSource, text)
	s := hello()
	s.SHA256 = sumOf([]byte(text))
	return s
}

func TestRefused(t *testing.T) {
	with := func(change func(s *SourceSpec)) func(*fake.Machine) SourceSpec {
		return func(*fake.Machine) SourceSpec { s := hello(); change(&s); return s }
	}
	for name, c := range map[string]struct {
		arrange func(m *fake.Machine) SourceSpec
		want    string
	}{
		"another source": {with(func(s *SourceSpec) { s.SHA256 = strings.Repeat("0", 64) }), "not the source that was asked for"},
		"no tarball": {func(m *fake.Machine) SourceSpec {
			m.WriteFile(lawsSource, "no tar")
			s := hello()
			s.SHA256 = sumOf([]byte("no tar"))
			return s
		}, "does not look like a tar archive"},
		"a member outside": {func(m *fake.Machine) SourceSpec {
			return sourceOf(m, map[string]string{"x/Makefile": "", "x/../../etc/passwd": "root"})
		}, "'..'"},
		"a link outside": {func(m *fake.Machine) SourceSpec {
			return sourceOf(m, map[string]string{"x/Makefile": "", "x/out": "-> ../../../../etc"})
		}, "out of the source"},
		"an absolute link": {func(m *fake.Machine) SourceSpec {
			return sourceOf(m, map[string]string{"x/Makefile": "", "x/out": "-> /etc"})
		}, "out of the source"},
		"a prefix of another hand": {func(m *fake.Machine) SourceSpec {
			m.Mkdir("/opt/hello")
			return hello()
		}, "not made by weft"},
		"a link to another's tree": {func(m *fake.Machine) SourceSpec {
			m.Mkdir("/opt/hello-by-hand")
			m.Symlink("/opt/hello", "hello-by-hand")
			return hello()
		}, "no tree of hello"},
		"a program of another hand": {func(m *fake.Machine) SourceSpec {
			m.WriteFile("/usr/local/bin/hello", "mine")
			return hello()
		}, "/usr/local/bin/hello is there"},
		"a program that is not made":  {with(func(s *SourceSpec) { s.Programs = []string{"bin/goodbye"} }), "it has bin/hello"},
		"a package that is not there": {with(func(s *SourceSpec) { s.Packages = []string{"gcc", "libnuma-dev"} }), "libnuma-dev"},
		"files elsewhere": {func(m *fake.Machine) SourceSpec {
			m.Program("make", program(func(m *fake.Machine, c host.Command) error {
				if to := option(c, "DESTDIR"); to != "" {
					m.WriteFile(path.Join(to, "etc/hello.conf"), "x")
				}
				return nil
			}))
			return hello()
		}, "installs /etc/hello.conf, outside of its prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine()
			if err := refused(t, m, c.arrange(m)); !strings.Contains(err.Error(), c.want) {
				t.Errorf("it says %q, not %q", err, c.want)
			}
		})
	}
}

// TestFailure: the message has the phase, the compiler's line and the log, and the log
// is whole and stays.
func TestFailure(t *testing.T) {
	m := machine()
	m.Program("make", func(*fake.Machine, host.Command) host.Result {
		return host.Result{Exit: 2, Stdout: []byte("cc -c hello.c\n"), Stderr: []byte("hello.c:2:9: error: expected ';'\nmake: *** [hello] Error 1\n")}
	})
	b := build{greeting()}
	f := found(t, m, hello())
	err := b.Apply(t.Context(), m.Host(), f)
	for _, want := range []string{"hello 1.0", "compile", "exit status 2", "hello.c:2:9: error: expected ';'", "/var/log/weft-build-hello.log"} {
		if err == nil || !strings.Contains(strings.SplitN(err.Error(), "\n", 2)[0], want) {
			t.Errorf("%v does not say %q in its first line", err, want)
		}
	}
	if log, _ := m.File(b.log()); !strings.Contains(log, "make -j2") || !strings.Contains(log, "cc -c hello.c") || !strings.Contains(log, "Error 1") {
		t.Errorf("the log is %q", log)
	}
	if err := b.Undo(t.Context(), m.Host(), f); err != nil {
		t.Error(err)
	}
	if _, there := m.File(b.log()); !there {
		t.Error("undo took the log away")
	}
}

func TestCause(t *testing.T) {
	for said, want := range map[string]string{
		"/usr/bin/ld: x.o: in function `main':\nx.c:(.text+0x5): undefined reference to `f'\ncollect2: error: ld returned 1\n": "x.c:(.text+0x5): undefined reference to `f'",
		"checking for gcc... gcc\nconfigure: error: no acceptable C compiler\n":                                                "configure: error: no acceptable C compiler",
		"Found ninja\nmeson.build:3:0: ERROR: Dependency \"libnuma\" not found\n":                                              "meson.build:3:0: ERROR: Dependency \"libnuma\" not found",
		"FAILED: x.o\ncc x.c\nx.c:1:1: fatal error: y.h: No such file\nninja: build stopped\n":                                 "x.c:1:1: fatal error: y.h: No such file",
		"a warning\nmake: *** [all] Error 1\n":                                                                                 "a warning",
		"make: *** No targets specified and no makefile found.  Stop.\n":                                                       "make: *** No targets specified and no makefile found.  Stop.",
		"tar: ../x: Member name contains '..'\ntar: Exiting with failure status due to previous errors\n":                      "tar: ../x: Member name contains '..'",
		"nice: 'meson': No such file or directory\n":                                                                           "nice: 'meson': No such file or directory",
		"": "",
	} {
		if got := cause(host.Result{Stdout: []byte(said)}); got != want {
			t.Errorf("of %q the cause is %q, not %q", said, got, want)
		}
	}
}

// TestGoesOn: what was configured and compiled before a build was cut is not done
// again, unless something went in that is another.
func TestGoesOn(t *testing.T) {
	m := machine()
	s := hello()
	s.By = "autotools"
	cut := errors.New("cut")
	killed := host.Surround(m.Host(), func(ctx context.Context, e host.Effect, act func() error) error {
		if strings.HasSuffix(e.Object, "/staging") {
			return cut
		}
		return act()
	})
	f := found(t, m, s)
	if err := (build{s.recipe()}).Apply(t.Context(), killed, f); !errors.Is(err, cut) {
		t.Fatal(err)
	}
	m.Program("configure", program(func(*fake.Machine, host.Command) error { return errors.New("again") }))
	other := m.Clone()
	applied(t, m, s)

	changed := s
	changed.Options = []string{"--enable-x"}
	if err := (build{changed.recipe()}).Apply(t.Context(), other.Host(), found(t, other, changed)); err == nil || !strings.Contains(err.Error(), "again") {
		t.Errorf("with other options it went on: %v", err)
	}
}

// TestUpgrade: the tree of before stays, whole, for what runs from it, and undo swaps
// back without a compiler.
func TestUpgrade(t *testing.T) {
	m := machine()
	old := outputs(t, applied(t, m, hello()))
	s := hello()
	s.Options = []string{"X=1"}
	f := applied(t, m, s)
	if _, there := m.File(old["tree"] + "/bin/hello"); !there {
		t.Error("the tree of before is gone")
	}
	if text, _ := m.File("/usr/local/bin/hello"); !strings.HasSuffix(text, outputs(t, f)["tree"]) {
		t.Errorf("/usr/local/bin/hello is %q", text)
	}
	for _, program := range []string{"make", "cc"} {
		m.Program(program, nil)
	}
	if err := (build{s.recipe()}).Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if text, _ := m.File("/usr/local/bin/hello"); !strings.HasSuffix(text, old["tree"]) {
		t.Errorf("after the undo /usr/local/bin/hello is %q", text)
	}
	if found(t, m, hello()).Changed() {
		t.Error("without a compiler what is there is not enough")
	}
}

// TestArchive: another host takes a result, needs no compiler for it, and says why not.
func TestArchive(t *testing.T) {
	m := machine()
	applied(t, m, hello())
	first := outputs(t, found(t, m, hello()))
	result, _ := m.File(first["archive"])
	if sumOf([]byte(result)) != first["sha256"] {
		t.Errorf("the result's SHA-256 is not %s", first["sha256"])
	}
	taker := func() *fake.Machine {
		m := machine()
		m.WriteFile("/root/result.tar", result)
		m.Program("make", nil)
		return m
	}
	s := hello()
	s.Archive, s.Source = "/root/result.tar", "/nowhere.tar"

	m = taker()
	applied(t, m, s)

	m = taker()
	m.Program("cc", nil)
	m.Program("dpkg-query", func(*fake.Machine, host.Command) host.Result { return host.Result{Exit: 1} })
	applied(t, m, s)
	if text, _ := m.File("/usr/local/bin/hello"); !strings.HasSuffix(text, first["tree"]) {
		t.Errorf("/usr/local/bin/hello is %q", text)
	}

	m = taker()
	m.WriteFile("/etc/os-release", "ID=debian\nVERSION_ID=\"13\"\n")
	s.Source = lawsSource
	if f := found(t, m, s); len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], `"debian 12" there and "debian 13" here`) {
		t.Errorf("it says %q", f.Warnings)
	}

	m = taker()
	m.WriteFile("/root/result.tar", archiveOf(map[string]string{manifestName: `{"name":"hello","key":"0011223344556677","tree":"/opt/hello-1.0-0011223344556677"}`}))
	if f := found(t, m, s); len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "no result of a build") {
		t.Errorf("of a result that lies about its key it says %q", f.Warnings)
	}
}

// TestSpoiledResult: a result that is not what it was is not unpacked, and the next run
// builds it anew.
func TestSpoiledResult(t *testing.T) {
	m := machine()
	out := outputs(t, applied(t, m, hello()))
	m.WriteFile(out["archive"], "spoiled")
	m.Remove(out["tree"] + "/bin/hello")
	b := build{greeting()}
	if err := b.Apply(t.Context(), m.Host(), found(t, m, hello())); err == nil || !strings.Contains(err.Error(), "builds it again") {
		t.Errorf("it says %v", err)
	}
	for _, file := range []string{out["archive"], sumFile(out["archive"])} {
		if _, there := m.File(file); there {
			t.Errorf("%s is there yet", file)
		}
	}
	applied(t, m, hello())
}

// TestOthersInTheTree: what another hand put into a tree is not taken away with it.
func TestOthersInTheTree(t *testing.T) {
	m := machine()
	f := applied(t, m, hello())
	mine := outputs(t, f)["tree"] + "/bin/mine"
	m.WriteFile(mine, "mine")
	b := build{greeting()}
	if err := b.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) {
		t.Errorf("undo says %v", err)
	}
	if _, there := m.File(mine); !there {
		t.Error("undo took it away")
	}
	gone := hello()
	gone.State = step.Absent
	m = machine()
	applied(t, m, hello())
	m.WriteFile(mine, "mine")
	if err := refused(t, m, gone); !strings.Contains(err.Error(), "bin/mine") {
		t.Errorf("a removal says %v", err)
	}
}

// TestBigDrift: what is too big to be kept is said before the run.
func TestBigDrift(t *testing.T) {
	m := machine()
	applied(t, m, hello())
	m.WriteFile("/opt/hello/bin/hello", strings.Repeat("x", keptBytes+1))
	if f := found(t, m, hello()); !strings.Contains(f.Cost.Irreversible, "bin/hello") {
		t.Errorf("the finding says %q", f.Cost.Irreversible)
	}
}

func TestOVSBesideAnother(t *testing.T) {
	m := machine()
	m.WriteFile("/lib/systemd/system/ovs-vswitchd.service", fake.Service("/usr/sbin/ovs-vswitchd"))
	m.Systemctl(host.Start, "ovs-vswitchd.service")
	s := OVSSpec{Name: "ovs", Version: "3.1.0", Source: lawsSource, SHA256: sumOf([]byte(helloSource()))}
	_, err := build{s.recipe()}.Check(t.Context(), m.Host().View())
	if !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), "stop and disable") { // a step before may stop it
		t.Errorf("it says %v", err)
	}
	s.Units = step.Is(false)
	if _, err := (build{s.recipe()}).Check(t.Context(), m.Host().View()); err != nil {
		t.Errorf("without units it says %v", err)
	}
	s.DPDK = "/opt/none"
	if _, err := (build{s.recipe()}).Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("without its DPDK it says %v", err)
	}
}

func TestProgress(t *testing.T) {
	var told []string
	c := compilation{h: host.Host{Told: func(how string) { told = append(told, how) }}}
	c.progress("compile")("[120/348] Compiling C object x.o", 130)
	c.progress("compile")("cc -I. -c lib/x.c -o x.o", 7)
	c.progress("configure")("checking for gcc... gcc", 8)
	if want := []string{"compile 120 of 348", "compile, line 7: x.c", "configure, line 8: checking for gcc... gcc"}; !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(s *SourceSpec){
		"":          func(*SourceSpec) {},
		"name":      func(s *SourceSpec) { s.Name = "../x" },
		"version":   func(s *SourceSpec) { s.Version = "1/0" },
		"sha256":    func(s *SourceSpec) { s.SHA256 = "" },
		"source":    func(s *SourceSpec) { s.Source = "x.tar" },
		"prefix":    func(s *SourceSpec) { s.Prefix = "/usr/local" },
		"directory": func(s *SourceSpec) { s.Directory = "/tmp/../x" },
		"programs":  func(s *SourceSpec) { s.Programs = []string{"../bin/x"} },
		"libraries": func(s *SourceSpec) { s.Libraries = []string{"/lib"} },
		"packages":  func(s *SourceSpec) { s.Packages = []string{"-x"} },
		"user":      func(s *SourceSpec) { s.User = "-u" },
		"timeout":   func(s *SourceSpec) { s.Timeout = "1" },
		"compile":   func(s *SourceSpec) { s.Compile = [][]string{{"make", "{where}"}} },
		"install":   func(s *SourceSpec) { s.Install = [][]string{{}} },
	} {
		s := hello()
		change(&s)
		problems := s.Validate()
		if len(problems) == 0 && want != "" || len(problems) > 0 && problems[0].Path != want {
			t.Errorf("%s: %+v", want, problems)
		}
	}
	twice := hello()
	twice.Programs = []string{"bin/x", "libexec/x"}
	if len(twice.Validate()) == 0 {
		t.Error("two programs with one link are let through")
	}
}

func TestSecretsAreRefused(t *testing.T) {
	u, err := steptest.Subject{Kind: sourceKind()}.Unit(steptest.Case{Spec: hello()})
	if err != nil {
		t.Fatal(err)
	}
	u.Secret = []string{"environment.TOKEN"}
	if _, err := sourceKind().Make(u); err == nil {
		t.Error("a secret goes into a result that all may read")
	}
}

// FuzzManifest: of a manifest that comes with an archive, no file lies elsewhere.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"name":"x","key":"0011223344556677","tree":"/opt/x-1-0011223344556677","files":[{"path":"bin/x"}]}`))
	f.Add([]byte(`{"name":"x","key":"0011223344556677","tree":"/opt/x","files":[{"path":"../x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m := parseManifest(text)
		if m == nil {
			return
		}
		for _, file := range m.Files {
			if at := path.Join("/opt/tree", file.Path); !strings.HasPrefix(at, "/opt/tree/") {
				t.Errorf("%q lies in %s", file.Path, at)
			}
		}
	})
}
