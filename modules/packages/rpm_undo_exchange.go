package packages

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// putBack installs what is missing, older versions among it. What stands in the way may
// go where this change brought it; anything else is another hand's, and then nothing is
// put back.
func (b rpmBack) putBack(ctx context.Context, h host.Host, now rpmTable, reach map[string]bool, locks lockList) error {
	i := b.missing(now, reach)
	i.locks = locks.past(b.record.Names, now)
	failed := b.manager.exchange(ctx, h, i)
	in, refused := inTheWay(failed, now)
	if !refused {
		return failed
	}
	own := b.surplus(now, reach)
	if i.erasing = erasingBut(b.manager.tool, now, own); i.erasing != nil {
		again := b.manager.exchange(ctx, h, i)
		if again == nil {
			return nil
		}
		in, _ = inTheWay(again, now)
		failed = fmt.Errorf("%w; nor with --allowerasing for what came with it: %s", failed, lastWords(again))
	}
	in = slices.DeleteFunc(in, func(key string) bool {
		return slices.Contains(own, key) || reach[key] && !slices.Equal(now[key].Versions, b.before[key].Versions)
	})
	if len(in) == 0 {
		return failed
	}
	return fmt.Errorf("%s stays as it is, since %s needs that and did not come with it: %w",
		strings.Join(slices.Concat(i.words, i.others), " "), strings.Join(in, ", "), step.ErrConflict)
}

// missing is what to install again, in the version that was found.
func (b rpmBack) missing(now rpmTable, reach map[string]bool) rpmInstallation {
	i := rpmInstallation{repositories: b.record.Repositories, listsAge: age(b.record.ListsAge)}
	for key := range reach {
		was, is := b.before[key], now[key]
		for _, version := range was.Versions {
			switch word := nameVersion(key, version, was.Arch); {
			case slices.Contains(is.Versions, version):
			case is.there():
				i.others = append(i.others, word)
			default:
				i.words = append(i.words, word)
			}
		}
	}
	return i
}

// protectedLimit is how long one argument of a program may be (MAX_ARG_STRLEN of
// execve(2) is twice that).
const protectedLimit = 64 << 10

// erasingBut are the options by which dnf may erase own and nothing else: its solver
// never offers up a protected package, so that there is no list of what would go to be
// read, and nothing changes between reading it and acting. Nil where nothing may go, or
// the manager has no such option.
func erasingBut(tool string, now rpmTable, own []string) []string {
	if tool != dnf || len(own) == 0 {
		return nil
	}
	var names []string
	for key := range now {
		if name, _, _ := cutArch(key); !slices.Contains(own, key) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	protected := "--setopt=protected_packages=" + strings.Join(slices.Compact(names), ",")
	if len(protected) > protectedLimit {
		return nil
	}
	return []string{"--allowerasing", protected}
}

// lastWords are those of a failed program without its arguments, which may be thousands
// of names.
func lastWords(failed error) string {
	var exit *host.ExitError
	if errors.As(failed, &exit) {
		return exit.Result.Last()
	}
	return failed.Error()
}

// namedInstalled is how the solvers of dnf and yum name an installed package that does
// not go with what was asked for.
var namedInstalled = regexp.MustCompile(`(?:installed package |protected packages: |Package: )([^\s,]+)|([^\s,]+) from @System`)

// inTheWay says whether a solver refused, and for which installed packages.
func inTheWay(failed error, now rpmTable) (keys []string, refused bool) {
	var exit *host.ExitError
	if !errors.As(failed, &exit) {
		return nil, false
	}
	text := said(exit.Result)
	for _, match := range namedInstalled.FindAllStringSubmatch(text, -1) {
		name := match[1] + match[2]
		key, ok := keyOfNEVRA(name)
		if !ok || !now[key].there() {
			key = name // protected packages are named without a version
		}
		if now[key].there() && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, len(keys) > 0 || strings.Contains(text, "--allowerasing")
}
