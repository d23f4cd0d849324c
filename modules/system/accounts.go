package system

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// accountShape is what useradd(8) takes for a name, as Debian and Red Hat do.
var accountShape = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*\$?$`)

func nameProblems(at, name string) []step.Problem {
	if accountShape.MatchString(name) && len(name) <= 32 {
		return nil
	}
	return []step.Problem{{Path: at, Message: fmt.Sprintf("%q is not the name of a user or group", name), Hint: "letters, digits, - _ . and no more than 32 of them"}}
}

// A passwdLine is a line of passwd(5).
type passwdLine struct {
	name                 string
	uid, gid             int
	comment, home, shell string
}

// parsePasswd reads passwd(5). Lines that are none, and those of NIS that begin with
// + or -, are passed over; of two with one name the first counts, as for getpwnam(3).
func parsePasswd(text string) []passwdLine {
	var users []passwdLine
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(f) != 7 || f[0] == "" || strings.ContainsAny(f[0][:1], "+-#") {
			continue
		}
		uid, err := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err != nil || err2 != nil {
			continue
		}
		users = append(users, passwdLine{f[0], int(uid), int(gid), f[4], f[5], f[6]})
	}
	return users
}

// A groupLine is a line of group(5).
type groupLine struct {
	name    string
	gid     int
	members []string
}

// parseGroups reads group(5) as parsePasswd reads its file.
func parseGroups(text string) []groupLine {
	var groups []groupLine
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(f) != 4 || f[0] == "" || strings.ContainsAny(f[0][:1], "+-#") {
			continue
		}
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			continue
		}
		g := groupLine{name: f[0], gid: int(gid)}
		for member := range strings.SplitSeq(f[3], ",") {
			if member = strings.TrimSpace(member); member != "" && !slices.Contains(g.members, member) {
				g.members = append(g.members, member)
			}
		}
		groups = append(groups, g)
	}
	return groups
}

// localAccounts are the users and groups of the local files.
type localAccounts struct {
	users  []passwdLine
	groups []groupLine
}

func readAccounts(ctx context.Context, v host.View) (localAccounts, error) {
	return host.Recall(v.Memo, "local accounts", func() (localAccounts, error) {
		var a localAccounts
		text, err := v.Files.Read(ctx, "/etc/passwd")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return a, err
		}
		a.users = parsePasswd(string(text))
		text, err = v.Files.Read(ctx, "/etc/group")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return a, err
		}
		a.groups = parseGroups(string(text))
		return a, nil
	})
}

func (a localAccounts) user(name string) (passwdLine, bool) {
	i := slices.IndexFunc(a.users, func(u passwdLine) bool { return u.name == name })
	if i < 0 {
		return passwdLine{}, false
	}
	return a.users[i], true
}

func (a localAccounts) group(name string) (groupLine, bool) {
	i := slices.IndexFunc(a.groups, func(g groupLine) bool { return g.name == name })
	if i < 0 {
		return groupLine{}, false
	}
	return a.groups[i], true
}

// groupOf is a group by its number.
func (a localAccounts) groupOf(gid int) (groupLine, bool) {
	i := slices.IndexFunc(a.groups, func(g groupLine) bool { return g.gid == gid })
	if i < 0 {
		return groupLine{}, false
	}
	return a.groups[i], true
}

// elsewhere is an error where a name that is in no local file is known from another
// source: LDAP, SSSD, a dynamic user of systemd.
func elsewhere(ctx context.Context, v host.View, table, name string) error {
	_, err := v.Commands.Query(ctx, host.Command{Argv: []string{"getent", table, name}})
	var exit *host.ExitError
	switch {
	case err == nil:
		return fmt.Errorf("%s is in no local file, but known from another source (nsswitch.conf(5)); weft manages local users and groups only", name)
	case errors.As(err, &exit) || errors.Is(err, host.ErrNotReady):
		return nil
	}
	return err
}

// cleanHome is a home directory as it is compared: a slash at its end means nothing.
func cleanHome(home string) string {
	if home == "" {
		return ""
	}
	return path.Clean(home)
}

// shellOf is the program that an empty field stands for, too (passwd(5)).
func shellOf(shell string) string {
	if shell == "" {
		return "/bin/sh"
	}
	return shell
}
