package view

import (
	"fmt"
	"slices"
	"strings"

	"weft/engine/control/run"
	"weft/engine/step"
	"weft/engine/wire"
)

// Plan shows what an apply would do, host by host, attribute by attribute. What
// is changed afterwards is then told in a line each. Hosts that were not reached
// are not among the planned ones, and nothing is said of them.
func (t *Text) Plan(order []string, planned map[string][]run.Planned) {
	t.flush()
	var b strings.Builder
	totals := map[wire.UnitState]int{}
	hosts, same := 0, 0
	for _, h := range order {
		steps, reached := planned[h]
		if !reached {
			continue
		}
		open := slices.DeleteFunc(slices.Clone(steps), func(p run.Planned) bool {
			return p.Probe || p.State == wire.Converged
		})
		for _, p := range open {
			totals[p.State]++
		}
		if len(open) > 0 {
			hosts++
		} else {
			same++
		}
		if len(open) > 0 || slices.ContainsFunc(steps, warns) || t.verbosity >= Steps {
			t.hostPlan(&b, h, steps)
		}
	}
	if hosts+same > 0 {
		b.WriteString(t.sum(totals, hosts, same))
	}
	t.reviewed = true
	t.live.keep(b.String())
}

func (t *Text) hostPlan(b *strings.Builder, host string, steps []run.Planned) {
	fmt.Fprintf(b, "%s\n", t.p.bold(host))
	for _, p := range steps {
		if !p.Probe && (p.State != wire.Converged || warns(p) || t.verbosity >= Steps) {
			t.planned(b, p)
		}
	}
}

// warns says whether a step found something that nobody asked it to change.
func warns(p run.Planned) bool { return p.Finding != nil && len(p.Finding.Warnings) > 0 }

// sum is the last line of a plan.
func (t *Text) sum(totals map[wire.UnitState]int, hosts, same int) string {
	if hosts == 0 {
		return t.p.green("nothing to change") + "\n"
	}
	line := fmt.Sprintf("\n%d to change", totals[wire.Planned])
	if n := totals[wire.Waiting]; n > 0 {
		line += fmt.Sprintf(", %d known after apply", n)
	}
	if n := totals[wire.Failed]; n > 0 {
		line += ", " + t.p.red(fmt.Sprintf("%d that cannot be checked", n))
	}
	return fmt.Sprintf("%s, on %s; %s converged\n", line, count(hosts, "host"), count(same, "host"))
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
		t.warnings(b, "      ", p.Finding)
		return
	case wire.Waiting:
		why := ""
		if t.verbosity >= Steps { // on a bare host every other step has one
			why = because(p.Reason)
		}
		fmt.Fprintf(b, "  %s %s  %s\n", t.p.cyan("?"), address, t.p.faint("known after apply"+why))
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
		fmt.Fprintf(b, "      %s\n", t.p.yellow(fmt.Sprintf("%s %s afterwards", wire.Neutralise(string(n.Verb)), wire.Neutralise(n.Object))))
	}
	c := p.Finding.Cost
	if c.Disruption != "" {
		fmt.Fprintf(b, "      %s\n", t.p.yellow("disruption: "+wire.Neutralise(c.Disruption)))
	}
	if len(c.Guests) > 0 {
		fmt.Fprintf(b, "      %s\n", t.p.red("hits the virtual machines "+wire.Neutralise(strings.Join(c.Guests, ", "))+" (--allow-disruption lets it)"))
	}
	if len(c.Severs) > 0 {
		fmt.Fprintf(b, "      %s\n", t.p.red("may cut the link "+wire.Neutralise(strings.Join(c.Severs, ", "))))
	}
	if c.Irreversible != "" {
		fmt.Fprintf(b, "      %s\n", t.p.red("cannot be undone: "+wire.Neutralise(c.Irreversible)))
	}
	t.warnings(b, "      ", p.Finding)
}

func (t *Text) warnings(b *strings.Builder, margin string, f *step.Finding) {
	if f == nil {
		return
	}
	for _, w := range f.Warnings {
		b.WriteString(indent(margin, t.p.yellow("warning: "+wire.Neutralise(w))) + "\n")
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + wire.Neutralise(reason)
}
