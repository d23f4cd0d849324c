package packages

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/fake"
)

// install is dnf install, with locks, excludes and what --allowerasing lets go.
func (d dnfPrograms) install(m *fake.Machine, r rpmModel, words []string, flags map[string]bool) host.Result {
	for flag := range flags {
		if name, ok := strings.CutPrefix(flag, "--enablerepo="); ok && name != "extra" {
			return rpmFailed("Unknown repo: '%s'", name)
		}
	}
	_, stale := m.File(staleCache)
	may := allowed(m, flags)
	chosen, reason := map[string]string{}, map[string]string{}
	for _, word := range words {
		if id, group := strings.CutPrefix(word, "@"); group {
			r.Groups = append(r.Groups, id)
			for _, name := range herd {
				_, chosen[name], _ = find(name, stale)
				reason[name] = "group"
			}
			continue
		}
		name, version, ok := find(word, stale)
		if !ok {
			return rpmFailed("Unable to find a match: %s", word)
		}
		if have := r.Packages[name]; !may(name, version) && (have == nil || !slices.Contains(have.Versions, version)) {
			return rpmFailed("All matches were filtered out by exclude filtering for argument: %s\nError: Unable to find a match: %s", word, word)
		}
		chosen[name], reason[name] = version, "user"
	}
	id := d.log.next()
	_, crash := m.File(crashRPM)
	for name, version := range chosen {
		d.put(r, id, name, version, reason[name], crash)
	}
	for name := range chosen {
		d.depend(r, id, name, may, crash)
	}
	if refused := r.solve(chosen, flags); refused != "" {
		return rpmFailed("%s", refused)
	}
	r.configure(m)
	saveRPM(m, r)
	if crash {
		m.Remove(crashRPM)
		return rpmFailed("Terminated")
	}
	return host.Result{}
}

// allowed says which versions locks and excludes leave to be installed.
func allowed(m *fake.Machine, flags map[string]bool) func(name, version string) bool {
	text, _ := m.File(lockFile)
	locks := lockList{tool: dnf, text: text}
	return func(name, version string) bool {
		if flags["--exclude="+name] {
			return false
		}
		locked := locks.only([]string{name}) != "" && !flags["--disableplugin=versionlock"]
		return !locked || locks.holds(name, rpmPackage{Versions: []string{version}})
	}
}

// solve has what does not go with the new versions erased, where that is allowed and it
// is not protected.
func (r rpmModel) solve(chosen map[string]string, flags map[string]bool) string {
	protected := ""
	for flag := range flags {
		if list, ok := strings.CutPrefix(flag, "--setopt=protected_packages="); ok {
			protected = list
		}
	}
	for again := true; again; {
		again = false
		for _, name := range slices.Sorted(maps.Keys(r.Packages)) {
			need, ok := r.unmet(name)
			_, asked := chosen[name]
			switch {
			case ok:
			case asked:
				return fmt.Sprintf("\n Problem: nothing provides %s needed by %s", need, name)
			case !flags["--allowerasing"] || slices.Contains(strings.Split(protected, ","), name):
				return fmt.Sprintf("\n Problem: problem with installed package %s-%s.noarch\n  - package requires %s, but none of the providers can be installed\n"+
					"(try to add '--allowerasing' to command line to replace conflicting packages)", name, r.Packages[name].Versions[0], need)
			default:
				delete(r.Packages, name)
				again = true
			}
		}
	}
	return ""
}

// unmet is what a package lacks; ok says that it lacks nothing.
func (r rpmModel) unmet(name string) (need string, ok bool) {
	p := r.Packages[name]
	for _, need := range r.depends(name, p.Versions[len(p.Versions)-1]) {
		on, least, _ := strings.Cut(need, " >= ")
		if have := r.Packages[on]; have == nil || have.Versions[len(have.Versions)-1] < least {
			return need, false
		}
	}
	return "", true
}

// configure gives each package its file.
func (r rpmModel) configure(m *fake.Machine) {
	for name := range rpmRepository {
		_, is := m.File("/etc/" + name + ".conf")
		switch p := r.Packages[name]; {
		case p != nil && !is && name != "weft-laws-libc":
			m.WriteFile("/etc/"+name+".conf", "default\n")
		case p == nil && is:
			m.Remove("/etc/" + name + ".conf")
		}
	}
}

// put sets a version. A crash leaves the old one beside it.
func (d dnfPrograms) put(r rpmModel, id int, name, version, reason string, crash bool) {
	p := r.Packages[name]
	if p == nil {
		p = &rpmModelPackage{Reason: reason}
		r.Packages[name] = p
	}
	if slices.Contains(p.Versions, version) {
		return
	}
	d.log.set(name+"-"+version, id)
	if crash {
		p.Versions = append(p.Versions, version)
		return
	}
	p.Versions = []string{version}
}

// depend brings the newest of what a package needs.
func (d dnfPrograms) depend(r rpmModel, id int, name string, may func(name, version string) bool, crash bool) {
	p := r.Packages[name]
	for _, need := range r.depends(name, p.Versions[len(p.Versions)-1]) {
		on, least, versioned := strings.Cut(need, " >= ")
		if have := r.Packages[on]; have == nil || versioned && have.Versions[len(have.Versions)-1] < least {
			for _, rel := range slices.Backward(rpmRepository[on]) {
				if may(on, rel.version) && rel.version >= least {
					d.put(r, id, on, rel.version, "dependency", crash)
					break
				}
			}
		}
		if r.Packages[on] != nil {
			d.depend(r, id, on, may, crash)
		}
	}
}
