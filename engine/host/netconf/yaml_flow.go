package netconf

import (
	"errors"
	"strings"
)

// splitKey splits "key: value".
func splitKey(text string) (key, rest string, ok bool) {
	if text[:min(1, len(text))] == `"` || text[:min(1, len(text))] == "'" {
		f := flow{rest: text}
		n, err := f.quoted()
		after, colon := strings.CutPrefix(f.rest, ":")
		if err != nil || !colon || after != "" && after[0] != ' ' {
			return "", "", false
		}
		return n.scalar, strings.TrimLeft(after, " "), true
	}
	key, rest, ok = strings.Cut(text, ": ")
	if !ok {
		key, ok = strings.CutSuffix(text, ":")
		rest = ""
	}
	if !ok || key != strings.TrimSpace(key) || plainScalar(key) != nil || strings.ContainsAny(key, "[]{},\"'#") {
		return "", "", false
	}
	return key, strings.TrimLeft(rest, " "), true
}

// plainScalar says why a text is none.
func plainScalar(text string) error {
	switch {
	case text == "":
		return errors.New("has no value")
	case strings.ContainsAny(text[:1], "&*!|>%@`\"'#,[]{}"):
		return errors.New("begins with " + text[:1] + ", which is more than a plain value")
	case strings.ContainsAny(text[:1], "?:"), text[0] == '-' && (len(text) == 1 || strings.ContainsAny(text[1:2], " -,[]{}")):
		return errors.New("begins with " + text[:1] + ", which is more than a plain value")
	case text == "..." || strings.HasPrefix(text, "... "):
		return errors.New("is one of several documents")
	case strings.Contains(text, ": ") || strings.HasSuffix(text, ":"):
		return errors.New("has a colon in its value")
	}
	return nil
}

// flow reads values in flow style.
type flow struct{ rest string }

// value reads one, within brackets or not.
func (f *flow) value(within bool) (*node, error) {
	f.rest = strings.TrimLeft(f.rest, " ")
	switch {
	case f.rest == "":
		return nil, errors.New("has no value")
	case f.rest[0] == '[':
		return f.list()
	case f.rest[0] == '{':
		return f.pairs()
	case f.rest[0] == '"' || f.rest[0] == '\'':
		return f.quoted()
	}
	end := len(f.rest)
	if within {
		if i := strings.IndexAny(f.rest, ",[]{}"); i >= 0 {
			end = i
		}
	}
	text := strings.TrimRight(f.rest[:end], " ")
	f.rest = f.rest[end:]
	if err := plainScalar(text); err != nil {
		return nil, err
	}
	if text == "~" || text == "null" || text == "Null" || text == "NULL" {
		return &node{}, nil
	}
	return &node{kind: scalar, scalar: text}, nil
}

func (f *flow) quoted() (*node, error) {
	quote := f.rest[:1]
	var b strings.Builder
	rest := f.rest[1:]
	for {
		text, after, ok := strings.Cut(rest, quote)
		if !ok {
			return nil, errors.New("has a quote that does not end")
		}
		if quote == `"` && strings.Contains(text, `\`) {
			return nil, errors.New("has a backslash in quotes")
		}
		b.WriteString(text)
		if quote == "'" && strings.HasPrefix(after, "'") {
			b.WriteByte('\'')
			rest = after[1:]
			continue
		}
		f.rest = after
		return &node{kind: scalar, scalar: b.String()}, nil
	}
}

// next eats what stands between two values, and says whether there is one more.
func (f *flow) next(closing byte, first bool) (more bool, err error) {
	f.rest = strings.TrimLeft(f.rest, " ")
	if f.rest != "" && f.rest[0] == closing {
		f.rest = f.rest[1:]
		return false, nil
	}
	if first {
		return true, nil
	}
	if !strings.HasPrefix(f.rest, ",") {
		return false, errors.New("lacks a comma")
	}
	f.rest = strings.TrimLeft(f.rest[1:], " ")
	if f.rest != "" && f.rest[0] == closing {
		f.rest = f.rest[1:]
		return false, nil
	}
	return true, nil
}

func (f *flow) list() (*node, error) {
	n := &node{kind: sequence}
	f.rest = f.rest[1:]
	for {
		more, err := f.next(']', len(n.items) == 0)
		if err != nil || !more {
			return n, err
		}
		item, err := f.value(true)
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, item)
	}
}

func (f *flow) pairs() (*node, error) {
	n := &node{kind: mapping}
	f.rest = f.rest[1:]
	for {
		more, err := f.next('}', len(n.pairs) == 0)
		if err != nil || !more {
			return n, err
		}
		key, rest, ok := splitKey(f.rest)
		if !ok || n.get(key) != nil {
			return nil, errors.New("has no key, or one twice, in braces")
		}
		f.rest = rest
		value, err := f.value(true)
		if err != nil {
			return nil, err
		}
		n.pairs = append(n.pairs, yamlPair{key: key, value: value})
	}
}
