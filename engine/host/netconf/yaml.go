package netconf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The YAML of netplan's files, as far as people and installers write it there:
// mappings and sequences in block or flow style, plain and quoted scalars on one
// line, comments. What goes beyond (anchors, tags, block scalars, several
// documents) is refused, so that no file is edited that is not understood. A
// whole library would cost the runner 80 kB.

// node is a value. A scalar has neither pairs nor items.
type node struct {
	kind   nodeKind
	scalar string
	pairs  []yamlPair
	items  []*node
}

type nodeKind int

const (
	null nodeKind = iota
	scalar
	mapping
	sequence
)

// yamlPair is an entry of a mapping, from its line at to before end.
type yamlPair struct {
	key     string
	value   *node
	at, end int
	block   bool // its mapping is in block style, so the lines are its own
}

// get is the value of a key; nil where there is none.
func (n *node) get(path ...string) *node {
	for _, key := range path {
		if n == nil {
			return nil
		}
		i := slices.IndexFunc(n.pairs, func(p yamlPair) bool { return p.key == key })
		if i < 0 {
			return nil
		}
		n = n.pairs[i].value
	}
	return n
}

// text is a scalar; empty of what is none.
func (n *node) text() string {
	if n == nil {
		return ""
	}
	return n.scalar
}

// equal compares meanings.
func (n *node) equal(o *node) bool {
	return n.kind == o.kind && n.scalar == o.scalar &&
		slices.EqualFunc(n.items, o.items, (*node).equal) &&
		slices.EqualFunc(n.pairs, o.pairs, func(a, b yamlPair) bool { return a.key == b.key && a.value.equal(b.value) })
}

// yamlLine is a line with something on it.
type yamlLine struct {
	number, indent int
	text           string // without indentation and comment
}

type yamlParser struct {
	lines []yamlLine
	at    int
}

var errYAML = errors.New("weft does not understand this YAML")

func (p *yamlParser) fail(why string) error {
	at := 0
	if len(p.lines) > 0 {
		at = p.lines[min(p.at, len(p.lines)-1)].number
	}
	return fmt.Errorf("line %d: %s: %w", at+1, why, errYAML)
}

// parseYAML reads a document.
func parseYAML(content string) (*node, error) {
	p := &yamlParser{}
	if !utf8.ValidString(content) {
		return nil, p.fail("is no UTF-8")
	}
	number := 0
	for l := range strings.Lines(content) {
		text := strings.TrimSuffix(l, "\n")
		if strings.ContainsFunc(text, func(r rune) bool {
			return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff
		}) {
			p.lines = append(p.lines, yamlLine{number: number})
			p.at = len(p.lines) - 1
			return nil, p.fail("holds a tab or another control character")
		}
		bare := strings.TrimLeft(text, " ")
		body := uncommented(bare)
		start := body == "---" && len(p.lines) == 0 && len(bare) == len(text)
		if body != "" && !start {
			p.lines = append(p.lines, yamlLine{number, len(text) - len(bare), body})
		}
		number++
	}
	if len(p.lines) == 0 {
		return &node{}, nil
	}
	n, err := p.block(p.lines[0].indent)
	if err == nil && p.at < len(p.lines) {
		err = p.fail("stands outside")
	}
	return n, err
}

// uncommented cuts a comment off, and blanks at the end.
func uncommented(s string) string {
	quote := byte(0)
	for i := range len(s) {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && (i == 0 || strings.IndexByte(" [{,:", s[i-1]) >= 0):
			quote = c
		case c == '#' && (i == 0 || s[i-1] == ' '):
			return strings.TrimRight(s[:i], " ")
		}
	}
	return strings.TrimRight(s, " ")
}

func dash(text string) bool { return text == "-" || strings.HasPrefix(text, "- ") }

// block reads what begins at the current line, whose indentation it is.
func (p *yamlParser) block(indent int) (*node, error) {
	if dash(p.lines[p.at].text) {
		return p.sequence(indent)
	}
	if _, _, ok := splitKey(p.lines[p.at].text); ok {
		return p.mapping(indent)
	}
	return p.inline(p.lines[p.at].text, indent)
}

func (p *yamlParser) more(indent int) bool {
	return p.at < len(p.lines) && p.lines[p.at].indent == indent
}

func (p *yamlParser) mapping(indent int) (*node, error) {
	n := &node{kind: mapping}
	for p.more(indent) && !dash(p.lines[p.at].text) {
		key, rest, ok := splitKey(p.lines[p.at].text)
		if !ok {
			return nil, p.fail("is no key with a value")
		}
		if n.get(key) != nil {
			return nil, p.fail("says " + key + " again")
		}
		pair := yamlPair{key: key, at: p.lines[p.at].number, block: true}
		var err error
		if rest != "" {
			pair.value, err = p.inline(rest, indent)
		} else {
			pair.value, err = p.below(indent, indent)
		}
		if err != nil {
			return nil, err
		}
		pair.end = p.lines[p.at-1].number + 1
		n.pairs = append(n.pairs, pair)
	}
	return n, p.settled(indent)
}

// settled says whether what follows belongs to something further out.
func (p *yamlParser) settled(indent int) error {
	if p.at < len(p.lines) && p.lines[p.at].indent > indent {
		return p.fail("is indented further than what it follows")
	}
	return nil
}

// below reads the value on the lines after the current one. A sequence may be as
// far left as the key that it is of.
func (p *yamlParser) below(indent, dashes int) (*node, error) {
	p.at++
	if p.at == len(p.lines) {
		return &node{}, nil
	}
	next := p.lines[p.at]
	if next.indent > indent || next.indent == dashes && dash(next.text) {
		return p.block(next.indent)
	}
	return &node{}, nil
}

func (p *yamlParser) sequence(indent int) (*node, error) {
	n := &node{kind: sequence}
	for p.more(indent) && dash(p.lines[p.at].text) {
		text := p.lines[p.at].text
		rest := strings.TrimLeft(text[1:], " ")
		var item *node
		var err error
		_, _, key := splitKey(rest)
		switch {
		case rest == "":
			item, err = p.below(indent, -1)
		case key || dash(rest):
			l := &p.lines[p.at]
			l.indent, l.text = l.indent+len(text)-len(rest), rest
			item, err = p.block(l.indent)
		default:
			item, err = p.inline(rest, indent)
		}
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, item)
	}
	return n, p.settled(indent)
}

// inline reads a value that begins on the current line, and goes on where
// brackets are open.
func (p *yamlParser) inline(text string, indent int) (*node, error) {
	for open := brackets(text); open > 0; open = brackets(text) {
		p.at++
		if p.at == len(p.lines) || p.lines[p.at].indent <= indent {
			p.at--
			return nil, p.fail("opens a bracket and does not close it")
		}
		text += " " + p.lines[p.at].text
	}
	f := flow{rest: text}
	n, err := f.value(strings.ContainsAny(text[:1], "[{"))
	if err == nil && strings.TrimSpace(f.rest) != "" {
		err = errors.New("has more after its value")
	}
	if err != nil {
		return nil, p.fail(err.Error())
	}
	p.at++
	return n, p.settled(indent)
}

// brackets is how many are open at the end of a value in flow style.
func brackets(text string) (open int) {
	if text == "" || !strings.ContainsAny(text[:1], "[{") {
		return 0
	}
	quote := byte(0)
	for i := range len(text) {
		switch c := text[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '[' || c == '{':
			open++
		case c == ']' || c == '}':
			open--
		}
	}
	return open
}
