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

// AlternativeSpec is the spec of kind alternative.
type AlternativeSpec struct {
	Name string            `json:"name,omitzero" weft:"label" doc:"Name of the group: ovs-vswitchd, editor."`
	Path step.Attr[string] `json:"path" weft:"required" doc:"The alternative to take, one of those that packages registered, and to keep whatever else is installed. absent leaves the choice to the priorities."`

	Gone  bool `json:"gone,omitzero" weft:"found"` // the group
	Asked bool `json:"-"`                          // by a playbook
}

var alternativeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]*$`)

// Validate finds what update-alternatives(1) would not take.
func (s *AlternativeSpec) Validate() []step.Problem {
	var problems []step.Problem
	if !alternativeName.MatchString(s.Name) {
		problems = append(problems, step.Problem{Path: "name", Message: fmt.Sprintf("%q is not the name of a group of alternatives", s.Name)})
	}
	if p, set := s.Path.Get(); set && (!path.IsAbs(p) || path.Clean(p) != p || strings.ContainsAny(p, "\n")) {
		problems = append(problems, step.Problem{Path: "path", Message: fmt.Sprintf("%q is no absolute path", p)})
	}
	return problems
}

func alternativeKind() step.Kind {
	return step.Kind{
		Name:    "alternative",
		Summary: "Which of several programs a name stands for, by the system of alternatives.",
		Doc: `Where packages bring several programs for one name, ` + "`update-alternatives`" + ` chooses by their priorities, until a hand chooses
(update-alternatives(1); alternatives(8) of Red Hat's family). The step is the hand: what it takes stays, whatever is installed later. What runs
already goes on as it is; let a ` + "`service`" + ` step name this one in its restart_on.`,
		Spec: AlternativeSpec{},
		Example: `step "alternative" "ovs-vswitchd" {
  path = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[AlternativeSpec](u)
			if err != nil {
				return nil, err
			}
			want.Asked = true
			return step.Of("alternatives of "+want.Name, alternatives{}, want), nil
		},
	}
}

type alternatives struct{}

const alternativeLinks = "/etc/alternatives"

// byHand ends a path that was found where the group follows the priorities, and
// another hand made its link lead elsewhere all the same.
const byHand = " (linked by hand)"

// group is what a file of the system of alternatives says.
type group struct {
	automatic bool
	choices   []string // paths, the one with the highest priority first
}

// parseGroup reads the file of a group: the mode, the link, the names and links
// of what goes with it, an empty line, and for each alternative its path, its
// priority and a line for each of these.
func parseGroup(text string) (group, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 3 || lines[0] != "auto" && lines[0] != "manual" {
		return group{}, errors.New("its first line is neither auto nor manual")
	}
	g := group{automatic: lines[0] == "auto"}
	end := slices.Index(lines, "")
	if end < 2 || end%2 != 0 {
		return group{}, errors.New("its head has no end")
	}
	type choice struct {
		path     string
		priority int
	}
	var all []choice
	each := 2 + (end-2)/2
	for rest := lines[end+1:]; len(rest) >= 2 && rest[0] != ""; rest = rest[min(each, len(rest)):] {
		number := rest[1][strings.LastIndexByte(rest[1], '@')+1:] // Red Hat's has @family@ before it
		n, err := strconv.Atoi(number)
		if err != nil {
			return group{}, fmt.Errorf("%q is no priority", rest[1])
		}
		all = append(all, choice{rest[0], n})
	}
	slices.SortStableFunc(all, func(a, b choice) int { return b.priority - a.priority })
	for _, c := range all {
		g.choices = append(g.choices, c.path)
	}
	return g, nil
}

// readGroup finds a group; there is false where there is none.
func readGroup(ctx context.Context, v host.View, name string) (g group, there bool, err error) {
	for _, dir := range []string{"/var/lib/dpkg/alternatives", "/var/lib/alternatives"} {
		text, err := v.Files.Read(ctx, path.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return g, false, err
		}
		if g, err = parseGroup(string(text)); err != nil {
			return g, false, fmt.Errorf("read %s: %w", path.Join(dir, name), err)
		}
		return g, true, nil
	}
	return g, false, nil
}

func (alternatives) Read(ctx context.Context, v host.View, want AlternativeSpec) (AlternativeSpec, error) {
	have := AlternativeSpec{Name: want.Name, Path: step.None[string]()}
	g, there, err := readGroup(ctx, v, want.Name)
	if err != nil {
		return have, err
	}
	if !there {
		if want.Asked {
			return have, fmt.Errorf("there is no group %s; the package that brings it may not be installed: %w", want.Name, step.ErrNotYet)
		}
		have.Gone = true
		return have, nil
	}
	if p, set := want.Path.Get(); set && want.Asked && !slices.Contains(g.choices, p) {
		return have, fmt.Errorf("%s is none of its alternatives, which are %s; the package that brings it may not be installed: %w", p, strings.Join(g.choices, ", "), step.ErrNotYet)
	}
	link, err := v.Files.Stat(ctx, path.Join(alternativeLinks, want.Name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return have, err
	}
	switch best := len(g.choices) > 0 && link.Target == g.choices[0]; {
	case !g.automatic:
		have.Path = step.Is(link.Target)
	case !best:
		have.Path = step.Is(link.Target + byHand)
	}
	return have, nil
}

func (alternatives) Diff(have, want AlternativeSpec) []step.Delta {
	if have.Gone {
		return nil // and with it what could be taken back
	}
	return step.Compare(have, want)
}

// Write chooses. What another hand linked by itself, and undo wants back, is
// linked again.
func (alternatives) Write(ctx context.Context, h host.Host, _, want AlternativeSpec) error {
	g, _, err := readGroup(ctx, h.View(), want.Name)
	if err != nil {
		return err
	}
	target, chosen := want.Path.Get()
	target, linked := strings.CutSuffix(target, byHand)
	run := func(argv ...string) error {
		_, err := h.Commands.Run(ctx, host.Command{Argv: append([]string{"update-alternatives"}, argv...)})
		return err
	}
	switch {
	case !chosen:
		return run("--auto", want.Name)
	case linked || !slices.Contains(g.choices, target):
		if linked && !g.automatic {
			if err := run("--auto", want.Name); err != nil {
				return err
			}
		}
		return h.Files.Link(ctx, path.Join(alternativeLinks, want.Name), target)
	}
	return run("--set", want.Name, target)
}
