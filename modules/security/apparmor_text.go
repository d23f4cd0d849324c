package security

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"weft/engine/step"
)

// canonicalAppArmor has one blank between words, and the comma at the end of a rule.
func canonicalAppArmor(rule string) string {
	rule = strings.Join(strings.Fields(rule), " ")
	if rule == "" || strings.HasPrefix(rule, "#") || strings.HasPrefix(rule, "include ") || strings.ContainsAny(rule[len(rule)-1:], ",{}") {
		return rule
	}
	return rule + ","
}

// rulesIn are the rules of a local addition, a line each.
func rulesIn(text string) []string {
	var rules []string
	for line := range strings.Lines(text) {
		if r := canonicalAppArmor(line); r != "" && (r[0] != '#' || strings.HasPrefix(r, "#include")) {
			rules = append(rules, r)
		}
	}
	return rules
}

// setRules returns a local addition with rules added at its end and others taken out.
// What is there stays as it is spelled.
func setRules(text string, rules map[string]step.Attr[bool]) string {
	var b strings.Builder
	there := map[string]bool{}
	for line := range strings.Lines(text) {
		r := canonicalAppArmor(line)
		if a, named := rules[r]; named && a.Absent() {
			continue
		}
		there[r] = true
		b.WriteString(line)
	}
	for _, r := range slices.Sorted(maps.Keys(rules)) {
		if there[r] || !rules[r].Or(false) {
			continue
		}
		if s := b.String(); s != "" && !strings.HasSuffix(s, "\n") {
			b.WriteByte('\n')
		}
		b.WriteString(r + "\n")
	}
	return b.String()
}

func nones(s profile) map[string]step.Attr[bool] {
	out := map[string]step.Attr[bool]{}
	for r := range s.Rules {
		out[r] = step.None[bool]()
	}
	return out
}

// complaining are the flags of a profile that only logs.
var complaining = regexp.MustCompile(`(?m)^[^#\n]*\bflags\s*=\s*\([^)]*\bcomplain\b`)

// profileNames are the profiles of a file: "profile NAME", or a path that is one.
func profileNames(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || !strings.HasSuffix(strings.TrimSpace(line), "{") || indented(line) {
			continue
		}
		name := f[0]
		if name == "profile" {
			name = f[1]
		} else if name[0] != '/' && name[0] != '"' && name[0] != '@' {
			continue
		}
		names = append(names, strings.Trim(name, `"`))
	}
	return names
}

func indented(line string) bool { return line[0] == ' ' || line[0] == '\t' }

// modeIn is what the kernel's list says of a profile: "NAME (enforce)".
func modeIn(list, name string) string {
	for line := range strings.Lines(list) {
		if mode, ok := strings.CutPrefix(strings.TrimSpace(line), name+" ("); ok {
			return strings.TrimSuffix(mode, ")")
		}
	}
	return ""
}
