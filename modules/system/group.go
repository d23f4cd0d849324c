package system

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"weft/engine/host"
	"weft/engine/step"
)

// GroupSpec is the spec of kind group.
type GroupSpec struct {
	Group   string         `json:"group" weft:"label" doc:"Name of the group."`
	GID     step.Attr[int] `json:"gid,omitzero" doc:"Its number; chosen by the host where left out."`
	System  bool           `json:"system,omitzero" doc:"Whether a new group gets a number of those for services."`
	Members []string       `json:"members,omitzero" weft:"set" doc:"Users that are in it; others that are stay."`
	State   step.State     `json:"state,omitzero" default:"present" doc:"Whether it is there."`
}

// GroupOutputs are the outputs of kind group.
type GroupOutputs struct {
	GID int `json:"gid" doc:"Number of the group."`
}

// maxID is the largest number that useradd(8) takes; the next is chown(2)'s word for "leave it".
const maxID = 4294967294

func idProblems(at string, id step.Attr[int]) []step.Problem {
	if n, ok := id.Get(); ok && (n < 0 || n > maxID) || id.Absent() {
		return []step.Problem{{Path: at, Message: "is not the number of a user or group"}}
	}
	return nil
}

// Validate finds names and numbers that are none.
func (s *GroupSpec) Validate() []step.Problem {
	problems := append(nameProblems("group", s.Group), idProblems("gid", s.GID)...)
	for i, m := range s.Members {
		problems = append(problems, nameProblems(fmt.Sprintf("members[%d]", i), m)...)
	}
	return problems
}

func groupKind() step.Kind {
	return step.Kind{
		Name:    "group",
		Summary: "A local group, and users that are in it.",
		Doc: `Made and changed by groupadd, groupmod, groupdel and gpasswd, in the local files alone: a group of LDAP or another source is refused. Members
that the step does not name stay. A process learns of a new membership when it is started anew, so restart what is to use it.

A group that is somebody's primary group cannot be removed. An undo leaves a group that it made where another hand put members into it since.`,
		Spec: GroupSpec{}, Outputs: GroupOutputs{},
		Example: `step "group" "hugetlbfs" {
  system  = true
  members = ["openvswitch", "libvirt-qemu"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[GroupSpec](u)
			if err != nil {
				return nil, err
			}
			want := localGroup{Group: spec.Group, GID: spec.GID, System: spec.System, State: spec.State, Members: map[string]step.Attr[bool]{}}
			for _, m := range spec.Members {
				want.Members[m] = step.Is(true)
			}
			return step.Of("group "+want.Group, localGroups{}, want), nil
		},
	}
}

// localGroup is the state of a group. A member is true or None.
type localGroup struct {
	Group   string                     `json:"group" weft:"label"`
	GID     step.Attr[int]             `json:"gid,omitzero"`
	System  bool                       `json:"system,omitzero" weft:"found"`
	Members map[string]step.Attr[bool] `json:"members,omitzero"`
	State   step.State                 `json:"state,omitzero"`
	// Order is that of the members of a group that goes.
	Order []string `json:"order,omitzero" weft:"found"`
	// Found is set in every state that was read: a group that is to go by one was made
	// by weft.
	Found bool `json:"found,omitzero" weft:"found"`
}

type localGroups struct{}

// Read reads /etc/group.
func (localGroups) Read(ctx context.Context, v host.View, want localGroup) (localGroup, error) {
	have := localGroup{Group: want.Group, State: step.Absent, Found: true, Members: map[string]step.Attr[bool]{}}
	all, err := readAccounts(ctx, v)
	if err != nil {
		return have, err
	}
	g, there := all.group(want.Group)
	if !there {
		if want.State.There() {
			err = elsewhere(ctx, v, "group", want.Group)
		}
		return have, err
	}
	have.State, have.GID, have.Order = step.Present, step.Is(g.gid), g.members
	for m := range want.Members {
		have.Members[m] = step.None[bool]()
	}
	for _, m := range g.members {
		if _, asked := want.Members[m]; asked || !want.State.There() {
			have.Members[m] = step.Is(true)
		}
	}
	return have, nil
}

// Diff compares number and members.
func (localGroups) Diff(have, want localGroup) []step.Delta { return step.Compare(have, want) }

// Write gives the orders that are left of it.
func (localGroups) Write(ctx context.Context, h host.Host, have, want localGroup) error {
	run := func(argv ...string) error {
		_, err := h.Commands.Run(ctx, host.Command{Argv: argv})
		return err
	}
	gid, numbered := want.GID.Get()
	switch {
	case !want.State.There() && !have.State.There():
		return nil
	case !want.State.There():
		if want.Found {
			if err := othersInGroup(ctx, h.View(), have); err != nil {
				return err
			}
		}
		return run("groupdel", "--", want.Group)
	case !have.State.There():
		argv := []string{"groupadd"}
		if numbered {
			argv = append(argv, "-g", strconv.Itoa(gid))
		}
		if want.System {
			argv = append(argv, "-r")
		}
		if err := run(append(argv, "--", want.Group)...); err != nil {
			return err
		}
	case numbered && gid != have.GID.Or(-1):
		if err := run("groupmod", "-g", strconv.Itoa(gid), "--", want.Group); err != nil {
			return err
		}
	}
	for _, m := range want.inOrder() {
		is, was := want.Members[m].Or(false), have.Members[m].Or(false)
		if is == was {
			continue
		}
		if err := run("gpasswd", membership(is), m, want.Group); err != nil {
			return err
		}
	}
	return nil
}

// inOrder are the members as they were found, then the others.
func (s localGroup) inOrder() []string {
	names := slices.Sorted(maps.Keys(s.Members))
	at := func(name string) int {
		if i := slices.Index(s.Order, name); i >= 0 {
			return i
		}
		return len(s.Order)
	}
	slices.SortStableFunc(names, func(a, b string) int { return at(a) - at(b) })
	return names
}

// membership is the option of gpasswd(1).
func membership(is bool) string {
	if is {
		return "-a"
	}
	return "-d"
}

// Advise warns of a number that changes.
func (localGroups) Advise(f *step.Finding, have, want localGroup) {
	outputs := map[string]int{}
	gid, known := want.GID.Get()
	if !known && have.State.There() {
		gid, known = have.GID.Get()
	}
	if known {
		outputs["gid"] = gid
	}
	f.Outputs, _ = json.Marshal(outputs)
	if have.State.There() && want.State.There() && want.GID.Managed() && have.GID != want.GID {
		f.Warnings = append(f.Warnings, fmt.Sprintf("files of group %d keep that number", have.GID.Or(0)))
	}
}
