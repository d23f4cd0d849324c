package build

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
)

const shadow = "root:$6$secret"

// byBuilder is hello, built by another user than root.
func byBuilder() SourceSpec {
	s := hello()
	s.User = "builder"
	return s
}

// plants has the build user put a link to a directory of root's in the place of a path
// below what is his, as soon as that is there.
func plants(m *fake.Machine, below, target string) (planted bool) {
	his := map[string]bool{}
	walkAll(m, cacheDir, func(at string, info host.FileInfo) {
		his[at] = info.Owner == "builder" || his[path.Dir(at)]
		if his[path.Dir(at)] && strings.HasSuffix(at, below) && info.Type == host.Directory {
			planted = true
			m.Remove(at)
			m.Symlink(at, target)
		}
	})
	return planted
}

// TestRootFollowsNoLinkOfTheBuildUser: what he puts links to, once it was installed, is
// neither packed nor written to.
func TestRootFollowsNoLinkOfTheBuildUser(t *testing.T) {
	for _, where := range []string{"", "/bin"} {
		t.Run("tree"+where, func(t *testing.T) {
			const private = "/root/private"
			m := machine()
			m.WriteFile(private+"/hello", shadow)
			m.WriteFile(private+"/bin/hello", shadow)
			m.Chmod(private, 0o700)
			s := byBuilder()
			b, f := build{s.recipe()}, found(t, m, s)
			tree := outputs(t, f)["tree"]
			planted := false
			h := host.Observe(m.Host(), func(context.Context, host.Effect) error {
				planted = plants(m, "/staging"+tree+where, private) || planted
				return nil
			})
			if err := b.Apply(t.Context(), h, f); err == nil {
				t.Error("a link in the place of what was installed is taken for it")
			}
			if !planted {
				t.Fatal("no link was there to be followed")
			}
			walkAll(m, "/", func(at string, info host.FileInfo) {
				if text, _ := m.File(at); info.Type == host.Regular && strings.Contains(text, shadow) && !strings.HasPrefix(at, private+"/") {
					t.Errorf("%s, with mode %v, holds root's file", at, info.Mode)
				}
			})
			if _, there := m.File(private + "/" + manifestName); there {
				t.Error("root wrote its manifest to where the link leads")
			}
		})
	}
}

// TestNewArchivesArePrivate: what a program of root's fills is not for all to read before
// it is known what it holds.
func TestNewArchivesArePrivate(t *testing.T) {
	m := machine()
	result, _ := m.File(outputs(t, applied(t, m, hello()))["archive"])
	taken := hello()
	taken.Archive = "/root/result.tar"
	for name, s := range map[string]SourceSpec{"compiled": hello(), "by another user": byBuilder(), "taken": taken} {
		t.Run(name, func(t *testing.T) {
			m := machine()
			m.WriteFile("/root/result.tar", result)
			f := found(t, m, s)
			fresh, seen := outputs(t, f)["archive"]+".new", false
			h := host.Surround(m.Host(), func(_ context.Context, e host.Effect, act func() error) error {
				err := act()
				if info, stat := m.Host().Files.Stat(t.Context(), fresh); stat == nil && (e.Object == "tar" || e.Object == "cp") {
					seen = true
					if info.Mode.Perm() != 0o600 {
						t.Errorf("after %s the archive has mode %v", e, info.Mode)
					}
				}
				return err
			})
			if err := (build{s.recipe()}).Apply(t.Context(), h, f); err != nil {
				t.Fatal(err)
			}
			if !seen {
				t.Error("no archive was filled")
			}
		})
	}
}

// TestModesOfAnotherUser: a program does not get root's rights from who installs it.
func TestModesOfAnotherUser(t *testing.T) {
	m := machine()
	m.Program("make", program(func(m *fake.Machine, c host.Command) error {
		err := fakeMake(m, c)
		if to := option(c, "DESTDIR"); to != "" {
			m.Chmod(path.Join(to, option(c, "PREFIX"), "bin/hello"), 0o755|fs.ModeSetuid)
		}
		return err
	}))
	if err := refused(t, m, byBuilder()); !strings.Contains(err.Error(), "bin/hello with mode 4755, which builder may not give") {
		t.Errorf("it says %v", err)
	}
}

// TestManifestOfTheBuild: a build has no say in what a tree says of itself.
func TestManifestOfTheBuild(t *testing.T) {
	m := machine()
	m.Program("make", program(func(m *fake.Machine, c host.Command) error {
		if to := option(c, "DESTDIR"); to != "" {
			m.WriteFile(path.Join(to, option(c, "PREFIX"), manifestName), "{}")
		}
		return fakeMake(m, c)
	}))
	if err := refused(t, m, hello()); !strings.Contains(err.Error(), manifestName+", which weft writes") {
		t.Errorf("it says %v", err)
	}
}

// TestWorkOfAnotherUser: a build goes on only with what its own user, or root, prepared.
func TestWorkOfAnotherUser(t *testing.T) {
	cut := errors.New("cut")
	stop := func(_ context.Context, e host.Effect, act func() error) error {
		if strings.HasSuffix(e.Object, "/staging") {
			return cut
		}
		return act()
	}
	as := func(user string) func(t *testing.T, m *fake.Machine, work string) {
		return func(t *testing.T, m *fake.Machine, _ string) {
			t.Helper()
			s := hello()
			s.User = user
			f := found(t, m, s)
			if err := (build{s.recipe()}).Apply(t.Context(), host.Surround(m.Host(), stop), f); !errors.Is(err, cut) {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		before func(t *testing.T, m *fake.Machine, work string)
		user   string
		goesOn bool
	}{
		"root's, and root":             {as(""), "", true},
		"root's, and root by its name": {as(""), "root", true},
		"a user's, and he":             {as("builder"), "builder", true},
		"root's, and a user":           {as(""), "builder", false},
		"a user's, and root":           {as("builder"), "", false},
		"a user's, and another":        {as("builder"), "daemon", false},
		"laid out by a user": {func(_ *testing.T, m *fake.Machine, work string) {
			m.Mkdir(work + "/home")
			m.Chown(work, "builder", "")
			m.Chmod(work, 0o700)
		}, "", false},
		"open to all": {func(_ *testing.T, m *fake.Machine, work string) {
			m.Mkdir(work + "/home")
			m.Chmod(work, 0o777)
		}, "", false},
		"a link": {func(_ *testing.T, m *fake.Machine, work string) {
			m.Mkdir("/home/builder/work/home")
			m.Mkdir(cacheDir)
			m.Symlink(work, "/home/builder/work")
		}, "", false},
		"a file": {func(_ *testing.T, m *fake.Machine, work string) { m.WriteFile(work, "x") }, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine()
			s := hello()
			s.User = c.user
			work := path.Join(cacheDir, "hello-"+outputs(t, found(t, m, s))["key"])
			c.before(t, m, work)
			prepared := work + "/source/prepared"
			if info, err := m.Host().Files.Stat(t.Context(), work); err == nil && info.Type != host.Regular {
				m.WriteFile(prepared, "by whoever was here")
				m.WriteFile(work+"/done.json", `{"unpack":true}`)
			}
			f := found(t, m, s)
			seen := false
			h := host.Observe(m.Host(), func(_ context.Context, e host.Effect) error {
				if strings.HasSuffix(e.Object, "/staging") {
					_, goesOn := m.File(prepared)
					if seen = true; goesOn != c.goesOn {
						t.Errorf("it goes on with what was prepared: %v", goesOn)
					}
				}
				return nil
			})
			if err := (build{s.recipe()}).Apply(t.Context(), h, f); err != nil {
				t.Fatal(err)
			}
			if !seen {
				t.Error("nothing was built")
			}
			if found(t, m, s).Changed() {
				t.Error("it does not converge")
			}
		})
	}
}
