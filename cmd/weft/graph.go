package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"weft/engine/control/graph"
	"weft/engine/host/topology"
	"weft/engine/language"
	"weft/engine/wire"
)

func graphCommand(s streams) *cobra.Command {
	var f flags
	var out, detail string
	cmd := &cobra.Command{
		Use:   "graph [PLAYBOOK] -i INVENTORY",
		Short: "Draw the network that is there, or that a playbook wants",
		Long: `Graph draws hosts with their bridges, bonds, ports, VLANs, patch pairs and NICs, the
tunnels between hosts, and the switches and routers of OVN.

Without a playbook it asks the hosts: Open vSwitch and the kernel, and on a central OVN's
northbound database. What is wrong is red: a port that Open vSwitch could not make, a
patch port without its peer, a tunnel without a way back, a mesh with a pair missing.

With a playbook it draws what the steps ask for, and meets no host. What only a host can
say (facts, outputs) is left out, and a note says so.

More than eight hosts are drawn in a few lines each; --detail full draws all of each.

An SVG needs no other program, and reads well on light and dark pages. dot is for
Graphviz, mermaid for pages that render Mermaid, json is what was drawn, by host.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"svg", "dot", "mermaid", "json"}, f.output) {
				return fmt.Errorf("--output is svg, dot, mermaid or json, not %q", f.output)
			}
			if !slices.Contains([]string{"", string(graph.Full), string(graph.Summary)}, detail) {
				return fmt.Errorf("--detail is full or summary, not %q", detail)
			}
			if len(args) == 1 {
				return drawWanted(cmd.Context(), s, &f, args[0], out, graph.Detail(detail))
			}
			return drawLive(cmd.Context(), s, &f, out, graph.Detail(detail))
		},
	}
	f.visitor(cmd.Flags())
	cmd.Flags().StringSliceVarP(&f.tags, "tags", "t", nil, "only steps with one of these `tags`")
	cmd.Flags().StringSliceVar(&f.skipTags, "skip-tags", nil, "leave out steps with one of these `tags`")
	o := cmd.Flags().Lookup("output")
	o.Usage, o.DefValue = "`format`: svg, dot, mermaid or json", "svg"
	f.output = "svg"
	cmd.Flags().StringVar(&out, "out", "", "write the picture to a `file`")
	cmd.Flags().StringVar(&detail, "detail", "", "how `much` of each host: full or summary (by their number where empty)")
	return cmd
}

// drawWanted draws what a playbook asks for.
func drawWanted(ctx context.Context, s streams, f *flags, playbook, out string, detail graph.Detail) error {
	p, err := load(ctx, s, f, playbook, s.inputs(ctx))
	if err != nil {
		return err
	}
	hosts, err := inScope(p, f)
	if err != nil {
		return err
	}
	if err := knownTags(p, f); err != nil {
		return err
	}
	picture, diags := graph.Wanted(p, hosts)
	if err := report(s, diags); err != nil {
		return err
	}
	return writePicture(s, f, picture, out, detail)
}

// drawLive draws what the hosts say. One that does not answer is drawn as such.
func drawLive(ctx context.Context, s streams, f *flags, out string, detail graph.Detail) error {
	asked := *f
	asked.output = "text" // of what went wrong
	q, err := newQuiet(s, &asked)
	if err != nil {
		return err
	}
	p, err := load(ctx, s, f, "", s.inputs(ctx))
	if err != nil {
		return err
	}
	hosts, err := inScope(p, f)
	if err != nil {
		return err
	}
	r, err := newRun(s, f, p, wire.Look, q, "weft graph")
	if err != nil {
		return err
	}
	defer r.Close()
	read := map[string]*topology.Topology{}
	r.Visit(ctx, false, wire.Request{Topology: &wire.Topology{}}, func(host string, e wire.Event) {
		if e.Topology != nil {
			read[host] = e.Topology
		}
	})
	code := q.recap(r.Recap(ctx))
	if ctx.Err() != nil {
		return code
	}
	picture := graph.Picture{Title: p.Site + ": what is there"}
	for _, h := range p.Hosts {
		if slices.Contains(hosts, h.Name) {
			picture.Hosts = append(picture.Hosts, graph.Host{Name: h.Name, Address: h.Address, Roles: h.Roles, Topology: read[h.Name]})
		}
	}
	if err := writePicture(s, f, picture, out, detail); err != nil {
		return err
	}
	return code
}

// inScope are the names of the hosts that --limit leaves.
func inScope(p *language.Program, f *flags) ([]string, error) {
	hosts, err := selected(p, f)
	if err != nil || hosts != nil {
		return hosts, err
	}
	for _, h := range p.Hosts {
		hosts = append(hosts, h.Name)
	}
	return hosts, nil
}

// writePicture writes to a file, or to stdout. A file is not touched before the
// picture is whole.
func writePicture(s streams, f *flags, p graph.Picture, out string, detail graph.Detail) error {
	var b bytes.Buffer
	if f.output == "json" {
		byHost := map[string]*topology.Topology{}
		for _, h := range p.Hosts {
			byHost[h.Name] = h.Topology
		}
		if err := printJSON(streams{out: &b}, byHost); err != nil {
			return err
		}
	} else if err := graph.Draw(&b, p, graph.Format(f.output), detail); err != nil {
		return err
	}
	if out == "" {
		_, err := io.Copy(s.out, &b)
		return err
	}
	if err := os.WriteFile(out, b.Bytes(), 0o644); err != nil { //nolint:gosec // a picture is for others too
		return fmt.Errorf("write the picture: %w", err)
	}
	return nil
}
