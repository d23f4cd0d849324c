package main

import (
	"context"
	"errors"
	"fmt"
	"os"
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

func apply(ctx context.Context, s streams, f *flags, path string, saved *run.Saved) error {
	playbook, read := path, os.ReadFile
	if saved != nil {
		playbook, read = saved.Playbook, replay(saved.Files)
		f.inventories, f.varFiles, f.limit = saved.Inventories, saved.VarFiles, saved.Limit
		f.tags, f.skipTags = saved.Tags, saved.SkipTags
		f.vars = append(saved.Vars, f.vars...) // the secrets, given again
	}
	p, err := load(s, f, playbook, read)
	if err != nil {
		return err
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
	if saved != nil {
		if stale := saved.Stale(r.Planned()); len(stale) > 0 && r.Failures() == 0 {
			r.Recap(ctx)
			return fmt.Errorf("the plan is stale, nothing was changed:\n  %s\nplan again", strings.Join(stale, "\n  "))
		}
	}
	return carryOut(ctx, s, f, p, r, screen, saved != nil)
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
		}
		ok, err := approved(s, f, reviewed)
		if err != nil || !ok {
			r.Recap(ctx)
			return err
		}
		r.Apply(ctx)
	}
	return exitWith(r.Recap(ctx).Exit)
}

// approved asks whether to go on.
func approved(s streams, f *flags, reviewed bool) (bool, error) {
	if f.yes || reviewed {
		return true, nil
	}
	if !s.interactive() {
		return false, errors.New("there are changes and nobody to ask: say --yes, or apply a saved plan")
	}
	fmt.Fprint(s.err, "\nchange it? [y/N] ")
	answer, err := s.line()
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
