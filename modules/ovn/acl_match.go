package ovn

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

var (
	quoted   = regexp.MustCompile(`"(?:\\.|[^"\\])*"`)
	mention  = regexp.MustCompile(`[$@][a-zA-Z_.][a-zA-Z_.0-9]*`)
	assigned = regexp.MustCompile(`(?:^|[^=!<>])=(?:[^=]|$)`)
	outport  = regexp.MustCompile(`\boutport\b`)
)

// unquoted is a match without the strings in it, which are names of ports.
func unquoted(match string) string { return quoted.ReplaceAllString(match, `""`) }

// mentioned says which address set or port group is missing that a match names.
// ovn-northd makes two address sets of each port group.
func mentioned(ctx context.Context, v host.View, match string) error {
	sets, groups := relative{table: "Address_Set"}, relative{table: portGroupTable}
	for _, m := range mention.FindAllString(unquoted(match), -1) {
		name, of := m[1:], groups
		found, err := map[string][]string(nil), error(nil)
		if m[0] == '$' {
			of = sets
			if group := strings.TrimSuffix(strings.TrimSuffix(name, "_ip4"), "_ip6"); group != name {
				found, err = groups.byName(ctx, v, []string{group})
			}
		}
		if err == nil && len(found) == 0 {
			found, err = of.byName(ctx, v, []string{name})
		}
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return of.missing(name)
		}
	}
	return nil
}

// matchProblems finds the mistakes for which ovn-controller would pass over a rule,
// as far as they can be seen without all of its grammar.
func matchProblems(match, direction string) []step.Problem {
	problem := func(message, hint string) []step.Problem {
		return []step.Problem{{Path: "match", Message: message, Hint: hint}}
	}
	text := unquoted(match)
	switch {
	case strings.TrimSpace(match) == "":
		return problem("is empty", `write "1" for everything`)
	case strings.Count(text, `"`)%2 != 0:
		return problem("has a string that does not end", `write "outport == \"ls1-vm1\""`)
	case assigned.MatchString(text):
		return problem("has a single =", "write == to compare")
	case direction == "from-lport" && outport.MatchString(text):
		return problem("names outport, which is not known yet where a packet comes from", `write inport, or direction = "to-lport"`)
	}
	if b := unbalanced(text); b != "" {
		return problem(fmt.Sprintf("has a %s without its other half", b), "")
	}
	return nil
}

// unbalanced is the first bracket of a text that has no other half.
func unbalanced(text string) string {
	var open []rune
	halves := map[rune]rune{')': '(', '}': '{', ']': '['}
	for _, r := range text {
		switch {
		case strings.ContainsRune("({[", r):
			open = append(open, r)
		case halves[r] == 0:
		case len(open) == 0 || open[len(open)-1] != halves[r]:
			return string(r)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return string(open[0])
	}
	return ""
}
