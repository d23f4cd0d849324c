package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"weft/engine/wire"
)

func rollbackCommand(s streams) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "rollback RUN... -i INVENTORY",
		Short: "Take runs back, from the hosts' own journals",
		Long: `Rollback takes back what runs changed, on any later day: the last run first, its
plays in reverse, each step in reverse, from what the hosts' journals say was
found before. What another hand changed since is reported and left. Runs are named
as weft runs lists them.

A run on which a later one has built is not taken back alone: every host is asked
first, and nothing moves where one refuses. Runs that are named together go
together: an object that several of them changed goes back at once to what the
first of them found.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return rollback(cmd.Context(), s, &f, args)
		},
	}
	f.source(cmd.Flags())
	cmd.Flags().StringArrayVarP(&f.limit, "limit", "l", nil, "only these `hosts`")
	f.connection(cmd.Flags())
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	f.lock(cmd.Flags())
	f.screen(cmd.Flags())
	return cmd
}

func rollback(ctx context.Context, s streams, f *flags, ids []string) error {
	p, err := load(ctx, s, f, "", s.inputs(ctx))
	if err != nil {
		return err
	}
	screen, err := newScreen(s, f)
	if err != nil {
		return err
	}
	defer screen.close()
	r, err := newRun(s, f, p, wire.Change, screen, "weft rollback "+strings.Join(ids, " "))
	if err != nil {
		return err
	}
	defer r.Close()
	past, err := r.Find(ctx, ids...)
	if err != nil {
		return refused(ctx, s, r, err)
	}
	if !f.yes {
		for _, p := range past.Plays {
			fmt.Fprintf(s.err, "run %s, play %s: %s on %s\n", wire.Neutralise(p.Run), wire.Neutralise(p.Play), plural(p.Changed, "step"), strings.Join(p.Hosts, ", "))
		}
		ok, err := approved(ctx, s, "take it back?")
		if err != nil {
			return refused(ctx, s, r, err)
		}
		if !ok {
			return exitWith(r.Recap(ctx).Exit)
		}
	}
	r.Rollback(ctx, past)
	return exitWith(r.Recap(ctx).Exit)
}

func runsCommand(s streams) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "runs -i INVENTORY",
		Short: "List the runs that the hosts' journals know",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, quiet, err := visit(cmd.Context(), s, &f, "weft runs")
			if err != nil {
				return err
			}
			defer r.Close()
			runs := r.Runs(cmd.Context())
			code := quiet.recap(r.Recap(cmd.Context()))
			if f.output == "json" {
				return cmp.Or(printJSON(s, runs), code)
			}
			return cmp.Or(printRuns(s, runs), code)
		},
	}
	f.visitor(cmd.Flags())
	return cmd
}

// printRuns is a line a run, the newest first. Its state is the first that it
// has on any host.
func printRuns(s streams, byHost map[string][]wire.RunEvent) error {
	states := []string{"open", "done", "conflict", "undone"}
	type row struct {
		wire.RunEvent
		hosts []string
	}
	rows := map[string]*row{}
	for host, runs := range byHost {
		for _, e := range runs {
			if rows[e.Run] == nil {
				rows[e.Run] = &row{RunEvent: wire.RunEvent{Run: e.Run, Owner: e.Owner, Began: e.Began, State: e.State}}
			}
			r := rows[e.Run]
			r.Changed, r.Undone = r.Changed+e.Changed, r.Undone+e.Undone
			if slices.Index(states, e.State) < slices.Index(states, r.State) {
				r.State = e.State
			}
			r.hosts = append(r.hosts, host)
		}
	}
	ids := make([]string, 0, len(rows))
	for id := range rows {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tBEGAN\tSTATE\tCHANGED\tUNDONE\tHOSTS\tBY")
	for _, id := range ids {
		r := rows[id]
		slices.Sort(r.hosts)
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", wire.Neutralise(id), r.Began.Local().Format("2006-01-02 15:04"),
			wire.Neutralise(r.State), r.Changed, r.Undone, strings.Join(r.hosts, ","), wire.Neutralise(r.Owner))
	}
	return w.Flush()
}
