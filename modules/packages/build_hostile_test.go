package packages

import (
	"context"
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

const shadow = "root:$6$secret"

// TestBuilddepExpandsNoMacroAsRoot: the spec of a tarball may run what it likes, as the
// build user.
func TestBuilddepExpandsNoMacroAsRoot(t *testing.T) {
	m := buildMachine()
	m.WriteFile(buildSource, helloSpec+"%(touch "+victim+")\n")
	applied(t, m, buildStep(helloBuild()))
	if _, ok := m.File(victim); ok {
		t.Error("root ran a macro of the spec")
	}
	if loadRPM(m).Packages["weft-laws-stable"] == nil {
		t.Error("builddep did not bring what the spec needs")
	}
}

// TestBuildHandsOverNothingThatItsUserCannotRead: where an RPM is looked for, the user
// puts a link to a file of root's, before or after it was looked for.
func TestBuildHandsOverNothingThatItsUserCannotRead(t *testing.T) {
	for _, tt := range []struct{ name, when, link string }{
		{"the source RPM is a link", "-bs", "SRPMS/weft-laws-hello-1.0-1.src.rpm"},
		{"an RPM is a link", "-bb", "RPMS/noarch/weft-laws-hello-1.0-1.noarch.rpm"},
		{"another RPM is a link", "-bb", "RPMS/noarch/weft-laws-other-1.0-1.noarch.rpm"},
		{"a link since it was found", "cp", "RPMS/noarch/weft-laws-hello-1.0-1.noarch.rpm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := buildMachine()
			m.WriteFile("/etc/shadow", shadow)
			m.Chmod("/etc/shadow", 0o600)
			s := buildStep(helloBuild())
			top := ""
			m.Program("runuser", func(m *fake.Machine, c host.Command) host.Result {
				if c.Dir != "" {
					top = c.Dir
				}
				plant := func() {
					if slices.Contains(c.Argv, tt.when) {
						m.Symlink(top+"/"+tt.link, "/etc/shadow")
					}
				}
				if tt.when == "cp" {
					plant()
					return buildUserModel(m, c)
				}
				defer plant()
				return buildUserModel(m, c)
			})
			f, err := s.Check(t.Context(), m.Host().View())
			if err == nil {
				err = s.Apply(t.Context(), m.Host(), f)
			}
			if top == "" {
				t.Fatal("nothing was built: ", err)
			}
			if err != nil && strings.Contains(err.Error(), shadow) {
				t.Errorf("an error shows root's file: %v", err)
			}
			lookFor(t, m, buildStore, top)
		})
	}
}

// lookFor finds no secret below a directory, the build user's own tree aside.
func lookFor(t *testing.T, m *fake.Machine, dir, but string) {
	t.Helper()
	eachChild(m, dir, func(child string) {
		if child == but {
			return
		}
		if text, _ := m.File(child); strings.Contains(text, shadow) {
			t.Errorf("%s holds root's file", child)
		}
		lookFor(t, m, child, but)
	})
}

// TestBuildWritesNothingWhereItsUserCouldPutALink: as soon as a directory is his, the user
// puts links there that lead to root's file.
func TestBuildWritesNothingWhereItsUserCouldPutALink(t *testing.T) {
	m := buildMachine()
	m.WriteFile(victim, "root's")
	m.Chmod(victim, 0o600)
	planted := 0
	var plant func(dir string)
	plant = func(dir string) {
		eachChild(m, dir, plant)
		if info, err := m.Host().Files.Stat(t.Context(), dir); err != nil || info.Type != host.Directory || info.Owner != steptest.Prefix {
			return
		}
		for _, name := range []string{path.Base(buildSource), "hello.spec"} {
			m.Symlink(dir+"/"+name, victim)
			planted++
		}
	}
	h := host.Observe(m.Host(), func(context.Context, host.Effect) error {
		plant(buildStore)
		return nil
	})
	s := buildStep(helloBuild())
	f, err := s.Check(t.Context(), h.View())
	if err == nil {
		_ = s.Apply(t.Context(), h, f) // whose spec is gone by now
	}
	if text, _ := m.File(victim); text != "root's" || planted == 0 {
		t.Errorf("%d links: root's file holds %q", planted, text)
	}
}

// TestBuilddepLeavesWhatAHandInstalled: between two builds of the same result, and after
// one that was cut.
func TestBuilddepLeavesWhatAHandInstalled(t *testing.T) {
	const cart, stable = steptest.Prefix + "-cart", steptest.Prefix + "-stable"
	installCart := byDNF("", []string{"install", cart}).Fake
	t.Run("built again", func(t *testing.T) {
		m := buildMachine()
		s := buildStep(helloBuild())
		f := applied(t, m, s)
		m.WriteFile(s.store(keyIn(t, f))+"/weft-laws-hello-1.0-1.noarch.rpm", "damaged")
		installCart(m)
		applied(t, m, s)
		undone(t, m, s, f)
		if have := loadRPM(m).Packages; have[cart] == nil || have[stable] != nil {
			t.Errorf("the cart of another hand: %v; what builddep brought: %v", have[cart], have[stable])
		}
	})
	for _, cut := range []string{"before the call", "after the call"} {
		t.Run("cut "+cut, func(t *testing.T) {
			m := buildMachine()
			s := buildStep(helloBuild())
			f, err := s.Check(t.Context(), m.Host().View())
			if err != nil {
				t.Fatal(err)
			}
			killed := errors.New("killed")
			called := false
			h := host.Observe(m.Host(), func(_ context.Context, e host.Effect) error {
				if called || cut == "before the call" && e.Object == dnf {
					return killed
				}
				called = e.Object == dnf
				return nil
			})
			if err := s.Apply(t.Context(), h, f); !errors.Is(err, killed) {
				t.Fatal(err)
			}
			installCart(m)
			undo := m.Clone()
			undone(t, undo, s, f)
			applied(t, m, s)
			undone(t, m, s, f)
			for when, m := range map[string]*fake.Machine{"taken back": undo, "gone on with, then taken back": m} {
				if have := loadRPM(m).Packages; have[cart] == nil || have[stable] != nil {
					t.Errorf("%s: the cart of another hand: %v; what builddep brought: %v", when, have[cart], have[stable])
				}
			}
		})
	}
}

func undone(t *testing.T, m *fake.Machine, s builds, f step.Finding) {
	t.Helper()
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
}
