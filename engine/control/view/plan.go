package view

import (
	"fmt"
	"slices"
	"strings"

	"weft/engine/control/run"
	"weft/engine/wire"
)

// Plan shows what an apply would do, host by host, attribute by attribute. What
// is changed afterwards is then told in a line each.
func (t *Text) Plan(order []string, planned map[string][]run.Planned) {
	var b strings.Builder
	changes, waiting, hosts, same := 0, 0, 0, 0
	for _, h := range order {
		steps := planned[h]
		open := slices.DeleteFunc(slices.Clone(steps), func(p run.Planned) bool {
			return p.Probe || p.State == wire.Converged && t.verbosity < Steps
		})
		if len(open) == 0 {
			same++
			continue
		}
		hosts++
		fmt.Fprintf(&b, "%s\n", t.p.bold(h))
		for _, p := range open {
			t.planned(&b, p)
			switch p.State {
			case wire.Planned:
				changes++
			case wire.Waiting:
				waiting++
			}
		}
	}
	switch {
	case changes+waiting == 0:
		fmt.Fprintf(&b, "%s\n", t.p.green("nothing to change"))
	default:
		fmt.Fprintf(&b, "\n%d to change", changes)
		if waiting > 0 {
			fmt.Fprintf(&b, ", %d known after apply", waiting)
		}
		fmt.Fprintf(&b, ", on %s; %s as they should be\n", count(hosts, "host"), count(same, "host"))
	}
	t.reviewed = true
	t.live.print(b.String())
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (t *Text) planned(b *strings.Builder, p run.Planned) {
	address := wire.Neutralise(p.Address)
	switch p.State {
	case wire.Converged:
		fmt.Fprintf(b, "    %s\n", t.p.green(address))
		return
	case wire.Waiting:
		fmt.Fprintf(b, "  %s %s  %s\n", t.p.cyan("?"), address, t.p.faint("known after apply"+because(p.Reason)))
		return
	case wire.Failed:
		fmt.Fprintf(b, "  %s %s\n%s\n", t.p.red("!"), address, indent("      ", wire.Neutralise(p.Reason)))
		return
	}
	fmt.Fprintf(b, "  %s %s\n", t.p.yellow("~"), address)
	if p.Finding == nil {
		return
	}
	t.p.deltas(b, "      ", p.Finding.Deltas)
	for _, n := range p.Finding.Needs {
		fmt.Fprintf(b, "      %s\n", t.p.yellow(fmt.Sprintf("%s %s afterwards", n.Verb, wire.Neutralise(n.Object))))
	}
	c := p.Finding.Cost
	if c.Disruption != "" {
		fmt.Fprintf(b, "      %s\n", t.p.yellow("disruption: "+wire.Neutralise(c.Disruption)))
	}
	if len(c.Severs) > 0 {
		fmt.Fprintf(b, "      %s\n", t.p.red("may cut the link "+wire.Neutralise(strings.Join(c.Severs, ", "))))
	}
	if c.Irreversible != "" {
		fmt.Fprintf(b, "      %s\n", t.p.red("cannot be undone: "+wire.Neutralise(c.Irreversible)))
	}
	for _, w := range p.Finding.Warnings {
		fmt.Fprintf(b, "      %s\n", t.p.yellow("warning: "+wire.Neutralise(w)))
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + wire.Neutralise(reason)
}
