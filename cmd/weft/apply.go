package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"weft/engine/control/run"
	"weft/engine/language"
	"weft/engine/wire"
)

func applyCommand(s streams) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "apply PLAYBOOK -i INVENTORY | apply PLAN",
		Short: "Plan, ask, change, verify, prove; take back what failed",
		Long: `Apply plans, shows the plan, asks, and then changes what the plan showed. Every
step is verified after it was applied, and the probes of the playbook are run; a
play that fails on a host is taken back there. Where nothing is to change only
the probes run.

A plan that was saved by weft plan --out is applied exactly, or refused where the
hosts are not as they were.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			saved, err := savedPlan(args[0])
			if err != nil {
				return err
			}
			if saved != nil {
				if err := notWithPlan(cmd); err != nil {
					return err
				}
			}
			return apply(cmd.Context(), s, &f, args[0], saved)
		},
	}
	f.source(cmd.Flags())
	f.scope(cmd.Flags())
	f.connection(cmd.Flags())
	f.change(cmd.Flags())
	f.screen(cmd.Flags())
	return cmd
}

// savedPlan is nil where the file is a playbook.
func savedPlan(path string) (*run.Saved, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	saved, err := run.DecodeSaved(b, build())
	if errors.Is(err, run.ErrNoPlan) {
		return nil, nil
	}
	return saved, err
}

// notWithPlan refuses the flags whose values are in a saved plan.
func notWithPlan(cmd *cobra.Command) error {
	for _, name := range []string{"inventory", "limit", "tags", "skip-tags", "var-file"} {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s is in the saved plan and cannot be given with it: plan again", name)
		}
	}
	return nil
}

// fromPlan sets the flags that a saved plan holds. The values of sensitive
// variables, which it does not hold, may have been given again.
func (f *flags) fromPlan(saved *run.Saved) {
	f.inventories, f.varFiles, f.limit = saved.Inventories, saved.VarFiles, saved.Limit
	f.tags, f.skipTags = saved.Tags, saved.SkipTags
	f.vars = append(slices.Clone(saved.Vars), f.vars...)
}

func apply(ctx context.Context, s streams, f *flags, path string, saved *run.Saved) error {
	playbook, in, again := path, s.inputs(ctx), f.vars
	if saved != nil {
		playbook, in = saved.Playbook, replay(saved, in)
		f.fromPlan(saved)
	}
	p, err := load(ctx, s, f, playbook, in)
	if err != nil {
		return err
	}
	for _, v := range again {
		if name, _, _ := strings.Cut(v, "="); saved != nil && !p.Sensitive(name) {
			return fmt.Errorf("variable %q is in the saved plan, only sensitive ones are given again: plan again", name)
		}
	}
	screen, err := newScreen(s, f)
	if err != nil {
		return err
	}
	defer screen.close()
	r, err := newRun(s, f, p, wire.Change, screen, "weft apply "+path)
	if err != nil {
		return err
	}
	defer r.Close()
	r.Plan(ctx)
	if saved != nil && ctx.Err() == nil {
		if stale := saved.Stale(r.Planned()); len(stale) > 0 {
			return refused(ctx, s, r, fmt.Errorf("the plan is stale, nothing was changed:\n  %s\nplan again", strings.Join(stale, "\n  ")))
		}
	}
	return carryOut(ctx, s, f, p, r, screen, saved != nil)
}

// refused ends a run that does not begin: as what its hosts came to, and with
// status 1 where that is nothing.
func refused(ctx context.Context, s streams, r *run.Run, why error) error {
	code := r.Recap(ctx, run.Usage).Exit
	if ctx.Err() == nil {
		fmt.Fprintf(s.err, "weft: %v\n", why)
	}
	return exitWith(code)
}

// carryOut shows what is to change, asks unless it was reviewed, and does it.
func carryOut(ctx context.Context, s streams, f *flags, p *language.Program, r *run.Run, screen *screen, reviewed bool) error {
	switch {
	case ctx.Err() != nil:
	case !r.Changes():
		r.Prove(ctx)
	default:
		if !f.yes && !reviewed { // else what changes is shown as it does
			screen.plan(p, r.Planned())
			ok, err := approved(ctx, s, "change it?")
			if err != nil {
				return refused(ctx, s, r, err)
			}
			if !ok {
				break
			}
		}
		r.Apply(ctx)
	}
	return exitWith(r.Recap(ctx).Exit)
}

// approved asks whether to go on.
func approved(ctx context.Context, s streams, question string) (bool, error) {
	if !s.interactive() {
		return false, errors.New("there is nobody to ask: say --yes, or apply a saved plan")
	}
	fmt.Fprintf(s.err, "\n%s [y/N] ", question)
	answer, err := s.line(ctx)
	if err != nil {
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	fmt.Fprintln(s.err, "nothing was changed")
	return false, nil
}
