package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"weft/engine/host"
	"weft/engine/host/local"
	"weft/engine/host/trial"
)

// shutdownTime is for how long an orderly shutdown may take, before the machine
// is reset: it was told to try arguments that may be the reason why it hangs.
const shutdownTime = 30 * time.Second

// trialVerb watches over the trial of this boot.
func trialVerb(ctx context.Context, args []string) error {
	var t trial.Terms
	flags := flag.NewFlagSet("trial", flag.ContinueOnError)
	flags.DurationVar(&t.Confirm, "confirm", 5*time.Minute, "boot anew after this time")
	flags.BoolVar(&t.Staged, "staged", false, "be content with a machine that is up")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return errors.New(usage)
	}
	h := local.New()
	verdict, err := trial.Watch(ctx, h, t, aSecond)
	if ctx.Err() != nil {
		return nil // told to end: the machine goes down, or the trial was kept
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "weft-runner: the trial of kernel arguments: %s\n", verdict)
	if verdict != trial.Expired {
		return nil
	}
	return bootAnew(ctx, h.Units, shutdownTime)
}

// aSecond passes between two looks.
func aSecond(ctx context.Context) error {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// bootAnew orders a boot, and forces it where the shutdown does not come to its
// end. Being told to end is the sign that it has: the service is no part of
// what a shutdown stops first.
func bootAnew(ctx context.Context, units host.Units, patience time.Duration) error {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	defer signal.Stop(told)
	if err := units.Do(context.WithoutCancel(ctx), host.Reboot, ""); err != nil {
		fmt.Fprintln(os.Stderr, "weft-runner: systemd does not boot the machine anew, so it is forced:", err)
		return reset()
	}
	select {
	case <-told:
		return nil
	case <-time.After(patience):
		return reset()
	}
}
