package machine

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// A portion is what a file says of one thing, among lines about others that
// stay as they are. Its value is its lines in their normal form, joined by
// newlines.
type portion struct {
	// mine says whether a line belongs to it, and how it is normally written.
	mine func(line string) (normal string, ok bool)
	// header is a comment that stands above in a file with nothing else.
	header string
	// lines splits a text; by newlines where nil.
	lines func(text string) []string
}

func (p portion) split(text string) []string {
	if p.lines != nil {
		return p.lines(text)
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// value is what a text says, None where it says nothing.
func (p portion) value(text string) step.Attr[string] {
	var normal []string
	for _, line := range p.split(text) {
		if n, ok := p.mine(line); ok {
			normal = append(normal, n)
		}
	}
	if len(normal) == 0 {
		return step.None[string]()
	}
	return step.Is(strings.Join(normal, "\n"))
}

// with returns the text with the value where its first line was, or at the
// end; without a value the rest of it.
func (p portion) with(text string, value step.Attr[string]) string {
	var rest []string
	at := -1
	for _, line := range p.split(text) {
		if _, ok := p.mine(line); ok {
			if at < 0 {
				at = len(rest)
			}
			continue
		}
		if line != p.header || p.header == "" {
			rest = append(rest, line)
		}
	}
	if text == "" {
		rest = nil
	}
	bare := len(rest) == 0
	if v, ok := value.Get(); ok {
		if at < 0 {
			at = len(rest)
		}
		rest = slices.Insert(rest, at, strings.Split(v, "\n")...)
		if bare && p.header != "" {
			rest = slices.Insert(rest, 0, p.header)
		}
	}
	if len(rest) == 0 {
		return ""
	}
	return strings.Join(rest, "\n") + "\n"
}

// settled returns what a file should hold that holds now: the value, and of the
// rest what is there. Found is the text that a check recorded, unmanaged where
// none did: where the rest is still the same, it comes back to the byte.
func (p portion) settled(now, found, value step.Attr[string]) step.Attr[string] {
	rest := func(a step.Attr[string]) string { return p.with(a.Or(""), step.None[string]()) }
	if found.Managed() && rest(found) == rest(now) && p.value(found.Or("")) == value {
		return found
	}
	if text := p.with(now.Or(""), value); text != "" {
		return step.Is(text)
	}
	return step.None[string]()
}

// readText returns a file's text, None where it is not there.
func readText(ctx context.Context, v host.View, name string) (step.Attr[string], error) {
	text, err := v.Files.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return step.None[string](), nil
	}
	if err != nil {
		return step.Attr[string]{}, err
	}
	return step.Is(string(text)), nil
}

// writeText makes text of what is there now.
func writeText(ctx context.Context, h host.Host, name string, now, text step.Attr[string]) error {
	if now == text {
		return nil
	}
	if t, ok := text.Get(); ok {
		return h.Files.Write(ctx, name, []byte(t), host.Attributes{})
	}
	return h.Files.Remove(ctx, name)
}

// A confFile is one of several files that together say something.
type confFile struct{ path, text string }

// confFiles are the files *.conf that a program reads from its directories, in
// the order in which it reads them: by name, and of two with one name the one
// in the earlier directory alone (systemd's manual pages and modprobe.d(5) say
// it in the same words). A link to /dev/null hides a file.
func confFiles(ctx context.Context, v host.View, dirs ...string) ([]confFile, error) {
	byName := map[string]string{}
	var names []string
	for _, dir := range dirs {
		list, err := v.Files.List(ctx, dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, name := range list {
			if _, hidden := byName[name]; !hidden && path.Ext(name) == ".conf" {
				byName[name] = path.Join(dir, name)
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	var files []confFile
	for _, name := range names {
		at := byName[name]
		info, err := v.Files.Stat(ctx, at)
		if err == nil && info.Type == host.Symlink && info.Target == "/dev/null" {
			continue
		}
		text, err := v.Files.Read(ctx, at)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a link to nothing
		}
		if err != nil {
			return nil, err
		}
		files = append(files, confFile{at, string(text)})
	}
	return files, nil
}
