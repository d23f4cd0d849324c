package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"weft/engine/control/kept"
	"weft/engine/control/run"
)

func resumeCommand(s streams) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "resume [RUN]",
		Short: "Go on with a run that was cut",
		Long: `Resume goes on with a run of yours that did not come to its end: weft was
interrupted or killed, a host was out of reach, lost its power or failed. It takes
the playbook, the inventories and the variables as they were when the run began,
asks again for sensitive values, plans, shows what is left, asks, and goes on at the
first unfinished step of each host. Without a RUN it is the newest that is not
finished. Of one that is finished only the probes are run.

A run is resumed on the machine that began it, by the build of weft that began it.
Anywhere else a new weft apply takes over what was left half made.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: keptRuns(s),
		RunE: func(cmd *cobra.Command, args []string) error {
			return resume(cmd, s, &f, args)
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVarP(&f.vars, "var", "e", nil, "set a sensitive variable again: `name=value` (repeatable)")
	fl.StringArrayVar(&f.identities, "identity", nil, "`file` with an age identity that opens encrypted files of variables (repeatable)")
	fl.StringArrayVarP(&f.within, "limit", "l", nil, "of the run's hosts only these `hosts`: names, globs, groups, roles, !not, @file")
	f.connection(fl)
	f.change(fl)
	f.screen(fl)
	// A controller that was killed may have the hosts for the rest of its lease.
	lock := fl.Lookup("lock-timeout")
	f.lockTimeout, lock.DefValue = 45*time.Second, (45 * time.Second).String()
	return cmd
}

func resume(cmd *cobra.Command, s streams, f *flags, args []string) error {
	ctx := cmd.Context()
	old, err := resumable(s, args)
	if err != nil {
		return err
	}
	if err := restore(cmd.Flags(), old.Flags); err != nil {
		return err
	}
	again := f.vars
	f.resumed, f.awaited = old.ID, old.Rebooting
	f.fromPlan(&old.Sources)
	t, err := newTask(cmd, s, f, old.Sources.Playbook, replay(&old.Sources, s.inputs(ctx)), "weft resume "+old.ID)
	if err != nil {
		return err
	}
	defer t.close()
	t.keeper.run.Began = old.Began
	t.keeper.part = len(f.within) > 0
	if err := onlySensitive(t.program, again, "the run", "apply anew with another value"); err != nil {
		return err
	}
	if t.screen.text != nil {
		t.screen.text.Print(fmt.Sprintf("run %s of %s, begun %s, %s\n",
			old.ID, old.Sources.Playbook, old.Began.Local().Format("2006-01-02 15:04"), came(old)))
	}
	t.run.Plan(ctx)
	if ctx.Err() != nil || t.run.Changes() {
		return t.carryOut(ctx, false)
	}
	if t.screen.text != nil && t.run.Failures() == 0 {
		t.screen.text.Print("nothing is left to change of run " + old.ID + "; its probes are run\n")
	}
	if t.run.Continued() && !old.Finished() {
		return t.change(ctx) // what was done may still wait for a restart
	}
	return t.carryOut(ctx, false)
}

// resumable is the run that is meant.
func resumable(s streams, args []string) (*kept.Run, error) {
	store, err := kept.Open(s.environment)
	if err != nil {
		return nil, err
	}
	var old *kept.Run
	if len(args) == 0 {
		left, err := store.Unfinished()
		if err != nil {
			return nil, err
		}
		if len(left) == 0 {
			return nil, errors.New("no run of yours that began on this machine is unfinished; `weft runs -i INVENTORY` lists what the hosts know")
		}
		old = left[0]
	} else if old, err = store.Get(args[0]); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the run %s is not kept here: it was begun on another machine, by another user or long ago; "+
			"`weft apply` begins a new run, which takes over what was left half made", args[0])
	} else if err != nil {
		return nil, err
	}
	if old.Sources.Build != build() {
		return nil, fmt.Errorf("the run %s was begun by weft %s, and this is weft %s, which cannot go on with it; "+
			"`weft apply` begins a new run, which takes over what was left half made", old.ID, old.Sources.Build, build())
	}
	return old, nil
}

// keptRuns completes the names of runs that are not finished.
func keptRuns(s streams) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		store, err := kept.Open(s.environment)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		left, err := store.Unfinished()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var out []string
		for _, r := range left {
			out = append(out, r.ID+"\t"+r.Sources.Playbook+", "+came(r))
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// came is what a run came to, in words.
func came(r *kept.Run) string {
	if r.Exit == nil {
		return "cut"
	}
	words := map[run.Exit]string{
		run.OK: "finished", run.Usage: "stale", run.HostFailure: "a host failed", run.NoContact: "a host was not reached",
		run.RolledBack: "taken back", run.Locked: "a host was locked", run.ProbeFailed: "a probe failed", run.Interrupted: "interrupted",
	}
	return cmp.Or(words[*r.Exit], "failed")
}

// goOn are the runs among some that can be resumed here.
func goOn(s streams, known map[string]bool) []*kept.Run {
	store, err := kept.Open(s.environment)
	if err != nil {
		return nil
	}
	left, err := store.Unfinished()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(left, func(r *kept.Run) bool { return !known[r.ID] || r.Sources.Build != build() })
}
