package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"weft/engine/control/run"
	"weft/engine/language"
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
			return apply(cmd, s, &f, args[0], saved)
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

func apply(cmd *cobra.Command, s streams, f *flags, path string, saved *run.Saved) error {
	ctx := cmd.Context()
	playbook, in, again := path, s.inputs(ctx), f.vars
	if saved != nil {
		playbook, in = saved.Playbook, replay(saved, in)
		f.fromPlan(saved)
	}
	t, err := newTask(cmd, s, f, playbook, in, "weft apply "+path)
	if err != nil {
		return err
	}
	defer t.close()
	if saved != nil {
		if err := onlySensitive(t.program, again, "the saved plan", "plan again"); err != nil {
			return err
		}
	}
	t.run.Plan(ctx)
	if saved != nil && ctx.Err() == nil {
		if stale := saved.Stale(t.run.Planned()); len(stale) > 0 {
			return refused(ctx, s, t.run, fmt.Errorf("the plan is stale, nothing was changed:\n  %s\nplan again", strings.Join(stale, "\n  ")))
		}
	}
	return t.carryOut(ctx, saved != nil)
}

// onlySensitive refuses variables that are given again though their values are
// known.
func onlySensitive(p *language.Program, vars []string, where, cure string) error {
	for _, v := range vars {
		if name, _, _ := strings.Cut(v, "="); !p.Sensitive(name) {
			return fmt.Errorf("variable %q is in %s, only sensitive ones are given again: %s", name, where, cure)
		}
	}
	return nil
}
