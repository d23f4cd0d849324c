package security

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// AppArmorSpec is the spec of kind apparmor.
type AppArmorSpec struct {
	Profile string            `json:"profile" weft:"label" doc:"The profile's file below /etc/apparmor.d: usr.sbin.libvirtd, abstractions/libvirt-qemu."`
	Rules   []string          `json:"rules,omitzero" weft:"set" doc:"Rules in the local addition of the profile (/etc/apparmor.d/local/PROFILE); others in it stay."`
	Mode    step.Attr[string] `json:"mode,omitzero" weft:"enum=enforce|complain" doc:"Whether the profile is enforced, or what it would forbid is logged alone."`
	State   step.State        `json:"state,omitzero" default:"present" doc:"If absent, the local addition has none of the rules; mode cannot be absent."`
}

const (
	apparmorDir  = "/etc/apparmor.d"
	apparmorOn   = "/sys/module/apparmor/parameters/enabled"
	apparmorUnit = "apparmor.service"
	profilesFile = "/sys/kernel/security/apparmor/profiles"
)

var profileShape = regexp.MustCompile(`^(abstractions/|tunables/)?[A-Za-z0-9_][A-Za-z0-9_.@+-]*$`)

// Validate finds what no profile holds.
func (s *AppArmorSpec) Validate() []step.Problem {
	var problems []step.Problem
	if !profileShape.MatchString(s.Profile) {
		problems = append(problems, step.Problem{Path: "profile", Message: fmt.Sprintf("%q is no file below %s", s.Profile, apparmorDir), Hint: "write it as usr.sbin.libvirtd or abstractions/libvirt-qemu"})
	}
	for i, r := range s.Rules {
		if r = canonicalAppArmor(r); r == "" || strings.ContainsAny(r, "\n\r\x00") || r[0] == '#' && !strings.HasPrefix(r, "#include") || strings.Trim(r, "{}") == "" {
			problems = append(problems, step.Problem{Path: fmt.Sprintf("rules[%d]", i), Message: "is not one rule in one line"})
		}
	}
	switch part := strings.Contains(s.Profile, "/"); {
	case s.Mode.Absent():
		problems = append(problems, step.Problem{Path: "mode", Message: "cannot be absent"})
	case s.Mode.Managed() && !s.State.There():
		problems = append(problems, step.Problem{Path: "mode", Message: "always has a value: leave it out where the state is absent"})
	case s.Mode.Managed() && part:
		problems = append(problems, step.Problem{Path: "mode", Message: "belongs to a profile, and " + s.Profile + " is a part that profiles include"})
	}
	return problems
}

func apparmorKind() step.Kind {
	return step.Kind{
		Name:    "apparmor",
		Summary: "AppArmor: what a profile allows beside what its package says, and whether it is enforced.",
		Doc: `Rules go to the profile's local addition, which packages leave alone; a mistake in one is told by the plan, where apparmor_parser reads them. The mode is a
link in /etc/apparmor.d/force-complain; a profile whose own file says flags=(complain) cannot be enforced by that, and is refused.

A change is in force once the profiles are loaded again: a need to restart apparmor.service, which loads them in place and takes confinement from nobody. Say
after_needs = ["apparmor.service"] in a later step that counts on it. The profiles of libvirt's guests are made when a guest starts, of
abstractions/libvirt-qemu: a guest that runs keeps what it had.

On a host where AppArmor is not at work the files are kept all the same, and the plan says that nothing is in force. For vhost-user sockets in other places than libvirt
knows: a rule like "/run/vhost/*.sock rw," in abstractions/libvirt-qemu.`,
		Spec: AppArmorSpec{},
		Example: `step "apparmor" "abstractions/libvirt-qemu" {
  rules = ["/run/openvswitch/vhu* rw,"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[AppArmorSpec](u)
			if err != nil {
				return nil, err
			}
			return step.Of("profile "+spec.Profile, profiles{}, spec.profile()), nil
		},
	}
}

// profile is the state of what a step names of a profile.
type profile struct {
	Profile string                     `json:"profile" weft:"label"`
	Rules   map[string]step.Attr[bool] `json:"rules,omitzero"`
	Mode    step.Attr[string]          `json:"mode,omitzero"`

	// Text is the whole local addition as it was found; None where there was none.
	Text step.Attr[string] `json:"text,omitzero" weft:"found"`
	// Found says that this is a state that was found, not one that is asked for.
	Found bool `json:"found,omitzero" weft:"found"`
	// Bare says that the addition had no directory, Empty that it has one with
	// nothing in it.
	Bare  step.Attr[bool] `json:"bare,omitzero" weft:"found"`
	Empty bool            `json:"empty,omitzero" weft:"found"`
	Off   bool            `json:"off,omitzero" weft:"found"`
	// Deaf says that the profile does not include its local addition.
	Deaf bool `json:"deaf,omitzero" weft:"found"`
}

func (s AppArmorSpec) profile() profile {
	want := profile{Profile: s.Profile, Rules: map[string]step.Attr[bool]{}, Mode: s.Mode}
	for _, r := range s.Rules {
		want.Rules[canonicalAppArmor(r)] = step.None[bool]()
		if s.State.There() {
			want.Rules[canonicalAppArmor(r)] = step.Is(true)
		}
	}
	return want
}

func (s profile) local() string { return apparmorDir + "/local/" + s.Profile }
func (s profile) link() string  { return apparmorDir + "/force-complain/" + s.Profile }

// part says whether it is included by profiles, and none itself.
func (s profile) part() bool { return strings.Contains(s.Profile, "/") }

type profiles struct{}

// Read reads the files and what the kernel has.
func (profiles) Read(ctx context.Context, v host.View, want profile) (profile, error) {
	have := profile{Profile: want.Profile, Rules: map[string]step.Attr[bool]{}, Text: step.None[string](), Found: true}
	own, err := v.Files.Read(ctx, path.Join(apparmorDir, want.Profile))
	if errors.Is(err, fs.ErrNotExist) {
		return have, fmt.Errorf("there is no %s/%s; the package that brings the profile must come first: %w", apparmorDir, want.Profile, step.ErrNotYet)
	}
	if err != nil {
		return have, err
	}
	have.Deaf = !strings.Contains(string(own), "local/"+want.Profile+">") && !strings.Contains(string(own), "local/"+want.Profile+"\"")
	on, err := v.Kernel.Get(ctx, apparmorOn)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return have, err
	}
	have.Off = strings.TrimSpace(on) != "Y"
	text, err := textOf(ctx, v, want.local())
	if err != nil {
		return have, err
	}
	have.Text = text
	names, err := v.Files.List(ctx, path.Dir(want.local()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return have, err
	}
	have.Bare, have.Empty = step.Is(err != nil), err == nil && len(names) == 0
	there := rulesIn(text.Or(""))
	missing := false
	for r, wanted := range want.Rules {
		have.Rules[r] = step.None[bool]()
		if slices.Contains(there, r) {
			have.Rules[r] = step.Is(true)
		} else if wanted.Or(false) {
			missing = true
		}
	}
	if missing {
		if err := readable(ctx, v, want); err != nil {
			return have, err
		}
	}
	return have.withMode(ctx, v, want, string(own))
}

// readable has apparmor_parser(8) read the rules in a profile that is loaded nowhere.
func readable(ctx context.Context, v host.View, want profile) error {
	if strings.HasPrefix(want.Profile, "tunables/") {
		return nil
	}
	text := "include <tunables/global>\nprofile weft_check {\n"
	for r, wanted := range want.Rules {
		if wanted.Or(false) {
			text += "  " + r + "\n"
		}
	}
	r, err := v.Commands.Query(ctx, host.Command{Argv: []string{"apparmor_parser", "-Q", "-K", "-T"}, Stdin: []byte(text + "}\n")})
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("apparmor_parser does not take the rules: %s", strings.TrimSpace(string(r.Stderr)))
	}
	return err
}

// withMode adds the mode: what is kept, and where the kernel says another, that too.
func (s profile) withMode(ctx context.Context, v host.View, want profile, own string) (profile, error) {
	_, err := v.Files.Stat(ctx, want.link())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	forced := err == nil
	if !want.Mode.Managed() {
		return s, nil
	}
	kept := "enforce"
	if forced {
		kept = "complain"
	} else if complaining.MatchString(own) {
		if want.Mode.Or("") == "enforce" {
			return s, fmt.Errorf("the profile's own file says flags=(complain); take that out by hand (aa-enforce %s/%s) first", apparmorDir, s.Profile)
		}
		kept = "complain"
	}
	if s.Off {
		s.Mode = step.Is(kept)
		return s, nil
	}
	loaded, err := v.Kernel.Get(ctx, profilesFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	now := kept
	for _, name := range profileNames(own) {
		if mode := modeIn(loaded, name); mode != "" && mode != kept {
			now = mode
		}
	}
	s.Mode = step.Is(lasting(now, kept))
	return s, nil
}

// Diff compares rules and mode. An undo is over before the profiles are loaded again, so
// it is measured by what is kept.
func (profiles) Diff(have, want profile) []step.Delta {
	if want.Found && have.Mode.Managed() {
		_, kept := halves(have.Mode.Or(""))
		_, was := halves(want.Mode.Or(""))
		have.Mode = step.Is(kept)
		if want.Mode.Managed() {
			want.Mode = step.Is(was)
		}
	}
	deltas := step.Compare(have, want)
	if want.Bare.Or(false) && have.Empty {
		deltas = append(deltas, step.Change("directory", true, nil))
	}
	return deltas
}

// Write changes the local addition and the link. An undo finds the addition that was
// there in want.
func (profiles) Write(ctx context.Context, h host.Host, have, want profile) error {
	now := have.Text.Or("")
	next := setRules(now, want.Rules)
	if found, was := want.Text.Get(); was && setRules(found, nones(want)) == setRules(now, nones(want)) {
		next = found
	}
	switch {
	case want.Text.Absent() && strings.TrimSpace(next) == "":
		if err := h.Files.Remove(ctx, want.local()); err != nil {
			return err
		}
	case next != now:
		if err := parents(ctx, h, path.Dir(want.local())); err != nil {
			return err
		}
		if err := h.Files.Write(ctx, want.local(), []byte(next), host.Attributes{}); err != nil {
			return err
		}
	}
	if want.Bare.Or(false) {
		if err := removeEmpty(ctx, h, path.Dir(want.local())); err != nil {
			return err
		}
	}
	mode, managed := want.Mode.Get()
	if !managed {
		return nil
	}
	_, kept := halves(mode)
	_, was := halves(have.Mode.Or(""))
	switch kept {
	case was:
		return nil
	case "complain":
		if err := parents(ctx, h, path.Dir(want.link())); err != nil {
			return err
		}
		return h.Files.Link(ctx, want.link(), path.Join(apparmorDir, want.Profile))
	}
	return h.Files.Remove(ctx, want.link())
}

// parents makes the directory of a local addition to an abstraction, where the package
// has none.
func parents(ctx context.Context, h host.Host, dir string) error {
	_, err := h.Files.Stat(ctx, dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return h.Files.MakeDirectory(ctx, dir, host.Attributes{})
}

// Advise raises the need to load the profiles.
func (profiles) Advise(f *step.Finding, have, want profile) {
	f.Outputs = json.RawMessage("{}")
	switch {
	case have.Off:
		f.Warnings = append(f.Warnings, "AppArmor is not at work on this host: what the step says is kept, and not in force")
	case f.Changed() && !have.part():
		f.Needs = []step.Need{{Verb: step.RestartUnit, Object: apparmorUnit, Reason: "profile " + want.Profile}}
	case f.Changed():
		f.Warnings = append(f.Warnings, "what includes "+want.Profile+" takes it when it is loaded: a guest of libvirt when it starts")
	}
	if have.Deaf && len(want.Rules) > 0 {
		f.Warnings = append(f.Warnings, want.Profile+" does not include local/"+want.Profile+", so its rules mean nothing there")
	}
}
