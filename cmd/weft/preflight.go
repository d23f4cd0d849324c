package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"weft/engine/control/preflight"
	"weft/engine/control/run"
	"weft/engine/control/view"
	"weft/engine/wire"
)

func preflightCommand(s streams) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "preflight PLAYBOOK -i INVENTORY",
		Short: "Say what would go wrong, before anything is touched",
		Long: `Preflight reads the facts of all hosts in scope and lets every step look, and says
what would go wrong: what steps refuse (an IOMMU that is off, huge pages that do not
fit, a NIC in use, a boot loader that cannot try a boot), hosts that share a
machine-id, a MAC or an Open vSwitch system-id, networks whose links differ in MTU,
clocks that are off or that nothing keeps, file systems that are full or read-only,
systems that weft does not know. It changes nothing.

Exit status: 0 without problems, warnings or not; 3 with problems; 4 where a host was
not reached.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return lookAhead(cmd.Context(), s, &f, args[0])
		},
	}
	f.visitor(cmd.Flags())
	cmd.Flags().StringSliceVarP(&f.tags, "tags", "t", nil, "only steps with one of these `tags`")
	cmd.Flags().StringSliceVar(&f.skipTags, "skip-tags", nil, "leave out steps with one of these `tags`")
	return cmd
}

func lookAhead(ctx context.Context, s streams, f *flags, playbook string) error {
	q, err := newQuiet(s, f)
	if err != nil {
		return err
	}
	p, err := load(ctx, s, f, playbook, s.inputs(ctx))
	if err != nil {
		return err
	}
	r, err := newRun(s, f, p, wire.Look, q, "weft preflight "+playbook)
	if err != nil {
		return err
	}
	defer r.Close()
	surveyed, planned := r.Survey(ctx), r.Planned()
	hosts := []preflight.Host{}
	for _, h := range p.Hosts {
		if seen, ok := surveyed[h.Name]; ok {
			hosts = append(hosts, preflight.Host{Name: h.Name, Facts: seen.Facts, Ahead: seen.Ahead, Planned: planned[h.Name], Units: seen.Units})
		}
	}
	findings := preflight.Judge(hosts)
	var also []run.Exit
	if slices.ContainsFunc(findings, func(f preflight.Finding) bool { return f.Severity == preflight.Problem }) {
		also = append(also, run.HostFailure)
	}
	recap := r.Recap(ctx, also...)
	if ctx.Err() == nil {
		if err := printFindings(s, f, findings, len(hosts)); err != nil {
			return fmt.Errorf("show what was found: %w", err)
		}
	}
	return q.recap(recap)
}

func printFindings(s streams, f *flags, findings []preflight.Finding, hosts int) error {
	if f.output != "json" {
		return view.Preflight(s.out, s.environment, findings, hosts)
	}
	if findings == nil {
		findings = []preflight.Finding{}
	}
	return printJSON(s, map[string]any{"hosts": hosts, "findings": findings})
}
