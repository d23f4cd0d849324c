package ifupdown

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"weft/engine/host"
)

// The file that ifup reads, and the directory that Debian's has sourced.
const (
	MainFile  = "/etc/network/interfaces"
	Directory = "/etc/network/interfaces.d"
)

// Purpose is what one of weft's own files says of an object. ifup reads the
// files in the order of their names: what makes a device comes before what gives
// it addresses.
type Purpose string

// The purposes, in the order in which they are read.
const (
	Bridge      Purpose = "weft-bridge" // of Open vSwitch
	Bond        Purpose = "weft-make-1-bond"
	VLAN        Purpose = "weft-make-2-vlan"
	LinuxBridge Purpose = "weft-make-3-bridge"
	Port        Purpose = "weft-port"
	Link        Purpose = "weft-set-link"
	Address     Purpose = "weft-then-address"
)

// Path is the file below [Directory] of one object. The name is spelt in the
// characters that source-directory takes.
func (p Purpose) Path(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return p.prefix() + b.String()
}

func (p Purpose) prefix() string { return Directory + "/" + string(p) + "-" }

// PurposeOf is the purpose of a file that weft writes; empty of another.
func PurposeOf(file string) Purpose {
	for _, p := range []Purpose{Bridge, Bond, VLAN, LinuxBridge, Port, Link, Address} {
		if strings.HasPrefix(file, p.prefix()) {
			return p
		}
	}
	return ""
}

// File is a file that ifup reads.
type File struct {
	Name string
	Text Text
}

// deepest is how many files may source one another.
const deepest = 8

// Read returns the files that ifup reads, the main one first, those that it
// sources in their order; none where there is no main file.
func Read(ctx context.Context, r host.FileReader) ([]File, error) {
	all, _, err := read(ctx, r)
	return all, err
}

// read returns the patterns of sourced files, too.
func read(ctx context.Context, r host.FileReader) (all []File, patterns []string, err error) {
	var walk func(name string, depth int) error
	walk = func(name string, depth int) error {
		if depth > deepest || slices.ContainsFunc(all, func(f File) bool { return f.Name == name }) {
			return nil
		}
		info, err := r.Stat(ctx, name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Type == host.Directory {
			return nil
		}
		if err != nil {
			return err
		}
		b, err := r.Read(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		text := Parse(b)
		all = append(all, File{name, text})
		for _, p := range sourced(text, path.Dir(name)) {
			patterns = append(patterns, p)
			names, err := expand(ctx, r, p)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			for _, n := range names {
				if err := walk(n, depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	err = walk(MainFile, 0)
	return all, patterns, err
}

// sourced are the patterns of the files that a text takes in. A relative one
// starts at the directory of its file.
func sourced(t Text, dir string) []string {
	var out []string
	add := func(pattern string) {
		if !path.IsAbs(pattern) {
			pattern = path.Join(dir, pattern)
		}
		out = append(out, path.Clean(pattern))
	}
	for _, l := range t.lines {
		if len(l.words) == 0 {
			continue
		}
		for _, pattern := range l.words[1:] {
			switch l.words[0] {
			case "source":
				add(pattern)
			case "source-directory":
				add(pattern + "/" + anyPlain)
			}
		}
	}
	return out
}

// anyPlain stands for the names that source-directory takes.
const anyPlain = "*[plain]"

var plain = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

func matches(pattern, file string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/"+anyPlain); ok {
		return path.Dir(file) == dir && plain.MatchString(path.Base(file))
	}
	ok, err := path.Match(pattern, file)
	return ok && err == nil && !strings.HasPrefix(path.Base(file), ".")
}

// expand lists the files that match. What else wordexp(3) expands (variables,
// quotes, a home) is refused, for a file that is not read is one that is not known.
func expand(ctx context.Context, r host.FileReader, pattern string) ([]string, error) {
	if strings.ContainsAny(pattern, "$`\"'\\~{|&;<>()") {
		return nil, fmt.Errorf("sources %s, which is more than a path with wildcards: write the path itself there", pattern)
	}
	dirs := []string{path.Dir(pattern)}
	if strings.ContainsAny(dirs[0], "*?[") {
		var err error
		if dirs, err = expand(ctx, r, dirs[0]); err != nil {
			return nil, err
		}
	}
	var out []string
	for _, dir := range dirs {
		info, err := r.Stat(ctx, dir)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Type != host.Directory && info.Type != host.Symlink {
			continue
		}
		if err != nil {
			return nil, err
		}
		names, err := r.List(ctx, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, n := range slices.Sorted(slices.Values(names)) {
			if file := path.Join(dir, n); matches(path.Join(dir, path.Base(pattern)), file) {
				out = append(out, file)
			}
		}
	}
	return out, nil
}

// CanPersist says why a file would not be read at boot; nil where it would. An
// earlier step may bring ifupdown: the error then wraps [host.ErrNotReady].
func CanPersist(ctx context.Context, r host.FileReader, file string) error {
	if _, err := r.Stat(ctx, "/sbin/ifup"); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("persist needs ifupdown, and /sbin/ifup is not there: put a step package \"ifupdown\" before it: %w", host.ErrNotReady)
	} else if err != nil {
		return err
	}
	_, patterns, err := read(ctx, r)
	if err != nil {
		return err
	}
	for _, p := range patterns {
		if matches(p, file) {
			return nil
		}
	}
	return fmt.Errorf("persist writes %s, and %s does not read it: add the line \"source %s/*\" there", file, MainFile, Directory)
}
