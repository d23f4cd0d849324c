package fake

import (
	"path"
	"slices"
	"strings"

	"weft/engine/host"
)

// Service is the text of a plain unit file: a service that runs a program and
// is wanted by multi-user.target.
func Service(program string) string {
	return "[Service]\nType=simple\nExecStart=" + program + "\n[Install]\nWantedBy=multi-user.target\n"
}

// unitPath is where systemd looks for unit files, first hit first
// (systemd.unit(5)), as Debian's systemd prints it.
var unitPath = [...]string{
	"/etc/systemd/system", "/run/systemd/system", "/run/systemd/generator",
	"/usr/local/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator.late",
}

// definition is a unit as its files say it.
type definition struct {
	name     string // the real one, where it was asked for by an alias
	load     string
	fragment string
	values   map[string][]string // by SECTION.KEY
}

func (d definition) first(key string) string {
	if v := d.values[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// words are the values of keys that hold lists of units.
func (d definition) words(keys ...string) []string {
	var w []string
	for _, key := range keys {
		for _, v := range d.values[key] {
			w = append(w, strings.Fields(v)...)
		}
	}
	return w
}

// define reads a unit from the files, without what is loaded of it.
func (t tree) define(name string) definition {
	for _, dir := range unitPath {
		for _, file := range []string{name, template(name)} {
			if d, ok := t.fragment(path.Join(dir, file), name); ok {
				return d
			}
		}
	}
	return definition{name: name, load: "not-found"}
}

// fragment reads the unit file at a path, if one is there.
func (t tree) fragment(at, name string) (definition, bool) {
	_, n, err := t.find(at, stay)
	if err != nil {
		return definition{}, false
	}
	if n.Type == host.Symlink && n.Target == "/dev/null" || n.Type == host.Regular && n.Content == "" {
		return definition{name: name, load: "masked", fragment: at}, true
	}
	real, n, err := t.find(at, follow)
	if err != nil || n.Type != host.Regular {
		return definition{}, false
	}
	if base := path.Base(real); base != path.Base(at) {
		name, at = base, path.Join("/lib/systemd/system", base)
	}
	d := definition{name: name, load: "loaded", fragment: at, values: map[string][]string{}}
	parseUnit(n.Content, d.values)
	for _, dir := range unitPath {
		real, ok, err := t.locate(path.Join(dir, name+".d"), follow)
		if err != nil || !ok {
			continue
		}
		for _, p := range t.children(real) {
			if strings.HasSuffix(p, ".conf") {
				parseUnit(t[p].Content, d.values)
			}
		}
	}
	return d, true
}

// parseUnit reads the lines of a unit file; an empty value clears a list.
func parseUnit(text string, values map[string][]string) {
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = line[1 : len(line)-1]
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		key, value = section+"."+strings.TrimSpace(key), strings.TrimSpace(value)
		if value == "" {
			delete(values, key)
			continue
		}
		values[key] = append(values[key], value)
	}
}

// template is the file of an instance: getty@tty1.service is made of
// getty@.service.
func template(name string) string {
	at, dot := strings.IndexByte(name, '@'), strings.LastIndexByte(name, '.')
	if at < 0 || dot < at {
		return name
	}
	return name[:at+1] + name[dot:]
}

// fileState is UnitFileState, in the words of systemctl(1).
func (t tree) fileState(d definition) string {
	switch {
	case d.load == "not-found":
		return ""
	case d.load == "masked":
		return "masked"
	case strings.HasPrefix(d.fragment, "/run/systemd/generator"):
		return "generated"
	case len(t.enablers(d)) > 0:
		return "enabled"
	case len(t.wanted(d)) > 0:
		return "disabled"
	}
	return "static"
}

// wanted are the symlinks that enabling a unit makes, by what its [Install]
// section says.
func (t tree) wanted(d definition) []string {
	var links []string
	for _, by := range d.words("Install.WantedBy") {
		links = append(links, path.Join("/etc/systemd/system", by+".wants", d.name))
	}
	for _, by := range d.words("Install.RequiredBy") {
		links = append(links, path.Join("/etc/systemd/system", by+".requires", d.name))
	}
	for _, alias := range d.words("Install.Alias") {
		links = append(links, path.Join("/etc/systemd/system", alias))
	}
	return links
}

// enablers are the symlinks that are there and enable a unit.
func (t tree) enablers(d definition) []string {
	var links []string
	for p, n := range t {
		dir := path.Dir(p)
		inWants := path.Dir(dir) == "/etc/systemd/system" && path.Base(p) == d.name &&
			(strings.HasSuffix(dir, ".wants") || strings.HasSuffix(dir, ".requires"))
		alias := dir == "/etc/systemd/system" && path.Base(p) != d.name && path.Base(n.Target) == d.name
		if n.Type == host.Symlink && (inWants || alias) {
			links = append(links, p)
		}
	}
	slices.Sort(links)
	return links
}
