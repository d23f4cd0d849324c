package packages

import (
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"weft/engine/host/fake"
	"weft/engine/step"
)

func aptMachine() *fake.Machine {
	m := fake.New()
	for _, dir := range []string{"/etc/apt/preferences.d", "/etc/apt/sources.list.d"} {
		m.Mkdir(dir)
	}
	return m
}

// TestEachRecordOfAPinCounts: a repository of two servers has two records, and both are
// compared, with their servers.
func TestEachRecordOfAPinCounts(t *testing.T) {
	const pin = "/etc/apt/preferences.d/x"
	for _, tt := range []struct{ name, old, text, path string }{
		{"the first priority", "Pin-Priority: 100", "Pin-Priority: 900", "pin"},
		{"the first server", `"a.example"`, `"evil.example"`, "pin_text"},
		{"the packages", "Package: *", "Package: nothing", "pin_text"},
		{"the kind of pin", "Pin: origin", "Pin: version", "pin_text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := aptMachine()
			s := repositoryStep(t, RepositorySpec{
				Name: "x", By: apt, URIs: []string{"http://a.example/x", "http://b.example/x"}, Suites: []string{"stable"}, Pin: step.Is(100),
			})
			applied(t, m, s)
			whole, _ := m.File(pin)
			replaced("", pin, tt.old, tt.text).Fake(m)
			drifted, _ := m.File(pin)
			f := applied(t, m, s)
			if len(f.Deltas) != 1 || f.Deltas[0].Path != tt.path {
				t.Errorf("deltas are %v", f.Deltas)
			}
			if now, _ := m.File(pin); now != whole {
				t.Errorf("the pin is\n%s", now)
			}
			if err := s.Undo(t.Context(), m.Host(), f); err != nil {
				t.Fatal(err)
			}
			if now, _ := m.File(pin); now != drifted {
				t.Errorf("after undo the pin is\n%s\nand was\n%s", now, drifted)
			}
		})
	}
}

// TestPinFollowsItsServers: the pin alone is managed, and another hand moved the
// repository.
func TestPinFollowsItsServers(t *testing.T) {
	m := aptMachine()
	const sources = "/etc/apt/sources.list.d/x.sources"
	m.WriteFile(sources, "Types: deb\nURIs: http://a.example/x\nSuites: stable\n")
	s := repositoryStep(t, RepositorySpec{Name: "x", By: apt, Pin: step.Is(100)})
	applied(t, m, s)
	replaced("", sources, "a.example", "b.example").Fake(m)
	if f := applied(t, m, s); !f.Changed() {
		t.Error("nothing is to be done")
	}
	if text, _ := m.File("/etc/apt/preferences.d/x"); !strings.Contains(text, "b.example") || strings.Contains(text, "a.example") {
		t.Errorf("the pin is\n%s", text)
	}
}

// TestUndoLeavesAPinOfAnotherHand: the priority or the servers were
// changed since, and the other half goes back.
func TestUndoLeavesAPinOfAnotherHand(t *testing.T) {
	const pin = "/etc/apt/preferences.d/x"
	for _, by := range [][2]string{{"Pin-Priority: 100", "Pin-Priority: 900"}, {`"a.example"`, `"other.example"`}} {
		m := aptMachine()
		m.WriteFile(pin, "Package: *\nPin: origin \"old.example\"\nPin-Priority: 100\n")
		s := repositoryStep(t, RepositorySpec{Name: "x", By: apt, URIs: []string{"http://a.example/x", "http://b.example/x"}, Suites: []string{"stable"}, Pin: step.Is(100)})
		applied(t, m, s)
		s = repositoryStep(t, RepositorySpec{Name: "x", By: apt, URIs: []string{"http://a.example/x", "http://b.example/x"}, Suites: []string{"stable"}, Pin: step.Is(200)})
		f := applied(t, m, s)
		replaced("", pin, strings.Replace(by[0], "100", "200", 1), by[1]).Fake(m)
		theirs, _ := m.File(pin)
		if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) {
			t.Errorf("%s: %v", by[1], err)
		}
		if strings.Contains(by[0], "example") { // the priority is the step's
			theirs = strings.ReplaceAll(theirs, "200", "100")
		}
		if now, _ := m.File(pin); now != theirs {
			t.Errorf("%s: the pin is\n%s", by[1], now)
		}
	}
}

// TestUndoLeavesKeysOfOtherHands: out of rpm's keyring goes what the step brought, and
// nothing that a key file needs which stays.
func TestUndoLeavesKeysOfOtherHands(t *testing.T) {
	const dir = "/etc/pki/rpm-gpg/RPM-GPG-KEY-"
	theirs := armoured(nextPacket)
	next, err := parseKeys(theirs)
	if err != nil {
		t.Fatal(err)
	}
	nextRPM := next[0].rpm()
	imported := func(m *fake.Machine) { m.WriteFile("/var/lib/rpm/"+nextRPM, "") }
	for _, tt := range []struct {
		name     string
		hand     func(m *fake.Machine)
		trusted  []string
		file     string // what is in the file of the key then
		conflict bool
	}{
		{"nobody", func(*fake.Machine) {}, nil, "", false},
		{"another key", func(m *fake.Machine) { m.WriteFile(dir+"x", theirs); imported(m) }, []string{nextRPM}, theirs, true},
		{"one more key", func(m *fake.Machine) { m.WriteFile(dir+"x", testKey+theirs); imported(m) }, []string{testKeyRPM, nextRPM}, testKey + theirs, true},
		{"no key file", func(m *fake.Machine) { m.Remove(dir + "x") }, nil, "", false},
		{"another repository's", func(m *fake.Machine) { m.WriteFile(dir+"y", testKey) }, []string{testKeyRPM}, "", false},
		{"another repository's with another key", func(m *fake.Machine) { m.WriteFile(dir+"y", theirs); imported(m) }, []string{nextRPM}, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := yumMachine()
			m.Mkdir("/etc/pki/rpm-gpg")
			m.WriteFile("/etc/yum.repos.d/x.repo", "[x]\nname=X\nbaseurl=http://a.example\n")
			s := repositoryStep(t, RepositorySpec{Name: "x", By: dnf, Enabled: step.Is(false), Key: step.Is(testKey)})
			f := applied(t, m, s)
			tt.hand(m)
			if err := s.Undo(t.Context(), m.Host(), f); errors.Is(err, step.ErrConflict) != tt.conflict || err != nil && !tt.conflict {
				t.Errorf("undo: %v", err)
			}
			slices.Sort(tt.trusted)
			if got := trustedBy(t, m); !slices.Equal(got, tt.trusted) {
				t.Errorf("trusted are %q, and should be %q", got, tt.trusted)
			}
			if text, _ := m.File(dir + "x"); text != tt.file {
				t.Errorf("the key file is %q", text)
			}
		})
	}
}

// TestUndoLeavesAKeyThatNoStepManages: another hand wrote it since.
func TestUndoLeavesAKeyThatNoStepManages(t *testing.T) {
	for _, tt := range []struct {
		name, file, text, key string
		machine               func() *fake.Machine
		spec                  RepositorySpec
	}{
		{"a new one of dnf", "/etc/yum.repos.d/x.repo", "", "/etc/pki/rpm-gpg/RPM-GPG-KEY-x", yumMachine, RepositorySpec{By: dnf, URIs: []string{"http://a.example"}}},
		{"of dnf", "/etc/yum.repos.d/x.repo", "[x]\nname=X\n", "/etc/pki/rpm-gpg/RPM-GPG-KEY-x", yumMachine, RepositorySpec{By: dnf, Enabled: step.Is(false)}},
		{"of apt", "/etc/apt/sources.list.d/x.sources", "Types: deb\nURIs: http://a.example\nSuites: ./\n", "/etc/apt/keyrings/x.asc", aptMachine, RepositorySpec{By: apt, Enabled: step.Is(false)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := tt.machine()
			m.Mkdir(path.Dir(tt.key))
			if tt.text != "" {
				m.WriteFile(tt.file, tt.text)
			}
			tt.spec.Name = "x"
			s := repositoryStep(t, tt.spec)
			f := applied(t, m, s)
			m.WriteFile(tt.key, testKey)
			if err := s.Undo(t.Context(), m.Host(), f); err != nil {
				t.Error(err)
			}
			if text, _ := m.File(tt.file); text != tt.text {
				t.Errorf("the file is %q", text)
			}
			if text, _ := m.File(tt.key); text != testKey {
				t.Errorf("the key file is %q", text)
			}
		})
	}
}

// TestUndoLeavesADirectoryInUse: another hand keeps a file of its own in a directory that
// the step made, and a second undo finds nothing to do.
func TestUndoLeavesADirectoryInUse(t *testing.T) {
	for _, tt := range []struct {
		machine func() *fake.Machine
		spec    RepositorySpec
		file    string
	}{
		{aptMachine, RepositorySpec{By: apt, Suites: []string{"./"}}, "/etc/apt/keyrings/docker.asc"},
		{yumMachine, RepositorySpec{By: dnf}, "/etc/pki/rpm-gpg/other"},
		{yumMachine, RepositorySpec{By: dnf}, "/etc/pki/other"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			m := tt.machine()
			tt.spec.Name, tt.spec.URIs, tt.spec.Key = "x", []string{"http://a.example"}, step.Is(testKey)
			s := repositoryStep(t, tt.spec)
			f := applied(t, m, s)
			m.WriteFile(tt.file, "of another hand")
			for _, which := range []string{"first", "second"} {
				if err := s.Undo(t.Context(), m.Host(), f); err != nil {
					t.Errorf("the %s undo: %v", which, err)
				}
			}
			want := tt.machine()
			want.Mkdir(path.Dir(tt.file))
			want.WriteFile(tt.file, "of another hand")
			if now := m.Snapshot(); now != want.Snapshot() {
				t.Errorf("is:\n%s\nand should be:\n%s", now, want.Snapshot())
			}
		})
	}
}

func FuzzPin(f *testing.F) {
	f.Add(pinText("x", []string{"http://a.example", "file:///srv"}, 100), "http://a.example")
	f.Add("Package: *\nPin: origin\nPin-Priority: 1\n\nPin-Priority: x\n", "file:///x")
	f.Fuzz(func(t *testing.T, text, uri string) {
		if left := unpinned(text, []string{uri}); len(left) > 1 {
			t.Errorf("%q", left)
		}
		if n, ok := pinIn(text).Get(); ok && len(pinRecords(text)) == 0 {
			t.Errorf("a pin of %d without a record", n)
		}
	})
}

// TestPasswordsInURLs: what a host holds by another hand is shown nowhere, and a playbook
// gives none.
func TestPasswordsInURLs(t *testing.T) {
	const password = "s3cr3t"
	for name, field := range map[string]string{"uris": "baseurl", "mirrorlist": "mirrorlist", "metalink": "metalink", "key_file": "gpgkey"} {
		m := yumMachine()
		m.WriteFile("/etc/yum.repos.d/x.repo", "[x]\nname=X\n"+field+"=http://me:"+password+"@a.example/x\n")
		spec := RepositorySpec{Name: "x", By: dnf, URIs: []string{"http://b.example/x"}}
		switch name {
		case "mirrorlist":
			spec = RepositorySpec{Name: "x", By: dnf, Mirrorlist: step.Is("http://b.example/x")}
		case "metalink":
			spec = RepositorySpec{Name: "x", By: dnf, Metalink: step.Is("http://b.example/x")}
		case "key_file":
			spec = RepositorySpec{Name: "x", By: dnf, KeyFile: step.Is("/etc/key")}
		}
		f, err := repositoryStep(t, spec).Check(t.Context(), m.Host().View())
		if err != nil || len(f.Deltas) != 1 || f.Deltas[0].Path != name || !f.Deltas[0].Secret {
			t.Errorf("%s: %v, %v", name, f.Deltas, err)
		}
	}
	for _, uri := range []string{"http://me:" + password + "@a.example", "http://me:" + password + "@a .example", "gopher://me:" + password + "@a.example", "file://me:" + password + "@x/y"} {
		spec := RepositorySpec{Name: "x", URIs: []string{uri}}
		problems := spec.Validate()
		if len(problems) != 1 || strings.Contains(problems[0].Message, password) {
			t.Errorf("%s: %v", uri, problems)
		}
	}
	unit := step.Unit{Address: "package_repository.x", Spec: json.RawMessage(`{"name":"x","uris":["http://a.example/token"]}`), Secret: []string{"uris.0"}}
	if _, err := repositoryKind().Make(unit); err == nil || !strings.Contains(err.Error(), "uris.0 is sensitive") || strings.Contains(err.Error(), "token") {
		t.Errorf("a sensitive URL: %v", err)
	}
}
