package system

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	lawNames  = steptest.Prefix
	lawChoice = "/etc/alternatives/" + lawNames
	lawStatus = "/var/lib/dpkg/alternatives/" + lawNames
	lawMaster = "/usr/local/bin/" + lawNames
)

// groupFile is a group with the alternatives /bin/true and /bin/false, of which
// the first has the higher priority.
func groupFile(mode string) string {
	return mode + "\n" + lawMaster + "\n\n/bin/false\n5\n/bin/true\n10\n\n"
}

func alternativesMachine() *fake.Machine {
	m := fake.New()
	m.Program("update-alternatives", updateAlternatives)
	return m
}

// updateAlternatives is as much of update-alternatives(1) as the tests need, for
// one group.
func updateAlternatives(m *fake.Machine, c host.Command) host.Result {
	refuse := func(format string, args ...any) host.Result {
		return host.Result{Exit: 2, Stderr: fmt.Appendf(nil, "update-alternatives: error: "+format+"\n", args...)}
	}
	switch c.Argv[1] {
	case "--install":
		m.WriteFile(lawStatus, groupFile("auto"))
		m.Symlink(lawChoice, "/bin/true")
		m.Symlink(lawMaster, lawChoice)
	case "--remove-all":
		m.Remove(lawStatus)
		m.Remove(lawChoice)
		m.Remove(lawMaster)
	case "--auto":
		m.WriteFile(lawStatus, groupFile("auto"))
		m.Symlink(lawChoice, "/bin/true")
	case "--set":
		if !slices.Contains([]string{"/bin/true", "/bin/false"}, c.Argv[3]) {
			return refuse("alternative %s for %s not registered; not setting", c.Argv[3], c.Argv[2])
		}
		m.WriteFile(lawStatus, groupFile("manual"))
		m.Symlink(lawChoice, c.Argv[3])
	default:
		return refuse("unknown option %q", c.Argv[1])
	}
	return host.Result{}
}

// alternativeHand is update-alternatives by another hand, several times.
func alternativeHand(name string, commands ...[]string) steptest.Hand {
	h := steptest.Hand{Name: name, Fake: func(m *fake.Machine) {
		for _, c := range commands {
			if path.Base(c[0]) == "ln" {
				m.Symlink(c[len(c)-1], c[len(c)-2])
				continue
			}
			updateAlternatives(m, host.Command{Argv: c})
		}
	}}
	for _, c := range commands {
		h.Host = append(h.Host, host.Command{Argv: c})
	}
	return h
}

func TestAlternativeLaws(t *testing.T) {
	choose := func(args ...string) []string { return append([]string{"update-alternatives"}, args...) }
	install := [][]string{
		choose("--install", lawMaster, lawNames, "/bin/true", "10"),
		choose("--install", lawMaster, lawNames, "/bin/false", "5"),
	}
	with := func(more ...[]string) [][]string { return slices.Concat(install, more) }
	laws(t, steptest.Subject{
		Kind:    alternativeKind(),
		Machine: alternativesMachine,
		Found: []steptest.Hand{
			alternativeHand("by priority", install...),
			alternativeHand("another chosen", with(choose("--set", lawNames, "/bin/true"))...),
			alternativeHand("the same chosen", with(choose("--set", lawNames, "/bin/false"))...),
			alternativeHand("linked by hand", with([]string{"ln", "-sfn", "/bin/false", lawChoice})...),
			alternativeHand("linked elsewhere", with([]string{"ln", "-sfn", "/bin/echo", lawChoice})...),
		},
		Cases: []steptest.Case{
			{Name: "chosen", Spec: AlternativeSpec{Path: step.Is("/bin/false")}, Drift: []steptest.Hand{
				alternativeHand("path", choose("--set", lawNames, "/bin/true")),
				alternativeHand("path", choose("--auto", lawNames)),
				alternativeHand("path", []string{"ln", "-sfn", "/bin/echo", lawChoice}),
			}},
			{Name: "by priority", Spec: AlternativeSpec{Path: step.None[string]()}, Drift: []steptest.Hand{
				alternativeHand("path", choose("--set", lawNames, "/bin/false")),
				alternativeHand("path", choose("--set", lawNames, "/bin/true")),
				alternativeHand("path", []string{"ln", "-sfn", "/bin/echo", lawChoice}),
			}},
		},
		Touches: steptest.Touches{Files: []string{lawChoice, lawStatus, lawMaster}},
		Clean:   steptest.Run("update-alternatives", "--remove-all", lawNames),
	})
}

func TestAlternativeThatIsNotThere(t *testing.T) {
	m := alternativesMachine()
	s := step.Of("x", alternatives{}, AlternativeSpec{Name: lawNames, Path: step.Is("/bin/zsh"), Asked: true})
	if _, err := s.Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), "no group weft-laws") {
		t.Errorf("no group: %v", err)
	}
	m.WriteFile(lawStatus, groupFile("auto"))
	if _, err := s.Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), "/bin/true, /bin/false") {
		t.Errorf("none of its alternatives: %v", err)
	}
}

// TestAlternativeGone: with the package went the group, and what was chosen in it
// cannot be taken back, nor has it to be.
func TestAlternativeGone(t *testing.T) {
	m := alternativesMachine()
	updateAlternatives(m, host.Command{Argv: []string{"", "--install"}})
	s := step.Of("x", alternatives{}, AlternativeSpec{Name: lawNames, Path: step.Is("/bin/false"), Asked: true})
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	updateAlternatives(m, host.Command{Argv: []string{"", "--remove-all"}})
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Error(err)
	}
}

func FuzzAlternatives(f *testing.F) {
	f.Add("auto\n/usr/sbin/ovs-vswitchd\n\n/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk\n50\n/usr/lib/openvswitch-switch/ovs-vswitchd\n100\n\n")
	f.Add("manual\n/usr/bin/awk\nawk.1.gz\n/usr/share/man/man1/awk.1.gz\n\n/usr/bin/mawk\n@family@5\n/usr/share/man/man1/mawk.1.gz\n")
	f.Add("auto\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := parseGroup(text)
		if err != nil {
			return
		}
		for _, c := range g.choices {
			if c == "" || strings.Contains(c, "\n") {
				t.Errorf("%q has the alternative %q", text, c)
			}
		}
	})
}
