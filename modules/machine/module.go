package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// KernelModuleSpec is the spec of kind kernel_module.
type KernelModuleSpec struct {
	Name        string                       `json:"name" weft:"label" doc:"Name of the module; - and _ are alike in it."`
	Options     map[string]step.Attr[string] `json:"options,omitzero" doc:"Parameters of the module, for its next load and in force now: { allow_unsafe_interrupts = \"1\" }. An empty string is a parameter that is given alone; null removes one. One that is left out stays as it is."`
	Blacklisted step.Attr[bool]              `json:"blacklisted,omitzero" doc:"Whether nothing may load it, neither a device nor another module nor a hand: a blacklist and an install line for modprobe.d(5). Goes with state absent."`
	State       step.State                   `json:"state,omitzero" default:"present" doc:"If present, it is loaded, now and at boot; if absent, it is not loaded and not named for the boot."`
}

// moduleShape is what the kernel and its tools take for the name of a module.
var moduleShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// Validate finds attributes that do not go together.
func (s *KernelModuleSpec) Validate() []step.Problem {
	var problems []step.Problem
	if !moduleShape.MatchString(s.Name) {
		problems = append(problems, step.Problem{Path: "name", Message: fmt.Sprintf("%q is no name of a kernel module", s.Name), Hint: "write it as vfio-pci, without a path and .ko"})
	}
	for _, key := range slices.Sorted(maps.Keys(s.Options)) {
		if !moduleShape.MatchString(key) {
			problems = append(problems, step.Problem{Path: "options", Message: fmt.Sprintf("%q is no name of a parameter", key)})
		}
		if strings.ContainsAny(s.Options[key].Or(""), "\"\n\r\\#") {
			problems = append(problems, step.Problem{Path: "options." + key, Message: "holds a quote, a backslash, a # or a newline, which modprobe.d(5) has no way to write"})
		}
	}
	if s.Blacklisted.Or(false) && s.State.There() {
		problems = append(problems, step.Problem{Path: "blacklisted", Message: "keeps the module from being loaded, which the state present asks for", Hint: `add state = "absent"`})
	}
	if !s.State.There() && len(s.Options) > 0 {
		problems = append(problems, step.Problem{Path: "options", Message: "mean nothing for a module that is absent"})
	}
	return problems
}

func kernelModuleKind() step.Kind {
	return step.Kind{
		Name:    "kernel_module",
		Summary: "A kernel module: loaded now and at boot, its options, or kept away.",
		Doc: `For the boot a present module is named in /etc/modules-load.d/weft-NAME.conf, unless a file of another hand names it already. Options and
the blacklist are lines of /etc/modprobe.d/weft-NAME.conf, which modprobe(8) reads whoever loads the module. Options must be given to the module that has them: vfio_iommu_type1, not vfio.

Options count when they are in force. A parameter that the kernel lets a hand change is changed; else the module is loaded
anew where nothing uses it, and where something does the step needs a reboot. Loading a driver anew, or unloading one, takes its links
down: the plan names them, and where one carries the session the change is guarded. A parameter that the module does not
have is an error; the kernel itself would take it and do nothing.

What is built into the kernel is loaded by nature: its options belong on the kernel command line (kernel_cmdline, NAME.option=value), and
it cannot be absent. Files of other hands are read and never changed; where one says the opposite it is named.

A module that the initramfs loads has its options from a copy there. weft does not rebuild it; where the module is of such a sort the plan says how.`,
		Spec: KernelModuleSpec{},
		Example: `step "kernel_module" "vfio_iommu_type1" {
  options = { allow_unsafe_interrupts = "1" }
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[KernelModuleSpec](u)
			if err != nil {
				return nil, err
			}
			want := spec.state()
			object := "kernel module " + want.Name
			return moduleStep{step.Of(object, kernelModules{}, want), step.Of(object, kernelModulesLater{}, want)}, nil
		},
	}
}

// moduleStep is a step whose undo leaves to a reboot what its change left to
// one.
type moduleStep struct {
	step.Step
	later step.Step
}

// Undo brings back the files, and what can be at once.
func (s moduleStep) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	if len(f.Needs) > 0 {
		return s.later.Undo(ctx, h, f)
	}
	return s.Step.Undo(ctx, h, f)
}

// kernelModule is the state of a module.
type kernelModule struct {
	Name        string                 `json:"name" weft:"label"` // with _
	State       step.Attr[moduleState] `json:"state,omitzero"`
	Options     moduleOptions          `json:"options,omitzero"`
	Blacklisted step.Attr[bool]        `json:"blacklisted,omitzero"`

	// LoadFile and ConfFile are weft's two files as they were found.
	LoadFile step.Attr[string] `json:"load_file,omitzero" weft:"found"`
	ConfFile step.Attr[string] `json:"conf_file,omitzero" weft:"found"`
	// Loaded are all modules that were loaded.
	Loaded []string `json:"loaded,omitzero" weft:"found"`
	// Users are what keeps the module from being unloaded.
	Users moduleUsers `json:"users,omitzero" weft:"found"`
	// Stuck are the parameters that only a boot can change.
	Stuck []string `json:"stuck,omitzero" weft:"found"`
	// Early says that the initramfs may load it.
	Early bool `json:"early,omitzero" weft:"found"`
}

// moduleState is present or absent, or half of it.
type moduleState string

const (
	modulePresent moduleState = "present" // loaded, and named for the boot
	moduleAbsent  moduleState = "absent"  // neither
	moduleLoaded  moduleState = "loaded until a boot"
	moduleNamed   moduleState = "named for a boot only"
)

// stateOf is the state with these halves.
func stateOf(loaded, named bool) step.Attr[moduleState] {
	switch {
	case loaded && named:
		return step.Is(modulePresent)
	case loaded:
		return step.Is(moduleLoaded)
	case named:
		return step.Is(moduleNamed)
	}
	return step.Is(moduleAbsent)
}

func (s moduleState) loaded() bool { return s == modulePresent || s == moduleLoaded }
func (s moduleState) named() bool  { return s == modulePresent || s == moduleNamed }

type moduleOptions struct {
	Configured map[string]step.Attr[string] `json:"configured,omitzero"`
	InForce    map[string]step.Attr[string] `json:"in_force,omitzero"`
}

// moduleUsers are what holds a loaded module, and the links of its devices.
type moduleUsers struct {
	Count   int      `json:"count,omitzero"` // of the kernel's
	Holders []string `json:"holders,omitzero"`
	Links   []string `json:"links,omitzero"`
}

// busy says who keeps a module, empty where nobody does.
func (u moduleUsers) busy() string {
	switch {
	case len(u.Holders) > 0:
		return "the modules " + strings.Join(u.Holders, ", ")
	case u.Count > 0:
		return fmt.Sprintf("%d users of its devices, file systems or sockets", u.Count)
	}
	return ""
}

// state is what the spec asks for.
func (s KernelModuleSpec) state() kernelModule {
	want := kernelModule{Name: underscored(s.Name), State: stateOf(s.State.There(), s.State.There()), Blacklisted: s.Blacklisted}
	if len(s.Options) == 0 {
		return want
	}
	want.Options.Configured, want.Options.InForce = map[string]step.Attr[string]{}, map[string]step.Attr[string]{}
	for key, value := range s.Options {
		want.Options.Configured[underscored(key)] = value
		if !value.Absent() { // what it falls back to is the module's affair
			want.Options.InForce[underscored(key)] = value
		}
	}
	return want
}

func underscored(name string) string { return strings.ReplaceAll(name, "-", "_") }

func (m kernelModule) loaded() bool { return m.State.Or("").loaded() }
func (m kernelModule) named() bool  { return m.State.Or("").named() }

func (m kernelModule) loadPath() string { return "/etc/modules-load.d/weft-" + m.Name + ".conf" }
func (m kernelModule) confPath() string { return "/etc/modprobe.d/weft-" + m.Name + ".conf" }

type kernelModules struct{}

// Diff compares all.
func (kernelModules) Diff(have, want kernelModule) []step.Delta { return step.Compare(have, want) }

// Advise says what the change costs, and what only a boot brings.
func (kernelModules) Advise(f *step.Finding, have, want kernelModule) {
	f.Outputs = json.RawMessage("{}")
	reload, conf := false, false
	for _, d := range f.Deltas {
		key, inForce := strings.CutPrefix(d.Path, "options.in_force.")
		switch {
		case inForce && have.loaded() && slices.Contains(have.Stuck, key):
			reload = true
		case d.Path == "state" && have.loaded() && !want.loaded():
			f.Cost.Disruption = "unloads " + want.Name
			f.Cost.Severs = have.Users.Links
		case d.Path == "blacklisted", strings.HasPrefix(d.Path, "options.configured."):
			conf = true
		}
	}
	if reload && have.Users.busy() != "" {
		f.Needs = append(f.Needs, step.Need{Verb: step.Reboot, Object: step.Machine})
		f.Warnings = append(f.Warnings, fmt.Sprintf("%s is in use by %s, so its options come into force with the next boot", want.Name, have.Users.busy()))
	} else if reload {
		f.Cost.Disruption = "loads " + want.Name + " anew"
		f.Cost.Severs = have.Users.Links
	}
	if conf && have.Early {
		f.Warnings = append(f.Warnings, fmt.Sprintf("the initramfs may hold %s, with a copy of its options; for the next boot rebuild it: update-initramfs -u, on Red Hat dracut -f", want.Name))
	}
}

// kernelModulesLater leaves out what a boot will bring back.
type kernelModulesLater struct{ kernelModules }

// Diff leaves out the parameters in force.
func (r kernelModulesLater) Diff(have, want kernelModule) []step.Delta {
	return slices.DeleteFunc(r.kernelModules.Diff(have, want), func(d step.Delta) bool {
		return strings.HasPrefix(d.Path, "options.in_force.")
	})
}
