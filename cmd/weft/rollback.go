package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"weft/engine/control/kept"
	"weft/engine/control/run"
	"weft/engine/wire"
)

func rollbackCommand(s streams) *cobra.Command {
	var f flags
	var play string
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
first of them found.

With --limit only some hosts go back, with --play only what was done in one play.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return rollback(cmd.Context(), s, &f, play, args)
		},
	}
	f.source(cmd.Flags())
	cmd.Flags().StringArrayVarP(&f.limit, "limit", "l", nil, "only these `hosts`")
	cmd.Flags().StringVar(&play, "play", "", "only what was done in the play of this `name`")
	f.connection(cmd.Flags())
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	f.lock(cmd.Flags())
	f.screen(cmd.Flags())
	return cmd
}

func rollback(ctx context.Context, s streams, f *flags, play string, ids []string) error {
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
	past, err := r.Find(ctx, play, ids...)
	if err != nil {
		return refused(ctx, s, r, err)
	}
	if len(past.Plays) == 0 {
		fmt.Fprintln(s.err, "nothing of it stands any more")
		return exitWith(r.Recap(ctx).Exit)
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
	code := r.Recap(ctx).Exit
	if code == run.OK && play == "" && len(f.limit) == 0 {
		forget(s, ids)
	}
	return exitWith(code)
}

// forget drops what was kept to go on with runs that are taken back now.
func forget(s streams, ids []string) {
	store, err := kept.Open(s.environment)
	for _, id := range ids {
		if err == nil {
			err = store.Forget(id)
		}
	}
	if err != nil {
		fmt.Fprintf(s.err, "weft: warning: `weft runs` still offers to go on with what was taken back: %v\n", err)
	}
}
