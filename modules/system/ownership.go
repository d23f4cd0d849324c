package system

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// special are the bits above the permissions, as chmod(1) counts them.
var special = [...]struct {
	octal uint64
	mode  fs.FileMode
}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}}

// parseMode reads a mode as chmod(1) takes it in octal: "644", "0644", "2755".
func parseMode(text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 16)
	if err != nil || n > 0o7777 || len(text) < 3 {
		return 0, fmt.Errorf("%q is not an octal mode like 0644", text)
	}
	mode := fs.FileMode(n & 0o777)
	for _, s := range special {
		if n&s.octal != 0 {
			mode |= s.mode
		}
	}
	return mode, nil
}

func formatMode(mode fs.FileMode) string {
	n := uint64(mode.Perm())
	for _, s := range special {
		if mode&s.mode != 0 {
			n |= s.octal
		}
	}
	return fmt.Sprintf("%04o", n)
}

// canonicalMode writes a mode the one way that Read does. What is no mode is
// left for Validate.
func canonicalMode(a step.Attr[string]) step.Attr[string] {
	text, ok := a.Get()
	if !ok {
		return a
	}
	mode, err := parseMode(text)
	if err != nil {
		return a
	}
	return step.Is(formatMode(mode))
}

// attributes are what the doors take of owner, group and mode.
func attributes(owner, group, mode step.Attr[string]) (host.Attributes, error) {
	a := host.Attributes{Owner: owner.Or(""), Group: group.Or("")}
	if text, ok := mode.Get(); ok {
		m, err := parseMode(text)
		if err != nil {
			return a, err
		}
		a.Mode = &m
	}
	return a, nil
}

// spelled returns a name found as the playbook spells it: "0" where it wants
// "0" and the table (passwd(5) or group(5)) says that root is 0.
func spelled(ctx context.Context, v host.View, table, found string, want step.Attr[string]) (step.Attr[string], error) {
	id, ok := want.Get()
	if _, err := strconv.Atoi(id); !ok || err != nil || id == found {
		return step.Is(found), nil
	}
	content, err := v.Files.Read(ctx, table)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return step.Attr[string]{}, err
	}
	for line := range strings.Lines(string(content)) {
		fields := strings.Split(line, ":")
		if len(fields) > 2 && fields[0] == found && fields[2] == id {
			return step.Is(id), nil
		}
	}
	return step.Is(found), nil
}

// needsParent is [step.ErrNotYet] where the directory of a path that should be
// made is not there.
func needsParent(ctx context.Context, v host.View, name string) error {
	dir := path.Dir(name)
	_, err := v.Files.Stat(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("its directory %s is not there; a step \"directory\" before it makes one: %w", dir, step.ErrNotYet)
	}
	return err
}

// linksFollowed is how many symlinks in a path the kernel follows; path_resolution(7).
const linksFollowed = 40

// writersOf says who but root may write to a directory, or put another into its place,
// as "/srv/x belongs to bob"; empty for nobody. Replace says whether they can rename and
// remove what root has there, which a sticky directory of root's forbids.
func writersOf(ctx context.Context, v host.View, dir string) (who string, replace bool, err error) {
	at, rest := "/", strings.Split(strings.Trim(dir, "/"), "/")
	for links := 0; ; {
		info, err := v.Files.Stat(ctx, at)
		if errors.Is(err, fs.ErrNotExist) {
			return "", false, nil // an earlier step makes it
		}
		if err != nil {
			return "", false, err
		}
		last := len(rest) == 0 || len(rest) == 1 && rest[0] == ""
		loose := info.Mode.Perm()&0o002 != 0 || info.Mode.Perm()&0o020 != 0 && info.Group != "root"
		switch {
		case info.Owner != "root":
			return at + " belongs to " + info.Owner, true, nil
		case info.Type == host.Symlink:
			if links++; links > linksFollowed {
				return "", false, fmt.Errorf("%s leads through more than %d symlinks", dir, linksFollowed)
			}
			target := info.Target
			if !path.IsAbs(target) {
				target = path.Join(path.Dir(at), target)
			}
			at, rest = "/", append(strings.Split(strings.Trim(path.Clean(target), "/"), "/"), rest...)
			continue
		case loose && info.Mode&fs.ModeSticky == 0:
			return fmt.Sprintf("others than root may write to %s (mode %s)", at, formatMode(info.Mode)), true, nil
		case loose && last:
			return fmt.Sprintf("others than root may write to %s (mode %s)", at, formatMode(info.Mode)), false, nil
		case last:
			return "", false, nil
		}
		at, rest = path.Join(at, rest[0]), rest[1:]
	}
}

// pathProblems are the mistakes in the path of a file or directory.
func pathProblems(name string) []step.Problem {
	switch {
	case !path.IsAbs(name):
		return []step.Problem{{Path: "path", Message: fmt.Sprintf("%q is not an absolute path", name), Hint: "begin it with /"}}
	case path.Clean(name) != name:
		return []step.Problem{{Path: "path", Message: fmt.Sprintf("%q is not spelled the short way", name), Hint: "write it as " + path.Clean(name)}}
	case name == "/":
		return []step.Problem{{Path: "path", Message: "is the root of the file system"}}
	case strings.HasPrefix(name+"/", "/proc/sys/"):
		key := strings.ReplaceAll(strings.TrimPrefix(name, "/proc/sys/"), "/", ".")
		return []step.Problem{{Path: "path", Message: "is a kernel setting, not a file", Hint: fmt.Sprintf("use step \"sysctl\" %q", key)}}
	case strings.HasPrefix(name+"/", "/proc/"), strings.HasPrefix(name+"/", "/sys/"):
		return []step.Problem{{Path: "path", Message: "lies in /proc or /sys, where the kernel keeps no files"}}
	}
	return nil
}

func modeProblems(mode step.Attr[string]) []step.Problem {
	text, ok := mode.Get()
	if !ok {
		return nil
	}
	if _, err := parseMode(text); err != nil {
		return []step.Problem{{Path: "mode", Message: err.Error(), Hint: `write it in quotes and in octal: "0644"`}}
	}
	return nil
}
