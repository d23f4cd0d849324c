package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"sync"
	"time"
)

// What an echo service does at most: it stands on a network that others reach.
const (
	echoConnections = 16               // at a time; more wait to be accepted
	echoIdle        = 30 * time.Second // without a byte
	echoTime        = 5 * time.Minute  // of one connection
)

func echoVerb(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	lifetime := flags.Duration("for", 0, "end after this time; zero not before SIGTERM")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New(usage)
	}
	if *lifetime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *lifetime)
		defer cancel()
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", flags.Arg(0))
	if err != nil {
		return err
	}
	return echo(ctx, l)
}

// echo sends back what comes, until ctx is done. It closes the listener and
// every connection then.
func echo(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	var open sync.WaitGroup
	defer open.Wait()
	slots := make(chan struct{}, echoConnections)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil && err == nil:
			return c.Close()
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		open.Go(func() {
			defer func() { <-slots }()
			defer func() { _ = c.Close() }()
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			sendBack(c)
		})
	}
}

// sendBack copies until the other side is done, silent for too long, or has
// had its time. Whatever ends it is the other side's matter.
func sendBack(c net.Conn) {
	end := time.Now().Add(echoTime)
	buffer := make([]byte, 32<<10)
	for {
		deadline := time.Now().Add(echoIdle)
		if deadline.After(end) {
			deadline = end
		}
		if c.SetDeadline(deadline) != nil {
			return
		}
		n, err := c.Read(buffer)
		if n > 0 {
			if _, err := c.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				if t, ok := c.(*net.TCPConn); ok {
					_ = t.CloseWrite()
				}
			}
			return
		}
	}
}
