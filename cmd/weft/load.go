package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"weft/engine/control/sealed"
	"weft/engine/control/view"
	"weft/engine/language"
	"weft/modules"
)

// inputs is where a configuration comes from, beside the flags.
type inputs struct {
	read        func(path string) ([]byte, error)
	environment func(name string) (string, bool)
	ask         func(name string, sensitive bool) (string, error) // nil where there is nobody to ask
}

// inputs are files, the environment, and who is at the terminal.
func (s streams) inputs(ctx context.Context) inputs {
	return inputs{os.ReadFile, s.environment, s.askVariable(ctx)}
}

// load reads a playbook (none where the path is empty) and the inventories, and
// gives the variables their values. Mistakes are printed, all of them, and end
// weft with status 1.
func load(ctx context.Context, s streams, f *flags, playbook string, in inputs) (*language.Program, error) {
	config, diags := language.Load(modules.Kinds(), language.Sources{Playbook: playbook, Inventories: f.inventories, Read: in.read})
	if err := report(s, diags); err != nil {
		return nil, err
	}
	program, diags := config.Bind(language.Inputs{
		Flags: f.vars, Files: f.varFiles, Environment: in.environment,
		Ask: in.ask, Decrypt: s.opener(ctx, f).Open, Tags: f.tags, SkipTags: f.skipTags,
	})
	if ctx.Err() != nil { // at a question
		return nil, context.Cause(ctx)
	}
	if program != nil && playbook != "" {
		diags = append(diags, program.Validate()...)
	}
	return program, report(s, diags)
}

// opener opens encrypted files of variables.
func (s streams) opener(ctx context.Context, f *flags) *sealed.Opener {
	folder, ok := s.environment("XDG_CONFIG_HOME")
	if !ok || !filepath.IsAbs(folder) { // as the XDG base directory specification has it
		home, _ := s.environment("HOME")
		folder = filepath.Join(home, ".config")
	}
	return &sealed.Opener{
		Identities: f.identities, Default: filepath.Join(folder, "weft", "identity"),
		Ask: func(prompt string) (string, error) { return s.askSecret(ctx, prompt) },
	}
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

// selected are the hosts of --limit; nil for all. Of a run that is resumed they
// are among those that it was for.
func selected(p *language.Program, f *flags) ([]string, error) {
	hosts, err := selectHosts(p, f.limit)
	if err != nil || len(f.within) == 0 {
		return hosts, err
	}
	own, err := selectHosts(p, f.within)
	if err != nil || hosts == nil {
		return own, err
	}
	own = slices.DeleteFunc(own, func(h string) bool { return !slices.Contains(hosts, h) })
	if len(own) == 0 {
		return nil, fmt.Errorf("--limit %s leaves no host of the run", strings.Join(f.within, ","))
	}
	return own, nil
}

func selectHosts(p *language.Program, limit []string) ([]string, error) {
	if len(limit) == 0 {
		return nil, nil
	}
	hosts, err := p.Select(strings.Join(limit, ","))
	if err != nil {
		return nil, fmt.Errorf("--limit: %w", err)
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("--limit %s leaves no host", strings.Join(limit, ","))
	}
	return hosts, nil
}

// knownTags refuses a tag that no step has: with a misspelt one a run would do
// nothing, or too much, and end well.
func knownTags(p *language.Program, f *flags) error {
	for _, tag := range slices.Concat(f.tags, f.skipTags) {
		known := slices.ContainsFunc(p.Plays, func(play *language.Play) bool {
			return slices.ContainsFunc(play.Steps, func(s language.Step) bool { return slices.Contains(s.Tags, tag) })
		})
		if !known {
			return fmt.Errorf("no step has the tag %q", tag)
		}
	}
	return nil
}
