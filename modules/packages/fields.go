package packages

import (
	"slices"
	"strings"
)

// fields is a run of lines "NAME SEPARATOR VALUE", as a section of a .repo file
// (dnf.conf(5)) and a stanza of a .sources file (deb822(5)) are. A line that begins
// with white space goes on with the value of the one before. What is not asked for
// stays byte for byte.
type fields struct {
	lines     []string // without newlines
	separator string   // "=" or ":"
	after     string   // what weft writes behind the separator
}

func deb822Fields(lines []string) fields { return fields{lines: lines, separator: ":", after: " "} }
func iniFields(lines []string) fields    { return fields{lines: lines, separator: "="} }

// find is the place of a field: its lines are [from, to).
func (f fields) find(name string) (from, to int, ok bool) {
	for i, line := range f.lines {
		key, _, found := strings.Cut(line, f.separator)
		if !found || continues(line) || comment(line) || !strings.EqualFold(strings.TrimSpace(key), name) {
			continue
		}
		for to = i + 1; to < len(f.lines) && continues(f.lines[to]) && strings.TrimSpace(f.lines[to]) != ""; {
			to++
		}
		return i, to, true
	}
	return 0, 0, false
}

func continues(line string) bool {
	return strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
}

func comment(line string) bool {
	return strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";")
}

// get is the value of a field, the lines of it joined by a blank.
func (f fields) get(name string) (string, bool) {
	from, to, ok := f.find(name)
	if !ok {
		return "", false
	}
	_, value, _ := strings.Cut(f.lines[from], f.separator)
	parts := []string{strings.TrimSpace(value)}
	for _, line := range f.lines[from+1 : to] {
		if !comment(strings.TrimSpace(line)) {
			parts = append(parts, strings.TrimSpace(line))
		}
	}
	return strings.TrimSpace(strings.Join(parts, " ")), true
}

// words is the value of a field as a list, which commas or white space part.
func (f fields) words(name string) []string {
	value, _ := f.get(name)
	return strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
}

// set gives a field a value: in its place, else at the end.
func (f *fields) set(name, value string) {
	if have, ok := f.get(name); ok && have == value {
		return
	}
	from, to, ok := f.find(name)
	if ok {
		head, _, _ := strings.Cut(f.lines[from], f.separator)
		blank := ""
		if rest := f.lines[from][len(head)+1:]; strings.HasPrefix(rest, " ") {
			blank = " "
		}
		f.lines = slices.Concat(f.lines[:from], []string{head + f.separator + blank + value}, f.lines[to:])
		return
	}
	end := len(f.lines)
	for end > 0 && strings.TrimSpace(f.lines[end-1]) == "" {
		end--
	}
	f.lines = slices.Insert(slices.Clone(f.lines), end, name+f.separator+f.after+value)
}

func (f *fields) drop(name string) {
	if from, to, ok := f.find(name); ok {
		f.lines = slices.Concat(f.lines[:from], f.lines[to:])
	}
}

// splitLines is a text without its last newline, as lines.
func splitLines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func joinLines(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// section is the lines of [id] in a .repo file, without its header: [from, to).
func section(lines []string, id string) (from, to int, ok bool) {
	for i, line := range lines {
		if strings.TrimSpace(line) != "["+id+"]" {
			continue
		}
		for to = i + 1; to < len(lines) && !strings.HasPrefix(strings.TrimSpace(lines[to]), "["); {
			to++
		}
		return i + 1, to, true
	}
	return 0, 0, false
}
