package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// CommandSpec is the spec of kind command.
type CommandSpec struct {
	Argv        []string          `json:"argv" weft:"required" doc:"The program and its arguments, a list. No shell reads them."`
	Check       []string          `json:"check,omitzero" doc:"A read-only program: where it exits with 0 there is nothing to do."`
	Creates     string            `json:"creates,omitzero" doc:"Absolute path that the command brings: where it is there, there is nothing to do."`
	Undo        []string          `json:"undo,omitzero" doc:"The program that takes it back. It must also do where the command ran in part or not at all."`
	Stdin       step.Attr[string] `json:"stdin,omitzero" doc:"What argv reads from its standard input. A place for secrets."`
	Environment map[string]string `json:"environment,omitzero" doc:"Environment variables of all three programs. A place for secrets."`
	Dir         string            `json:"dir,omitzero" doc:"Working directory of all three programs; / where left out."`
	Timeout     string            `json:"timeout,omitzero" default:"10m" doc:"How long each may take, with its unit."`
	Exit        []int             `json:"exit,omitzero" weft:"set" doc:"Exit statuses of argv that mean success; 0 where left out."`
}

// Validate finds programs without a name and times that are none.
func (c *CommandSpec) Validate() []step.Problem {
	var problems []step.Problem
	for _, p := range []struct {
		name string
		argv []string
	}{{"argv", c.Argv}, {"check", c.Check}, {"undo", c.Undo}} {
		if (p.argv != nil || p.name == "argv") && (len(p.argv) == 0 || p.argv[0] == "") {
			problems = append(problems, step.Problem{Path: p.name, Message: "names no program", Hint: `write it as a list: ["touch", "/etc/done"]`})
		} else if len(p.argv) == 1 && strings.Contains(p.argv[0], " ") {
			problems = append(problems, step.Problem{Path: p.name, Message: "is one word with blanks in it, and no shell will split it", Hint: `write each argument for itself: ["ip", "link"]`})
		}
	}
	if d, err := time.ParseDuration(c.Timeout); c.Timeout != "" && (err != nil || d <= 0) {
		problems = append(problems, step.Problem{Path: "timeout", Message: fmt.Sprintf("%q is not a time", c.Timeout), Hint: `write it with its unit: "90s", "10m"`})
	}
	for _, p := range []struct{ name, path string }{{"creates", c.Creates}, {"dir", c.Dir}} {
		if p.path != "" && !path.IsAbs(p.path) {
			problems = append(problems, step.Problem{Path: p.name, Message: fmt.Sprintf("%q is not an absolute path", p.path)})
		}
	}
	for name := range c.Environment {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			problems = append(problems, step.Problem{Path: "environment", Message: fmt.Sprintf("%q is not the name of a variable", name)})
		}
	}
	return problems
}

func commandKind() step.Kind {
	return step.Kind{
		Name:    "command",
		Summary: "A program that is run where a check says that it must be.",
		Doc: `The way out where there is no kind. Give it a check or creates, else it runs at every apply, and the plan says so. After it ran
the check must hold: a command whose check still fails has failed.

Give it an undo, else the plan says before the run that it cannot be undone. Undo runs whenever the command may have begun, so it must do no harm
where there is nothing to take back, like rm -f.

Arguments are seen by every user of the host, so sensitive values are refused there: hand them over by stdin or environment.`,
		Spec: CommandSpec{},
		Example: `step "command" "ovs-pki" {
  argv    = ["ovs-pki", "init"]
  creates = "/var/lib/openvswitch/pki/switchca/cacert.pem"
  undo    = ["rm", "-rf", "/var/lib/openvswitch/pki"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[CommandSpec](u)
			if err != nil {
				return nil, err
			}
			for _, secret := range u.Secret {
				if top, _, _ := strings.Cut(strings.NewReplacer("[", ".", "]", "").Replace(secret), "."); slices.Contains([]string{"argv", "check", "undo"}, top) {
					return nil, fmt.Errorf("%s: %s is sensitive, and every user of the host can read arguments; hand it over by stdin or environment", u.Address, secret)
				}
			}
			return &command{name: u.Name, spec: spec}, nil
		},
	}
}

// command is a step of its own: what a program did is no state that could be
// read.
type command struct {
	name string
	spec CommandSpec
	// ran is set by Apply, so that a command without a check is not found
	// undone by the check that follows in the same run.
	ran bool
}

// Check asks the check program or the path. It must know one of them, or it
// always finds that the command is to be run.
func (c *command) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f := step.Finding{Object: "command " + c.name, Blind: !c.checkable()}
	var err error
	if f.Before, err = json.Marshal(c.spec); err != nil {
		return f, err
	}
	done, err := c.done(ctx, v)
	if err == nil && !done && c.ran {
		err = errors.New("it ran, and its check still fails")
		if c.spec.Check == nil {
			err = fmt.Errorf("it ran, and %s is still not there", c.spec.Creates)
		}
	}
	if err != nil || done {
		return f, err
	}
	f.Deltas = []step.Delta{step.Change("argv", nil, c.spec.Argv)}
	if !c.checkable() {
		f.Warnings = append(f.Warnings, "runs at every apply: it has neither check nor creates")
	}
	if c.spec.Undo == nil {
		f.Cost.Irreversible = "the step has no undo"
	}
	return f, nil
}

func (c *command) checkable() bool { return c.spec.Check != nil || c.spec.Creates != "" }

// done says whether there is nothing to do.
func (c *command) done(ctx context.Context, v host.View) (bool, error) {
	if !c.checkable() {
		return c.ran, nil
	}
	if c.spec.Creates != "" {
		_, err := v.Files.Stat(ctx, c.spec.Creates)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil || c.spec.Check == nil {
			return err == nil, err
		}
	}
	_, err := v.Commands.Query(ctx, c.spec.program(c.spec.Check))
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("check of command %s: %w", c.name, err)
	}
	return true, nil
}

// program is one of the three programs. Only argv is given stdin.
func (c CommandSpec) program(argv []string) host.Command {
	p := host.Command{Argv: argv, Dir: c.Dir}
	p.Timeout, _ = time.ParseDuration(c.Timeout) // Validate has read it before
	for name, value := range c.Environment {
		p.Env = append(p.Env, name+"="+value)
	}
	slices.Sort(p.Env)
	return p
}

// Apply runs the program.
func (c *command) Apply(ctx context.Context, h host.Host, _ step.Finding) error {
	p := c.spec.program(c.spec.Argv)
	p.Stdin = []byte(c.spec.Stdin.Or(""))
	r, err := h.Commands.Run(ctx, p)
	var exit *host.ExitError
	if errors.As(err, &exit) && slices.Contains(c.spec.Exit, r.Exit) {
		err = nil
	} else if err == nil && c.spec.Exit != nil && !slices.Contains(c.spec.Exit, 0) {
		err = &host.ExitError{Command: p.String(), Result: r}
	}
	if err != nil {
		return fmt.Errorf("run command %s: %w", c.name, err)
	}
	c.ran = true
	return nil
}

// Undo runs the undo program that the finding recorded.
func (c *command) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	var spec CommandSpec
	if err := json.Unmarshal(f.Before, &spec); err != nil {
		return fmt.Errorf("decode the record of %s: %w", f.Object, err)
	}
	if spec.Undo == nil {
		return fmt.Errorf("%s has no undo: %w", f.Object, step.ErrIrreversible)
	}
	if _, err := h.Commands.Run(ctx, spec.program(spec.Undo)); err != nil {
		return fmt.Errorf("undo %s: %w", f.Object, err)
	}
	return nil
}
