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

// A manager calls dnf(8) of version 4, or yum(8) of version 3.
type manager struct {
	tool    string // dnf or yum
	comment string // what the history of dnf says of a transaction
}

// silent keeps the log of dnf free of questions, and plugins out of them.
var silent = [...]string{"-q", "-C", "--disablerepo=*", "--disableplugin=*", "--setopt=logfilelevel=0"}

// command changes packages, and asks nothing.
func (m manager) command(args ...string) host.Command {
	argv := []string{m.tool, "-q", "-y", "--setopt=clean_requirements_on_remove=False"}
	if m.tool == dnf && m.comment != "" {
		argv = append(argv, "--comment=weft "+m.comment)
	}
	return host.Command{Argv: append(argv, args...), Timeout: aptTime}
}

func (m manager) run(ctx context.Context, h host.Host, args ...string) error {
	_, err := h.Commands.Run(ctx, m.command(args...))
	return explained(err)
}

// An rpmInstallation is what one call installs.
type rpmInstallation struct {
	words        []string // as dnf install takes them: NAME, NAME-VERSION, @GROUP
	others       []string // the same of what is there in another version
	recommends   bool
	repositories []string // enabled for this once
	listsAge     time.Duration
	locks        []string // options about locks, see [lockList.past]
	erasing      []string // options about what stands in the way, see [erasingBut]
}

// exchange installs in one transaction. Yum 3 has a verb of its own for older
// versions, and says by doing nothing that it is the one to use.
func (m manager) exchange(ctx context.Context, h host.Host, i rpmInstallation) error {
	if m.tool == dnf {
		i.words, i.others = slices.Concat(i.words, i.others), nil
	}
	if len(i.words) > 0 {
		if err := m.install(ctx, h, i); err != nil {
			return err
		}
	}
	if len(i.others) == 0 {
		return nil
	}
	before, err := readRPMs(ctx, h.View())
	if err != nil {
		return err
	}
	i.words = i.others
	failed := m.install(ctx, h, i)
	after, err := readRPMs(ctx, h.View())
	if err != nil {
		return err
	}
	if !slices.Equal(before.record(), after.record()) {
		return failed
	}
	return m.run(ctx, h, slices.Concat(i.options(m.tool), []string{"downgrade"}, i.others)...)
}

func (m manager) install(ctx context.Context, h host.Host, i rpmInstallation) error {
	slices.Sort(i.words)
	args := i.options(m.tool)
	_, err := h.Commands.Run(ctx, m.command(slices.Concat(args, []string{"install"}, i.words)...))
	var exit *host.ExitError
	if errors.As(err, &exit) && noMatch(said(exit.Result)) {
		if err := m.run(ctx, h, "clean", "expire-cache"); err != nil {
			return err
		}
		_, err = h.Commands.Run(ctx, m.command(slices.Concat(args, []string{"install"}, i.words)...))
	}
	return explained(err)
}

func (i rpmInstallation) options(tool string) []string {
	args := []string{"--setopt=*.metadata_expire=" + strconv.Itoa(int(i.listsAge.Seconds()))}
	for _, name := range i.repositories {
		args = append(args, "--enablerepo="+name)
	}
	if tool == dnf {
		weak := "False"
		if i.recommends {
			weak = "True"
		}
		args = append(args, "--setopt=install_weak_deps="+weak)
	}
	return slices.Concat(args, i.locks, i.erasing)
}

func (m manager) remove(ctx context.Context, h host.Host, words []string) error {
	if len(words) == 0 {
		return nil
	}
	slices.Sort(words)
	return m.run(ctx, h, append([]string{"remove"}, words...)...)
}

// finish ends an upgrade that was interrupted: of a package that is there in two
// versions the older one goes.
func (m manager) finish(ctx context.Context, h host.Host) error {
	if m.tool == dnf {
		return m.run(ctx, h, "remove", "--duplicates")
	}
	_, err := h.Commands.Run(ctx, host.Command{Argv: []string{"package-cleanup", "--cleandupes", "-y"}, Timeout: aptTime})
	if errors.Is(err, host.ErrNotReady) {
		return fmt.Errorf("packages are there twice, since a yum was interrupted; yum-utils would tidy that up, and is not installed: %w", err)
	}
	return explained(err)
}

// reasons fills in why each package is there.
func (m manager) reasons(ctx context.Context, v host.View, t rpmTable) error {
	var found map[string]string
	var err error
	if m.tool == yum {
		found, err = yumReasons(ctx, v)
	} else {
		var r host.Result
		r, err = v.Commands.Query(ctx, host.Command{
			Argv:    slices.Concat([]string{dnf}, silent[:], []string{"repoquery", "--installed", "--qf", "%{name}.%{arch} %{reason}"}),
			Timeout: 5 * time.Minute,
		})
		found = parseReasons(string(r.Stdout))
	}
	if err != nil {
		return fmt.Errorf("ask why packages are there: %w", explained(err))
	}
	for key, p := range t {
		p.Reason = found[key]
		t[key] = p
	}
	return nil
}

func parseReasons(text string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 2 {
			continue
		}
		if name, arch, ok := cutArch(words[0]); ok {
			found[keyOf(name, arch)] = words[1]
		}
	}
	return found
}

// yumReasons reads yum's database beside rpm's: a directory of a letter, in it one
// of a package (CHECKSUM-NAME-VERSION-RELEASE-ARCH), in it a file "reason".
func yumReasons(ctx context.Context, v host.View) (map[string]string, error) {
	const db = "/var/lib/yum/yumdb"
	found := map[string]string{}
	letters, err := listed(ctx, v, db)
	if err != nil {
		return nil, err
	}
	for _, letter := range letters {
		entries, err := listed(ctx, v, db+"/"+letter)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			_, nevra, _ := strings.Cut(entry, "-")
			i := strings.LastIndexByte(nevra, '-')
			if i < 0 {
				continue
			}
			name, _, ok := cutVersion(nevra[:i])
			reason, err := v.Files.Read(ctx, db+"/"+letter+"/"+entry+"/reason")
			if ok && err == nil {
				found[keyOf(name, nevra[i+1:])] = strings.TrimSpace(string(reason))
			}
		}
	}
	return found, nil
}

// mark sets why packages are there. Yum 3 has no verb for it.
func (m manager) mark(ctx context.Context, h host.Host, reason string, keys []string) error {
	verb, ok := map[string]string{"user": "install", "dependency": "remove", "weak-dependency": "remove", "group": "group"}[reason]
	if !ok || len(keys) == 0 || m.tool == yum {
		return nil
	}
	slices.Sort(keys)
	return m.run(ctx, h, append([]string{"-C", "mark", verb}, keys...)...)
}

// groups are the ids of the groups that the manager calls installed.
func (m manager) groups(ctx context.Context, v host.View) ([]string, error) {
	args := []string{m.tool, "-v", "-C", "group", "list", "installed"}
	if m.tool == dnf {
		args = []string{dnf, "-v", "-C", "--disableplugin=*", "--setopt=logfilelevel=0", "group", "list", "--installed"}
	}
	r, err := v.Commands.Query(ctx, host.Command{Argv: args, Timeout: 5 * time.Minute})
	var exit *host.ExitError
	if errors.As(err, &exit) { // nothing is cached yet
		args = slices.DeleteFunc(args, func(a string) bool { return a == "-C" })
		r, err = v.Commands.Query(ctx, host.Command{Argv: args, Timeout: 10 * time.Minute})
	}
	if err != nil {
		return nil, fmt.Errorf("ask which groups are installed: %w", explained(err))
	}
	return parseGroups(string(r.Stdout)), nil
}

// parseGroups reads lines such as "   Development Tools (development)".
func parseGroups(text string) []string {
	var ids []string
	for line := range strings.Lines(text) {
		line, indented := strings.CutPrefix(strings.TrimRight(line, "\n "), "   ")
		open := strings.LastIndex(line, " (")
		if !indented || open < 0 || !strings.HasSuffix(line, ")") {
			continue
		}
		ids = append(ids, line[open+2:len(line)-1])
	}
	return ids
}

// members are the packages of a group.
func (m manager) members(ctx context.Context, v host.View, id string) ([]string, error) {
	r, err := v.Commands.Query(ctx, host.Command{Argv: []string{m.tool, "-q", "group", "info", id}, Timeout: 10 * time.Minute})
	if err != nil {
		return nil, fmt.Errorf("ask what is in group %s: %w", id, explained(err))
	}
	return parseMembers(string(r.Stdout)), nil
}

// parseMembers reads the lines of group info that are a package: indented by three,
// with a mark before the name in yum's.
func parseMembers(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		name, ok := strings.CutPrefix(strings.TrimRight(line, "\n "), "   ")
		name = strings.TrimLeft(name, "+-= ")
		if ok && packageName.MatchString(name) {
			names = append(names, name)
		}
	}
	return names
}

func said(r host.Result) string { return string(r.Stderr) + "\n" + string(r.Stdout) }

func noMatch(text string) bool {
	return strings.Contains(text, "Unable to find a match") || strings.Contains(text, "No match for argument") ||
		strings.Contains(text, "No package ") || strings.Contains(text, "Module or Group")
}
