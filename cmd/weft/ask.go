package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"weft/engine/control/view"
)

// interactive says whether there is somebody to ask.
func (s streams) interactive() bool {
	f, ok := s.in.(*os.File)
	if ci, _ := s.environment("CI"); ci != "" {
		return false
	}
	return ok && term.IsTerminal(int(f.Fd())) && view.IsTerminal(s.err)
}

// askVariable returns nil where there is nobody to ask.
func (s streams) askVariable(ctx context.Context) func(name string, sensitive bool) (string, error) {
	if !s.interactive() {
		return nil
	}
	return func(name string, sensitive bool) (string, error) {
		if sensitive {
			return s.askSecret(ctx, "var."+name)
		}
		fmt.Fprintf(s.err, "var.%s: ", name)
		return s.line(ctx)
	}
}

var errNobody = errors.New("there is no terminal to ask at")

// askSecret reads a line without showing it.
func (s streams) askSecret(ctx context.Context, prompt string) (string, error) {
	if !s.interactive() {
		return "", errNobody
	}
	terminal := int(s.in.(*os.File).Fd())
	before, err := term.GetState(terminal)
	if err != nil {
		return "", fmt.Errorf("read from the terminal: %w", err)
	}
	fmt.Fprintf(s.err, "%s: ", prompt)
	defer fmt.Fprintln(s.err)
	answer, err := answered(ctx, func() (string, error) {
		b, err := term.ReadPassword(terminal)
		return string(b), err
	})
	if ctx.Err() != nil {
		err = errors.Join(err, term.Restore(terminal, before)) // or it shows nothing any more
	}
	return answer, err
}

// line reads a line. The end of the input is an empty one.
func (s streams) line(ctx context.Context) (string, error) {
	return answered(ctx, func() (string, error) {
		line, err := bufio.NewReader(s.in).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return strings.TrimRight(line, "\r\n"), err
	})
}

// answered reads from a person, and no longer than until ctx is done: a read
// from a terminal cannot be ended, so it is left behind.
func answered(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := read()
		answers <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case a := <-answers:
		if a.err != nil {
			return "", fmt.Errorf("read from the terminal: %w", a.err)
		}
		return a.text, nil
	}
}
