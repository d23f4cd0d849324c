// Command weft-runner is what weft pushes to a host and starts there. It is
// not for people, but for what a person may have to do without weft:
//
//	weft-runner serve             one session on stdin and stdout (engine/wire)
//	weft-runner undo [-play PLAY] [-half] RUN
//	                              take a run back, here and now; JSON lines on stdout
//	weft-runner guard             wait for the guard of this host to be decided, and
//	                              take its change back where nobody confirms it;
//	                              the program of weft-guard.service
//	weft-runner trial [-confirm TIME] [-staged]
//	                              on a boot that tries kernel arguments, boot the machine
//	                              anew where nobody keeps them; the program of
//	                              weft-trial.service
//	weft-runner echo [-for TIME] ADDRESS
//	                              send TCP bytes back, for probes
//	weft-runner version           the digest of this program
//
// The flags of undo and what it prints are frozen: builds of different ages
// ask each other. State lies in /var/lib/weft and /run/weft, or where
// WEFT_STATE and WEFT_RUNTIME say.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"weft/engine/host/local"
	"weft/engine/onhost"
	"weft/modules"
)

func main() {
	// A session lives for moments and holds a few megabytes: to collect less
	// often saves a fifth of its time.
	debug.SetGCPercent(400)
	// Programs that this runner starts are in its session, so that a run
	// that takes over can find them. The error of a process that leads a
	// group already is no loss.
	_, _ = syscall.Setsid()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // a controller that is gone is an error of the write
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "weft-runner:", err)
		stop()
		os.Exit(1)
	}
}

const usage = "usage: weft-runner serve | undo [-play PLAY] [-half] RUN | guard | trial [-confirm TIME] [-staged] | echo [-for TIME] ADDRESS | version"

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	switch verb, args := args[0], args[1:]; verb {
	case "serve":
		c, err := config()
		if err != nil {
			return err
		}
		return onhost.Serve(ctx, in, out, c)
	case "undo":
		return undo(ctx, args, out)
	case "guard":
		c, err := config()
		if err != nil {
			return err
		}
		return onhost.Guard(ctx, c)
	case "trial":
		return trialVerb(ctx, args)
	case "echo":
		return echoVerb(ctx, args)
	case "version":
		digest, err := ownDigest()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, digest)
		return err
	}
	return errors.New(usage)
}

// config is the runner on the real host.
func config() (onhost.Config, error) {
	digest, err := ownDigest()
	if err != nil {
		return onhost.Config{}, err
	}
	c := onhost.Config{
		Table: modules.Kinds(), Host: local.New(), Digest: digest,
		State: or(os.Getenv("WEFT_STATE"), "/var/lib/weft"), Runtime: or(os.Getenv("WEFT_RUNTIME"), "/run/weft"),
		Log: os.Stderr,
	}
	c.Host.Kept = filepath.Join(c.State, "kept")
	return c, nil
}

func or(value, other string) string {
	if value == "" {
		return other
	}
	return value
}

func undo(ctx context.Context, args []string, out io.Writer) error {
	var o onhost.Order
	flags := flag.NewFlagSet("undo", flag.ContinueOnError)
	flags.StringVar(&o.Play, "play", "", "only this play's changes")
	flags.BoolVar(&o.Half, "half", false, "only what is half made")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New(usage)
	}
	o.Run = flags.Arg(0)
	c, err := config()
	if err != nil {
		return err
	}
	return onhost.Undo(ctx, c, o, out)
}
