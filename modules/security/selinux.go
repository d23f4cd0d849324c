package security

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// SELinuxSpec is the spec of kind selinux.
type SELinuxSpec struct {
	Name     string            `json:"name" weft:"label" doc:"What this part of the policy is for; it names the step's object in reports."`
	Mode     step.Attr[string] `json:"mode,omitzero" weft:"enum=enforcing|permissive" doc:"Whether the policy is enforced, now and after a boot."`
	Booleans map[string]bool   `json:"booleans,omitzero" doc:"Switches of the policy, now and after a boot: virt_use_nfs."`
	Contexts map[string]string `json:"file_contexts,omitzero" doc:"Types of files by a regular expression of their whole path: \"/srv/vhost(/.*)?\" = \"virt_var_run_t\"."`
	Ports    map[string]string `json:"ports,omitzero" doc:"Types of ports: \"6642/tcp\" = \"ovsdb_port_t\"."`
	State    step.State        `json:"state,omitzero" default:"present" doc:"If absent, the policy has no such local types of files and ports; mode and booleans cannot be absent."`
}

var (
	booleanShape = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
	typeShape    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]*$`)
)

// Validate finds what the policy cannot hold.
func (s *SELinuxSpec) Validate() []step.Problem {
	var problems []step.Problem
	bad := func(path, format string, args ...any) {
		problems = append(problems, step.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	for name := range s.Booleans {
		if !booleanShape.MatchString(name) {
			bad("booleans", "%q is not the name of a boolean", name)
		}
	}
	for pattern, kind := range s.Contexts {
		if !strings.HasPrefix(pattern, "/") || strings.ContainsAny(pattern, " \t\n") {
			bad("file_contexts", "%q is no expression of a whole path without blanks", pattern)
		}
		if _, err := reachOf(pattern); err != nil {
			bad("file_contexts", "%q is no regular expression that weft can read: %v", pattern, err)
		}
		if !typeShape.MatchString(kind) {
			bad("file_contexts", "%q is not the name of a type, like virt_var_run_t", kind)
		}
	}
	for port, kind := range s.Ports {
		if _, _, ok := parsePort(port); !ok {
			bad("ports", "%q is no port with a protocol, like 6642/tcp", port)
		}
		if !typeShape.MatchString(kind) {
			bad("ports", "%q is not the name of a type, like ovsdb_port_t", kind)
		}
	}
	switch {
	case s.Mode.Absent():
		bad("mode", "cannot be absent")
	case !s.State.There() && (s.Mode.Managed() || len(s.Booleans) > 0):
		bad("state", "is absent, but mode and booleans always have a value: leave them to a step of their own")
	}
	return problems
}

func selinuxKind() step.Kind {
	return step.Kind{
		Name:    "selinux",
		Summary: "SELinux: its mode, booleans, and types of files and ports.",
		Doc: `Each is read where the kernel and the policy store keep it (/sys/fs/selinux, /etc/selinux, /var/lib/selinux) and written by setsebool and semanage. Only what the
step names is looked at. Files that are there and that an expression names get their new type by restorecon, and again after an undo, so a label that a hand gave with chcon alone is lost
in both. Files beside them keep theirs. Of an expression that may be about the whole file system ("/(a|b)") no files are labelled, and the plan says so.

A host without SELinux is an error, not a silent success: whoever asks for it should know. Say ` + "`when = host.facts.family == \"redhat\"`" + ` in a playbook for both
families. Where there is a policy, but SELinux is off in this boot, what is kept is managed and the plan says that it is not in force; mode is refused then, since a first
boot with SELinux labels all files anew, which weft does not do for you. To switch SELinux off is a kernel argument (kernel_cmdline, selinux=0).

semanage is in the package policycoreutils-python-utils (policycoreutils-python on CentOS 7); a change by it takes some seconds.`,
		Spec: SELinuxSpec{},
		Example: `step "selinux" "vhost-user" {
  booleans      = { domain_can_mmap_files = true }
  file_contexts = { "/var/lib/vhost_sockets(/.*)?" = "virt_var_run_t" }
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[SELinuxSpec](u)
			if err != nil {
				return nil, err
			}
			return step.Of("selinux "+spec.Name, policies{}, spec.policy()), nil
		},
	}
}

// policy is the state of what a step names in the policy. Mode and booleans say what
// holds now and what after a boot, see [lasting].
type policy struct {
	Name     string            `json:"name" weft:"label"`
	Mode     step.Attr[string] `json:"mode,omitzero"`
	Booleans entries           `json:"booleans,omitzero"`
	Contexts entries           `json:"file_contexts,omitzero"`
	Ports    entries           `json:"ports,omitzero"`
	// Unlabelled are the expressions with files that have another type than the
	// policy has for them.
	Unlabelled []string `json:"unlabelled,omitzero" weft:"found"`
	// Off says that SELinux is not at work in this boot, Type which policy there is.
	Off  bool   `json:"off,omitzero" weft:"found"`
	Type string `json:"type,omitzero" weft:"found"`
}

func (s SELinuxSpec) policy() policy {
	want := policy{Name: s.Name, Mode: s.Mode, Booleans: entries{}, Contexts: entries{}, Ports: entries{}}
	for name, on := range s.Booleans {
		want.Booleans[name] = step.Is(onOff(on))
	}
	for _, m := range []struct {
		from map[string]string
		to   entries
	}{{s.Contexts, want.Contexts}, {s.Ports, want.Ports}} {
		for key, kind := range m.from {
			m.to[key] = step.None[string]()
			if s.State.There() {
				m.to[key] = step.Is(kind)
			}
		}
	}
	return want
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// lasting spells what holds now and what is kept for a boot: "on", or "on until a
// boot, then off". What is kept is empty where the policy itself decides.
func lasting(now, kept string) string {
	switch {
	case now == kept:
		return now
	case kept == "":
		return now + " until a boot"
	}
	return now + " until a boot, then " + kept
}

// halves are what lasting was made of.
func halves(text string) (now, kept string) {
	now, rest, differ := strings.Cut(text, " until a boot")
	if !differ {
		return text, text
	}
	return now, strings.TrimPrefix(rest, ", then ")
}

const (
	selinuxFS     = "/sys/fs/selinux"
	selinuxConfig = "/etc/selinux/config"
)

type policies struct{}

// Read reads files, and no tool.
func (policies) Read(ctx context.Context, v host.View, want policy) (policy, error) {
	have := policy{Name: want.Name, Booleans: entries{}, Contexts: entries{}, Ports: entries{}}
	config, err := v.Files.Read(ctx, selinuxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return have, fmt.Errorf("the host has no SELinux (no %s); leave the step out there by when, or install a policy: %w", selinuxConfig, step.ErrNotYet)
	}
	if err != nil {
		return have, err
	}
	have.Type = shellValue(string(config), "SELINUXTYPE")
	enforce, err := v.Kernel.Get(ctx, selinuxFS+"/enforce")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return have, err
	}
	have.Off = err != nil
	if want.Mode.Managed() {
		if have.Off {
			return have, errors.New("SELinux is off in this boot, so it has no mode; have it on by a boot that labels all files (touch /.autorelabel, and no selinux=0)")
		}
		now := "permissive"
		if strings.TrimSpace(enforce) == "1" {
			now = "enforcing"
		}
		have.Mode = step.Is(lasting(now, shellValue(string(config), "SELINUX")))
	}
	if err := readBooleans(ctx, v, &have, want); err != nil {
		return have, err
	}
	local, err := optional(ctx, v, "/etc/selinux/"+have.Type+"/contexts/files/file_contexts.local")
	if err != nil {
		return have, err
	}
	choose(have.Contexts, want.Contexts, parseContexts(local))
	if have.Unlabelled, err = unlabelled(ctx, v, have); err != nil {
		return have, err
	}
	if local, err = have.store(ctx, v, "ports.local"); err != nil {
		return have, err
	}
	choose(have.Ports, want.Ports, parsePorts(local))
	return have, nil
}

// choose answers the keys that want has.
func choose(have, want entries, found map[string]string) {
	for key := range want {
		have[key] = step.None[string]()
		if kind, there := found[key]; there {
			have[key] = step.Is(kind)
		}
	}
}

// readBooleans reads what the kernel has and what the store keeps.
func readBooleans(ctx context.Context, v host.View, have *policy, want policy) error {
	if len(want.Booleans) == 0 {
		return nil
	}
	local, err := have.store(ctx, v, "booleans.local")
	if err != nil {
		return err
	}
	kept := parseBooleans(local)
	for name := range want.Booleans {
		if have.Off {
			have.Booleans[name] = step.None[string]()
			if kept[name] != "" {
				have.Booleans[name] = step.Is(kept[name])
			}
			continue
		}
		now, err := v.Kernel.Get(ctx, selinuxFS+"/booleans/"+name)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the policy has no boolean %s; a package may bring it: %w", name, step.ErrNotYet)
		}
		if err != nil {
			return err
		}
		have.Booleans[name] = step.Is(lasting(onOff(strings.HasPrefix(now, "1")), kept[name]))
	}
	return nil
}

// store reads a file of the policy store, where libsemanage 2.4 and later has it, or
// where CentOS 7 has.
func (s policy) store(ctx context.Context, v host.View, name string) (string, error) {
	text, err := optional(ctx, v, "/var/lib/selinux/"+s.Type+"/active/"+name)
	if err != nil || text != "" {
		return text, err
	}
	for _, dir := range []string{"/active/", "/modules/active/"} {
		if text, err = optional(ctx, v, "/etc/selinux/"+s.Type+dir+name); err != nil || text != "" {
			return text, err
		}
	}
	return "", nil
}

// optional is a file's text, empty where there is none.
func optional(ctx context.Context, v host.View, name string) (string, error) {
	b, err := v.Files.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

// Diff compares what is named, and the labels of files with the policy.
func (policies) Diff(have, want policy) []step.Delta {
	deltas := step.Compare(have, want)
	for _, pattern := range have.Unlabelled {
		path := "file_contexts." + pattern
		known := slices.Contains(want.Unlabelled, pattern) || slices.ContainsFunc(deltas, func(d step.Delta) bool { return d.Path == path })
		if _, asked := want.Contexts[pattern]; asked && !known {
			deltas = append(deltas, step.Change(path, "files of another type", want.Contexts[pattern].Or("as the policy has it")))
		}
	}
	return deltas
}

// Advise says what is not in force.
func (policies) Advise(f *step.Finding, have, want policy) {
	f.Outputs = json.RawMessage("{}")
	for _, d := range f.Deltas {
		pattern, is := strings.CutPrefix(d.Path, "file_contexts.")
		if r, err := reachOf(pattern); is && err == nil && r.place == "" {
			f.Warnings = append(f.Warnings, "files of "+pattern+" may lie anywhere, and keep their labels until restorecon runs on them")
		}
	}
	if have.Off {
		f.Warnings = append(f.Warnings, "SELinux is off in this boot: what the step names is kept for a boot with it")
	}
}
