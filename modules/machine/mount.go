package machine

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"weft/engine/step"
)

// MountSpec is the spec of kind mount.
type MountSpec struct {
	Path       string     `json:"path" weft:"label" doc:"Absolute path of the mount point. Its last directory is made where it is not there; it is root's, with mode 0755."`
	Source     string     `json:"source,omitzero" doc:"What is mounted: a device, UUID=…, LABEL=…, a share, or for a file system of the kernel's own any word. Required unless the state is absent."`
	Type       string     `json:"type,omitzero" doc:"Type of the file system: hugetlbfs, tmpfs, ext4, nfs4. Required unless the state is absent."`
	Options    []string   `json:"options,omitzero" weft:"set" doc:"Options of mount(8), one each: [\"pagesize=1G\", \"noexec\"]. Where left out they are not looked at, and a new mount has the defaults."`
	Dump       int        `json:"dump" default:"0" doc:"The fifth column of fstab(5)."`
	Pass       int        `json:"pass" default:"0" doc:"The sixth column of fstab(5), the order of checks at boot; 2 for a disk's file system that is not the root."`
	Persistent bool       `json:"persistent" default:"true" doc:"Whether /etc/fstab has a line for it; if false, it must not."`
	State      step.State `json:"state,omitzero" default:"present" doc:"If present, it is mounted, now and at boot; if absent, nothing is mounted there and /etc/fstab has no line for it. The directory stays."`
}

// Validate finds what mount(8) or fstab(5) cannot be told.
func (s *MountSpec) Validate() []step.Problem {
	var problems []step.Problem
	if !path.IsAbs(s.Path) || path.Clean(s.Path) != s.Path || s.Path == "/" || strings.ContainsAny(s.Path, "\n\r") {
		problems = append(problems, step.Problem{Path: "path", Message: fmt.Sprintf("%q is no mount point", s.Path), Hint: "give an absolute path without .. and without a slash at its end"})
	}
	if s.Dump < 0 || s.Pass < 0 {
		problems = append(problems, step.Problem{Path: "pass", Message: "and dump are no negative numbers"})
	}
	if !s.State.There() {
		return problems
	}
	for name, value := range map[string]string{"source": s.Source, "type": s.Type} {
		if value == "" || strings.HasPrefix(value, "-") || strings.ContainsAny(value, "\n\r") {
			problems = append(problems, step.Problem{Path: name, Message: fmt.Sprintf("is %q, which mount(8) cannot be told", value)})
		}
	}
	if strings.ContainsAny(s.Type, " \t#\\,") || s.Type == "swap" || s.Type == "none" || s.Type == "auto" {
		problems = append(problems, step.Problem{Path: "type", Message: fmt.Sprintf("%q is no type of a file system", s.Type), Hint: "name it, like hugetlbfs or ext4"})
	}
	for _, o := range s.Options {
		switch {
		case slices.Contains([]string{"bind", "rbind", "remount", "move"}, o):
			problems = append(problems, step.Problem{Path: "options", Message: o + " is another thing than a mount of a file system, and this kind does not do it"})
		case o == "" || strings.ContainsAny(o, ", \t\n\r"):
			problems = append(problems, step.Problem{Path: "options", Message: fmt.Sprintf("%q is not one option", o), Hint: "give each for itself"})
		}
	}
	return problems
}

func mountKind() step.Kind {
	return step.Kind{
		Name:    "mount",
		Summary: "A file system mounted at a path, now and at boot.",
		Doc: `What is mounted and the line in /etc/fstab are two things, and both are looked at, repaired and taken back. Of /etc/fstab one line is
written, the rest stays to the byte; systemd is told to read it again.

Options that mean the same are the same: defaults, rw and relatime may be there or not, pagesize=1G is what the kernel shows as pagesize=1024M, and
what the kernel adds by itself is no difference. A flag in force that was not asked for (ro, noexec) is one. Options are changed by a remount, and where the file system does not follow, by
mounting it anew, which is refused while it is in use: the error names the processes.

A path that a unit file of another hand mounts (a .mount unit, like systemd's own dev-hugepages.mount) is refused, with its name. Bind mounts and swap are not this kind's.`,
		Spec: MountSpec{},
		Example: `step "mount" "/mnt/huge_1G" {
  source  = "hugetlbfs"
  type    = "hugetlbfs"
  options = ["pagesize=1G"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[MountSpec](u)
			if err != nil {
				return nil, err
			}
			return step.Of("mount "+spec.Path, mounts{}, spec.state()), nil
		},
	}
}

// mountPoint is the state of a path: what is mounted now, and what fstab says.
type mountPoint struct {
	Path       string          `json:"path" weft:"label"`
	State      step.State      `json:"state,omitzero"`
	Mounted    step.Attr[bool] `json:"mounted,omitzero" weft:"whole"`
	Persistent step.Attr[bool] `json:"persistent,omitzero" weft:"whole"`
	Source     nowAndBoot      `json:"source,omitzero"`
	Type       nowAndBoot      `json:"type,omitzero" weft:"whole"`
	Options    mountOptions    `json:"options,omitzero"`
	Dump       step.Attr[int]  `json:"dump,omitzero"`
	Pass       step.Attr[int]  `json:"pass,omitzero"`
	// Directory says that the mount point is there; absent, that it was not and
	// is to go again.
	Directory step.Attr[bool] `json:"directory,omitzero"`
	// Fstab is the file as it was found.
	Fstab step.Attr[string] `json:"fstab,omitzero" weft:"found"`
	// Found is the mount in the kernel's words, of which the above tells in
	// those of the step what means the same.
	Found *foundMount `json:"found,omitzero" weft:"found"`
}

type foundMount struct {
	Source  string   `json:"source"`
	Options []string `json:"options"`
}

type nowAndBoot struct {
	Now  step.Attr[string] `json:"now,omitzero"`
	Boot step.Attr[string] `json:"boot,omitzero"`
}

type mountOptions struct {
	Now  step.Attr[[]string] `json:"now,omitzero" weft:"set"`
	Boot step.Attr[[]string] `json:"boot,omitzero" weft:"set"`
}

// state is what the spec asks for.
func (s MountSpec) state() mountPoint {
	want := mountPoint{Path: s.Path, State: step.Absent}
	if !s.State.There() {
		return want
	}
	want.State, want.Mounted, want.Persistent, want.Directory = step.Present, step.Is(true), step.Is(s.Persistent), step.Is(true)
	want.Source.Now, want.Type.Now = step.Is(s.Source), step.Is(s.Type)
	if s.Options != nil {
		want.Options.Now = step.Is(s.Options)
	}
	if s.Persistent {
		want.Source.Boot, want.Type.Boot, want.Options.Boot = want.Source.Now, want.Type.Now, want.Options.Now
		want.Dump, want.Pass = step.Is(s.Dump), step.Is(s.Pass)
	}
	return want
}

type mounts struct{}

// Diff compares all. Where nothing is to be there, an empty directory of ours
// may still be.
func (mounts) Diff(have, want mountPoint) []step.Delta {
	deltas := step.Compare(have, want)
	if len(deltas) == 0 && !want.State.There() && want.Directory.Absent() && have.Directory.Or(false) {
		return []step.Delta{step.Change("directory", true, nil)}
	}
	return deltas
}

// forgetful are file systems whose content goes with their mount.
var forgetful = [...]string{"tmpfs", "ramfs", "hugetlbfs"}

// Advise says what a change takes away.
func (mounts) Advise(f *step.Finding, have, want mountPoint) {
	f.Outputs = json.RawMessage("{}")
	away := false
	for _, d := range f.Deltas {
		switch {
		case d.Path == "state" && !want.State.There(), d.Path == "source.now", d.Path == "type.now":
			away = away || have.Mounted.Or(false)
		case d.Path == "options.now" && have.Mounted.Or(false):
			f.Cost.Disruption = "mounts " + want.Path + " with other options"
			if kind := have.Type.Now.Or(""); slices.Contains(forgetful[:], kind) {
				f.Warnings = append(f.Warnings, fmt.Sprintf("where the %s at %s does not follow a remount it is mounted anew, and its files are lost", kind, want.Path))
			}
		}
	}
	if !away {
		return
	}
	f.Cost.Disruption = "unmounts " + want.Path
	if kind := have.Type.Now.Or(""); slices.Contains(forgetful[:], kind) {
		f.Warnings = append(f.Warnings, fmt.Sprintf("the files in the %s at %s are lost; undo mounts an empty one", kind, want.Path))
	}
}
