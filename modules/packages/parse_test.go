package packages

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
)

func TestFamily(t *testing.T) {
	for text, want := range map[string]string{
		"ID=debian\n":                                    "debian",
		"ID=linuxmint\nID_LIKE=\"ubuntu\"":               "debian",
		"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n": "redhat",
		"ID='centos'\n":                                  "redhat",
		"ID=arch\n":                                      "",
		"":                                               "",
	} {
		if got := familyIn(text); got != want {
			t.Errorf("%q is of %q", text, got)
		}
	}
}

func TestManager(t *testing.T) {
	for _, tt := range []struct {
		name, release string
		files         []string
		want          string
		notYet        bool
	}{
		{"Debian, with dnf beside", "ID=debian", []string{"/usr/bin/dnf", dpkgStatus}, apt, false},
		{"Red Hat 8", "ID=rhel", []string{"/usr/bin/dnf", "/usr/bin/yum"}, dnf, false},
		{"Red Hat 7", "ID=rhel", []string{"/usr/bin/yum"}, yum, false},
		{"Red Hat, bare", "ID=rhel", nil, "", true},
		{"unknown, with dpkg", "", []string{dpkgStatus}, apt, false},
		{"unknown", "ID=plan9", nil, "", false},
	} {
		m := fake.New()
		m.WriteFile("/etc/os-release", tt.release+"\n")
		for _, file := range tt.files {
			m.WriteFile(file, "")
		}
		got, err := managerOf(t.Context(), m.Host().View(), "")
		if got != tt.want || (err == nil) != (tt.want != "") || errors.Is(err, step.ErrNotYet) != tt.notYet {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
}

// TestExplained: dnf's last line is often not what went wrong.
func TestExplained(t *testing.T) {
	for said, want := range map[string]string{
		"Error: Unknown repo: 'x'\n":                                       "a package_repository brings it",
		"Error: Unable to find a match: x\n":                               "no repository that is enabled has it",
		"Package x is not signed\nError: GPG check FAILED\n":               "give its package_repository the key",
		"Error: Failed to download metadata for repo 'x': no\n":            "a repository cannot be reached",
		"error: cannot open Packages database in /var/lib/rpm\n":           "rpm --rebuilddb",
		"error: can't create transaction lock on /var/lib/rpm/.rpm.lock\n": "another rpm is at work",
		"Problem: nothing provides y needed by x\nlast\n":                  "what it needs is in no repository",
		"No space left on device\n":                                        "the disk is full",
	} {
		err := explained(&host.ExitError{Command: "dnf install x", Result: host.Result{Exit: 1, Stderr: []byte(said)}})
		var exit *host.ExitError
		if !strings.Contains(err.Error(), want) || !errors.As(err, &exit) {
			t.Errorf("%q: %v", said, err)
		}
	}
	if explained(nil) != nil {
		t.Error("no error is explained")
	}
}

func TestMatchesVersion(t *testing.T) {
	for _, tt := range []struct {
		want, evr string
		same      bool
	}{
		{"2.0", "2.0-1.el8", true}, {"2.0-1.el8", "2.0-1.el8", true}, {"0:2.0-1.el8", "2.0-1.el8", true}, {"2.0", "1:2.0-1", true}, {"1:2.0", "1:2.0-1", true},
		{"2", "2.0-1", false}, {"1:2.0", "2.0-1", false}, {"2.0-1", "2.0-1.el8", false}, {"2.0", "2:2.00-1", false},
	} {
		if matchesVersion(tt.want, tt.evr) != tt.same {
			t.Errorf("%s and %s", tt.want, tt.evr)
		}
	}
}

func TestLocks(t *testing.T) {
	l := lockList{tool: dnf, text: "# pony-0:9-1.*\n!cart-0:1-1.*\npony-0:2.0-1.*\n1:mule-3-4.el7.*\nlib-0:1.*-*.x86_64\nbare\n"}
	for key, want := range map[string]bool{"pony": true, "cart": false, "mule": true, "lib": true, "bare": false} {
		p := map[string]rpmPackage{"pony": {Versions: []string{"2.0-1"}}, "cart": {Versions: []string{"1-1"}}, "mule": {Versions: []string{"1:3-4.el7"}}, "lib": {Versions: []string{"1.5-2"}}, "bare": {Versions: []string{"1-1"}}}[key]
		if l.holds(key, p) != want {
			t.Errorf("%s: held is %v", key, !want)
		}
	}
	if l.holds("pony", rpmPackage{Versions: []string{"2.1-1"}}) {
		t.Error("a lock to another version holds")
	}
	if got := l.without([]string{"pony", "mule"}); strings.Contains(got, "2.0-1") || strings.Contains(got, "mule") || !strings.Contains(got, "# pony") || !strings.Contains(got, "!cart") {
		t.Errorf("left is:\n%s", got)
	}
	if got := (lockList{tool: yum}).line("mule", rpmPackage{Versions: []string{"1:3-4.el7"}}); got != "1:mule-3-4.el7.*\n" {
		t.Errorf("yum's line is %q", got)
	}
}

// TestHalfMadeTransaction: an rpm that died leaves both versions.
func TestHalfMadeTransaction(t *testing.T) {
	m := redhatMachine()
	byDNF("", []string{"install", "weft-laws-pony-1.0", "weft-laws-libpony-1.0"}).Fake(m)
	found, _ := m.File(rpmModelFile)
	m.WriteFile(crashRPM, "")
	s := packageStep(t, PackageSpec{Name: "weft-laws-pony", Version: step.Is("2.0")})
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err == nil {
		t.Fatal("the model did not crash")
	}
	half, err := s.Check(t.Context(), m.Host().View())
	if err != nil || !half.Changed() {
		t.Fatalf("a package that is there twice is as it should be: %v, %v", half.Deltas, err)
	}
	again := m.Clone()
	if applied(t, again, s); loadRPM(again).Packages["weft-laws-pony"].Versions[0] != "2.0-1" {
		t.Errorf("run again: %v", loadRPM(again).Packages["weft-laws-pony"])
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if now, _ := m.File(rpmModelFile); now != found {
		t.Errorf("undone:\n%s\nfound:\n%s", now, found)
	}
}

// TestUndoLeavesAnUpgradeOfAnotherHand: what came after the step did, though the step's
// package needs it.
func TestUndoLeavesAnUpgradeOfAnotherHand(t *testing.T) {
	m := redhatMachine()
	s := packageStep(t, PackageSpec{Name: "weft-laws-pony"})
	f := applied(t, m, s)
	if r, err := m.Host().Commands.Run(t.Context(), host.Command{Argv: []string{"dnf", "install", "weft-laws-libc-2.36"}}); err != nil {
		t.Fatal(r, err)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if have := loadRPM(m).Packages; have["weft-laws-libc"].Versions[0] != "2.36-1" || have["weft-laws-pony"] != nil || have["weft-laws-libpony"] != nil {
		t.Errorf("%v", have)
	}
}

func TestPackageOfADisabledRepository(t *testing.T) {
	m := redhatMachine()
	applied(t, m, packageStep(t, PackageSpec{Name: "weft-laws-pony", Repositories: []string{"extra"}}))
	f, err := packageStep(t, PackageSpec{Name: "weft-laws-cart", Repositories: []string{"nothing"}}).Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	err = packageStep(t, PackageSpec{Name: "weft-laws-cart", Repositories: []string{"nothing"}}).Apply(t.Context(), m.Host(), f)
	if err == nil || !strings.Contains(err.Error(), "Unknown repo: 'nothing'") {
		t.Errorf("a repository that is not there: %v", err)
	}
	if _, err := packageStep(t, PackageSpec{Name: "weft-laws-cart", Repositories: []string{"extra"}}).Check(t.Context(), debianMachine().Host().View()); err == nil || !strings.Contains(err.Error(), "pin") {
		t.Errorf("on a host of apt: %v", err)
	}
	m.WriteFile(staleCache, "")
	byDNF("", []string{"remove", "weft-laws-pony"}).Fake(m)
	applied(t, m, packageStep(t, PackageSpec{Name: "weft-laws-pony", Version: step.Is("2.0")}))
	m.WriteFile(lockConf, "[main]\nenabled = 0\n")
	if _, err := packageStep(t, PackageSpec{Name: "weft-laws-pony", Hold: step.Is(true)}).Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("hold without its plugin: %v", err)
	}
}

func FuzzRPMs(f *testing.F) {
	f.Add("glibc\t2.28-1.el8\tx86_64\t5\nglibc\t2.28-1.el8\ti686\t5\nkernel\t1:4-1\tx86_64\t6\n", "error: Failed dependencies:\n\tlibx >= 1 is needed by (installed) pony-2.0-1.noarch\n", "lib-0:1-1.*\n1:x-2-3.*\n")
	f.Fuzz(func(t *testing.T, table, test, locks string) {
		got, err := parseRPMs(table)
		if err != nil {
			return
		}
		for _, d := range parseBreaks(test) {
			if d.key == "" || d.capability == "" {
				t.Errorf("%+v", d)
			}
		}
		l := lockList{tool: dnf, text: locks}
		for key, p := range got {
			l.holds(key, p)
			if key == "" || !p.there() {
				t.Errorf("%q %+v", key, p)
			}
		}
		if kept := l.without(nil); kept != locks {
			t.Errorf("%q became %q", locks, kept)
		}
		parseNeeds(table)
		parseReasons(table)
		parseGroups(test)
		parseMembers(test)
	})
}

func FuzzFields(f *testing.F) {
	f.Add("[a]\nname = x\nbaseurl=http://a\n  http://b\n# c\nenabled=1\n\n[b]\n", "baseurl", "file:///x")
	f.Fuzz(func(t *testing.T, text, name, value string) {
		if strings.TrimSpace(name) != name || name == "" || strings.ContainsAny(name, "=#;[] \t\r\n:") || strings.TrimSpace(value) != value || strings.ContainsAny(value, "\r\n") || value == "" {
			return
		}
		if got := joinLines(splitLines(text)); got != text && got != text+"\n" {
			t.Errorf("%q became %q", text, got)
		}
		fs := iniFields(splitLines(text))
		before := slices.Clone(fs.lines)
		fs.set(name, value)
		if got, ok := fs.get(name); !ok || got != value {
			t.Errorf("%q of %q is %q, not %q", name, text, got, value)
		}
		if _, _, there := (fields{lines: before, separator: "="}).find(name); !there {
			fs.drop(name)
			if !reflect.DeepEqual(strings.Join(fs.lines, "\n"), strings.Join(before, "\n")) {
				t.Errorf("%q became %q", before, fs.lines)
			}
		}
	})
}
