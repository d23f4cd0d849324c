package netconf

import (
	"slices"
	"strings"
)

// keys is a file of assignments, byte for byte. Its lines stay where they are;
// what is set anew goes to the end of its group.
type keys struct {
	syntax  syntax
	entries []entry
}

// entry is a line, or the lines that a quoted value spans.
type entry struct {
	raw   string
	group string // that it is in, or that it opens
	opens bool
	key   string // empty of what is no assignment
	value string
}

// syntax is how a family writes assignments.
type syntax interface {
	// entry reads the assignment that a text begins with, and how long it is.
	entry(text string) entry
	// line writes one.
	line(key, value string) string
}

// pair is an assignment to write.
type pair struct{ key, value string }

func parseKeys(s syntax, content string) keys {
	k := keys{syntax: s}
	group := ""
	for content != "" {
		e := s.entry(content)
		if e.opens {
			group = e.group
		}
		e.group = group
		k.entries = append(k.entries, e)
		content = content[len(e.raw):]
	}
	return k
}

// String is the file.
func (k keys) String() string {
	var b strings.Builder
	for _, e := range k.entries {
		b.WriteString(e.raw)
	}
	return b.String()
}

// get is the value in force: of two assignments the last.
func (k keys) get(group, key string) (value string, there bool) {
	for _, e := range k.entries {
		if e.group == group && e.key == key {
			value, there = e.value, true
		}
	}
	return value, there
}

// match are the assignments of a group that are in force, in their order.
func (k keys) match(group string, of func(key string) bool) []pair {
	var out []pair
	for _, e := range k.entries {
		if e.group != group || e.key == "" || !of(e.key) {
			continue
		}
		out = slices.DeleteFunc(out, func(p pair) bool { return p.key == e.key })
		out = append(out, pair{e.key, e.value})
	}
	return out
}

// set gives a key a value; an empty one takes the key away.
func (k *keys) set(group, key, value string) {
	if now, there := k.get(group, key); there == (value != "") && now == value {
		return
	}
	var pairs []pair
	if value != "" {
		pairs = []pair{{key, value}}
	}
	k.replace(group, func(name string) bool { return name == key }, pairs...)
}

// setAll sets pairs in their order, which an empty value takes away.
func (k *keys) setAll(group string, pairs ...pair) {
	for _, p := range pairs {
		k.set(group, p.key, p.value)
	}
}

// replace puts pairs in the place of all assignments of a group that match.
func (k *keys) replace(group string, of func(key string) bool, pairs ...pair) {
	at := -1
	var kept []entry
	for _, e := range k.entries {
		if e.group == group && e.key != "" && of(e.key) {
			if at < 0 {
				at = len(kept)
			}
			continue
		}
		kept = append(kept, e)
	}
	k.entries = kept
	if len(pairs) == 0 {
		return
	}
	if at < 0 {
		at = k.end(group)
	}
	if at > 0 && !strings.HasSuffix(k.entries[at-1].raw, "\n") {
		k.entries[at-1].raw += "\n"
	}
	var added []entry
	for _, p := range pairs {
		added = append(added, entry{raw: k.syntax.line(p.key, p.value), group: group, key: p.key, value: p.value})
	}
	k.entries = slices.Insert(k.entries, at, added...)
}

// end is the place after the last assignment of a group, which is opened where
// it is not there.
func (k *keys) end(group string) int {
	at, there := 0, group == ""
	for i, e := range k.entries {
		if e.group == group && (e.key != "" || e.opens) {
			at, there = i+1, true
		}
	}
	if there {
		if group == "" && at == 0 {
			return k.lead()
		}
		return at
	}
	head := "[" + group + "]\n"
	if n := len(k.entries); n > 0 {
		if !strings.HasSuffix(k.entries[n-1].raw, "\n") {
			head = "\n" + head
		}
		head = "\n" + head
	}
	for _, line := range strings.SplitAfter(head, "\n") {
		if line != "" {
			k.entries = append(k.entries, entry{raw: line, group: group, opens: strings.HasPrefix(line, "[")})
		}
	}
	return len(k.entries)
}

// lead is how many lines of comments a file begins with.
func (k *keys) lead() int {
	n := 0
	for n < len(k.entries) && strings.HasPrefix(k.entries[n].raw, "#") {
		n++
	}
	return n
}

// keyfile is GLib's, which nm-settings-keyfile(5) describes: groups, and values
// to the end of the line.
type keyfile struct{}

func (keyfile) entry(text string) entry {
	raw := firstLine(text)
	line := strings.TrimSpace(raw)
	if name, ok := strings.CutSuffix(strings.TrimPrefix(line, "["), "]"); ok && strings.HasPrefix(line, "[") {
		return entry{raw: raw, group: name, opens: true}
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok || strings.HasPrefix(line, "#") {
		return entry{raw: raw}
	}
	return entry{raw: raw, key: strings.TrimSpace(key), value: strings.TrimSpace(value)}
}

func (keyfile) line(key, value string) string { return key + "=" + value + "\n" }

func firstLine(text string) string {
	for l := range strings.Lines(text) {
		return l
	}
	return ""
}
