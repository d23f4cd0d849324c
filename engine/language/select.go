package language

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Select returns the names of the hosts that a limit means, in the order of
// the inventory. A limit is a list, separated by commas, of names, globs
// (path.Match), groups, roles, "all", and @FILE for a file with one of these a
// line; "!" before one takes its hosts away. Empty is all hosts. A name that
// nothing has is an error that says what was probably meant.
func (p *Program) Select(limit string) ([]string, error) {
	s := selection{p: p, chosen: map[string]bool{}}
	if err := s.list(strings.Split(limit, ","), 0); err != nil {
		return nil, err
	}
	if !s.added {
		for _, h := range p.Hosts {
			s.chosen[h.Name] = !s.removed[h.Name]
		}
	}
	var out []string
	for _, h := range p.Hosts {
		if s.chosen[h.Name] && !s.removed[h.Name] {
			out = append(out, h.Name)
		}
	}
	return out, nil
}

type selection struct {
	p       *Program
	chosen  map[string]bool
	removed map[string]bool
	added   bool
}

// maxNesting ends circles of files that name one another.
const maxNesting = 10

func (s *selection) list(words []string, depth int) error {
	for _, w := range words {
		w = strings.TrimSpace(w)
		if w == "" {
			continue
		}
		if file, ok := strings.CutPrefix(w, "@"); ok {
			if err := s.file(file, depth); err != nil {
				return err
			}
			continue
		}
		name, away := strings.CutPrefix(w, "!")
		hosts, err := s.p.called(name)
		if err != nil {
			return err
		}
		if s.removed == nil {
			s.removed = map[string]bool{}
		}
		for _, h := range hosts {
			if away {
				s.removed[h.Name] = true
			} else {
				s.chosen[h.Name] = true
			}
		}
		s.added = s.added || !away
	}
	return nil
}

func (s *selection) file(name string, depth int) error {
	if depth == maxNesting {
		return fmt.Errorf("files of hosts name one another: %s", name)
	}
	b, err := s.p.config.files.get(name)
	if err != nil {
		return fmt.Errorf("read the list of hosts: %w", err)
	}
	var words []string
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		words = append(words, strings.Split(line, ",")...)
	}
	s.added = true // an empty file is no host, not all
	return s.list(words, depth+1)
}

// called returns the hosts of one word.
func (p *Program) called(word string) ([]*Host, error) {
	if word == groupAll {
		return p.Hosts, nil
	}
	if h := p.values.byName[word]; h != nil {
		return []*Host{h}, nil
	}
	group, role := p.values.groups[word], p.values.roles[word]
	if group != nil || role != nil {
		out := slices.Clone(group)
		for _, h := range role {
			if !slices.Contains(out, h) {
				out = append(out, h)
			}
		}
		return out, nil
	}
	if strings.ContainsAny(word, "*?[") {
		return p.globbed(word)
	}
	known := namesIn(p.Hosts, func(h *Host) string { return h.Name })
	known = append(known, sortedKeys(p.values.groups)...)
	known = append(known, sortedKeys(p.values.roles)...)
	if s := suggest(word, known); s != "" {
		return nil, fmt.Errorf("no host, group or role is called %q: did you mean %q?", word, s)
	}
	return nil, fmt.Errorf("no host, group or role is called %q", word)
}

func (p *Program) globbed(pattern string) ([]*Host, error) {
	var out []*Host
	for _, h := range p.Hosts {
		ok, err := path.Match(pattern, h.Name)
		if err != nil {
			return nil, fmt.Errorf("%q is no pattern of names: %w", pattern, err)
		}
		if ok {
			out = append(out, h)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no host's name matches %q", pattern)
	}
	return out, nil
}
