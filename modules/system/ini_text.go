package system

import (
	"slices"
	"strings"
)

// iniText is a configuration file by its lines. Their ends stay as they are.
type iniText struct {
	lines   []string
	entries []iniEntry
	headers []iniHeader // in the order of the file
}

// iniHeader is the line that begins a section.
type iniHeader struct {
	name string
	line int
}

// iniEntry is an assignment and the lines that go on with its value.
type iniEntry struct {
	section, key, value string
	first, after        int // lines: from first up to, not including, after
	at                  int // where the value begins in its first line
}

// parseIni reads a file line by line. What it does not understand it leaves alone.
func parseIni(text string) iniText {
	t := iniText{lines: strings.SplitAfter(text, "\n")}
	if t.lines[len(t.lines)-1] == "" {
		t.lines = t.lines[:len(t.lines)-1]
	}
	section := ""
	for n := 0; n < len(t.lines); {
		line := t.lines[n]
		if name, ok := sectionOf(line); ok {
			section = name
			t.headers = append(t.headers, iniHeader{name, n})
			n++
			continue
		}
		key, at, ok := keyAt(line)
		if !ok {
			n++
			continue
		}
		e := iniEntry{section: section, key: key, first: n, at: at, after: t.valueEnd(n, at)}
		e.value = t.valueOf(e)
		t.entries = append(t.entries, e)
		n = e.after
	}
	return t
}

// sectionOf is the name in "[name]".
func sectionOf(line string) (string, bool) {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "[") || !strings.HasSuffix(line, "]") {
		return "", false
	}
	return strings.TrimSpace(line[1 : len(line)-1]), true
}

// isComment says whether a line says nothing.
func isComment(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#' || line[0] == ';'
}

// keyAt reads "key = value", and says where what follows the sign begins.
func keyAt(line string) (key string, at int, ok bool) {
	if isComment(line) {
		return "", 0, false
	}
	sign := strings.IndexByte(line, '=')
	if sign < 0 {
		return "", 0, false
	}
	key = strings.TrimSpace(line[:sign])
	return key, sign + 1, key != ""
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

// valueEnd is the line after a value: one that ends in a backslash goes on in the
// next line, a list in brackets to its end (libvirt's own files), and lines that
// are further in belong to it (configparser, oslo.config).
func (t iniText) valueEnd(n, at int) int {
	first := t.lines[n]
	after := n + 1
	if value := strings.TrimSpace(first[at:]); strings.HasPrefix(value, "[") && !closed(value) {
		for end := after; end < len(t.lines); end++ {
			if closed(t.lines[end]) {
				return end + 1
			}
			if _, header := sectionOf(t.lines[end]); header {
				break
			}
		}
		return after
	}
	for after < len(t.lines) {
		line := t.lines[after]
		goesOn := strings.HasSuffix(strings.TrimRight(t.lines[after-1], "\r\n"), `\`)
		_, header := sectionOf(line)
		if !goesOn && (isComment(line) || header || indent(line) <= indent(first)) {
			break
		}
		after++
	}
	return after
}

// closed says whether a list ends in a line: a bracket outside of quotes and comments.
func closed(line string) bool {
	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return false
	}
	quoted := false
	for _, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ']' && !quoted:
			return true
		case c == '#' && !quoted:
			return false
		}
	}
	return false
}

// valueOf is a value as it is compared: each of its lines without the blanks around it.
func (t iniText) valueOf(e iniEntry) string {
	parts := []string{strings.TrimSpace(t.lines[e.first][e.at:])}
	for _, line := range t.lines[e.first+1 : e.after] {
		parts = append(parts, strings.TrimSpace(line))
	}
	return strings.Join(parts, "\n")
}

// canonicalIni is a value of a playbook as valueOf gives it.
func canonicalIni(value string) string {
	parts := strings.Split(strings.TrimSpace(value), "\n")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return strings.Join(parts, "\n")
}

// of are the assignments of a key in a section.
func (t iniText) of(section, key string) []iniEntry {
	var found []iniEntry
	for _, e := range t.entries {
		if e.section == section && e.key == key {
			found = append(found, e)
		}
	}
	return found
}

// values are what a key is set to, one for each time.
func (t iniText) values(section, key string) []string {
	var found []string
	for _, e := range t.of(section, key) {
		found = append(found, e.value)
	}
	return found
}

// set returns the file with one assignment of the key, in the place of the last
// that it had.
func (t iniText) set(section, key, value string) string {
	value = strings.TrimSpace(value)
	found := t.of(section, key)
	if len(found) == 0 {
		return t.insert(section, key, value)
	}
	last := found[len(found)-1]
	head := t.lines[last.first][:last.at]
	rest := t.lines[last.first][last.at:]
	head += rest[:indent(rest)]
	lines := slices.Clone(t.lines)
	lines = slices.Replace(lines, last.first, last.after, head+value+ending(t.lines[last.after-1]))
	for _, e := range slices.Backward(found[:len(found)-1]) {
		lines = slices.Delete(lines, e.first, e.after)
	}
	return strings.Join(lines, "")
}

// ending is how a line ends; the last of a file may end without a newline.
func ending(line string) string {
	return line[len(strings.TrimRight(line, "\r\n")):]
}

// insert adds an assignment: below its own commented example, else at the end of
// its section, else with the section at the end of the file.
func (t iniText) insert(section, key, value string) string {
	from, to, there := t.span(section)
	lines := slices.Clone(t.lines)
	if len(lines) > 0 && ending(lines[len(lines)-1]) == "" {
		lines[len(lines)-1] += t.newline()
	}
	line := key + t.sign() + value + t.newline()
	if !there {
		if len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) != "" {
			line = t.newline() + "[" + section + "]" + t.newline() + line
		} else {
			line = "[" + section + "]" + t.newline() + line
		}
		return strings.Join(append(lines, line), "")
	}
	at := to
	for at > from && strings.TrimSpace(t.lines[at-1]) == "" {
		at--
	}
	for n := from; n < to; n++ {
		example := strings.TrimLeft(t.lines[n], "#; \t")
		if k, _, ok := keyAt(example); ok && k == key && isComment(t.lines[n]) && !t.inside(n) {
			at = n + 1
		}
	}
	return strings.Join(slices.Insert(lines, at, line), "")
}

// inside says whether a line is part of a value.
func (t iniText) inside(n int) bool {
	return slices.ContainsFunc(t.entries, func(e iniEntry) bool { return e.first <= n && n+1 < e.after })
}

// span are the lines of a section, without its header. The lines before any header
// are always there.
func (t iniText) span(section string) (from, to int, there bool) {
	for i, h := range slices.Backward(t.headers) {
		if h.name != section {
			continue
		}
		to = len(t.lines)
		if i+1 < len(t.headers) {
			to = t.headers[i+1].line
		}
		return h.line + 1, to, true
	}
	if section != "" {
		return 0, 0, false
	}
	if len(t.headers) > 0 {
		return 0, t.headers[0].line, true
	}
	return 0, len(t.lines), true
}

// sign is how the file writes the sign between key and value: as its first
// assignment does, or its first commented one.
func (t iniText) sign() string {
	for _, line := range t.lines {
		sign := strings.IndexByte(line, '=')
		if sign <= 0 || strings.TrimSpace(line[:sign]) == "" || strings.HasPrefix(strings.TrimSpace(line), "[") {
			continue
		}
		before, after := line[:sign], line[sign+1:]
		left := before[len(strings.TrimRight(before, " \t")):]
		return left + "=" + after[:indent(after)]
	}
	return " = "
}

// newline is how the lines of the file end.
func (t iniText) newline() string {
	if len(t.lines) > 0 && strings.HasSuffix(t.lines[0], "\r\n") {
		return "\r\n"
	}
	return "\n"
}

// without returns the file without a key, and without the section where nothing is
// left in it.
func (t iniText) without(section, key string) string {
	lines := slices.Clone(t.lines)
	for _, e := range slices.Backward(t.of(section, key)) {
		lines = slices.Delete(lines, e.first, e.after)
	}
	return strings.Join(lines, "")
}

// dropEmpty returns the file without a section that has nothing in it.
func (t iniText) dropEmpty(section string) string {
	from, to, there := t.span(section)
	if section == "" || !there || strings.TrimSpace(strings.Join(t.lines[from:to], "")) != "" {
		return strings.Join(t.lines, "")
	}
	begin := from - 1
	if begin > 0 && strings.TrimSpace(t.lines[begin-1]) == "" {
		begin--
	}
	return strings.Join(slices.Delete(slices.Clone(t.lines), begin, to), "")
}

// rest is what a file says beside a key: two that differ in the key alone have the
// same.
func (t iniText) rest(section, key string) string {
	text := parseIni(t.without(section, key)).dropEmpty(section)
	return strings.TrimRight(text, " \t\r\n")
}
