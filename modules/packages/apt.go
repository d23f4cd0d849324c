package packages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/engine/host"
)

// aptTime is how long one call of apt may take.
const aptTime = 30 * time.Minute

// quiet keeps maintainer scripts from asking, and needrestart and
// apt-listchanges from acting on their own.
var quiet = [...]string{
	"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true", "APT_LISTCHANGES_FRONTEND=none",
	"NEEDRESTART_SUSPEND=1", "UCF_FORCE_CONFFOLD=1",
}

// aptGet is a call of apt-get(8) that waits for the lock of another one, asks
// nothing, and keeps configuration files that were changed by hand.
func aptGet(args ...string) host.Command {
	return host.Command{
		Argv: append([]string{
			"apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0",
			"-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
		}, args...),
		Env:     quiet[:],
		Timeout: aptTime,
	}
}

// configure finishes what an interrupted dpkg left.
func configure(ctx context.Context, h host.Host) error {
	_, err := h.Commands.Run(ctx, host.Command{Argv: []string{"dpkg", "--configure", "-a", "--force-confdef", "--force-confold"}, Env: quiet[:], Timeout: aptTime})
	return err
}

// mark sets one of the marks of apt-mark(8): "hold", "unhold", "auto",
// "manual".
func mark(ctx context.Context, h host.Host, what string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	_, err := h.Commands.Run(ctx, host.Command{Argv: append([]string{"apt-mark", what}, names...), Env: quiet[:], Timeout: time.Minute})
	return err
}

// An installation is one call of apt-get install, which resolves what comes and
// what goes together.
type installation struct {
	packages   map[string]string // name to version; the candidate where empty
	without    []string          // removed, their configuration stays
	recommends bool
	listsAge   time.Duration // lists older than this are fetched again
}

// run installs. Package lists are fetched first where there are none or they are
// old, and once more where apt does not find or fetch what it should.
func (i installation) run(ctx context.Context, h host.Host) error {
	fresh := len(i.packages) == 0
	if !fresh {
		var err error
		if fresh, err = listsFresh(ctx, h.View(), i.listsAge); err != nil {
			return err
		}
	}
	if !fresh {
		if err := update(ctx, h); err != nil {
			return err
		}
	}
	_, err := h.Commands.Run(ctx, aptGet(i.words()...))
	var exit *host.ExitError
	if fresh && errors.As(err, &exit) && outdated(exit.Result) {
		if err := update(ctx, h); err != nil {
			return err
		}
		_, err = h.Commands.Run(ctx, aptGet(i.words()...))
	}
	return err
}

func update(ctx context.Context, h host.Host) error {
	_, err := h.Commands.Run(ctx, aptGet("update"))
	return err
}

// words are the arguments of apt-get; a name with a minus behind it is removed.
func (i installation) words() []string {
	args := []string{"--allow-downgrades", "--allow-change-held-packages", "--no-install-recommends", "install"}
	if i.recommends {
		args[2] = "--install-recommends"
	}
	var packages []string
	for name, version := range i.packages {
		if version != "" {
			name += "=" + version
		}
		packages = append(packages, name)
	}
	for _, name := range i.without {
		packages = append(packages, name+"-")
	}
	slices.Sort(packages)
	return append(args, packages...)
}

// outdated says whether apt failed because its lists are not those of the
// repository any more.
func outdated(r host.Result) bool {
	text := string(r.Stderr) + string(r.Stdout)
	for _, sign := range []string{"Unable to locate package", "has no installation candidate", "was not found", "Unable to fetch", "404 "} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// listsFresh says whether apt has package lists that are young enough, and no
// source was changed since they were fetched.
func listsFresh(ctx context.Context, v host.View, age time.Duration) (bool, error) {
	const dir, sources = "/var/lib/apt/lists", "/etc/apt/sources.list.d"
	names, err := listed(ctx, v, dir)
	if err != nil {
		return false, err
	}
	if !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, "_Packages") }) {
		return false, nil
	}
	argv := []string{"stat", "-c", "%Y", dir}
	if ok, err := there(ctx, v, sources); err != nil {
		return false, err
	} else if ok {
		argv = append(argv, sources)
	}
	files, err := listed(ctx, v, sources)
	if err != nil {
		return false, err
	}
	for _, file := range files {
		argv = append(argv, sources+"/"+file)
	}
	r, err := v.Commands.Query(ctx, host.Command{Argv: argv, Timeout: time.Minute})
	if err != nil {
		return false, fmt.Errorf("read the age of the package lists: %w", err)
	}
	var fetched int64
	for i, line := range strings.Fields(string(r.Stdout)) {
		seconds, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			return false, fmt.Errorf("read the age of the package lists: %w", err)
		}
		if i == 0 {
			fetched = seconds
		} else if seconds >= fetched {
			return false, nil
		}
	}
	return time.Since(time.Unix(fetched, 0)) < age, nil
}

// remove removes packages, and their configuration with the verb purge.
func remove(ctx context.Context, h host.Host, verb string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	_, err := h.Commands.Run(ctx, aptGet(append([]string{"--allow-change-held-packages", verb}, names...)...))
	return err
}

// goWith are the packages that would go besides those that i removes, because
// they need one of them.
func (i installation) goWith(ctx context.Context, v host.View) ([]string, error) {
	r, err := v.Commands.Query(ctx, aptGet(append([]string{"-s"}, i.words()...)...))
	if err != nil {
		return nil, fmt.Errorf("ask apt what else would go: %w", err)
	}
	return others(string(r.Stdout), i.without), nil
}

// others are the packages that a simulation of apt-get removes besides names.
func others(simulation string, names []string) []string {
	var out []string
	for line := range strings.Lines(simulation) {
		words := strings.Fields(line)
		if len(words) > 1 && (words[0] == "Remv" || words[0] == "Purg") && !slices.Contains(names, words[1]) {
			out = append(out, words[1])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
