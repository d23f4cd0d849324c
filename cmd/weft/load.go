package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"weft/engine/control/view"
	"weft/engine/language"
	"weft/modules"
)

// load reads a playbook (none where the path is empty) and the inventories, and
// gives the variables their values. Mistakes are printed, all of them, and end
// weft with status 1. Read is os.ReadFile but for a saved plan.
func load(s streams, f *flags, playbook string, read func(string) ([]byte, error)) (*language.Program, error) {
	config, diags := language.Load(modules.Kinds(), language.Sources{Playbook: playbook, Inventories: f.inventories, Read: read})
	if err := report(s, diags); err != nil {
		return nil, err
	}
	program, diags := config.Bind(language.Inputs{
		Flags: f.vars, Files: f.varFiles, Environment: s.environment,
		Ask: s.askVariable(), Tags: f.tags, SkipTags: f.skipTags,
	})
	if program != nil && playbook != "" {
		diags = append(diags, program.Validate()...)
	}
	return program, report(s, diags)
}

// report prints diagnostics; the error is set where one of them is an error.
func report(s streams, diags language.Diagnostics) error {
	var style language.Style
	if view.Colour(s.err, s.environment).On() {
		style = language.Coloured()
	}
	if err := diags.WriteText(s.err, style); err != nil {
		return fmt.Errorf("print diagnostics: %w", err)
	}
	if !diags.Failed() {
		return nil
	}
	n := 0
	for _, d := range diags {
		if d.Severity == language.Error {
			n++
		}
	}
	fmt.Fprintf(s.err, "%s\n", plural(n, "mistake"))
	return exitWith(1)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// selected are the hosts of --limit; nil for all.
func selected(p *language.Program, f *flags) ([]string, error) {
	if len(f.limit) == 0 {
		return nil, nil
	}
	hosts, err := p.Select(strings.Join(f.limit, ","))
	if err != nil {
		return nil, fmt.Errorf("--limit: %w", err)
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("--limit %s leaves no host", strings.Join(f.limit, ","))
	}
	return hosts, nil
}

// interactive says whether there is somebody to ask.
func (s streams) interactive() bool {
	f, ok := s.in.(*os.File)
	if ci, _ := s.environment("CI"); ci != "" {
		return false
	}
	return ok && term.IsTerminal(int(f.Fd())) && view.IsTerminal(s.err)
}

// askVariable returns nil where there is nobody to ask.
func (s streams) askVariable() func(name string, sensitive bool) (string, error) {
	if !s.interactive() {
		return nil
	}
	return func(name string, sensitive bool) (string, error) {
		if sensitive {
			return s.askSecret("var." + name)
		}
		fmt.Fprintf(s.err, "var.%s: ", name)
		return s.line()
	}
}

var errNobody = errors.New("there is no terminal to ask at")

// askSecret reads a line without showing it.
func (s streams) askSecret(prompt string) (string, error) {
	if !s.interactive() {
		return "", errNobody
	}
	fmt.Fprintf(s.err, "%s: ", prompt)
	b, err := term.ReadPassword(int(s.in.(*os.File).Fd()))
	fmt.Fprintln(s.err)
	if err != nil {
		return "", fmt.Errorf("read from the terminal: %w", err)
	}
	return string(b), nil
}

func (s streams) line() (string, error) {
	line, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && !(errors.Is(err, io.EOF) && line != "") {
		return "", fmt.Errorf("read from the terminal: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}
