package packages

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// policy are the attributes of a package that are no state.
func policy() []string {
	return []string{"names", "by", "versions", "purge", "recommends", "enable_repositories", "data", "lists_age"}
}

func TestPackageLaws(t *testing.T) {
	const pony, cart = steptest.Prefix + "-pony", steptest.Prefix + "-cart"
	laws(t, steptest.Subject{
		Kind:    packageKind(),
		Machine: debianMachine,
		Policy:  policy(),
		Found: []steptest.Hand{
			{Name: "absent"},
			by("old", install(pony+"=1.0", steptest.Prefix+"-libpony=1.0")),
			by("as a dependency", install(cart)),
			by("held and automatic", install(pony+"=1.0", cart), []string{"apt-mark", "auto", pony}, []string{"apt-mark", "hold", pony}),
			by("configuration left", install(pony), []string{"apt-get", "remove", pony}),
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: PackageSpec{Name: pony, Version: step.Is("2.0"), Hold: step.Is(true), ListsAge: "24h"},
				Drift: []steptest.Hand{
					by("state", []string{"apt-get", "remove", pony}),
					by("version", install(pony+"=1.0")),
					by("hold", []string{"apt-mark", "unhold", pony}),
				},
			},
			{Name: "in any version", Spec: PackageSpec{Name: pony}},
			{Name: "old again", Spec: PackageSpec{Name: pony, Version: step.Is("1.0"), Hold: step.Is(false)}},
			{Name: "several", Spec: PackageSpec{Names: []string{pony, steptest.Prefix + "-stable"}, Versions: map[string]string{pony: "2.0"}}},
			{
				Name: "absent", Spec: PackageSpec{Name: pony, State: step.Absent},
				Drift: []steptest.Hand{by("state", install(pony+"=1.0"))},
			},
			{Name: "purged", Spec: PackageSpec{Name: pony, State: step.Absent, Purge: true}, Irreversible: true},
		},
		Prepare: realRepository,
		Touches: realPackages(),
		Clean:   barePackages(),
	})
}

// packageStep makes a step of a spec.
func packageStep(t *testing.T, spec PackageSpec) step.Step {
	t.Helper()
	if problems := spec.Validate(); len(problems) > 0 {
		t.Fatal(problems)
	}
	return packages{spec, "package.test"}
}

// applied checks and applies.
func applied(t *testing.T, m *fake.Machine, s step.Step) step.Finding {
	t.Helper()
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	f.Settled = true
	return f
}

func TestPackageListsAreFetchedWhenNeeded(t *testing.T) {
	for _, tt := range []struct{ name, lists string }{{"none", ""}, {"old", "old"}, {"not what the repository has", "outdated"}} {
		t.Run(tt.name, func(t *testing.T) {
			m := debianMachine()
			m.Remove(listsFile)
			if tt.lists != "" {
				m.WriteFile(listsFile, tt.lists)
			}
			applied(t, m, packageStep(t, PackageSpec{Name: "weft-laws-pony", Version: step.Is("2.0")}))
			if lists, _ := m.File(listsFile); lists != "fresh" || loadApt(m).Packages["weft-laws-pony"].Version != "2.0" {
				t.Errorf("lists are %q, pony is %v", lists, loadApt(m).Packages["weft-laws-pony"])
			}
		})
	}
	for source, calls := range map[string]int{"URIs: file:/x # changed since\n": 2, "URIs: file:/x\n": 1} {
		m := debianMachine()
		m.Mkdir("/etc/apt")
		m.Mkdir("/etc/apt/sources.list.d")
		m.WriteFile("/etc/apt/sources.list.d/x.sources", source)
		ran := 0
		h := host.Observe(m.Host(), func(context.Context, host.Effect) error { ran++; return nil })
		s := packageStep(t, PackageSpec{Name: "weft-laws-pony"})
		f, err := s.Check(t.Context(), h.View())
		if err == nil {
			err = s.Apply(t.Context(), h, f)
		}
		if err != nil || ran != calls {
			t.Errorf("%q: %d calls of apt-get, not %d: %v", source, ran, calls, err)
		}
	}
	m := debianMachine()
	var ran []string
	h := host.Observe(m.Host(), func(_ context.Context, e host.Effect) error {
		ran = append(ran, e.Object)
		return nil
	})
	s := packageStep(t, PackageSpec{Name: "weft-laws-pony"})
	f, err := s.Check(t.Context(), h.View())
	if err == nil {
		err = s.Apply(t.Context(), h, f)
	}
	if err != nil || len(ran) != 1 {
		t.Errorf("with fresh lists one call of apt-get will do: %v, %v", ran, err)
	}
}

// TestPackageAfterCrash: apt dies between unpacking and configuring.
func TestPackageAfterCrash(t *testing.T) {
	for _, end := range []string{"run again", "undone"} {
		t.Run(end, func(t *testing.T) {
			m := debianMachine()
			bare := m.Snapshot()
			m.WriteFile(crashFile, "")
			s := packageStep(t, PackageSpec{Name: "weft-laws-pony"})
			f, err := s.Check(t.Context(), m.Host().View())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Apply(t.Context(), m.Host(), f); err == nil {
				t.Fatal("the model did not crash")
			}
			if end == "run again" {
				again := applied(t, m, s)
				if after, err := s.Check(t.Context(), m.Host().View()); err != nil || after.Changed() {
					t.Fatalf("after %v: %v, %v", again.Deltas, after.Deltas, err)
				}
			}
			if err := s.Undo(t.Context(), m.Host(), f); err != nil {
				t.Fatal(err)
			}
			if now := m.Snapshot(); now != bare {
				t.Errorf("not as before:\n%s", now)
			}
		})
	}
}

// TestPackageUndoLeavesWhatOthersNeed: undo of one step out of order.
func TestPackageUndoLeavesWhatOthersNeed(t *testing.T) {
	m := debianMachine()
	pony := packageStep(t, PackageSpec{Name: "weft-laws-pony"})
	ponyFound := applied(t, m, pony)
	stable := packageStep(t, PackageSpec{Name: "weft-laws-stable"})
	stableFound := applied(t, m, stable)
	if err := pony.Undo(t.Context(), m.Host(), ponyFound); err != nil {
		t.Fatal(err)
	}
	have := loadApt(m).Packages
	if have["weft-laws-pony"] != nil || have["weft-laws-libpony"] == nil || have["weft-laws-stable"] == nil {
		t.Errorf("pony goes, stable and its libpony stay: %v", have)
	}
	if err := stable.Undo(t.Context(), m.Host(), stableFound); err != nil {
		t.Fatal(err)
	}
	if loadApt(m).Packages["weft-laws-stable"] != nil {
		t.Error("stable is still there")
	}

	m = debianMachine()
	ponyFound = applied(t, m, pony)
	run("apt-get", "install", "weft-laws-cart")(m)
	if err := pony.Undo(t.Context(), m.Host(), ponyFound); !errors.Is(err, step.ErrConflict) {
		t.Errorf("cart, which another hand installed, needs pony: %v", err)
	}
	if have := loadApt(m).Packages; have["weft-laws-cart"] == nil || have["weft-laws-pony"] == nil {
		t.Errorf("they should stay: %v", have)
	}
}

func TestPackageFindings(t *testing.T) {
	m := debianMachine()
	run("apt-get", "install", "weft-laws-cart")(m)
	f, err := packageStep(t, PackageSpec{Name: "weft-laws-pony", State: step.Absent}).Check(t.Context(), m.Host().View())
	if err != nil || f.Cost.Disruption != "also removes weft-laws-cart" {
		t.Errorf("cost %+v, %v", f.Cost, err)
	}
	m.Remove(dpkgStatus)
	_, err = packageStep(t, PackageSpec{Name: "weft-laws-pony"}).Check(t.Context(), m.Host().View())
	if err == nil || errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), "does not use dpkg") {
		t.Errorf("a host without dpkg: %v", err)
	}
}

func TestPackageValidate(t *testing.T) {
	for name, spec := range map[string]PackageSpec{
		"name":      {Name: "Open vSwitch"},
		"names":     {Names: []string{"a=1"}},
		"version":   {Names: []string{"aa", "bb"}, Version: step.Is("1")},
		"versions":  {Name: "aa", Versions: map[string]string{"bb": "1"}},
		"state":     {Name: "aa", State: step.Absent, Hold: step.Is(true)},
		"purge":     {Name: "aa", Purge: true},
		"lists_age": {Name: "aa", ListsAge: "1 day"},
	} {
		problems := spec.Validate()
		if len(problems) != 1 || problems[0].Path != name {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

const sampleStatus = `Package: dpkg
Status: install ok installed
Architecture: amd64
Version: 1.21.22
Pre-Depends: libc6 (>= 2.15), tar (>= 1.28-1)

Package: ovs
Status: hold ok half-configured
Architecture: amd64
Version: 3.1.0-2+deb12u1
Depends: libc6 (>= 2.34) | libmusl, python3:any
Provides: switch (= 1), vswitch
Description: software switch
 Status: not a field
 .
 more

Package: libc6
Status: install ok installed
Architecture: i386
Multi-Arch: same
Version: 2.36-9

Package: old
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: gone
Status: deinstall ok not-installed
Architecture: all
`

func TestParseStatus(t *testing.T) {
	got := parseStatus(sampleStatus)
	for _, name := range parseMarks("Package: libc6\nArchitecture: i386\nAuto-Installed: 1\n\nPackage: ovs\nArchitecture: amd64\nAuto-Installed: 0\n", got) {
		p := got[name]
		p.Auto = true
		got[name] = p
	}
	want := table{
		"dpkg":       {Version: "1.21.22", State: "installed", needs: ",libc6 (>= 2.15), tar (>= 1.28-1)"},
		"ovs":        {Version: "3.1.0-2+deb12u1", State: "half-configured", Hold: true, needs: ",libc6 (>= 2.34) | libmusl, python3:any", provides: "switch (= 1), vswitch"},
		"libc6:i386": {Version: "2.36-9", State: "installed", Auto: true},
		"old":        {Version: "1", State: "config-files"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestClosure(t *testing.T) {
	if got := relations(",libc6 (>= 2.34) | libmusl, python3:any,, libc6"); !reflect.DeepEqual(got, []string{"libc6", "libmusl", "python3"}) {
		t.Errorf("%v", got)
	}
	got := table{
		"a":      {State: "installed", needs: "switch, none | b (= 1)"},
		"b":      {State: "installed"},
		"c:i386": {State: "installed", needs: "a"},
		"ovs":    {State: "installed", provides: "switch (= 1)", needs: "c"},
		"old":    {State: "config-files", provides: "switch"},
		"other":  {State: "installed"},
	}.closure([]string{"a"}, wishful)
	if want := map[string]bool{"a": true, "b": true, "ovs": true, "c:i386": true}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add(sampleStatus, "Package: ovs\nArchitecture: amd64\nAuto-Installed: 1\n")
	f.Add("Package:\n\n\n\nPackage: x", "")
	f.Fuzz(func(t *testing.T, status, marks string) {
		got := parseStatus(status)
		for _, name := range parseMarks(marks, got) {
			if _, ok := got[name]; !ok {
				t.Fatalf("%q is marked and not there", name)
			}
		}
		var roots []string
		for name, p := range got {
			roots = append(roots, name)
			if name == "" || p.State == "" {
				t.Fatalf("a package without name or state: %q %+v", name, p)
			}
		}
		got.closure(roots, wishful)
	})
}

func TestRecordIsRecalled(t *testing.T) {
	want := table{"aa": {Version: "1", State: "installed", Hold: true}, "bb": {Version: "2", State: "config-files", Auto: true}}
	got, err := recalled(want.record())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := recalled([]string{"one"}); err == nil {
		t.Error("no error for a line that is no package")
	}
}

func TestOthersThatGo(t *testing.T) {
	const simulation = "Reading package lists...\nRemv cart [7]\nRemv pony [2.0] [libpony:amd64 ]\nPurg conf [1]\nInst x (1 y)\n"
	if got := others(simulation, []string{"pony"}); !reflect.DeepEqual(got, []string{"cart", "conf"}) {
		t.Errorf("%v", got)
	}
}

func FuzzOthersThatGo(f *testing.F) {
	f.Add("Remv cart [7]\nPurg conf [1]\nRemv\n", "conf")
	f.Fuzz(func(t *testing.T, simulation, name string) {
		if got := others(simulation, []string{name}); slices.Contains(got, name) || slices.Contains(got, "") {
			t.Errorf("%q among %q", name, got)
		}
	})
}

// BenchmarkParseStatus reads the package table of a host with 500 packages.
func BenchmarkParseStatus(b *testing.B) {
	var text strings.Builder
	for i := range 500 {
		fmt.Fprintf(&text, "Package: package-%d\nStatus: install ok installed\nPriority: optional\nArchitecture: amd64\nVersion: 1.%d-1\nDepends: libc6 (>= 2.34), libpackage-%d (= 1.%d-1)\nConffiles:\n /etc/package.conf 00000000000000000000000000000000\nDescription: a package\n%s\n", i, i, i, i, strings.Repeat(" with a description of several lines that nobody reads here\n", 12))
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		parseStatus(text.String())
	}
}

func wishful(string) bool { return true }

// TestSurplusTakesWhatOthersOnlyRecommend: what came as a dependency goes, though
// something that was there before recommends it.
func TestSurplusTakesWhatOthersOnlyRecommend(t *testing.T) {
	before := table{"libuuid": {State: "installed", Auto: true, wishes: "uuidd"}}
	now := table{
		"libuuid": before["libuuid"],
		"switch":  {State: "installed", needs: "uuidd"},
		"uuidd":   {State: "installed", Auto: true},
	}
	b := newBack(found{By: apt, Names: []string{"switch"}}, before, now, step.Finding{Settled: true})
	if got, _ := b.surplus(now, nil); !reflect.DeepEqual(got, []string{"switch", "uuidd"}) {
		t.Errorf("%v goes", got)
	}
	now["byhand"] = pkg{State: "installed", wishes: "uuidd"}
	b = newBack(found{By: apt, Names: []string{"switch"}}, before, now, step.Finding{Settled: true})
	if got, _ := b.surplus(now, nil); !reflect.DeepEqual(got, []string{"switch"}) {
		t.Errorf("%v goes, though something newer recommends uuidd", got)
	}
}

// TestUndoGoesOnWhereAptLostItsMarks: apt writes them anew on a full disk, and
// what was automatic looks as if somebody had asked for it.
func TestUndoGoesOnWhereAptLostItsMarks(t *testing.T) {
	m := debianMachine()
	found, _ := m.File(dpkgStatus)
	marks, _ := m.File(aptStates)
	s := packageStep(t, PackageSpec{Name: steptest.Prefix + "-pony"})
	f := applied(t, m, s)
	f.Sort = func(foreign, own []string) error {
		f.Foreign, f.Own = foreign, own
		return nil
	}
	m.Program("apt-get", func(m *fake.Machine, c host.Command) host.Result {
		if slices.Contains(c.Argv, "-s") {
			return aptGetModel(m, c)
		}
		a := loadApt(m)
		a.Packages[steptest.Prefix+"-libpony"].Auto = false
		saveApt(m, a)
		return failed("Write error - write (28: No space left on device)")
	})
	if err := s.Undo(t.Context(), m.Host(), f); err == nil {
		t.Fatal("an undo without room succeeds")
	}
	m.Program("apt-get", aptGetModel)
	f.Settled = false
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if got, _ := m.File(dpkgStatus); got != found {
		t.Errorf("left is:\n%s\nfound was:\n%s", got, found)
	}
	if got, _ := m.File(aptStates); got != marks {
		t.Errorf("marks are:\n%s\nwere:\n%s", got, marks)
	}
}
