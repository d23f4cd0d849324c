package system

import (
	"context"
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

// SysctlSpec is the spec of kind sysctl.
type SysctlSpec struct {
	Key        string     `json:"key" weft:"label" doc:"The setting, with dots (net.ipv4.ip_forward) or slashes (net/ipv4/conf/eth0.100/rp_filter, where a name holds a dot)."`
	Value      string     `json:"value,omitzero" doc:"The value, now and after a boot. Blanks and tabs between numbers are alike. Required unless the state is absent."`
	Persistent bool       `json:"persistent" default:"true" doc:"Whether the value is in the file for the next boot; if false, the file must not hold the setting."`
	File       string     `json:"file,omitzero" doc:"The file of sysctl.d(5) that holds it; a file of its own below /etc/sysctl.d where left out. Other lines in it stay."`
	State      step.State `json:"state,omitzero" default:"present" doc:"If absent, the file must not hold the setting; the value in force stays until a boot."`
}

// keyShape leaves out what a file would read otherwise: blanks, comments,
// globs, the minus that means "ignore errors".
var keyShape = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./:@+%-]*$`)

// Validate finds keys and values that sysctl.d(5) does not know.
func (s *SysctlSpec) Validate() []step.Problem {
	var problems []step.Problem
	if key := canonicalKey(s.Key); path.Clean("/"+key) != "/"+key || !keyShape.MatchString(key) {
		problems = append(problems, step.Problem{Path: "key", Message: fmt.Sprintf("%q is not the name of a kernel setting", s.Key), Hint: "write it as net.ipv4.ip_forward"})
	}
	if s.State.There() && strings.TrimSpace(s.Value) == "" {
		problems = append(problems, step.Problem{Path: "value", Message: "is missing"})
	}
	if strings.ContainsAny(s.Value, "\n\r") {
		problems = append(problems, step.Problem{Path: "value", Message: "has more than one line"})
	}
	if s.File != "" && (!path.IsAbs(s.File) || path.Clean(s.File) != s.File || path.Ext(s.File) != ".conf") {
		problems = append(problems, step.Problem{Path: "file", Message: fmt.Sprintf("%q is no file that is read at boot", s.File), Hint: "name a .conf file below /etc/sysctl.d"})
	}
	return problems
}

func sysctlKind() step.Kind {
	return step.Kind{
		Name:    "sysctl",
		Summary: "A kernel setting below /proc/sys, now and after a boot.",
		Doc: `The value in force and the line in the file are two things, and both are looked at, repaired and taken back. Each setting has
a file of its own, 60-weft-KEY.conf, unless file says another; there only its own line is changed.

A setting that a file read later at boot (sysctl.d(5)) sets otherwise would not last: the plan warns and names that file. Settings of the
network belong to the network namespace that the runner is in, which is the host's.`,
		Spec: SysctlSpec{},
		Example: `step "sysctl" "net.ipv4.ip_forward" {
  value = "1"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[SysctlSpec](u)
			if err != nil {
				return nil, err
			}
			want := spec.state()
			return step.Of("sysctl "+want.Key, sysctls{}, want), nil
		},
	}
}

// setting is the state of a kernel setting.
type setting struct {
	Key        string            `json:"key" weft:"label"`
	File       string            `json:"file" weft:"label"`
	Value      step.Attr[string] `json:"value,omitzero"`
	Persistent step.Attr[string] `json:"persistent,omitzero"`
	// Text is the whole file as it was found, so that undo brings it back
	// to the byte where nobody else wrote in it since.
	Text step.Attr[string] `json:"text,omitzero" weft:"found"`
	// Later is the file that is read after ours and says otherwise.
	Later string `json:"later,omitzero" weft:"found"`
}

// state is what the spec asks for. A removal is a file without the key.
func (s SysctlSpec) state() setting {
	want := setting{Key: canonicalKey(s.Key), File: s.File, Persistent: step.None[string]()}
	if want.File == "" {
		dotted := strings.NewReplacer("/", ".", ".", "-").Replace(want.Key)
		want.File = "/etc/sysctl.d/60-weft-" + dotted + ".conf"
	}
	if !s.State.There() {
		return want
	}
	want.Value = step.Is(canonicalValue(s.Value))
	if s.Persistent {
		want.Persistent = want.Value
	}
	return want
}

func (s setting) kernelPath() string { return "/proc/sys/" + s.Key }

type sysctls struct{}

// Read asks the kernel and the file.
func (sysctls) Read(ctx context.Context, v host.View, want setting) (setting, error) {
	have := setting{Key: want.Key, File: want.File, Persistent: step.None[string](), Text: step.None[string]()}
	if want.Value.Managed() {
		value, err := v.Kernel.Get(ctx, want.kernelPath())
		if errors.Is(err, fs.ErrNotExist) {
			return have, fmt.Errorf("the kernel has no such setting; a module that is not loaded, or a link that is not there, may bring it: %w", step.ErrNotYet)
		}
		if err != nil {
			return have, err
		}
		have.Value = step.Is(canonicalValue(value))
	}
	text, err := v.Files.Read(ctx, want.File)
	switch {
	case err == nil:
		have.Text = step.Is(string(text))
		have.Persistent = valueIn(string(text), want.Key)
	case !errors.Is(err, fs.ErrNotExist):
		return have, err
	}
	have.Later, err = overriddenBy(ctx, v, want)
	return have, err
}

// Diff compares the two values.
func (sysctls) Diff(have, want setting) []step.Delta { return step.Compare(have, want) }

// Write sets the kernel first: it refuses what makes no sense.
func (sysctls) Write(ctx context.Context, h host.Host, have, want setting) error {
	if value, ok := want.Value.Get(); ok && value != have.Value.Or("") {
		if err := h.Kernel.Set(ctx, want.kernelPath(), value); err != nil {
			return err
		}
	}
	if !want.Persistent.Managed() {
		return nil
	}
	now, there := have.Text.Get()
	text := setLine(now, want.Key, want.Persistent)
	if found, was := want.Text.Get(); was && sameBut(want.Key, found, now) && valueIn(found, want.Key) == want.Persistent {
		text = found
	} else if want.Text.Absent() && text == "" {
		return h.Files.Remove(ctx, want.File)
	}
	if text == now && (there || text == "") {
		return nil
	}
	if text == "" && !want.Text.Managed() {
		return h.Files.Remove(ctx, want.File)
	}
	return h.Files.Write(ctx, want.File, []byte(text), host.Attributes{})
}

// Advise warns where the value would not outlive a boot.
func (sysctls) Advise(f *step.Finding, have, want setting) {
	if value, ok := want.Persistent.Get(); ok && have.Later != "" {
		f.Warnings = append(f.Warnings, fmt.Sprintf("%s is read later at boot and sets it to something else than %s", have.Later, value))
	}
}

// canonicalKey is a key as a path below /proc/sys. Where the first separator is
// a slash the key is one already, else dots and slashes change places
// (sysctl.d(5)).
func canonicalKey(key string) string {
	i := strings.IndexAny(key, "./")
	if i < 0 || key[i] == '/' {
		return key
	}
	return strings.NewReplacer(".", "/", "/", ".").Replace(key)
}

// spelledKey is a key as files have it: with dots, unless a name holds one.
func spelledKey(key string) string {
	if strings.Contains(key, ".") {
		return key
	}
	return strings.ReplaceAll(key, "/", ".")
}

// canonicalValue joins what the kernel separates by tabs.
func canonicalValue(value string) string { return strings.Join(strings.Fields(value), " ") }

// keyOf is the setting that a line of a file is about; empty where it is none.
func keyOf(line string) (key, value string) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' || line[0] == ';' {
		return "", ""
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return "", ""
	}
	key = strings.TrimSpace(strings.TrimPrefix(key, "-"))
	return canonicalKey(key), canonicalValue(value)
}

// lastValue is what a file sets a key to: the last line wins.
func lastValue(text, key string) (value string, ok bool) {
	for line := range strings.Lines(text) {
		if k, v := keyOf(line); k == key {
			value, ok = v, true
		}
	}
	return value, ok
}

// valueIn is lastValue as an attribute.
func valueIn(text, key string) step.Attr[string] {
	if value, ok := lastValue(text, key); ok {
		return step.Is(value)
	}
	return step.None[string]()
}

// sameBut says whether two files differ in the key alone.
func sameBut(key, a, b string) bool {
	none := step.None[string]()
	return setLine(a, key, none) == setLine(b, key, none)
}

// setLine returns the file with one line for the key, where its last line was,
// or with none.
func setLine(text, key string, value step.Attr[string]) string {
	var lines []string
	at := -1
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if k, _ := keyOf(line); k == key {
			at = len(lines)
			continue
		}
		lines = append(lines, line)
	}
	if v, ok := value.Get(); ok {
		if at < 0 {
			at = len(lines)
		}
		lines = slices.Insert(lines, at, spelledKey(key)+" = "+v)
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// overriddenBy is the file that has the last word at boot and says otherwise:
// files are read in the order of their names, and of two with one name the one
// in the earlier directory counts.
func overriddenBy(ctx context.Context, v host.View, want setting) (string, error) {
	value, ok := want.Persistent.Get()
	if !ok {
		return "", nil
	}
	byName := map[string]string{}
	for _, dir := range []string{"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"} {
		names, err := v.Files.List(ctx, dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		for _, name := range names {
			if _, hidden := byName[name]; !hidden && path.Ext(name) == ".conf" && name > path.Base(want.File) {
				byName[name] = path.Join(dir, name)
			}
		}
	}
	later := ""
	names := make([]string, 0, len(byName))
	for name := range byName {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		text, err := v.Files.Read(ctx, byName[name])
		if errors.Is(err, fs.ErrNotExist) {
			continue // a symlink to nothing
		}
		if err != nil {
			return "", err
		}
		if other, sets := lastValue(string(text), want.Key); sets {
			later = ""
			if other != value {
				later = byName[name]
			}
		}
	}
	return later, nil
}
