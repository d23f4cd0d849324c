// Weft turns bare machines into an Open vSwitch and OVN cluster over SSH, from
// playbooks in HCL: it plans, applies, proves with packets, and takes back.
//
// This package is flags and wiring, one file a verb; `weft help` is its manual.
// The front half is package language, the work on hosts package control/run,
// what is shown comes from package control/view.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"weft/engine/control/run"
	"weft/engine/wire"
)

func main() {
	os.Exit(int(weft(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv)))
}

// streams are where a command reads and writes, and its environment.
type streams struct {
	in          io.Reader
	out, err    io.Writer
	environment func(string) (string, bool)
}

// weft runs a command line and returns its exit status. The first interrupt
// ends a run cleanly, the second at once.
func weft(args []string, in io.Reader, out, errs io.Writer, environment func(string) (string, bool)) run.Exit {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	forget := context.AfterFunc(ctx, func() {
		stop() // from now on a signal kills
		fmt.Fprintln(errs, "\nweft: stopping: what is under way ends first; a second interrupt waits for nothing")
	})
	defer stop()
	defer forget()
	s := streams{in, out, errs, environment}
	cmd := rootCommand(s)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	var exit exitError
	switch {
	case err == nil:
		return run.OK
	case errors.As(err, &exit):
		return exit.code
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return run.Interrupted
	}
	fmt.Fprintf(errs, "weft: %s\n", wire.Neutralise(err.Error())) // it may quote a host
	return run.Usage
}

// exitError ends weft with a status; what there was to say has been said.
type exitError struct{ code run.Exit }

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// exitWith is nil for OK.
func exitWith(code run.Exit) error {
	if code == run.OK {
		return nil
	}
	return exitError{code}
}
