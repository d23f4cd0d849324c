package packages

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step/steptest"
)

// rpmModel is a small model of rpm and dnf: a repository, and the state of the
// packages in a file of the machine.
type rpmModel struct {
	Packages map[string]*rpmModelPackage
	Groups   []string
}

type rpmModelPackage struct {
	Versions []string // the newest last; two only where a crash left them
	Reason   string
}

// rpmRepository has the newest release of a package last.
var rpmRepository = map[string][]release{
	"weft-laws-libc":    {{version: "2.35-1"}, {version: "2.36-1"}},
	"weft-laws-libpony": {{version: "1.0-1", depends: []string{"weft-laws-libc"}}, {version: "1.1-1", depends: []string{"weft-laws-libc"}}},
	"weft-laws-pony":    {{version: "1.0-1", depends: []string{"weft-laws-libpony"}}, {version: "2.0-1", depends: []string{"weft-laws-libpony >= 1.1"}}},
	"weft-laws-stable":  {{version: "3-1", depends: []string{"weft-laws-libpony"}}},
	"weft-laws-saddle":  {{version: "1-1", depends: []string{"weft-laws-pony >= 2.0"}}},
	"weft-laws-cart":    {{version: "7-1", depends: []string{"weft-laws-pony"}}},
}

// herd is a group of packages.
var herd = []string{"weft-laws-cart", "weft-laws-stable"}

const (
	rpmModelFile = "/var/lib/model-of-rpm"
	lockConf     = "/etc/dnf/plugins/versionlock.conf"
	lockFile     = "/etc/dnf/plugins/versionlock.list"
	// crashRPM makes the next installation die with both versions installed.
	crashRPM = "/run/crash-rpm"
	// staleCache is there while dnf's metadata lack the newest packages.
	staleCache = "/var/cache/dnf/stale"
)

// A transactionLog remembers INSTALLTID outside of the machine: it is another one
// after an undo, and that is no difference of state.
type transactionLog struct {
	mu   sync.Mutex
	last int
	of   map[string]int // NAME-VERSION to the transaction that installed it
}

func (l *transactionLog) next() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	return l.last
}

func (l *transactionLog) set(nv string, id int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of[nv] = id
}

func (l *transactionLog) get(nv string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[nv]
}

// redhatMachine has rpm, dnf with its plugin versionlock, and libc.
func redhatMachine() *fake.Machine {
	m := fake.New()
	m.WriteFile("/etc/os-release", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n")
	m.WriteFile("/usr/bin/dnf", "")
	m.WriteFile(lockConf, "[main]\nenabled = 1\nlocklist = "+lockFile+"\n")
	m.WriteFile(lockFile, "# locks of others\nsomething-0:1-1.*\n")
	m.Mkdir("/var/cache/dnf")
	saveRPM(m, rpmModel{Packages: map[string]*rpmModelPackage{"weft-laws-libc": {Versions: []string{"2.35-1"}, Reason: "dependency"}}})
	d := dnfPrograms{log: &transactionLog{of: map[string]int{}}}
	m.Program("rpm", d.rpm)
	m.Program("dnf", d.dnf)
	return m
}

type dnfPrograms struct{ log *transactionLog }

func loadRPM(m *fake.Machine) rpmModel {
	var r rpmModel
	text, _ := m.File(rpmModelFile)
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		panic(err)
	}
	return r
}

func saveRPM(m *fake.Machine, r rpmModel) {
	r.Groups = append([]string{}, slices.Sorted(slices.Values(r.Groups))...)
	text, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	m.WriteFile(rpmModelFile, string(text))
}

func (r rpmModel) depends(name, version string) []string {
	for _, rel := range rpmRepository[name] {
		if rel.version == version {
			return rel.depends
		}
	}
	return nil
}

func rpmFailed(format string, args ...any) host.Result {
	return host.Result{Exit: 1, Stderr: fmt.Appendf(nil, "Error: "+format+"\n", args...)}
}

func printed(format string, args ...any) host.Result {
	return host.Result{Stdout: fmt.Appendf(nil, format, args...)}
}

func (d dnfPrograms) line(name, version string) string {
	return fmt.Sprintf("%s\t%s\tnoarch\t%d\n", name, version, d.log.get(name+"-"+version))
}

// rpm is rpm(8), as far as it is asked.
func (d dnfPrograms) rpm(m *fake.Machine, c host.Command) host.Result {
	r := loadRPM(m)
	args := c.Argv[1:]
	switch {
	case args[0] == "-qa" && strings.Contains(args[2], "REQUIRENAME"):
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(r.Packages)) {
			fmt.Fprintf(&b, "%s\tnoarch\t%s %s(x86-64) \t", name, name, name)
			for _, need := range r.depends(name, r.Packages[name].Versions[0]) {
				on, _, _ := strings.Cut(need, " ")
				b.WriteString(on + " ")
			}
			b.WriteString("\n")
		}
		return printed("%s", b.String())
	case args[0] == "-qa":
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(r.Packages)) {
			for _, version := range r.Packages[name].Versions {
				b.WriteString(d.line(name, version))
			}
		}
		return printed("%s", b.String())
	case args[0] == "-e" && args[1] == "--test":
		return r.test(args[2:])
	case args[0] == "-q" && args[1] == "--whatprovides":
		if p := r.Packages[args[2]]; p != nil {
			return printed("%s", d.line(args[2], p.Versions[0]))
		}
		return host.Result{Exit: 1, Stdout: []byte("no package provides " + args[2] + "\n")}
	case args[0] == "-q" && strings.Contains(args[2], "OBSOLETENAME"):
		return host.Result{}
	}
	return host.Result{Exit: 1, Stderr: []byte("rpm: unknown option\n")}
}

// test says what lacks something if packages went.
func (r rpmModel) test(nevras []string) host.Result {
	var gone []string
	for _, nevra := range nevras {
		key, _ := keyOfNEVRA(nevra)
		if r.Packages[key] == nil {
			return host.Result{Exit: 1, Stderr: []byte("error: package " + nevra + " is not installed\n")}
		}
		gone = append(gone, key)
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.Packages)) {
		version := r.Packages[name].Versions[0]
		for _, need := range r.depends(name, version) {
			if on, _, _ := strings.Cut(need, " "); slices.Contains(gone, on) && !slices.Contains(gone, name) {
				fmt.Fprintf(&b, "\t%s is needed by (installed) %s-%s.noarch\n", need, name, version)
			}
		}
	}
	if b.Len() == 0 {
		return host.Result{}
	}
	return host.Result{Exit: 1, Stderr: []byte("error: Failed dependencies:\n" + b.String())}
}

// dnf is dnf(8), as far as it is asked.
func (d dnfPrograms) dnf(m *fake.Machine, c host.Command) host.Result {
	var words []string
	flags := map[string]bool{}
	for i := 1; i < len(c.Argv); i++ {
		if c.Argv[i] == "--qf" {
			i++
		} else if strings.HasPrefix(c.Argv[i], "-") {
			flags[c.Argv[i]] = true
		} else {
			words = append(words, c.Argv[i])
		}
	}
	r := loadRPM(m)
	switch words[0] + " " + strings.Join(words[1:min(2, len(words))], "") {
	case "repoquery ":
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(r.Packages)) {
			fmt.Fprintf(&b, "%s.noarch %s\n", name, r.Packages[name].Reason)
		}
		return printed("%s", b.String())
	case "clean expire-cache":
		m.Remove(staleCache)
		return host.Result{}
	case "group list":
		var b strings.Builder
		for _, id := range r.Groups {
			fmt.Fprintf(&b, "   A group (%s)\n", id)
		}
		return printed("Installed Groups:\n%s", b.String())
	case "group info":
		return printed("Group: A group\n Mandatory Packages:\n   %s\n", strings.Join(herd, "\n   "))
	case "group mark":
		r.Groups = slices.DeleteFunc(r.Groups, func(id string) bool { return id == words[3] })
		if words[2] == "install" {
			r.Groups = append(r.Groups, words[3])
		}
		saveRPM(m, r)
		return host.Result{}
	}
	switch words[0] {
	case "install":
		return d.install(m, r, words[1:], flags)
	case "remove":
		return r.remove(m, words[1:], flags["--duplicates"])
	case "mark":
		for _, name := range words[2:] {
			r.Packages[name].Reason = map[string]string{"install": "user", "remove": "dependency", "group": "group"}[words[1]]
		}
		saveRPM(m, r)
		return host.Result{}
	case "versionlock":
		return versionlockModel(m, r, words[1], words[2:])
	}
	return rpmFailed("no such command: %s", words[0])
}

func versionlockModel(m *fake.Machine, r rpmModel, verb string, names []string) host.Result {
	text, _ := m.File(lockFile)
	for _, name := range names {
		line := name + "-0:" + r.Packages[name].Versions[0] + ".*\n"
		if verb == "add" {
			text += "\n# Added lock on a day\n" + line
		} else {
			text = strings.ReplaceAll(text, line, "")
		}
	}
	m.WriteFile(lockFile, text)
	return host.Result{}
}

// find is the release that a word of dnf install means.
func find(word string, stale bool) (name, version string, ok bool) {
	rest, _, _ := cutArch(strings.Replace(word, "-0:", "-", 1))
	for name, releases := range rpmRepository {
		for i := len(releases) - 1; i >= 0; i-- {
			v := releases[i].version
			if stale && v == "2.0-1" {
				continue
			}
			short, _, _ := strings.Cut(v, "-")
			if slices.Contains([]string{name, name + "-" + v, name + "-" + short}, rest) {
				return name, v, true
			}
		}
	}
	return "", "", false
}

func (r rpmModel) remove(m *fake.Machine, words []string, duplicates bool) host.Result {
	if duplicates {
		for _, p := range r.Packages {
			p.Versions = p.Versions[len(p.Versions)-1:]
		}
		saveRPM(m, r)
		return host.Result{}
	}
	var gone []string
	for _, word := range words {
		if id, group := strings.CutPrefix(word, "@"); group {
			r.Groups = slices.DeleteFunc(r.Groups, func(g string) bool { return g == id })
			gone = append(gone, herd...)
			continue
		}
		if key, ok := keyOfNEVRA(word); ok && r.Packages[key] != nil {
			word = key
		}
		gone = append(gone, word)
	}
	for again := true; again; {
		again = false
		for name, p := range r.Packages {
			if slices.ContainsFunc(r.depends(name, p.Versions[0]), func(need string) bool {
				on, _, _ := strings.Cut(need, " ")
				return slices.Contains(gone, on)
			}) && !slices.Contains(gone, name) {
				gone, again = append(gone, name), true
			}
		}
	}
	for _, name := range gone {
		delete(r.Packages, name)
		m.Remove("/etc/" + name + ".conf")
	}
	saveRPM(m, r)
	return host.Result{}
}

// byDNF is another hand that calls dnf, one call after the other.
func byDNF(name string, calls ...[]string) steptest.Hand {
	h := steptest.Hand{Name: name, Fake: func(m *fake.Machine) {
		d := dnfPrograms{log: &transactionLog{of: map[string]int{}}}
		for _, argv := range calls {
			if r := d.dnf(m, host.Command{Argv: append([]string{"dnf"}, argv...)}); r.Exit != 0 {
				panic(fmt.Sprintf("%v: %s", argv, r.Stderr))
			}
		}
	}}
	for _, argv := range calls {
		if argv[0] == "versionlock" { // the plugin would write the time of day beside
			h.Host = append(h.Host, lockByHand(argv[1], argv[2]))
			continue
		}
		h.Host = append(h.Host, host.Command{Argv: append([]string{"dnf", "-q", "-y", "--setopt=clean_requirements_on_remove=False"}, argv...)})
	}
	return h
}

func lockByHand(verb, name string) host.Command {
	if verb == "add" {
		return host.Command{Argv: []string{"sh", "-c", `rpm -q --qf '%{NAME}-0:%{EVR}.*\n' ` + name + " >> " + lockFile}}
	}
	return host.Command{Argv: []string{"sed", "-i", "/^" + name + "-0:/d", lockFile}}
}
