package machine

import (
	"fmt"
	"slices"
	"strings"

	"weft/engine/step"
)

// format is how a file holds arguments.
type format string

const (
	shellVariables format = "shell"   // /etc/default/grub
	optionsLine    format = "options" // an entry of the Boot Loader Specification
	oneLine        format = "line"    // /etc/kernel/cmdline
	envBlock       format = "env"     // kernelopts in grubenv; the text is its value
)

// store is a file that holds arguments for boots to come.
type store struct {
	Path   string `json:"path"`
	Text   string `json:"text"`
	Format format `json:"format"`
}

// fragment is a part of a store that holds arguments: text[from:to], and what
// it means.
type fragment struct {
	name     string // of the variable
	from, to int
	value    string
	script   script
	write    func(value string) (string, error)
}

func (s store) fragments() ([]fragment, error) {
	switch s.Format {
	case shellVariables:
		return shellFragments(s.Path, s.Text)
	case optionsLine:
		return optionsFragments(s.Text), nil
	}
	body := strings.TrimRight(s.Text, "\n")
	return []fragment{{name: "line", to: len(body), value: body, script: kernelScript, write: asItIs}}, nil
}

func asItIs(value string) (string, error) { return value, nil }

// rewritten returns the store with what change makes of each fragment's value.
func (s store) rewritten(change func(i int, f fragment) string) (store, error) {
	fragments, err := s.fragments()
	if err != nil {
		return s, err
	}
	for i, f := range slices.Backward(fragments) { // from the end, so that places stay
		value := change(i, f)
		if value == f.value {
			continue
		}
		written, err := f.write(value)
		if err != nil {
			return s, err
		}
		s.Text = s.Text[:f.from] + written + s.Text[f.to:]
	}
	return s, nil
}

// stores are all files that hold arguments, in the order in which they are
// read.
type stores []store

// edited returns the stores as a request wants them: what it manages is taken
// out everywhere. Its sequence is added to each entry, and to the last
// assignment of a variable, where it has the last word.
func (all stores) edited(r request, variable string) (stores, error) {
	value, last, err := evaluated(all)
	if err != nil {
		return nil, err
	}
	if words := grubWords(value[everyEntry]); variable == normalEntry && len(kernelPart(words)) < len(words) {
		return nil, fmt.Errorf("%s holds --, so that all of %s would go to init and not to the kernel: move what follows -- to %[2]s, in %s", everyEntry, normalEntry, defaultsFile)
	}
	out := slices.Clone(all)
	gone := request{Absent: slices.Concat(keysOf(r.Args), r.Absent)}
	file, there := last[variable]
	for i, s := range all {
		fragments, err := s.fragments()
		if err != nil {
			return nil, err
		}
		target := slices.Collect(func(yield func(int) bool) {
			for n, f := range fragments {
				if s.Format != shellVariables && !f.indirect() || s.Format == shellVariables && there && i == file && f.name == variable {
					if !yield(n) {
						return
					}
				}
			}
		})
		if s.Format == shellVariables && len(target) > 1 {
			target = target[len(target)-1:]
		}
		out[i], err = s.rewritten(func(n int, f fragment) string {
			text := f.script.edit(f.value, gone)
			if slices.Contains(target, n) {
				text = f.script.add(text, r.Args)
			}
			return text
		})
		if err != nil {
			return nil, err
		}
	}
	if !there && len(r.Args) > 0 {
		if i := slices.IndexFunc(out, func(s store) bool { return s.Format == shellVariables }); i >= 0 {
			out[i].Text = appendAssignment(out[i].Text, variable, r.Args)
		}
	}
	return out, nil
}

// indirect says whether a fragment refers to where its arguments are, in the
// environment block.
func (f fragment) indirect() bool {
	return slices.ContainsFunc(f.script.split(f.value), func(w span) bool { return w.opaque && w.argument == "$kernelopts" })
}

// keysOf are arguments without their values.
func keysOf(args []argument) []argument {
	keys := make([]argument, len(args))
	for i, a := range args {
		keys[i] = argument(a.key())
	}
	return keys
}

// at is the store of a path. GRUB's environment block is one beside others.
func (all stores) at(path string, f format) (store, bool) {
	i := slices.IndexFunc(all, func(s store) bool { return s.Path == path && s.Format == f })
	if i < 0 {
		return store{}, false
	}
	return all[i], true
}

// restored is a store as it was found, as far as a request changed it. Found is
// the store before the request, ours what the request made of it. The error
// wraps [step.ErrConflict] where another hand changed managed arguments since.
func (s store) restored(r request, found, ours store) (store, error) {
	if s.Text == ours.Text || s.Text == found.Text {
		return found, nil
	}
	conflict := fmt.Errorf("%s: %w", s.Path, step.ErrConflict)
	was, err := found.fragments()
	if err != nil {
		return s, err
	}
	made, err := ours.fragments()
	if err != nil {
		return s, err
	}
	now, err := s.fragments()
	if err != nil {
		return s, fmt.Errorf("%w: %w", conflict, err)
	}
	if len(now) == len(made) && slices.EqualFunc(now, made, r.sameManaged) {
		s, err = s.rewritten(func(i int, f fragment) string {
			if i >= len(was) {
				return f.script.edit(f.value, request{Absent: keysOf(r.Args)})
			}
			return f.back(r, was[i], made[i])
		})
		if err != nil || len(made) == len(was) {
			return s, err
		}
		return s.withoutLast(), nil
	}
	if len(now) == len(was) && slices.EqualFunc(now, was, r.sameManaged) {
		return s, nil
	}
	return s, conflict
}

// back is the value of a fragment with the managed words as they were found.
func (f fragment) back(r request, was, made fragment) string {
	if f.value == made.value {
		return was.value
	}
	if r.sameManaged(was, made) {
		return f.value
	}
	rest := f.script.edit(f.value, request{Absent: slices.Concat(keysOf(r.Args), r.Absent)})
	return f.script.add(rest, r.all(was))
}

// withoutLast takes the last assignment out, which a request had added, where
// nothing is left in it.
func (s store) withoutLast() store {
	fragments, err := s.fragments()
	if err != nil || len(fragments) == 0 {
		return s
	}
	f := fragments[len(fragments)-1]
	if strings.TrimSpace(f.value) != "" {
		return s
	}
	from := strings.LastIndexByte(s.Text[:f.from], '\n') + 1
	to := f.to
	if i := strings.IndexByte(s.Text[to:], '\n'); i >= 0 {
		to += i + 1
	}
	s.Text = s.Text[:from] + s.Text[to:]
	return s
}

// sets says whether a store holds managed words.
func (s store) sets(r request) (bool, error) {
	fragments, err := s.fragments()
	return slices.ContainsFunc(fragments, func(f fragment) bool { return len(r.all(f)) > 0 }), err
}

// all are the managed words of a fragment, in order.
func (r request) all(f fragment) []argument {
	var args []argument
	for _, w := range f.script.split(f.value) {
		if !w.opaque && r.manages(w.argument) {
			args = append(args, w.argument)
		}
	}
	return args
}

func (r request) sameManaged(a, b fragment) bool {
	return a.name == b.name && same(r.all(a), r.all(b))
}
