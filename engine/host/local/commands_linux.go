package local

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"weft/engine/host"
)

const (
	// searchPath is root's PATH on Debian and Red Hat alike.
	searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

	defaultTimeout = 10 * time.Minute
	// usualGrace is between SIGTERM and SIGKILL.
	usualGrace = 5 * time.Second
	// drain is how long output is still read of a program that has ended: a
	// daemon that it left behind may hold the pipe for ever.
	drain = time.Second
	// watchPause is between two looks at what a program printed.
	watchPause = 300 * time.Millisecond
	// keptOutput is kept of both ends of stdout, and of stderr.
	keptOutput = 8 << 20
)

// commands runs programs.
type commands struct {
	grace time.Duration // between SIGTERM and SIGKILL; usualGrace where zero
}

// Query ends the program when ctx is done. Output that is too long to be kept
// whole is an error, since it is there to be read.
func (p commands) Query(ctx context.Context, c host.Command) (host.Result, error) {
	result, cut, err := p.execute(ctx, ctx.Done(), c)
	if err == nil && cut > 0 {
		err = fmt.Errorf("run %s: it printed %d bytes more than the %d that are kept", c, cut, 2*keptOutput)
	}
	return result, err
}

// Run lets a program that has begun end by itself or by its time-out. The
// deadline of ctx shortens the time-out; cancelling ctx does not.
func (p commands) Run(ctx context.Context, c host.Command) (host.Result, error) {
	result, _, err := p.execute(ctx, nil, c)
	return result, err
}

func (p commands) execute(ctx context.Context, stop <-chan struct{}, c host.Command) (result host.Result, cut int, err error) {
	if err := ctx.Err(); err != nil {
		return result, 0, err
	}
	cmd, err := prepare(c)
	if err != nil {
		return result, 0, err
	}
	stdout, stderr := &bounded{limit: keptOutput}, &bounded{limit: keptOutput}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	var seen *lines
	if c.Watch != nil {
		seen = &lines{}
		cmd.Stdout, cmd.Stderr = io.MultiWriter(stdout, seen.stream()), io.MultiWriter(stderr, seen.stream())
	}
	if err := within(c.Namespace, cmd.Start); err != nil {
		return result, 0, startError(c, err)
	}
	ended := p.wait(ctx, stop, cmd, timeout(ctx, c), func() { seen.tell(c.Watch) })
	result = host.Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Exit: exitStatus(cmd.ProcessState)}
	switch {
	case ended != nil:
		err = fmt.Errorf("run %s: %w%s", c, ended, words(result))
	case result.Exit != 0:
		err = &host.ExitError{Command: c.String(), Result: result}
	}
	return result, stdout.cut(), err
}

// An endedError says after how long a program was ended that took too long.
type endedError time.Duration

func (e endedError) Error() string {
	return fmt.Sprintf("ended by weft after %s", time.Duration(e).Round(time.Millisecond))
}

func (e endedError) Unwrap() error { return context.DeadlineExceeded }

// prepare finds the program and makes its surroundings.
func prepare(c host.Command) (*exec.Cmd, error) {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return nil, errors.New("run a program: the command is empty")
	}
	path, err := lookPath(c.Argv[0])
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", c, err)
	}
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("run %s: %w", c, err)
	}
	cmd := &exec.Cmd{
		Path: path, Args: c.Argv, Dir: dir,
		Env:         append([]string{"PATH=" + searchPath, "HOME=/root", "USER=root", "LOGNAME=root", "LC_ALL=C.UTF-8", "TERM=dumb"}, c.Env...),
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
		WaitDelay:   drain,
	}
	if c.Stdin != nil {
		cmd.Stdin = bytes.NewReader(c.Stdin)
	}
	return cmd, nil
}

// lookPath finds a program on root's PATH, whatever ours is.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(searchPath) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no program %s on %s: %w", name, searchPath, host.ErrNotReady)
}

func startError(c host.Command, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) && errors.Is(path.Err, syscall.ENOENT) && path.Op == "fork/exec" {
		return fmt.Errorf("run %s: there is no program %s, or not the interpreter in its first line: %w", c, path.Path, host.ErrNotReady)
	}
	return fmt.Errorf("run %s: %w", c, err)
}

func timeout(ctx context.Context, c host.Command) time.Duration {
	limit := c.Timeout
	if limit == 0 {
		limit = defaultTimeout
	}
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	return limit
}

// wait waits for the end of a program, and brings it about where its time is
// over or stop is closed. The error says why it was ended. Meanwhile look is
// called now and then.
func (p commands) wait(ctx context.Context, stop <-chan struct{}, cmd *exec.Cmd, limit time.Duration, look func()) error {
	var ended error
	done := make(chan struct{})
	go func() {
		ended = cmd.Wait()
		close(done)
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	glance := time.NewTicker(watchPause)
	defer glance.Stop()
	var why error
	for why == nil {
		select {
		case <-done:
			return waitError(ended)
		case <-glance.C:
			look()
		case <-timer.C:
			why = endedError(limit)
		case <-stop:
			why = ctx.Err()
		}
	}
	// A negative id is the whole process group (kill(2)).
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-done:
	case <-time.After(cmp.Or(p.grace, usualGrace)):
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-done
	return why
}

// waitError leaves out what the exit status says already.
func waitError(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// exitStatus is 128 and the signal's number for a program that a signal ended,
// as in a shell.
func exitStatus(s *os.ProcessState) int {
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return s.ExitCode()
}

// words are how the output of a program that was ended began and how it ended,
// for the end of a message.
func words(r host.Result) string {
	first, last := r.First(), r.Last()
	switch {
	case last == "":
		return "; it said nothing"
	case first == last:
		return fmt.Sprintf("; it said %q", last)
	}
	return fmt.Sprintf("; it began with %q, and its last words were %q", first, last)
}
