package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"weft/engine/control/run"
	"weft/engine/control/view"
	"weft/engine/language"
	"weft/engine/step"
	"weft/engine/wire"
	"weft/modules"
)

func planCommand(s streams) *cobra.Command {
	var f flags
	var out string
	cmd := &cobra.Command{
		Use:   "plan PLAYBOOK -i INVENTORY",
		Short: "Show what an apply would change, and change nothing",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return plan(cmd.Context(), s, &f, args[0], s.inputs(cmd.Context()), out)
		},
	}
	f.source(cmd.Flags())
	f.scope(cmd.Flags())
	f.connection(cmd.Flags())
	f.screen(cmd.Flags())
	cmd.Flags().BoolVar(&f.detailedExit, "detailed-exitcode", false, "status 2 where there are changes")
	cmd.Flags().StringVar(&out, "out", "", "save the plan to a `file`, for `weft apply FILE`")
	return cmd
}

func plan(ctx context.Context, s streams, f *flags, playbook string, in inputs, out string) error {
	files := newRecorder(in)
	p, err := load(ctx, s, f, playbook, files.inputs())
	if err != nil {
		return err
	}
	screen, err := newScreen(s, f)
	if err != nil {
		return err
	}
	defer screen.close()
	r, err := newRun(s, f, p, wire.Look, screen, "weft plan "+playbook)
	if err != nil {
		return err
	}
	defer r.Close()
	r.Plan(ctx)
	var also []run.Exit
	if ctx.Err() == nil {
		screen.plan(p, r.Planned())
		if f.detailedExit && r.Changes() {
			also = append(also, run.Pending)
		}
		if out != "" {
			if err := savePlan(f, p, r, files, out); err != nil {
				screen.close()
				fmt.Fprintf(s.err, "weft: %v\n", err)
				also = append(also, run.Usage)
			}
		}
	}
	return exitWith(r.Recap(ctx, also...).Exit)
}

func savePlan(f *flags, p *language.Program, r *run.Run, files *recorder, out string) error {
	saved := f.sources(p, files)
	if err := saved.Save(r.Planned(), r.Failures()); err != nil {
		return err
	}
	if err := os.WriteFile(out, saved.Encode(), 0o600); err != nil {
		return fmt.Errorf("save the plan: %w", err)
	}
	return nil
}

// newRun wires a program to SSH, and the run to the screen.
func newRun(s streams, f *flags, p *language.Program, intent wire.Intent, o run.Observer, what string) (*run.Run, error) {
	if f.forks < 1 {
		return nil, fmt.Errorf("--forks is at least 1, not %d", f.forks)
	}
	switch step.RebootPolicy(f.reboot) {
	case "", step.RebootAuto, step.RebootNever, step.RebootStaged:
	default:
		return nil, fmt.Errorf("--reboot is auto, never or staged, not %q", f.reboot)
	}
	limit, err := selected(p, f)
	if err != nil {
		return nil, err
	}
	if err := knownTags(p, f); err != nil {
		return nil, err
	}
	if len(p.Hosts) == 0 {
		return nil, fmt.Errorf("there are no hosts: name an inventory with -i")
	}
	c, err := newConnector(s, f, p)
	if err != nil {
		return nil, err
	}
	options := run.Options{
		ID: cmp.Or(f.resumed, run.NewID(time.Now())), Owner: owner() + " (" + what + ")", Table: modules.Kinds(),
		Limit: limit, Forks: f.forks, Connections: connections(), LockTimeout: f.lockTimeout, GuardTime: f.guardTime, ByHand: f.byHand, AllowDisruption: f.disruption,
		Reboot: step.RebootPolicy(f.reboot), RebootTime: f.rebootTime, Awaited: f.awaited,
		TimeLimit: f.timeLimit, Inventories: f.inventories, Observer: o,
	}
	if intent == wire.Change {
		// Who reads the output may go; what was begun on the hosts goes on.
		signal.Ignore(syscall.SIGPIPE)
	}
	if f.noRollback {
		options.OnFailure = language.Stop
	}
	return run.New(p, c, intent, options), nil
}

// owner is who runs weft, for others that find a host locked.
func owner() string {
	name, machine := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		machine = h
	}
	return name + "@" + machine
}

// screen is the view that --output asks for.
type screen struct {
	run.Observer
	text *view.Text // nil with -o json
}

func newScreen(s streams, f *flags) (*screen, error) {
	environment := s.environment
	if f.noColor {
		environment = func(name string) (string, bool) {
			if name == "NO_COLOR" {
				return "1", true
			}
			return s.environment(name)
		}
	}
	switch f.output {
	case "json":
		return &screen{Observer: view.NewJSON(s.out)}, nil
	case "text":
		t := view.NewText(s.out, environment, view.Verbosity(min(f.verbose, int(view.Everything))))
		return &screen{t, t}, nil
	}
	return nil, fmt.Errorf("--output is text or json, not %q", f.output)
}

func (s *screen) close() {
	if s.text != nil {
		s.text.Close()
	}
}

// plan shows a plan to people; with -o json the events have told it.
func (s *screen) plan(p *language.Program, planned map[string][]run.Planned) {
	if s.text == nil {
		return
	}
	order := make([]string, 0, len(p.Hosts))
	for _, h := range p.Hosts {
		if _, ok := planned[h.Name]; ok {
			order = append(order, h.Name)
		}
	}
	s.text.Plan(order, planned)
}
