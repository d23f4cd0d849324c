package packages

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step/steptest"
)

// aptModel is a small model of dpkg and apt: a repository, and the state of the
// packages in a file of the machine, from which dpkg's status file and apt's
// marks are written.
type aptModel struct {
	Packages map[string]*debian
}

type debian struct {
	Version, State string
	Hold, Auto     bool
}

// release is a package in the repository.
type release struct {
	version string
	depends []string
}

// repository has the newest release of a package last.
var repository = map[string][]release{
	"dpkg":              {{version: "1.21"}},
	"weft-laws-libc":    {{version: "2.35"}, {version: "2.36"}},
	"weft-laws-libpony": {{version: "1.0", depends: []string{"weft-laws-libc"}}, {version: "1.1", depends: []string{"weft-laws-libc"}}},
	"weft-laws-pony":    {{version: "1.0", depends: []string{"weft-laws-libpony"}}, {version: "2.0", depends: []string{"weft-laws-libpony (>= 1.1)", "weft-laws-libc (>= 2.36) | weft-laws-musl"}}},
	"weft-laws-stable":  {{version: "3-1", depends: []string{"weft-laws-libpony"}}},
	"weft-laws-cart":    {{version: "7", depends: []string{"weft-laws-pony"}}},
}

const (
	modelFile = "/var/lib/model-of-apt"
	listsFile = "/var/lib/apt/lists/deb.example_Packages"
	// crash makes the next apt-get install die between unpacking and
	// configuring; listsAge is what stat(1) says of the lists.
	crashFile = "/run/crash-apt"
)

// debianMachine has dpkg and libc, and package lists.
func debianMachine() *fake.Machine {
	m := fake.New()
	m.Mkdir("/var/lib/dpkg")
	m.Mkdir("/var/lib/apt")
	m.WriteFile(listsFile, "fresh")
	saveApt(m, aptModel{map[string]*debian{
		"dpkg":           {Version: "1.21", State: "installed"},
		"weft-laws-libc": {Version: "2.35", State: "installed", Auto: true},
	}})
	m.Program("apt-get", aptGetModel)
	m.Program("apt-mark", aptMarkModel)
	m.Program("dpkg", func(m *fake.Machine, c host.Command) host.Result {
		a := loadApt(m)
		for _, p := range a.Packages {
			if p.State == "half-configured" {
				p.State = "installed"
			}
		}
		saveApt(m, a)
		return host.Result{}
	})
	m.Program("stat", func(m *fake.Machine, c host.Command) host.Result {
		fetched := "32503680000\n" // the year 3000
		if age, _ := m.File(listsFile); age == "old" {
			fetched = "0\n"
		}
		out := fetched
		for _, path := range c.Argv[4:] {
			if text, _ := m.File(path); strings.Contains(text, "changed since") {
				out += fetched
			} else {
				out += "1\n"
			}
		}
		return host.Result{Stdout: []byte(out)}
	})
	return m
}

// by is another hand that calls apt's programs one after the other; on a real
// host with what they need to ask nothing.
func by(name string, calls ...[]string) steptest.Hand {
	h := steptest.Hand{Name: name, Fake: func(m *fake.Machine) {
		for _, argv := range calls {
			run(argv...)(m)
		}
	}}
	for _, argv := range calls {
		if argv[0] == "apt-get" {
			argv = append([]string{"apt-get", "-y", "-q", "--allow-downgrades", "--allow-change-held-packages"}, argv[1:]...)
		}
		h.Host = append(h.Host, host.Command{Argv: argv, Env: []string{"DEBIAN_FRONTEND=noninteractive"}})
	}
	return h
}

func install(words ...string) []string { return append([]string{"apt-get", "install"}, words...) }

// run calls a program as another hand does.
func run(argv ...string) func(m *fake.Machine) {
	return func(m *fake.Machine) {
		program := map[string]fake.Program{"apt-get": aptGetModel, "apt-mark": aptMarkModel}[argv[0]]
		argv = append(slices.Clone(argv), "--allow-change-held-packages")
		if r := program(m, host.Command{Argv: argv}); r.Exit != 0 {
			panic(fmt.Sprintf("%v: %s", argv, r.Stderr))
		}
	}
}

func loadApt(m *fake.Machine) aptModel {
	var a aptModel
	text, _ := m.File(modelFile)
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		panic(err)
	}
	return a
}

func saveApt(m *fake.Machine, a aptModel) {
	text, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	m.WriteFile(modelFile, string(text))
	var status, marks strings.Builder
	for _, name := range slices.Sorted(maps.Keys(a.Packages)) {
		p := a.Packages[name]
		want := map[bool]string{true: "hold", false: "install"}[p.Hold]
		fmt.Fprintf(&status, "Package: %s\nStatus: %s ok %s\nArchitecture: amd64\nVersion: %s\n", name, want, p.State, p.Version)
		fmt.Fprintf(&status, "Depends: %s\nDescription: a package\n that is\n .\n modelled\n\n", strings.Join(releaseOf(name, p.Version).depends, ", "))
		if p.Auto {
			fmt.Fprintf(&marks, "Package: %s\nArchitecture: amd64\nAuto-Installed: 1\n\n", name)
		}
	}
	m.WriteFile(dpkgStatus, status.String())
	m.WriteFile(aptStates, marks.String())
}

func releaseOf(name, version string) release {
	for _, r := range repository[name] {
		if r.version == version {
			return r
		}
	}
	return release{}
}

func failed(format string, args ...any) host.Result {
	return host.Result{Exit: 100, Stderr: fmt.Appendf(nil, "E: "+format+"\n", args...)}
}

func aptGetModel(m *fake.Machine, c host.Command) host.Result {
	var words []string
	flags := map[string]bool{}
	for i := 1; i < len(c.Argv); i++ {
		switch {
		case c.Argv[i] == "-o":
			i++
		case strings.HasPrefix(c.Argv[i], "-"):
			flags[c.Argv[i]] = true
		default:
			words = append(words, c.Argv[i])
		}
	}
	a := loadApt(m)
	for _, p := range a.Packages {
		if p.State == "half-configured" && words[0] != "update" {
			return failed("dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.")
		}
	}
	for _, name := range words[1:] {
		name, _, _ = strings.Cut(strings.TrimSuffix(name, "-"), "=")
		if p := a.Packages[name]; p != nil && p.Hold && !flags["--allow-change-held-packages"] {
			return failed("Held packages were changed and -y was used without --allow-change-held-packages.")
		}
	}
	switch words[0] {
	case "update":
		m.WriteFile(listsFile, "fresh")
		return host.Result{}
	case "install":
		return a.exchange(m, words[1:], flags["-s"])
	case "remove", "purge":
		return a.remove(m, words[0], words[1:], flags["-s"])
	}
	return failed("Invalid operation %s", words[0])
}

// exchange removes the words with a minus and installs the others, or none.
func (a aptModel) exchange(m *fake.Machine, words []string, simulate bool) host.Result {
	var come, leave []string
	for _, word := range words {
		if name, minus := strings.CutSuffix(word, "-"); minus {
			leave = append(leave, name)
		} else {
			come = append(come, word)
		}
	}
	found, r := loadApt(m), host.Result{}
	if len(leave) > 0 {
		r = a.remove(m, "remove", leave, simulate)
	}
	if len(come) == 0 || simulate {
		return r
	}
	if r = a.install(m, come); strings.Contains(string(r.Stderr), "unmet") {
		saveApt(m, found)
	}
	return r
}

// unmet says what lacks the version of a dependency that it needs.
func (a aptModel) unmet() (string, bool) {
	for name, p := range a.Packages {
		for _, need := range releaseOf(name, p.Version).depends {
			dependency, least, versioned := strings.Cut(need, " (>= ")
			least, _, _ = strings.Cut(least, ")")
			if have := a.Packages[dependency]; versioned && p.State != "config-files" && have != nil && have.Version < least {
				return name, true
			}
		}
	}
	return "", false
}

func (a aptModel) install(m *fake.Machine, words []string) host.Result {
	lists, ok := m.File(listsFile)
	chosen := map[string]string{}
	for _, word := range words {
		name, version, _ := strings.Cut(word, "=")
		releases := repository[name]
		if len(releases) == 0 || !ok {
			return failed("Unable to locate package %s", name)
		}
		if version == "" {
			version = releases[len(releases)-1].version
		}
		if releaseOf(name, version).version == "" || lists == "outdated" && version == "2.0" {
			return failed("Version '%s' for '%s' was not found", version, name)
		}
		chosen[name] = version
	}
	for name := range chosen { // all that were asked for, before what they need
		a.unpack(m, name, chosen[name])
		a.Packages[name].Auto = false
	}
	for name := range chosen {
		a.depend(m, name)
	}
	if name, bad := a.unmet(); bad {
		return failed("%s has unmet dependencies", name)
	}
	if _, crash := m.File(crashFile); crash {
		m.Remove(crashFile)
		for _, p := range a.Packages {
			if p.State == "new" {
				p.State = "half-configured"
			}
		}
		saveApt(m, a)
		return failed("Sub-process /usr/bin/dpkg exited unexpectedly")
	}
	for _, p := range a.Packages {
		if p.State == "new" {
			p.State = "installed"
		}
	}
	saveApt(m, a)
	return host.Result{}
}

// unpack sets a version.
func (a aptModel) unpack(m *fake.Machine, name, version string) {
	p := a.Packages[name]
	if p == nil || p.State == "config-files" {
		p = &debian{Auto: true}
		a.Packages[name] = p
		if _, kept := m.File("/etc/" + name + ".conf"); !kept {
			m.WriteFile("/etc/"+name+".conf", "default\n")
		}
	}
	if p.Version != version || p.State != "installed" {
		p.Version, p.State = version, "new"
	}
}

// depend brings the newest of what a package needs.
func (a aptModel) depend(m *fake.Machine, name string) {
	for _, need := range releaseOf(name, a.Packages[name].Version).depends {
		dependency, least, versioned := strings.Cut(need, " (>= ")
		have := a.Packages[dependency]
		releases := repository[dependency]
		if least, _, _ = strings.Cut(least, ")"); have == nil || have.State == "config-files" || versioned && have.Version < least {
			a.unpack(m, dependency, releases[len(releases)-1].version)
		}
		a.depend(m, dependency)
	}
}

func (a aptModel) remove(m *fake.Machine, verb string, names []string, simulate bool) host.Result {
	gone := slices.Clone(names)
	for again := true; again; {
		again = false
		for name, p := range a.Packages {
			if p.State != "installed" || slices.Contains(gone, name) {
				continue
			}
			for _, need := range releaseOf(name, p.Version).depends {
				dependency, _, _ := strings.Cut(need, " ")
				if slices.Contains(gone, dependency) {
					gone, again = append(gone, name), true
					break
				}
			}
		}
	}
	slices.Sort(gone)
	var out strings.Builder
	for _, name := range gone {
		p := a.Packages[name]
		if p == nil || p.State == "config-files" && verb == "remove" {
			continue
		}
		fmt.Fprintf(&out, "Remv %s [%s]\n", name, p.Version)
		if simulate {
			continue
		}
		if verb == "purge" {
			delete(a.Packages, name)
			m.Remove("/etc/" + name + ".conf")
		} else {
			*p = debian{State: "config-files"} // what dpkg notes of its version is no state
		}
	}
	if !simulate {
		saveApt(m, a)
	}
	return host.Result{Stdout: []byte(out.String())}
}

func aptMarkModel(m *fake.Machine, c host.Command) host.Result {
	a := loadApt(m)
	for _, name := range c.Argv[2:] {
		if strings.HasPrefix(name, "-") {
			continue
		}
		p := a.Packages[name]
		if p == nil {
			return failed("%s can't be marked", name)
		}
		switch c.Argv[1] {
		case "hold", "unhold":
			p.Hold = c.Argv[1] == "hold"
		case "auto", "manual":
			p.Auto = c.Argv[1] == "auto"
		}
	}
	saveApt(m, a)
	return host.Result{}
}
