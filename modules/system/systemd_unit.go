package system

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"weft/engine/step"
)

// unitDir is where an administrator's units are (systemd.unit(5)).
const unitDir = "/etc/systemd/system"

// SystemdUnitSpec is the spec of kind systemd_unit.
type SystemdUnitSpec struct {
	Unit     string             `json:"unit" weft:"label" doc:"Name of the unit; .service is added where it has no suffix."`
	Content  step.Attr[content] `json:"content,omitzero" doc:"The whole file, in /etc/systemd/system."`
	Override step.Attr[content] `json:"override,omitzero" doc:"What is said beside the unit's own file, in a drop-in. To replace a list such as ExecStart, clear it first by an empty assignment."`
	DropIn   string             `json:"drop_in,omitzero" doc:"Name of the drop-in, without .conf; 50-weft where left out. Later names win. With state = \"absent\" it says that the drop-in is meant, not the unit."`
	Restart  bool               `json:"restart" default:"true" doc:"Whether a unit that runs is restarted after a change. If false it goes on by its old file."`
	State    step.State         `json:"state,omitzero" default:"present" doc:"Whether the file is there. A unit whose only file goes is stopped and disabled first."`
}

// SystemdUnitOutputs are the outputs of kind systemd_unit.
type SystemdUnitOutputs struct {
	Unit string `json:"unit" doc:"Full name of the unit."`
	Path string `json:"path" doc:"Path of the file."`
}

// Validate finds what systemd would pass over.
func (s *SystemdUnitSpec) Validate() []step.Problem {
	var problems []step.Problem
	if s.Unit == "" || strings.ContainsAny(s.Unit, "/ \n") {
		problems = append(problems, step.Problem{Path: "unit", Message: fmt.Sprintf("%q is not the name of a systemd unit", s.Unit)})
	}
	if strings.ContainsAny(s.DropIn, "/ \n") || strings.HasSuffix(s.DropIn, ".conf") {
		problems = append(problems, step.Problem{Path: "drop_in", Message: fmt.Sprintf("%q is not the name of a drop-in", s.DropIn), Hint: `write it without directory and .conf: "50-weft"`})
	}
	main, drop := s.Content.Managed(), s.Override.Managed() || s.DropIn != ""
	switch {
	case main && drop:
		problems = append(problems, step.Problem{Path: "content", Message: "excludes override and drop_in: they are two files, and two steps"})
	case s.State.There() && !main && !s.Override.Managed():
		problems = append(problems, step.Problem{Path: "content", Message: "is missing", Hint: "give content for a whole unit, or override for a drop-in"})
	}
	for _, a := range []struct {
		path string
		text step.Attr[content]
	}{{"content", s.Content}, {"override", s.Override}} {
		text, ok := a.text.Get()
		if a.text.Absent() || ok && strings.TrimSpace(string(text)) == "" {
			problems = append(problems, step.Problem{Path: a.path, Message: "is empty", Hint: `use state = "absent" to have no such file; an empty unit file means masked`})
		}
		for _, m := range parseUnitText(string(text)).mistakes {
			problems = append(problems, step.Problem{Path: a.path, Message: m})
		}
	}
	return problems
}

func systemdUnitKind() step.Kind {
	return step.Kind{
		Name:    "systemd_unit",
		Summary: "A systemd unit of its own, or a drop-in that changes one.",
		Doc: `The file is written, and systemd is told to read it (daemon-reload), also where a hand changed a file of the unit and forgot that. A unit that systemd
cannot load after that fails the step, and is taken back.

A service or timer that runs is restarted after a change: a need, settled once at the end of the play or where a service step of the unit stands.
Units of other types, and instances of a template (name@.service), go on as before; the plan says so.

Whether it runs and starts at boot is the business of a service step after this one. A unit that is removed, and of which no packaged file is left, is stopped
and disabled before; undo gives all of it back.

A drop-in of another hand that is read later may say otherwise. The plan warns, and names it. A file with a sensitive text has the mode 0600.`,
		Spec: SystemdUnitSpec{}, Outputs: SystemdUnitOutputs{},
		Example: `step "systemd_unit" "ovs-vswitchd" {
  override = <<-EOT
    [Service]
    LimitMEMLOCK=infinity
  EOT
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[SystemdUnitSpec](u)
			if err != nil {
				return nil, err
			}
			want := spec.state()
			want.Private = slices.Contains(u.Secret, "content") || slices.Contains(u.Secret, "override")
			return step.Of("unit file "+want.Path, unitFiles{}, want), nil
		},
	}
}

// unitFile is the state of a file of a unit.
type unitFile struct {
	Unit     string             `json:"unit" weft:"label"`
	Path     string             `json:"path" weft:"label"`
	Content  step.Attr[content] `json:"content,omitzero"`
	Override step.Attr[content] `json:"override,omitzero"`
	State    step.State         `json:"state,omitzero"`

	Restart bool `json:"restart,omitzero" weft:"found"`
	// Private says that the text is sensitive, and of a state that was read that what is
	// wanted there is.
	Private bool `json:"private,omitzero" weft:"found"`

	// Mode, Owner and Group are those of a file that is to be made again.
	Mode  string `json:"mode,omitzero" weft:"found"`
	Owner string `json:"owner,omitzero" weft:"found"`
	Group string `json:"group,omitzero" weft:"found"`
	// Bare says that a drop-in had no directory, Empty that it had one with
	// nothing in it.
	Bare  step.Attr[bool] `json:"bare,omitzero" weft:"found"`
	Empty bool            `json:"empty,omitzero" weft:"found"`
	// Enabled and Running are read for a removal, which takes both, and where the
	// file is not there: what runs without one is not our doing.
	Enabled step.Attr[bool] `json:"enabled,omitzero" weft:"found"`
	Running step.Attr[bool] `json:"running,omitzero" weft:"found"`

	// What a check saw beside: how systemd has the unit, and what goes before
	// the file.
	Runs  bool   `json:"runs,omitzero" weft:"found"`
	Stale bool   `json:"stale,omitzero" weft:"found"`
	Load  string `json:"load,omitzero" weft:"found"`
	Other string `json:"other,omitzero" weft:"found"` // a packaged file of the same name
	Later string `json:"later,omitzero" weft:"found"` // a drop-in that says otherwise
}

func (s SystemdUnitSpec) state() unitFile {
	want := unitFile{Unit: s.Unit, Content: s.Content, Override: s.Override, State: s.State, Restart: s.Restart}
	if !strings.Contains(want.Unit, ".") {
		want.Unit += ".service"
	}
	want.Path = unitDir + "/" + want.Unit
	if s.Override.Managed() || s.DropIn != "" {
		name := s.DropIn
		if name == "" {
			name = "50-weft"
		}
		want.Path += ".d/" + name + ".conf"
	}
	return want
}

// dropIn says whether the file is one beside a unit's own.
func (s unitFile) dropIn() bool { return strings.HasSuffix(s.Path, ".conf") }

// template says whether the unit is one that instances are made of, which systemd
// knows nothing of.
func (s unitFile) template() bool { return strings.Contains(s.Unit, "@.") }

// text is the content, whichever file it is of.
func (s unitFile) text() step.Attr[content] {
	if s.dropIn() {
		return s.Override
	}
	return s.Content
}

// mode is the one that the file is held to; empty where its mode is nobody's business.
func (s unitFile) mode() string {
	switch {
	case !s.Private:
		return ""
	case s.Mode != "":
		return s.Mode // as it was found
	}
	return "0600"
}

// Advise raises the need to restart what goes by the file.
func (unitFiles) Advise(f *step.Finding, have, want unitFile) {
	f.Outputs, _ = json.Marshal(SystemdUnitOutputs{Unit: want.Unit, Path: want.Path})
	if have.Later != "" && want.State.There() {
		f.Warnings = append(f.Warnings, have.Later+" is read later and sets some of it again")
	}
	if !slices.ContainsFunc(f.Deltas, func(d step.Delta) bool { return d.Path != "mode" }) {
		return // nothing goes by a mode
	}
	restarts := strings.HasSuffix(want.Unit, ".service") || strings.HasSuffix(want.Unit, ".timer")
	switch {
	case want.template():
		f.Warnings = append(f.Warnings, "instances of "+want.Unit+" that run go on as before until they are restarted")
	case !have.Runs:
	case !want.State.There() && !want.dropIn() && have.Other == "":
		f.Cost.Disruption = "stops " + want.Unit
	case restarts && want.Restart && have.Load != "not-found": // an undo could not restart what has no file
		f.Needs = []step.Need{{Verb: step.RestartUnit, Object: want.Unit, Reason: want.Path}}
		f.Cost.Disruption = "restarts " + want.Unit
	default:
		f.Warnings = append(f.Warnings, want.Unit+" runs, and goes on as before until it is restarted")
	}
}
