package host

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
)

// A Command is a program to run. It is never given to a shell.
type Command struct {
	Argv  []string // Argv[0] is looked up on root's PATH
	Stdin []byte
	Env   []string // NAME=value, added to a small fixed environment with LC_ALL=C.UTF-8
	Dir   string   // "/" where empty

	// Namespace is the name of a network namespace below /run/netns to run
	// in; the host's own where empty.
	Namespace string

	// Timeout ends the program and its children; ten minutes where zero.
	Timeout time.Duration

	// Watch is called while the program runs, a few times a second at most and
	// only where it printed something since: with the last whole line, and how
	// many there were. It is called by the goroutine that waits for the program.
	// Nil watches nothing.
	Watch func(last string, lines int)
}

// String shows the program and its arguments, for messages. Stdin and
// environment, where secrets belong, are not in it.
func (c Command) String() string { return strings.Join(c.Argv, " ") }

// Result is what a program left behind.
type Result struct {
	Stdout []byte
	Stderr []byte
	Exit   int
}

// First and Last are the first and the last line of stderr, or of stdout where
// that is empty, for messages: without white space around them, and no more
// than 300 bytes of each.
func (r Result) First() string {
	line, _, _ := strings.Cut(r.said(), "\n")
	return short(strings.TrimSpace(line))
}

// Last is described at [Result.First].
func (r Result) Last() string {
	text := r.said()
	return short(strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:]))
}

func (r Result) said() string {
	if text := bytes.TrimSpace(r.Stderr); len(text) > 0 {
		return string(text)
	}
	return string(bytes.TrimSpace(r.Stdout))
}

// short keeps both ends of a line that is too long for a message.
func short(line string) string {
	const kept = 150
	if len(line) <= 2*kept {
		return line
	}
	return strings.ToValidUTF8(line[:kept], "") + " … " + strings.ToValidUTF8(line[len(line)-kept:], "")
}

// ExitError says that a program ran and exited with another status than 0.
// The whole of its stderr is kept; the message shows the end of it.
type ExitError struct {
	Command string
	Result  Result
}

// Error names the program, its status and the last line it wrote to stderr.
func (e *ExitError) Error() string {
	text := e.Result.Last()
	if text == "" {
		return fmt.Sprintf("%s: exit status %d", e.Command, e.Result.Exit)
	}
	return fmt.Sprintf("%s: exit status %d: %s", e.Command, e.Result.Exit, text)
}

// CommandReader runs programs that change nothing. The laws hold every module
// to that promise.
type CommandReader interface {
	// Query runs a program to its end. The error is an [*ExitError] where it
	// exited with another status than 0 (the Result is set then too), and
	// wraps [ErrNotReady] where there is no such program.
	Query(ctx context.Context, c Command) (Result, error)
}

// CommandWriter runs programs that may change the machine.
type CommandWriter interface {
	// Run is Query for a program that changes the machine: one effect.
	Run(ctx context.Context, c Command) (Result, error)
}

// Commands is the door to programs.
type Commands interface {
	CommandReader
	CommandWriter
}
