package security

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"weft/engine/host"
)

// A reach is the files that an expression of paths names.
type reach struct {
	place string // that all of them are or lie in; empty where that is the whole file system
	how   search
	names *regexp.Regexp // a whole path of one
}

// search is how the files of an expression are found in its place.
type search string

const (
	itself  search = "itself"  // the place is the only one
	below   search = "below"   // the place and all below it
	matched search = "matched" // what matches, of all below it
)

// allBelow is how policies say "and all that lies in it".
const allBelow = "(/.*)?"

// reachOf reads an expression of selabel_file(5).
func reachOf(pattern string) (reach, error) {
	if _, err := regexp.Compile(pattern); err != nil {
		return reach{}, err
	}
	names, err := regexp.Compile("^(?s:" + pattern + ")$")
	if err != nil {
		return reach{}, err
	}
	if at, is := literal(pattern); is {
		return reach{at, itself, names}, nil
	}
	if head, is := strings.CutSuffix(pattern, allBelow); is {
		if at, is := literal(head); is && names.MatchString(at+"/x/y") {
			return reach{at, below, names}, nil
		}
	}
	if head, _, is := strings.Cut(pattern, "(/"); is {
		if at, is := literal(head); is {
			return reach{at, matched, names}, nil
		}
	}
	at, _ := literal(pattern)
	return reach{at[:max(0, strings.LastIndexByte(at, '/'))], matched, names}, nil
}

// literal is what all paths of an expression begin with, and whether that is all of it.
func literal(pattern string) (string, bool) {
	r, err := regexp.Compile(pattern)
	if err != nil {
		return "", false
	}
	return r.LiteralPrefix()
}

// unlabelled asks restorecon(8) what it would do.
func unlabelled(ctx context.Context, v host.View, have policy) ([]string, error) {
	var found []string
	for _, pattern := range slices.Sorted(maps.Keys(have.Contexts)) {
		files, _, err := mislabelled(ctx, v, have, pattern)
		if err != nil {
			return nil, err
		}
		if len(files) > 0 {
			found = append(found, pattern)
		}
	}
	return found, nil
}

// mislabelled are the files of an expression that have another type than the policy has
// for them. Where all below its place are meant, it is the place that stands for them.
func mislabelled(ctx context.Context, v host.View, have policy, pattern string) ([]string, reach, error) {
	r, err := reachOf(pattern)
	if err != nil || have.Off || r.place == "" {
		return nil, r, err
	}
	_, err = v.Files.Stat(ctx, r.place)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, r, nil
	}
	if err != nil {
		return nil, r, err
	}
	argv := []string{"restorecon", "-R", "-n", "-v", unglobbed(r.place)}
	if r.how == itself {
		argv = slices.Delete(argv, 1, 2)
	}
	said, err := v.Commands.Query(ctx, host.Command{Argv: argv})
	if err != nil || !wouldLabel(string(said.Stdout)) {
		return nil, r, err
	}
	if r.how != matched {
		return []string{r.place}, r, nil
	}
	real, err := v.Commands.Query(ctx, host.Command{Argv: []string{"realpath", "--", r.place}})
	if err != nil {
		return nil, r, err
	}
	// It tells of paths without symlinks, and the expression may be of one with.
	at := strings.TrimSuffix(string(real.Stdout), "\n")
	return slices.DeleteFunc(relabelled(string(said.Stdout)), func(name string) bool {
		rest, inside := strings.CutPrefix(name, at)
		return !r.names.MatchString(name) && (!inside || !r.names.MatchString(r.place+rest))
	}), r, nil
}

// wouldLabel says whether restorecon(8) told of a file that it would label. Types that guests
// get while they run are an administrator's to it, which it leaves, and says so.
func wouldLabel(said string) bool {
	for line := range strings.Lines(said) {
		if strings.TrimSpace(line) != "" && !strings.Contains(line, "customized by admin") {
			return true
		}
	}
	return false
}

// relabelled are the files that restorecon(8) tells of, as libselinux 3 and 2.5 put it. Of a
// name with a line's end it tells what is no path of ours.
func relabelled(said string) []string {
	var names []string
	for line := range strings.Lines(said) {
		line = strings.TrimSuffix(line, "\n")
		for begins, ends := range map[string]string{"Would relabel ": " from ", "restorecon reset ": " context "} {
			rest, is := strings.CutPrefix(line, begins)
			if at := strings.LastIndex(rest, ends); is && at > 0 && rest[0] == '/' {
				names = append(names, rest[:at])
			}
		}
	}
	return names
}

// unglobbed is a path as restorecon(8) takes it, which expands every name as a shell does.
func unglobbed(name string) string {
	var b strings.Builder
	for _, r := range []byte(name) {
		if strings.IndexByte(`*?[]{}~\`, r) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(r)
	}
	return b.String()
}

// relabel gives the files of an expression the type that the policy has for them now, and
// no others: what lies beside them may have a label of a hand's.
func relabel(ctx context.Context, h host.Host, have, want policy, pattern string) error {
	stale := slices.Contains(have.Unlabelled, pattern) && !slices.Contains(want.Unlabelled, pattern)
	if have.Contexts[pattern] == want.Contexts[pattern] && !stale {
		return nil
	}
	files, r, err := mislabelled(ctx, h.View(), have, pattern)
	if err != nil {
		return fmt.Errorf("look for files of %s: %w", pattern, err)
	}
	if len(files) == 0 {
		return nil
	}
	c := host.Command{Argv: []string{"restorecon", "-R", unglobbed(r.place)}}
	switch r.how {
	case itself:
		c.Argv = []string{"restorecon", unglobbed(r.place)}
	case matched:
		var list strings.Builder
		for _, name := range files {
			list.WriteString(unglobbed(name) + "\n")
		}
		c = host.Command{Argv: []string{"restorecon", "-f", "-"}, Stdin: []byte(list.String())}
	}
	_, err = h.Commands.Run(ctx, c)
	return err
}
