package ssh

import (
	"fmt"
	"strings"
)

// A lookup is one pass over the configuration for one target. Values are
// collected in order; whoever reads a keyword that has one value takes the
// first.
type lookup struct {
	names     []string // what Host and originalhost match: the name, and the address if the inventory has one
	address   string   // the inventory's, which overrides HostName
	user      string   // the inventory's, which overrides User
	localUser string

	values map[string][]directive
	warn   func(string)
	read   int // directives so far
}

func (l *lookup) first(keyword string) (directive, bool) {
	if v := l.values[keyword]; len(v) > 0 {
		return v[0], true
	}
	return directive{}, false
}

func (l *lookup) text(keyword string) string {
	d, _ := l.first(keyword)
	return strings.Join(d.args, " ")
}

// apply walks the directives of a file. A block lasts until the next Host or
// Match of the same file.
func (l *lookup) apply(directives []directive) {
	active := true
	for _, d := range directives {
		switch {
		case d.keyword == "host":
			active = matchAny(d.args, l.names)
		case d.keyword == "match":
			active = l.match(d)
		case !active:
		case d.keyword == "include":
			for _, inner := range d.included {
				l.apply(inner)
			}
		default:
			d.order = l.read
			l.read++
			l.values[d.keyword] = append(l.values[d.keyword], d)
		}
	}
}

// match evaluates a Match line. All criteria must hold; one that is not known
// here makes the whole block not apply.
func (l *lookup) match(d directive) bool {
	holds := true
	for i := 0; i < len(d.args); i++ {
		criterion, negated := strings.CutPrefix(strings.ToLower(d.args[i]), "!")
		criterion, arg, joined := strings.Cut(criterion, "=")
		if criterion == "all" {
			holds = holds && !negated
			continue
		}
		against, known := l.criterion(criterion)
		if !known {
			l.warn(fmt.Sprintf("%s: Match %s is not evaluated; the block is passed over", d.at(), criterion))
			return false
		}
		if !joined {
			if i++; i == len(d.args) {
				l.warn(fmt.Sprintf("%s: Match %s wants a pattern; the block is passed over", d.at(), criterion))
				return false
			}
			arg = d.args[i]
		}
		holds = holds && matchAny(strings.Split(arg, ","), against) != negated
	}
	return holds
}

// criterion returns what the patterns of a criterion are held against.
func (l *lookup) criterion(name string) (against []string, known bool) {
	switch name {
	case "originalhost":
		return l.names, true
	case "host":
		return []string{l.hostName()}, true
	case "user":
		return []string{firstOf(l.user, l.text("user"), l.localUser)}, true
	case "localuser":
		return []string{l.localUser}, true
	}
	return nil, false
}

// hostName is the address as far as it is known: the inventory's, or that of
// the HostName read so far.
func (l *lookup) hostName() string {
	if l.address != "" {
		return l.address
	}
	if d, ok := l.first("hostname"); ok {
		return expandHostName(d.args[0], l.names[0])
	}
	return l.names[0]
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// matchAny tells whether one of the patterns matches one of the names, and no
// negated pattern matches any.
func matchAny(patterns, names []string) bool {
	matched := false
	for _, p := range patterns {
		p, negated := strings.CutPrefix(p, "!")
		for _, name := range names {
			if !wildcard(strings.ToLower(p), strings.ToLower(name)) {
				continue
			}
			if negated {
				return false
			}
			matched = true
		}
	}
	return matched
}

// wildcard matches "*" (any characters) and "?" (any one), as PATTERNS in
// ssh_config(5). It takes a step back only to the last star, so a pattern from
// a file cannot make it slow.
func wildcard(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
