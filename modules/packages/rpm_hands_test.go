package packages

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	pony    = steptest.Prefix + "-pony"
	libpony = steptest.Prefix + "-libpony"
	saddle  = steptest.Prefix + "-saddle"
)

// ponyOf is a machine with the pony of version 1.0 and what it needs.
func ponyOf(t *testing.T, hands ...steptest.Hand) *fake.Machine {
	t.Helper()
	m := redhatMachine()
	byDNF("", []string{"install", pony + "-1.0", libpony + "-1.0"}).Fake(m)
	for _, hand := range hands {
		hand.Fake(m)
	}
	return m
}

func versionOf(m *fake.Machine, name string) string {
	if p := loadRPM(m).Packages[name]; p != nil {
		return strings.Join(p.Versions, ",")
	}
	return "absent"
}

// TestUndoErasesNoPackageOfAnotherHand: what came since needs the version that goes,
// whether the step brought something that may go, or not.
func TestUndoErasesNoPackageOfAnotherHand(t *testing.T) {
	for _, names := range [][]string{{pony}, {pony, steptest.Prefix + "-stable"}} {
		m := ponyOf(t)
		s := packageStep(t, PackageSpec{Names: names, Versions: map[string]string{pony: "2.0"}})
		f := applied(t, m, s)
		byDNF("", []string{"install", saddle}).Fake(m)
		err := s.Undo(t.Context(), m.Host(), f)
		if !errors.Is(err, step.ErrConflict) || !strings.Contains(err.Error(), "since "+saddle+" needs") {
			t.Errorf("%q: a saddle needs the pony: %v", names, err)
		}
		if versionOf(m, saddle) != "1-1" || versionOf(m, pony) != "2.0-1" {
			t.Errorf("%q: the saddle is %s, the pony %s", names, versionOf(m, saddle), versionOf(m, pony))
		}
	}
}

// TestUndoErasesWhatItsChangeBrought: the older pony comes back, though the saddle that
// the step brought needs the newer one; another's goes neither then.
func TestUndoErasesWhatItsChangeBrought(t *testing.T) {
	m := ponyOf(t)
	found, _ := m.File(rpmModelFile)
	s := packageStep(t, PackageSpec{Names: []string{pony, saddle}, Versions: map[string]string{pony: "2.0"}})
	f := applied(t, m, s)
	if versionOf(m, saddle) != "1-1" {
		t.Fatal("there is no saddle")
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if now, _ := m.File(rpmModelFile); now != found {
		t.Errorf("undone:\n%s\nfound:\n%s", now, found)
	}
}

// TestErasingIsHeldToWhatIsOwn: dnf is told to protect all the rest, and of too many
// names nothing is erased.
func TestErasingIsHeldToWhatIsOwn(t *testing.T) {
	one := rpmPackage{Versions: []string{"1-1"}}
	now := rpmTable{"a": one, "b": one, "c.i686": one}
	if got := erasingBut(dnf, now, []string{"b"}); !slices.Equal(got, []string{"--allowerasing", "--setopt=protected_packages=a,c"}) {
		t.Errorf("%q", got)
	}
	if got := erasingBut(dnf, now, nil); got != nil {
		t.Errorf("nothing is own: %q", got)
	}
	if got := erasingBut(yum, now, []string{"b"}); got != nil {
		t.Errorf("yum erases nothing: %q", got)
	}
	for i := range 10000 {
		now[fmt.Sprintf("package-%d", i)] = one
	}
	if got := erasingBut(dnf, now, []string{"b"}); got != nil {
		t.Errorf("an argument of %d bytes", len(got[1]))
	}
}

func TestInTheWay(t *testing.T) {
	one := rpmPackage{Versions: []string{"1-1"}}
	now := rpmTable{"cart": one, "two-words": one, "pony": one}
	for text, want := range map[string][]string{
		"Error: \n Problem: problem with installed package cart-1:1-1.noarch\n - conflicting requests":                           {"cart"},
		"  - package two-words-1-1.noarch from @System requires pony >= 2, but none of the providers can be installed":           {"two-words"},
		"Error: Package: cart-1-1.noarch (@x)\n   Requires: pony >= 2":                                                           {"cart"},
		"Error: The operation would result in removing the following protected packages: two-words":                              {"two-words"},
		"Error: Failed to download metadata for repo 'x'":                                                                        nil,
		" Problem: package stranger-1-1.noarch from x requires y\n(try to add '--allowerasing' to replace conflicting packages)": nil,
	} {
		got, refused := inTheWay(&host.ExitError{Result: host.Result{Exit: 1, Stderr: []byte(text)}}, now)
		if !slices.Equal(got, want) || refused != (want != nil || strings.Contains(text, "allowerasing")) {
			t.Errorf("%q: %q, %v", text, got, refused)
		}
	}
	if _, refused := inTheWay(errors.New("no program"), now); refused {
		t.Error("an error of ours is a solver's")
	}
}

func FuzzInTheWay(f *testing.F) {
	f.Add("problem with installed package cart-7-1.noarch\n package x from @System", "cart")
	f.Fuzz(func(t *testing.T, text, name string) {
		now := rpmTable{name: {Versions: []string{"1-1"}}}
		got, _ := inTheWay(&host.ExitError{Result: host.Result{Exit: 1, Stdout: []byte(text)}}, now)
		if len(got) > 1 || len(got) == 1 && got[0] != name {
			t.Errorf("%q", got)
		}
	})
}

// locked is another hand that locks a package to the version that it has.
func locked(name string) steptest.Hand { return byDNF("", []string{"versionlock", "add", name}) }

// TestLocksOfOthersHold: of what is locked only that gives way which the step names with
// a version.
func TestLocksOfOthersHold(t *testing.T) {
	for _, tt := range []struct {
		name  string
		hands []steptest.Hand
		spec  PackageSpec
		fails bool
		pony  string
		lib   string
	}{
		{"a dependency is locked", []steptest.Hand{locked(libpony)}, PackageSpec{Name: pony, Version: step.Is("2.0")}, true, "1.0-1", "1.0-1"},
		{"weft's own lock beside it", []steptest.Hand{locked(libpony), locked(pony)}, PackageSpec{Name: pony, Version: step.Is("2.0"), Hold: step.Is(true)}, true, "1.0-1", "1.0-1"},
		{"what is named is locked", []steptest.Hand{locked(pony)}, PackageSpec{Name: pony, Version: step.Is("2.0"), Hold: step.Is(true)}, false, "2.0-1", "1.1-1"},
		{"nothing of it is locked", nil, PackageSpec{Name: pony, Version: step.Is("2.0")}, false, "2.0-1", "1.1-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := ponyOf(t, tt.hands...)
			s := packageStep(t, tt.spec)
			f, err := s.Check(t.Context(), m.Host().View())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Apply(t.Context(), m.Host(), f); (err != nil) != tt.fails {
				t.Errorf("apply: %v", err)
			}
			if versionOf(m, pony) != tt.pony || versionOf(m, libpony) != tt.lib {
				t.Errorf("the pony is %s, its library %s", versionOf(m, pony), versionOf(m, libpony))
			}
		})
	}
}

// TestUndoLeavesWhatAHandLockedSince: it wants that version.
func TestUndoLeavesWhatAHandLockedSince(t *testing.T) {
	for _, name := range []string{pony, libpony} {
		m := ponyOf(t)
		s := packageStep(t, PackageSpec{Name: pony, Version: step.Is("2.0")})
		f := applied(t, m, s)
		upgraded := versionOf(m, name)
		locked(name).Fake(m)
		err := s.Undo(t.Context(), m.Host(), f)
		if !errors.Is(err, step.ErrConflict) || !strings.Contains(err.Error(), name) || versionOf(m, name) != upgraded {
			t.Errorf("%s is %s: %v", name, versionOf(m, name), err)
		}
	}
}

// TestUndoGoesPastItsOwnLock: the step locked what it installed.
func TestUndoGoesPastItsOwnLock(t *testing.T) {
	m := ponyOf(t)
	found, _ := m.File(rpmModelFile)
	s := packageStep(t, PackageSpec{Name: pony, Version: step.Is("2.0"), Hold: step.Is(true)})
	f := applied(t, m, s)
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if now, _ := m.File(rpmModelFile); now != found {
		t.Errorf("undone:\n%s\nfound:\n%s", now, found)
	}
}
