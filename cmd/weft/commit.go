package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"weft/engine/control/run"
	"weft/engine/wire"
)

func commitCommand(s streams) *cobra.Command {
	var f flags
	var extend time.Duration
	cmd := &cobra.Command{
		Use:   "commit [RUN] -i INVENTORY",
		Short: "Confirm the guarded changes of a run by hand",
		Long: `A change that may cut the way to a host is guarded: the host takes it back by
itself unless somebody confirms it in time, over a new connection. A run does that
itself, unless it was told --commit-by-hand or was cut. Commit confirms the guards of
a RUN, and what was changed stays; with --extend the hosts wait so much longer.

Without a RUN it lists the guards that stand, and those that ran out and that no
later change on their hosts has taken note of.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: keptRuns(s),
		RunE: func(cmd *cobra.Command, args []string) error {
			if extend < 0 || extend > 0 && len(args) == 0 {
				return fmt.Errorf("--extend is a time from now for the guards of a run: name the run")
			}
			return commit(cmd.Context(), s, &f, append(args, "")[0], extend)
		},
	}
	cmd.Flags().DurationVar(&extend, "extend", 0, "do not confirm, but let the hosts wait for so long from now")
	f.visitor(cmd.Flags())
	return cmd
}

func commit(ctx context.Context, s streams, f *flags, id string, extend time.Duration) error {
	r, q, err := visit(ctx, s, f, "weft commit")
	if err != nil {
		return err
	}
	defer r.Close()
	q.but = run.HostGuard
	guards := r.Guards(ctx)
	q.but = ""
	if id == "" {
		recap := q.recap(r.Recap(ctx))
		if f.output == "json" {
			return cmp.Or(printJSON(s, guards), recap)
		}
		return cmp.Or(printGuards(s, guards), recap)
	}
	var also []run.Exit
	standing := maps.Clone(guards)
	maps.DeleteFunc(standing, func(_ string, g wire.GuardEvent) bool { return g.Run != id || g.State != wire.GuardArmed })
	if len(standing) == 0 && ctx.Err() == nil {
		fmt.Fprintf(s.err, "weft: no guard of run %s stands on a host that was reached: it is decided, or there was none; `weft runs` tells what stands of the run\n", id)
		also = append(also, run.Usage)
		if len(guards) > 0 { // it may have run out, or be another's
			if err := printGuards(s, guards); err != nil {
				return err
			}
		}
	}
	r.Confirm(ctx, id, standing, extend)
	return q.recap(r.Recap(ctx, also...))
}

// printGuards is a line a guard.
func printGuards(s streams, guards map[string]wire.GuardEvent) error {
	if len(guards) == 0 {
		_, err := fmt.Fprintln(s.out, "no guard stands")
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tRUN\tSTATE\tLEFT\tPLAY\tSTEP\tBY")
	for _, h := range slices.Sorted(maps.Keys(guards)) {
		g := guards[h]
		left := "-"
		if g.State == wire.GuardArmed {
			left = g.Left.Round(time.Second).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h, cell(g.Run), cell(string(g.State)), left,
			cell(g.Play), cell(g.Step), cell(g.Owner))
	}
	return w.Flush()
}
