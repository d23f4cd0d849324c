package system

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"weft/engine/host"
)

const (
	dpkgStatus = "/var/lib/dpkg/status"
	aptStates  = "/var/lib/apt/extended_states"
)

// pkg is a package as dpkg's status file (dpkg(1), deb-control(5)) and apt's
// marks know it.
type pkg struct {
	Version string
	State   string // "installed", "config-files", "half-configured", …
	Hold    bool
	Auto    bool // only another package wanted it

	needs    []string // names it depends on, pre-depends on or recommends, alternatives too
	provides []string
}

func (p pkg) installed() bool { return p.State == "installed" }

// there says whether dpkg has more of it than configuration files.
func (p pkg) there() bool { return p.State != "" && p.State != "config-files" }

// broken says whether dpkg was interrupted in it.
func (p pkg) broken() bool {
	return p.there() && p.State != "installed" && p.State != "triggers-awaited" && p.State != "triggers-pending"
}

// table is all packages that dpkg knows, by name; those of a foreign
// architecture by name:architecture.
type table map[string]pkg

// readTable reads both files once until the next effect.
func readTable(ctx context.Context, v host.View) (table, error) {
	return host.Recall(v.Memo, "dpkg", func() (table, error) {
		status, err := v.Files.Read(ctx, dpkgStatus)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: the host does not use dpkg, and weft knows no other package system yet", err)
		}
		if err != nil {
			return nil, err
		}
		marks, err := v.Files.Read(ctx, aptStates)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		t := parseStatus(string(status))
		for _, name := range parseMarks(string(marks), t) {
			p := t[name]
			p.Auto = true
			t[name] = p
		}
		return t, nil
	})
}

// stanzas yields the fields of each paragraph of a control file. Continuation
// lines are left out: no field that weft reads has any.
func stanzas(text string, yield func(field func(name string) string)) {
	for text != "" {
		var stanza string
		stanza, text, _ = strings.Cut(text, "\n\n")
		text = strings.TrimLeft(text, "\n")
		yield(func(name string) string { return fieldOf(stanza, name) })
	}
}

// fieldOf is the first line of a field, empty where there is none.
func fieldOf(stanza, name string) string {
	rest := stanza
	for {
		if value, ok := strings.CutPrefix(rest, name+":"); ok {
			value, _, _ = strings.Cut(value, "\n")
			return strings.TrimSpace(value)
		}
		i := strings.Index(rest, "\n"+name+":")
		if i < 0 {
			return ""
		}
		rest = rest[i+1:]
	}
}

// parseStatus reads dpkg's status file. The native architecture is that of the
// package dpkg itself.
func parseStatus(text string) table {
	type stanza struct {
		name, architecture string
		p                  pkg
	}
	var all []stanza
	native := ""
	stanzas(text, func(field func(string) string) {
		words := strings.Fields(field("Status"))
		s := stanza{name: field("Package"), architecture: field("Architecture")}
		if s.name == "" || len(words) != 3 || words[2] == "not-installed" {
			return
		}
		if s.name == "dpkg" {
			native = s.architecture
		}
		s.p = pkg{Version: field("Version"), State: words[2], Hold: words[0] == "hold"}
		for _, relation := range []string{"Depends", "Pre-Depends", "Recommends"} {
			s.p.needs = append(s.p.needs, relations(field(relation))...)
		}
		s.p.provides = relations(field("Provides"))
		all = append(all, s)
	})
	t := make(table, len(all))
	for _, s := range all {
		name := s.name
		if s.architecture != "all" && s.architecture != native && native != "" {
			name += ":" + s.architecture
		}
		t[name] = s.p
	}
	return t
}

// relations are the names in a relation field, without versions and
// architectures.
func relations(field string) []string {
	var names []string
	for part := range strings.FieldsFuncSeq(field, func(r rune) bool { return r == ',' || r == '|' }) {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		name, _, _ := strings.Cut(words[0], "(")
		name, _, _ = strings.Cut(name, ":")
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// parseMarks are the packages of t that apt calls automatic.
func parseMarks(text string, t table) []string {
	var names []string
	stanzas(text, func(field func(string) string) {
		if field("Auto-Installed") != "1" {
			return
		}
		for _, name := range []string{field("Package") + ":" + field("Architecture"), field("Package")} {
			if _, ok := t[name]; ok {
				names = append(names, name)
				return
			}
		}
	})
	return names
}

// closure is all of t that the roots need, themselves included.
func (t table) closure(roots []string) map[string]bool {
	providers := map[string][]string{}
	for name, p := range t {
		bare, _, _ := strings.Cut(name, ":")
		if bare != name {
			providers[bare] = append(providers[bare], name)
		}
		for _, virtual := range p.provides {
			providers[virtual] = append(providers[virtual], name)
		}
	}
	seen := map[string]bool{}
	for todo := slices.Clone(roots); len(todo) > 0; {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		p, ok := t[name]
		if seen[name] || !ok || !p.there() {
			continue
		}
		seen[name] = true
		for _, n := range p.needs {
			todo = append(todo, n)
			todo = append(todo, providers[n]...)
		}
	}
	return seen
}

// record is the table as a journal keeps it: a line a package. It is a list, so
// that of two records the older counts whole.
func (t table) record() []string {
	lines := make([]string, 0, len(t))
	for name, p := range t {
		line := name + " " + p.Version + " " + p.State
		if p.Hold {
			line += " hold"
		}
		if p.Auto {
			line += " auto"
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// recalled reads a record.
func recalled(lines []string) (table, error) {
	t := make(table, len(lines))
	for _, line := range lines {
		words := strings.Split(line, " ")
		if len(words) < 3 {
			return nil, fmt.Errorf("a recorded package that is none: %q", line)
		}
		t[words[0]] = pkg{
			Version: words[1], State: words[2],
			Hold: slices.Contains(words[3:], "hold"), Auto: slices.Contains(words[3:], "auto"),
		}
	}
	return t, nil
}
