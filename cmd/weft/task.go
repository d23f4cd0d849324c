package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"weft/engine/control/run"
	"weft/engine/language"
	"weft/engine/wire"
)

// task is a run that changes hosts, with all that it is shown on and kept by.
type task struct {
	s       streams
	f       *flags
	program *language.Program
	run     *run.Run
	screen  *screen
	keeper  *keeper
}

// newTask loads a playbook and prepares its run.
func newTask(cmd *cobra.Command, s streams, f *flags, playbook string, in inputs, what string) (*task, error) {
	files := newRecorder(in)
	p, err := load(cmd.Context(), s, f, playbook, files.inputs())
	if err != nil {
		return nil, err
	}
	screen, err := newScreen(s, f)
	if err != nil {
		return nil, err
	}
	r, err := newRun(s, f, p, wire.Change, screen, what)
	if err != nil {
		screen.close()
		return nil, err
	}
	k := newKeeper(s, f, cmd.Flags(), r.ID(), p, files)
	r.OnReboot(k.rebooting)
	return &task{s, f, p, r, screen, k}, nil
}

func (t *task) close() {
	t.run.Close()
	t.screen.close()
}

// carryOut shows what is to change, asks unless it was reviewed, and does it.
func (t *task) carryOut(ctx context.Context, reviewed bool) error {
	switch {
	case ctx.Err() != nil:
	case !t.run.Changes():
		t.run.Prove(ctx)
	default:
		if err := t.disrupts(); err != nil {
			return refused(ctx, t.s, t.run, err)
		}
		if !t.f.yes && !reviewed { // else what changes is shown as it does
			t.screen.plan(t.program, t.run.Planned())
			ok, err := approved(ctx, t.s, "change it?")
			if err != nil {
				return refused(ctx, t.s, t.run, err)
			}
			if !ok {
				break
			}
		}
		return t.change(ctx)
	}
	return t.end(ctx)
}

// disrupts names the virtual machines that the plan hits, where that is not
// allowed: it is known before anything was changed.
func (t *task) disrupts() error {
	if t.f.disruption {
		return nil
	}
	planned := t.run.Planned()
	var hit []string
	for _, host := range slices.Sorted(maps.Keys(planned)) {
		for _, p := range planned[host] {
			if p.Finding != nil && p.Finding.Changed() && len(p.Finding.Cost.Guests) > 0 {
				hit = append(hit, fmt.Sprintf("%s: %s hits %s: %s", host, p.Address, strings.Join(p.Finding.Cost.Guests, ", "), p.Finding.Cost.Disruption))
			}
		}
	}
	if len(hit) == 0 {
		return nil
	}
	return fmt.Errorf("virtual machines run on what is to change, nothing was changed:\n  %s\nmove them or shut them down, or say --allow-disruption", strings.Join(hit, "\n  "))
}

// change keeps what it takes to go on, and begins.
func (t *task) change(ctx context.Context) error {
	t.keeper.begin()
	t.run.Apply(ctx)
	recap := t.run.Recap(ctx)
	t.keeper.end(recap.Exit)
	t.writeFailed()
	switch recap.Exit {
	case run.Interrupted, run.NoContact, run.Locked: // not the playbook's doing
		if t.screen.text != nil {
			fmt.Fprintf(t.s.err, "weft: `weft resume %s` goes on with it%s\n", t.run.ID(), t.wayBack(recap))
		}
	}
	return exitWith(recap.Exit)
}

// wayBack says how to take back what a run changed, if anything.
func (t *task) wayBack(r run.Recap) string {
	for _, c := range r.Hosts {
		if c.Changed > 0 {
			return ", `" + t.run.Command("rollback") + "` takes it back"
		}
	}
	return "; nothing was changed"
}

// end ends a run that changed nothing.
func (t *task) end(ctx context.Context) error {
	recap := t.run.Recap(ctx)
	t.writeFailed()
	return exitWith(recap.Exit)
}

// writeFailed writes the names of the hosts that failed, for --limit @FILE.
func (t *task) writeFailed() {
	if t.f.failedFile == "" {
		return
	}
	var b strings.Builder
	for _, h := range t.run.Failed() {
		b.WriteString(h + "\n")
	}
	if err := os.WriteFile(t.f.failedFile, []byte(b.String()), 0o644); err != nil { //nolint:gosec // names of hosts are no secret
		fmt.Fprintf(t.s.err, "weft: warning: --failed-file: %v\n", err)
	}
}

// refused ends a run that does not begin: as what its hosts came to, and with
// status 1 where that is nothing.
func refused(ctx context.Context, s streams, r *run.Run, why error) error {
	code := r.Recap(ctx, run.Usage).Exit
	if ctx.Err() == nil {
		fmt.Fprintf(s.err, "weft: %s\n", wire.Neutralise(why.Error()))
	}
	return exitWith(code)
}

// approved asks whether to go on.
func approved(ctx context.Context, s streams, question string) (bool, error) {
	if !s.interactive() {
		return false, errors.New("there is nobody to ask: look at it first, then say --yes")
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
