package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"weft/engine/host"
)

// A phaseError says in which phase a build failed, of what, and where to read on.
type phaseError struct {
	build, phase string
	how          string // "exit status 2"
	cause        string // the line of the compiler
	log          string // path of the whole of it; empty where it could not be written
	last         string // the end of it
	err          error
}

// Error is a line, and below it the end of what was printed.
func (e *phaseError) Error() string {
	s := fmt.Sprintf("the build of %s failed in its phase %s (%s)", e.build, e.phase, e.how)
	if e.cause != "" {
		s += ": " + e.cause
	}
	if e.log != "" {
		s += "; all that it printed lies on the host in " + e.log
	}
	if e.last != "" {
		s += "\n" + e.last
	}
	return s
}

// Unwrap is a time that is over, or a stop: what is not the source's fault.
func (e *phaseError) Unwrap() error { return e.err }

// program runs one program of a build, and keeps what it said where it fails.
func (c compilation) program(ctx context.Context, phase string, cmd host.Command, watch func(string, int)) error {
	cmd.Watch = watch
	result, err := c.h.Commands.Run(ctx, cmd)
	if err == nil {
		return nil
	}
	var exit *host.ExitError
	failed := errors.As(err, &exit)
	if !failed && len(result.Stdout)+len(result.Stderr) == 0 {
		return fmt.Errorf("phase %s: %w", phase, err)
	}
	text := bytes.Join([][]byte{[]byte(cmd.String() + "\n"), result.Stdout, result.Stderr}, nil)
	out := &phaseError{build: c.name + " " + c.version, phase: phase, cause: cause(result), last: lastLines(result, 20), log: c.log(), how: err.Error()}
	if failed {
		out.how = fmt.Sprintf("exit status %d", exit.Result.Exit)
	} else {
		out.err = err
	}
	if err := c.h.Files.Write(context.WithoutCancel(ctx), c.log(), text, host.Attributes{}); err != nil {
		out.log = ""
		out.cause += fmt.Sprintf("; its log could not be kept: %v", err)
	}
	return out
}

var (
	// telling are lines that name a mistake, as compilers, linkers, configure, meson
	// and the kernel put them.
	telling = regexp.MustCompile(`(?i)(^|[^a-z-])(error:|error |undefined reference|fatal|cannot find|no space left|killed|not found|no such file)`)
	// follows are what make, ninja and tar say once something else has failed.
	follows = regexp.MustCompile(`^(make(\[\d+\])?: |ninja: |FAILED: |\+ |tar: Exiting |tar: Removing )`)
)

// cause is the first line that names a mistake, of stderr before stdout; else the
// last that is not about another, or the last.
func cause(r host.Result) string {
	for _, text := range [][]byte{r.Stderr, r.Stdout} {
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); telling.MatchString(line) && !follows.MatchString(line) {
				return short(line)
			}
		}
	}
	lines := strings.Split(strings.TrimSpace(string(r.Stdout)+"\n"+string(r.Stderr)), "\n")
	for _, line := range slices.Backward(lines) {
		if line = strings.TrimSpace(line); line != "" && !follows.MatchString(line) {
			return short(line)
		}
	}
	return short(lines[len(lines)-1])
}

// longestLine is how many bytes of a compiler's line are shown.
const longestLine = 300

func short(line string) string {
	if len(line) > longestLine {
		line = line[:longestLine] + " …"
	}
	return strings.ToValidUTF8(line, "?")
}

// lastLines are the last lines of stdout and stderr, the latter last.
func lastLines(r host.Result, n int) string {
	lines := strings.Split(strings.TrimSpace(string(r.Stdout)+"\n"+string(r.Stderr)), "\n")
	lines = lines[max(0, len(lines)-n):]
	for i := range lines {
		lines[i] = short(lines[i])
	}
	return strings.Join(lines, "\n")
}

var (
	// ninjaStep is how ninja begins its lines.
	ninjaStep = regexp.MustCompile(`^\[(\d+)/(\d+)\]`)
	// compiledFile is the source in the line of a compiler.
	compiledFile = regexp.MustCompile(`([^\s/]+\.(?:c|cc|cpp|cxx|S|rs|go))(?:\s|$)`)
)

// progress tells how far a phase is: ninja says so itself, of others the lines are
// counted, and the source that is compiled is named.
func (c compilation) progress(phase string) func(last string, lines int) {
	return func(last string, lines int) {
		if at := ninjaStep.FindStringSubmatch(last); at != nil {
			c.h.Tell(fmt.Sprintf("%s %s of %s", phase, at[1], at[2]))
			return
		}
		if at := compiledFile.FindStringSubmatch(last); at != nil {
			last = at[1]
		}
		c.h.Tell(fmt.Sprintf("%s, line %d: %s", phase, lines, last))
	}
}
