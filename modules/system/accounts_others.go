package system

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// othersInGroup is an error where a group that weft made serves another hand since: a
// member, a user's primary group, a password. Have names the members of the step.
func othersInGroup(ctx context.Context, v host.View, have localGroup) error {
	all, err := readAccounts(ctx, v)
	if err != nil {
		return err
	}
	g, there := all.group(have.Group)
	if !there {
		return nil
	}
	for _, m := range g.members {
		if _, ours := have.Members[m]; !ours {
			return fmt.Errorf("%s is in it, whom another hand put there; take the membership away (gpasswd -d %s %s) and undo again: %w", m, m, g.name, step.ErrConflict)
		}
	}
	if u, is := all.primaryOf(g.gid, ""); is {
		return fmt.Errorf("it is the primary group of %s; give that user another (usermod -g) and undo again: %w", u, step.ErrConflict)
	}
	text, err := optional(ctx, v, "/etc/gshadow")
	if err != nil {
		return err
	}
	if f := colons(text, g.name, 4); f != nil && (strings.Trim(f[1], "!*") != "" || f[2] != "") {
		return fmt.Errorf("another hand gave it a password or administrators; take them away (gpasswd) and undo again: %w", step.ErrConflict)
	}
	return nil
}

// othersOfUser is an error where another hand gave groups or a password to a user that
// weft made, or uses the group of its name. Have names the groups of the step.
func othersOfUser(ctx context.Context, v host.View, have, want localUser) error {
	all, err := readAccounts(ctx, v)
	if err != nil {
		return err
	}
	for _, g := range all.groups {
		if _, ours := have.Groups[g.name]; !ours && slices.Contains(g.members, want.User) {
			return fmt.Errorf("another hand put it into group %s; take the membership away (gpasswd -d %s %s) and undo again: %w", g.name, want.User, g.name, step.ErrConflict)
		}
	}
	shadow, err := shadowOf(ctx, v, want.User)
	if err != nil {
		return err
	}
	// useradd(8) leaves "!" or "!!"; an empty one lets everybody in, so a hand left it.
	if line, ok := shadow.Get(); ok {
		if hash, _, _ := strings.Cut(line, ":"); hash == "" || strings.Trim(hash, "!") != "" {
			return fmt.Errorf("another hand gave it a password; remove the user by a step with state = \"absent\" where it is to go: %w", step.ErrConflict)
		}
	}
	own, there := all.group(want.User)
	if !there || !want.Own.Absent() {
		return nil
	}
	if i := slices.IndexFunc(own.members, func(m string) bool { return m != want.User }); i >= 0 {
		return fmt.Errorf("%s is in the group of its name, put there by another hand; take the membership away (gpasswd -d %s %s) and undo again: %w", own.members[i], own.members[i], own.name, step.ErrConflict)
	}
	if u, is := all.primaryOf(own.gid, want.User); is {
		return fmt.Errorf("the group of its name is the primary group of %s; give that user another (usermod -g) and undo again: %w", u, step.ErrConflict)
	}
	return nil
}

// primaryOf is a user whose primary group has a number, but for one.
func (a localAccounts) primaryOf(gid int, but string) (string, bool) {
	i := slices.IndexFunc(a.users, func(u passwdLine) bool { return u.gid == gid && u.name != but })
	if i < 0 {
		return "", false
	}
	return a.users[i].name, true
}

// colons are the fields of the line of a name, where it has so many.
func colons(text, name string, fields int) []string {
	for line := range strings.Lines(text) {
		if f := strings.Split(strings.TrimRight(line, "\r\n"), ":"); len(f) == fields && f[0] == name {
			return f
		}
	}
	return nil
}

// optional is a file's text, empty where there is none.
func optional(ctx context.Context, v host.View, name string) (string, error) {
	text, err := v.Files.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}
