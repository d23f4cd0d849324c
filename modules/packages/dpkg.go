package packages

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

	needs    string // what it depends on and pre-depends on, as written
	wishes   string // what it recommends
	provides string
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
			return nil, fmt.Errorf("%w: the host does not use dpkg", err)
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

// paragraphs yields the fields of each paragraph of a control file, name and
// first line; what goes on in further lines is left out, since no field that
// weft reads does.
func paragraphs(text string, begin func(), field func(name, value string), end func()) {
	inside := false
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			if inside {
				end()
			}
			inside = false
			continue
		}
		if !inside {
			begin()
			inside = true
		}
		if name, value, ok := strings.Cut(line, ":"); ok && line[0] != ' ' && line[0] != '\t' {
			field(name, strings.TrimSpace(value))
		}
	}
	if inside {
		end()
	}
}

// stanza is a paragraph of dpkg's status file.
type stanza struct {
	name, architecture string
	p                  pkg
}

func (s *stanza) set(name, value string) {
	switch name {
	case "Package":
		s.name = value
	case "Architecture":
		s.architecture = value
	case "Version":
		s.p.Version = value
	case "Status":
		if words := strings.Fields(value); len(words) == 3 {
			s.p.State, s.p.Hold = words[2], words[0] == "hold"
		}
	case "Depends", "Pre-Depends":
		s.p.needs += "," + value
	case "Recommends":
		s.p.wishes += "," + value
	case "Provides":
		s.p.provides = value
	}
}

// parseStatus reads dpkg's status file. The native architecture is that of the
// package dpkg itself.
func parseStatus(text string) table {
	var all []stanza
	var s stanza
	native := ""
	paragraphs(text, func() { s = stanza{} }, s.set, func() {
		if s.name == "" || s.p.State == "" || s.p.State == "not-installed" {
			return
		}
		if s.name == "dpkg" {
			native = s.architecture
		}
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
	var name, architecture string
	auto := false
	paragraphs(text, func() { name, architecture, auto = "", "", false }, func(field, value string) {
		switch field {
		case "Package":
			name = value
		case "Architecture":
			architecture = value
		case "Auto-Installed":
			auto = value == "1"
		}
	}, func() {
		for _, name := range []string{name + ":" + architecture, name} {
			if _, ok := t[name]; ok && auto {
				names = append(names, name)
				return
			}
		}
	})
	return names
}

// closure is all of t that the roots need, themselves included. What a package
// recommends counts only where wishful says so of it.
func (t table) closure(roots []string, wishful func(name string) bool) map[string]bool {
	providers := map[string][]string{}
	for name, p := range t {
		bare, _, _ := strings.Cut(name, ":")
		if bare != name {
			providers[bare] = append(providers[bare], name)
		}
		for _, virtual := range relations(p.provides) {
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
		needs := p.needs
		if wishful(name) {
			needs += "," + p.wishes
		}
		for _, n := range relations(needs) {
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
