package ifupdown

import (
	"slices"
	"strings"
)

// Text is a file of interfaces(5). Its zero value is an empty one.
type Text struct {
	lines []line
}

// line is a logical line: the physical ones that backslashes join.
type line struct {
	raw    []string // with their line ends
	words  []string // none of a comment or a blank line
	opens  bool     // it begins a stanza
	stanza int      // the line that began the stanza it belongs to; -1 for none
}

// Interface is an iface stanza.
type Interface struct {
	Name    string
	Family  string     // inet, inet6, …
	Method  string     // static, dhcp, manual, …
	Options [][]string // the words of each line, comments left out
}

// Parse splits a file. Every text is a file: what ifup would refuse is kept as
// it is.
func Parse(content []byte) Text {
	var t Text
	stanza := -1
	var l line
	for physical := range strings.Lines(string(content)) {
		l.raw = append(l.raw, physical)
		if strings.HasSuffix(body(physical), `\`) {
			continue
		}
		stanza = t.add(l, stanza)
		l = line{}
	}
	if l.raw != nil {
		t.add(l, stanza)
	}
	return t
}

// add adds a logical line after a stanza and returns the stanza that goes on.
// A comment is joined to its next line, too, as ifup does it.
func (t *Text) add(l line, stanza int) int {
	var joined strings.Builder
	for _, physical := range l.raw {
		joined.WriteString(strings.TrimSuffix(body(physical), `\`))
	}
	if words := fields(joined.String()); len(words) > 0 && words[0][0] != '#' {
		l.words = words
	}
	if l.opens = len(l.words) > 0 && opensStanza(l.words[0]); l.opens {
		stanza = len(t.lines)
	}
	l.stanza = stanza
	t.lines = append(t.lines, l)
	return stanza
}

func body(physical string) string { return strings.TrimSuffix(physical, "\n") }

// fields splits at what isspace(3) calls white space.
func fields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) })
}

func opensStanza(word string) bool {
	switch word {
	case "iface", "mapping", "auto", "source", "source-directory", "template", "rename", "no-auto-down", "no-scripts":
		return true
	}
	return strings.HasPrefix(word, "allow-")
}

// String is the file, byte for byte as it was parsed.
func (t Text) String() string {
	var b strings.Builder
	for _, l := range t.lines {
		for _, physical := range l.raw {
			b.WriteString(physical)
		}
	}
	return b.String()
}

// iface reads the head of an iface stanza.
func (l line) iface() (i Interface, ok bool) {
	if len(l.words) < 4 || l.words[0] != "iface" {
		return Interface{}, false
	}
	return Interface{Name: l.words[1], Family: l.words[2], Method: l.words[3]}, true
}

// Interfaces returns the iface stanzas of a device, those of its aliases
// ("eth0:1") included.
func (t Text) Interfaces(device string) []Interface {
	var out []Interface
	for at, l := range t.lines {
		i, ok := l.iface()
		if !ok || !of(device, i.Name) {
			continue
		}
		for _, o := range t.lines[at+1:] {
			if o.stanza == at && len(o.words) > 0 {
				i.Options = append(i.Options, o.words)
			}
		}
		out = append(out, i)
	}
	return out
}

func of(device, name string) bool {
	return name == device || strings.HasPrefix(name, device+":")
}

// Words returns the rest of each line that begins with a word: of "auto" the
// names of devices, of "source" patterns, of "mapping" patterns of devices.
func (t Text) Words(first string) [][]string {
	var out [][]string
	for _, l := range t.lines {
		if l.opens && l.words[0] == first {
			out = append(out, slices.Clone(l.words[1:]))
		}
	}
	return out
}

// Statement is a line that says something of a device.
type Statement struct {
	Line  int // from 1
	Words []string
}

// Statements are all lines of the stanzas of a device, heads of any form included,
// and those that bring it up by the stanza of another name ("auto eth0=lan").
func (t Text) Statements(device string) []Statement {
	var out []Statement
	number := 1
	for _, l := range t.lines {
		at := Statement{number, l.words}
		number += len(l.raw)
		if len(l.words) == 0 || l.stanza < 0 {
			continue
		}
		head := t.lines[l.stanza].words
		switch {
		case head[0] == "iface" && len(head) > 1 && of(device, head[1]):
			out = append(out, at)
		case head[0] == "auto" || strings.HasPrefix(head[0], "allow-"):
			if slices.ContainsFunc(head, func(w string) bool { return strings.HasPrefix(w, device+"=") }) {
				out = append(out, at)
			}
		}
	}
	return out
}
