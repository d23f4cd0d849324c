package system

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

type localUsers struct{}

// Read reads the local files.
func (localUsers) Read(ctx context.Context, v host.View, want localUser) (localUser, error) {
	have := localUser{User: want.User, State: step.Absent, Found: true, Groups: map[string]step.Attr[bool]{}}
	all, err := readAccounts(ctx, v)
	if err != nil {
		return have, err
	}
	if err := all.lack(want); err != nil {
		return have, err
	}
	u, there := all.user(want.User)
	if !there || !want.State.There() || want.Own.Managed() {
		have.Own = step.None[int]()
		if own, ok := all.group(want.User); ok {
			have.Own = step.Is(own.gid)
		}
	}
	if !there {
		if want.State.There() {
			err = elsewhere(ctx, v, "passwd", want.User)
		}
		return have, err
	}
	have.State, have.UID, have.Home, have.Shell, have.Comment = step.Present, step.Is(u.uid), step.Is(u.home), step.Is(u.shell), step.Is(u.comment)
	have.Group = step.Is(strconv.Itoa(u.gid))
	primary, named := all.groupOf(u.gid)
	have.Primary = primary.name
	if named && !isNumber(want.Group.Or("")) {
		have.Group = step.Is(primary.name)
	}
	for g := range want.Groups {
		have.Groups[g] = step.None[bool]()
	}
	for _, g := range all.groups {
		if _, asked := want.Groups[g.name]; !asked && want.State.There() {
			continue
		}
		if slices.Contains(g.members, want.User) {
			have.Groups[g.name] = step.Is(true)
		}
	}
	if !want.State.There() || want.UID.Managed() && want.UID != have.UID {
		if have.Busy, err = processOf(ctx, v, u.uid); err != nil {
			return have, err
		}
	}
	if !want.State.There() || want.Shadow.Managed() {
		have.Shadow, err = shadowOf(ctx, v, want.User)
	}
	return have, err
}

// lack is an error where a group is not there that the user should be in.
func (a localAccounts) lack(want localUser) error {
	wanted := slices.Sorted(maps.Keys(want.Groups))
	if g, ok := want.Group.Get(); ok && !isNumber(g) && !want.Own.Managed() {
		wanted = append(wanted, g)
	}
	for _, g := range wanted {
		if _, there := a.group(g); !there && want.State.There() && (g == want.Group.Or("") || want.Groups[g].Or(false)) {
			return fmt.Errorf("there is no group %s in /etc/group; a step group or a package before this one makes it: %w", g, step.ErrNotYet)
		}
	}
	return nil
}

// shadowOf is what shadow(5) has of a user behind its name.
func shadowOf(ctx context.Context, v host.View, name string) (step.Attr[string], error) {
	text, err := v.Files.Read(ctx, "/etc/shadow")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return step.None[string](), err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), name+":"); ok && strings.Count(rest, ":") == 7 {
			return step.Is(rest), nil
		}
	}
	return step.None[string](), nil
}

// processOf is a process of a user, with its program; empty where none runs.
func processOf(ctx context.Context, v host.View, uid int) (string, error) {
	names, err := v.Kernel.List(ctx, "/proc")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, pid := range names {
		if !isNumber(pid) {
			continue
		}
		status, err := v.Kernel.Get(ctx, "/proc/"+pid+"/status")
		if err != nil {
			continue // it ended meanwhile
		}
		program, id := "", ""
		for line := range strings.Lines(status) {
			f := strings.Fields(line)
			switch {
			case len(f) > 1 && f[0] == "Name:":
				program = f[1]
			case len(f) > 1 && f[0] == "Uid:":
				id = f[1]
			}
		}
		if id == strconv.Itoa(uid) {
			return "process " + pid + " (" + program + ")", nil
		}
	}
	return "", nil
}

// Write gives the orders that are left of it.
func (u localUsers) Write(ctx context.Context, h host.Host, have, want localUser) error {
	run := func(argv ...string) error {
		_, err := h.Commands.Run(ctx, host.Command{Argv: argv})
		return err
	}
	if !want.State.There() {
		return u.remove(ctx, h, have, want, run)
	}
	if err := u.ownGroup(ctx, h, want, run); err != nil {
		return err
	}
	if have.State.There() {
		if argv := changes(have, want); len(argv) > 0 {
			if err := run(slices.Concat([]string{"usermod"}, argv, []string{"--", want.User})...); err != nil {
				return err
			}
		}
	} else if err := u.add(ctx, h, want, run); err != nil {
		return err
	}
	for _, g := range slices.Sorted(maps.Keys(want.Groups)) {
		is, was := want.Groups[g].Or(false), have.Groups[g].Or(false)
		if is == was {
			continue
		}
		if err := run("gpasswd", membership(is), want.User, g); err != nil {
			return err
		}
	}
	if shadow, ok := want.Shadow.Get(); ok && have.Shadow != want.Shadow {
		return restorePassword(ctx, h, want.User, shadow)
	}
	return nil
}

// changes are the options of usermod(8).
func changes(have, want localUser) []string {
	var argv []string
	if uid, ok := want.UID.Get(); ok && have.UID != want.UID {
		argv = append(argv, "-u", strconv.Itoa(uid))
	}
	h, w := have.canonical(), want.canonical()
	for _, a := range []struct {
		option           string
		have, want, text step.Attr[string]
	}{{"-g", h.Group, w.Group, want.Group}, {"-d", h.Home, w.Home, want.Home}, {"-s", h.Shell, w.Shell, want.Shell}, {"-c", h.Comment, w.Comment, want.Comment}} {
		if a.want.Managed() && a.have != a.want {
			argv = append(argv, a.option, a.text.Or(""))
		}
	}
	return argv
}

// add makes a user, without a home directory and with no group but its primary one.
func (localUsers) add(ctx context.Context, h host.Host, want localUser, run func(...string) error) error {
	argv := []string{"useradd", "-M"}
	if want.System {
		argv = append(argv, "-r")
		if !want.Shell.Managed() {
			want.Shell = step.Is("/usr/sbin/nologin")
		}
	}
	if !want.Group.Managed() {
		all, err := readAccounts(ctx, h.View())
		if err != nil {
			return err
		}
		if _, there := all.group(want.User); there {
			want.Group = step.Is(want.User)
		} else {
			argv = append(argv, "-U")
		}
	}
	if want.Group.Managed() {
		argv = append(argv, "-N") // no group of its name
	}
	argv = append(argv, changes(localUser{}, want)...)
	return run(append(argv, "--", want.User)...)
}

// ownGroup makes the group of a user's name again that went with it, or takes it away
// that came with it.
func (localUsers) ownGroup(ctx context.Context, h host.Host, want localUser, run func(...string) error) error {
	if !want.Own.Managed() {
		return nil
	}
	all, err := readAccounts(ctx, h.View())
	if err != nil {
		return err
	}
	now, there := all.group(want.User)
	gid, wanted := want.Own.Get()
	switch {
	case wanted && !there:
		return run("groupadd", "-g", strconv.Itoa(gid), "--", want.User)
	case wanted && now.gid != gid:
		return run("groupmod", "-g", strconv.Itoa(gid), "--", want.User)
	case !wanted && there && !want.State.There() && len(now.members) == 0:
		return run("groupdel", "--", want.User)
	}
	return nil
}

// remove takes a user away that nothing runs as.
func (u localUsers) remove(ctx context.Context, h host.Host, have, want localUser, run func(...string) error) error {
	if have.State.There() {
		if want.Found {
			if err := othersOfUser(ctx, h.View(), have, want); err != nil {
				return err
			}
		}
		busy, err := processOf(ctx, h.View(), have.UID.Or(-1))
		if err != nil {
			return err
		}
		if busy != "" {
			return fmt.Errorf("%s runs as %s; end it first, or undo the step that started it", busy, want.User)
		}
		if err := run("userdel", "--", want.User); err != nil {
			return err
		}
	}
	return u.ownGroup(ctx, h, want, run)
}

// restorePassword gives a password and its age back, without an argument that tells
// it.
func restorePassword(ctx context.Context, h host.Host, name, shadow string) error {
	f := strings.Split(shadow, ":") // hash, changed, least, most, warned, inactive, expires, reserved
	_, err := h.Commands.Run(ctx, host.Command{Argv: []string{"chpasswd", "-e"}, Stdin: []byte(name + ":" + f[0] + "\n")})
	if err != nil {
		return err
	}
	argv := []string{"chage"}
	for i, option := range []string{"-d", "-m", "-M", "-W", "-I", "-E"} {
		days := f[1+i]
		if days == "" {
			days = "-1"
		}
		argv = append(argv, option, days)
	}
	_, err = h.Commands.Run(ctx, host.Command{Argv: append(argv, "--", name)})
	return err
}
