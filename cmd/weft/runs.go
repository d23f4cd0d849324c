package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"weft/engine/control/run"
	"weft/engine/wire"
)

func runsCommand(s streams) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "runs -i INVENTORY",
		Short: "List the runs that the hosts' journals know",
		Long: `Runs lists what the hosts' journals know, the newest first, and below it the runs
that did not come to their end and can be resumed from here.

The state is that of the changes on the hosts that were reached: open, one of them
is half made; done, all of them are whole, though the run may have had more to do;
conflict, another hand changed something that an undo therefore left; undone, all
were taken back.`,
		Args: cobra.NoArgs,
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
			return cmp.Or(printRuns(s, runs), printResumable(s, runs), code)
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
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", cell(id), r.Began.Local().Format("2006-01-02 15:04"),
			cell(r.State), r.Changed, r.Undone, strings.Join(r.hosts, ","), cell(r.Owner))
	}
	return w.Flush()
}

// cell is a host's word in a table: it can make neither a column nor a row.
func cell(s string) string { return strings.Join(strings.Fields(wire.Neutralise(s)), " ") }

// printResumable says which of the runs can be gone on with from here.
func printResumable(s streams, byHost map[string][]wire.RunEvent) error {
	known := map[string]bool{}
	for _, runs := range byHost {
		for _, e := range runs {
			known[e.Run] = true
		}
	}
	for _, r := range goOn(s, known) {
		does := "goes on with it"
		if r.Exit != nil && *r.Exit == run.RolledBack {
			does = "tries the same again"
		}
		if _, err := fmt.Fprintf(s.out, "run %s is not finished (%s): `weft resume %s` %s\n", r.ID, came(r), r.ID, does); err != nil {
			return err
		}
	}
	return nil
}
