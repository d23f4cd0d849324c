package system

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"weft/engine/step"
)

// UserSpec is the spec of kind user.
type UserSpec struct {
	User    string            `json:"user" weft:"label" doc:"Name of the user."`
	UID     step.Attr[int]    `json:"uid,omitzero" doc:"Its number; chosen by the host where left out."`
	System  bool              `json:"system,omitzero" doc:"Whether a new user gets a number of those for services, and a shell that lets nobody in where none is given."`
	Group   step.Attr[string] `json:"group,omitzero" doc:"Its primary group, by name or number; for a new user where left out the group of its name, which is made where there is none."`
	Groups  []string          `json:"groups,omitzero" weft:"set" doc:"Further groups that it is in; others that it is in stay."`
	Home    step.Attr[string] `json:"home,omitzero" doc:"Path of its home directory, which is neither made nor removed: a step directory after this one makes it."`
	Shell   step.Attr[string] `json:"shell,omitzero" doc:"Absolute path of its login shell."`
	Comment step.Attr[string] `json:"comment,omitzero" doc:"What it is for, or its full name."`
	State   step.State        `json:"state,omitzero" default:"present" doc:"Whether it is there."`
}

// UserOutputs are the outputs of kind user.
type UserOutputs struct {
	UID int `json:"uid" doc:"Number of the user."`
}

// Validate finds what passwd(5) cannot hold.
func (s *UserSpec) Validate() []step.Problem {
	problems := append(nameProblems("user", s.User), idProblems("uid", s.UID)...)
	for i, g := range s.Groups {
		problems = append(problems, nameProblems(fmt.Sprintf("groups[%d]", i), g)...)
	}
	if s.User == "root" && !s.State.There() {
		problems = append(problems, step.Problem{Path: "state", Message: "root is not removed"})
	}
	for _, a := range []struct {
		name string
		attr step.Attr[string]
	}{{"group", s.Group}, {"home", s.Home}, {"shell", s.Shell}} {
		if a.attr.Absent() {
			problems = append(problems, step.Problem{Path: a.name, Message: "cannot be absent: every user has one"})
		}
	}
	if g, ok := s.Group.Get(); ok && !isNumber(g) {
		problems = append(problems, nameProblems("group", g)...)
	}
	for _, a := range []struct {
		name string
		attr step.Attr[string]
	}{{"home", s.Home}, {"shell", s.Shell}} {
		if p, ok := a.attr.Get(); ok && (!path.IsAbs(p) || strings.ContainsAny(p, ":\n")) {
			problems = append(problems, step.Problem{Path: a.name, Message: fmt.Sprintf("%q is not an absolute path", p)})
		}
	}
	if strings.ContainsAny(s.Comment.Or(""), ":\n") {
		problems = append(problems, step.Problem{Path: "comment", Message: "holds a colon or a line's end, which passwd(5) has no place for"})
	}
	return problems
}

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

func userKind() step.Kind {
	return step.Kind{
		Name:    "user",
		Summary: "A local user, and the groups that it is in.",
		Doc: `Made and changed by useradd, usermod, userdel and gpasswd, in the local files alone: a user of LDAP or another source is refused. Groups
that the step does not name stay, so nobody loses one. Groups must be there: a step group before this one makes them. A new user has no password.

No file is touched: a home directory is the business of a step directory, and files keep the number of a user that goes or gets another one. A user whose
processes still run is not removed, by an undo neither; the message names them. An undo leaves a user that it made where another hand gave it groups or a password since.

What is removed comes back with number, groups, password and its age. Subordinate numbers (subuid(5)) are given anew.`,
		Spec: UserSpec{}, Outputs: UserOutputs{},
		Example: `step "user" "builder" {
  groups = ["kvm"]
  home   = "/home/builder"
  shell  = "/bin/bash"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[UserSpec](u)
			if err != nil {
				return nil, err
			}
			return step.Of("user "+spec.User, localUsers{}, spec.state()), nil
		},
	}
}

// localUser is the state of a user. A group that it is in is true, else None.
type localUser struct {
	User    string                     `json:"user" weft:"label"`
	UID     step.Attr[int]             `json:"uid,omitzero"`
	Group   step.Attr[string]          `json:"group,omitzero"`
	Groups  map[string]step.Attr[bool] `json:"groups,omitzero"`
	Home    step.Attr[string]          `json:"home,omitzero"`
	Shell   step.Attr[string]          `json:"shell,omitzero"`
	Comment step.Attr[string]          `json:"comment,omitzero"`
	State   step.State                 `json:"state,omitzero"`

	System bool `json:"system,omitzero" weft:"found"`
	// Own is the number of the group of the user's name: userdel takes it away.
	Own step.Attr[int] `json:"own,omitzero" weft:"found"`
	// Shadow is what shadow(5) has of a user that goes.
	Shadow step.Attr[string] `json:"shadow,omitzero" weft:"found"`
	// Primary is the name of the primary group: the user is in it in any case.
	Primary string `json:"primary,omitzero" weft:"found"`
	// Busy names a process of it.
	Busy string `json:"busy,omitzero" weft:"found"`
	// Found is set in every state that was read: a user that is to go by one was made
	// by weft.
	Found bool `json:"found,omitzero" weft:"found"`
}

func (s UserSpec) state() localUser {
	want := localUser{User: s.User, UID: s.UID, Group: s.Group, Groups: map[string]step.Attr[bool]{}, Home: s.Home, Shell: s.Shell, Comment: s.Comment, State: s.State, System: s.System}
	for _, g := range s.Groups {
		want.Groups[g] = step.Is(true)
	}
	return want
}

// Diff compares what passwd(5) and group(5) mean, not how they spell it.
func (localUsers) Diff(have, want localUser) []step.Delta {
	deltas := slices.DeleteFunc(step.Compare(have.canonical(), want.canonical()), func(d step.Delta) bool {
		return have.Primary != "" && d.Path == "groups."+have.Primary && d.To != nil
	})
	if want.Own.Managed() && have.Own.Managed() && have.Own != want.Own {
		deltas = append(deltas, step.Change("own", orNil(have.Own), orNil(want.Own)))
	}
	if want.State.There() && have.State.There() && want.Shadow.Managed() && have.Shadow != want.Shadow {
		d := step.Change("password", "another", "as it was")
		d.Secret = true
		deltas = append(deltas, d)
	}
	return deltas
}

func orNil(a step.Attr[int]) any {
	if n, ok := a.Get(); ok {
		return n
	}
	return nil
}

// canonical has one spelling for what means the same.
func (s localUser) canonical() localUser {
	if home, ok := s.Home.Get(); ok {
		s.Home = step.Is(cleanHome(home))
	}
	if shell, ok := s.Shell.Get(); ok {
		s.Shell = step.Is(shellOf(shell))
	}
	if comment, ok := s.Comment.Get(); ok && comment == "" {
		s.Comment = step.None[string]()
	}
	return s
}

// Advise warns of what a new number leaves behind, and of processes.
func (localUsers) Advise(f *step.Finding, have, want localUser) {
	outputs := map[string]int{}
	uid, known := want.UID.Get()
	if !known && have.State.There() {
		uid, known = have.UID.Get()
	}
	if known {
		outputs["uid"] = uid
	}
	f.Outputs, _ = json.Marshal(outputs)
	renumbered := have.State.There() && want.State.There() && want.UID.Managed() && have.UID != want.UID
	if renumbered {
		f.Warnings = append(f.Warnings, fmt.Sprintf("files of user %d outside of its home keep that number", have.UID.Or(0)))
	}
	if f.Changed() && have.Busy != "" && (renumbered || !want.State.There()) {
		f.Warnings = append(f.Warnings, have.Busy+" runs as "+want.User+"; the user is in use until it ends")
	}
}
