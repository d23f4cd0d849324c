package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"weft/engine/control/run"
	"weft/engine/control/view"
	"weft/engine/host"
	"weft/engine/wire"
)

// visitor are the flags of verbs that look at hosts without a playbook.
func (f *flags) visitor(fs *pflag.FlagSet) {
	f.source(fs)
	fs.StringArrayVarP(&f.limit, "limit", "l", nil, "only these `hosts`: names, globs, groups, roles, !not, @file")
	f.connection(fs)
	fs.StringVarP(&f.output, "output", "o", "text", "`format`: text or json")
	fs.CountVarP(&f.verbose, "verbose", "v", "show more")
}

// quiet shows only what went wrong, on stderr, so that stdout is the answer.
type quiet struct {
	text *view.Text
	but  run.EventType // that the answer tells of
}

// Observe implements [run.Observer].
func (q *quiet) Observe(e run.Event) {
	switch e.Type {
	case q.but:
	case run.RunBegan, run.HostUnreachable, run.HostLost, run.HostFailed, run.HostLocked, run.HostGuard:
		q.text.Observe(e)
	}
}

// recap is the exit status as an error.
func (q *quiet) recap(r run.Recap) error { return exitWith(r.Exit) }

func newQuiet(s streams, f *flags) (*quiet, error) {
	q := &quiet{text: view.NewText(s.err, s.environment, view.Verbosity(min(f.verbose, int(view.Everything))))}
	if f.output != "text" && f.output != "json" {
		return q, fmt.Errorf("--output is text or json, not %q", f.output)
	}
	return q, nil
}

// visit prepares a run that only looks at the hosts of the inventories.
func visit(ctx context.Context, s streams, f *flags, what string) (*run.Run, *quiet, error) {
	q, err := newQuiet(s, f)
	if err != nil {
		return nil, q, err
	}
	p, err := load(ctx, s, f, "", s.inputs(ctx))
	if err != nil {
		return nil, q, err
	}
	r, err := newRun(s, f, p, wire.Look, q, what)
	return r, q, err
}

func printJSON(s streams, v any) error {
	e := json.NewEncoder(s.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func factsCommand(s streams) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "facts [HOST...] -i INVENTORY",
		Short: "Print what playbooks can know of hosts",
		Long: `Facts reads what expressions find as host.facts. Text has what people look for;
-o json has all of it, by host, packages and kernel modules too.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.limit = append(f.limit, args...)
			r, q, err := visit(cmd.Context(), s, &f, "weft facts")
			if err != nil {
				return err
			}
			defer r.Close()
			facts := map[string]*host.Facts{}
			r.Visit(cmd.Context(), true, wire.Request{Check: &wire.Check{}}, func(host string, e wire.Event) {
				if e.Hello != nil {
					facts[host] = e.Hello.Facts
				}
			})
			code := q.recap(r.Recap(cmd.Context()))
			if f.output == "json" {
				err = printJSON(s, facts)
			} else {
				err = view.Facts(s.out, s.environment, facts)
			}
			if err != nil {
				return err
			}
			return code
		},
	}
	f.visitor(cmd.Flags())
	return cmd
}

func execCommand(s streams) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "exec -i INVENTORY -- PROGRAM [ARGUMENT...]",
		Short: "Run one program on hosts, outside any run",
		Long: `Exec runs one program on every host in scope, as root, by argv and without a
shell. It is recorded nowhere and cannot be undone.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, q, err := visit(cmd.Context(), s, &f, "weft exec")
			if err != nil {
				return err
			}
			defer r.Close()
			results := map[string]*wire.ExecEvent{}
			r.Visit(cmd.Context(), false, wire.Request{Exec: &wire.Exec{Argv: args}}, func(host string, e wire.Event) {
				if e.Exec != nil {
					results[host] = e.Exec
				}
			})
			recap := r.Recap(cmd.Context(), worstResult(results))
			if err := printResults(s, &f, results); err != nil {
				return err
			}
			return q.recap(recap)
		},
	}
	f.visitor(cmd.Flags())
	cmd.Flags().SetInterspersed(false) // what follows the program is its own
	return cmd
}

// worstResult is HostFailure where the program failed on a host.
func worstResult(results map[string]*wire.ExecEvent) run.Exit {
	for _, e := range results {
		if e.Exit != 0 {
			return run.HostFailure
		}
	}
	return run.OK
}

// printResults prints what the program said on each host.
func printResults(s streams, f *flags, results map[string]*wire.ExecEvent) error {
	if f.output == "json" {
		type result struct {
			Stdout string `json:"stdout"`
			Stderr string `json:"stderr"`
			Exit   int    `json:"exit"`
		}
		byHost := map[string]result{}
		for h, e := range results {
			byHost[h] = result{string(e.Stdout), string(e.Stderr), e.Exit}
		}
		return printJSON(s, byHost)
	}
	for _, h := range slices.Sorted(maps.Keys(results)) {
		e := results[h]
		if len(results) > 1 || e.Exit != 0 {
			fmt.Fprintf(s.out, "%s (exit %d)\n", h, e.Exit)
		}
		fmt.Fprint(s.out, wire.Neutralise(string(e.Stdout)))
		fmt.Fprint(s.err, wire.Neutralise(string(e.Stderr)))
	}
	return nil
}
