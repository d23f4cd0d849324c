package graph

import (
	"fmt"
	"slices"
	"strings"
)

// renderDOT writes a scene as an undirected graph of Graphviz: clusters for
// hosts and bridges, nodes for ports.
func renderDOT(s scene) string {
	d := &dot{scene: s}
	d.line("graph weft {")
	d.line(`  graph [label=%s, labelloc=t, fontname="monospace", fontsize=11, compound=true, rankdir=LR]`, quoted(append([]string{s.title}, s.notes...)...))
	d.line(`  node [shape=box, style="rounded,filled", fillcolor="#ffffff", fontname="monospace", fontsize=10]`)
	d.line(`  edge [fontname="monospace", fontsize=9]`)
	for _, b := range slices.Concat(s.routers, s.switches) {
		d.box(b, "  ")
	}
	for _, c := range s.cards {
		d.card(c)
	}
	for _, n := range s.lines {
		d.edge(n.from, n.to, "", map[lineKind]string{routeLine: "solid", boundLine: "dotted"}[n.kind], "#7a4fa3")
	}
	d.tunnels()
	d.line("}")
	return d.out.String()
}

type dot struct {
	out   strings.Builder
	scene scene
}

func (d *dot) line(format string, args ...any) { fmt.Fprintf(&d.out, format+"\n", args...) }

// quoted is a string of DOT with a line for each text. A backslash begins an
// escape in a label, and so does not in what a host says.
func quoted(lines ...string) string {
	var b strings.Builder
	b.WriteByte('"')
	first := true
	for _, text := range lines {
		if text == "" {
			continue
		}
		if !first {
			b.WriteString(`\n`)
		}
		first = false
		b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(shown(text)))
	}
	b.WriteByte('"')
	return b.String()
}

// card draws a host. A node of its id stands for the whole of it.
func (d *dot) card(c *card) {
	d.line(`  subgraph cluster_%s {`, c.id)
	d.line(`    graph [label="", style="rounded,filled", fillcolor="#f4f6fa", color="#7d8da5"]`)
	d.line(`    %s [label=%s, shape=plain, style="", fontcolor=%q]`, c.id, quoted(slices.Concat([]string{c.name}, c.text, c.wrong)...), textColour(len(c.wrong) == 0))
	for _, b := range c.boxes {
		d.box(b, "    ")
	}
	for _, n := range c.lines {
		d.edge(n.from, n.to, "", "solid", map[lineKind]string{patchLine: "#8b3fa0", vlanLine: "#2f6fb3"}[n.kind])
	}
	d.line("  }")
}

func textColour(well bool) string {
	if well {
		return "#1b2636"
	}
	return "#b3261e"
}

func (d *dot) box(b *box, indent string) {
	d.line(`%ssubgraph cluster_%s {`, indent, b.id)
	d.line(`%s  graph [label=%s, style="rounded,filled", fillcolor="#ffffff", color=%q, fontcolor=%q]`, indent, quoted(b.name, b.text, b.wrong), boxColour(b.kind), textColour(b.wrong == ""))
	if len(b.rows) == 0 {
		d.line(`%s  %s [label="", shape=point, style=invis]`, indent, b.id)
	}
	for _, r := range b.rows {
		d.line(`%s  %s [label=%s, color=%q, fontcolor=%q]`, indent, r.id, quoted(r.name, r.text, r.wrong), rowColour(r.kind), textColour(r.wrong == ""))
	}
	for i, r := range b.rows {
		if r.member {
			d.edge(bondOf(b.rows, i), r.id, "", "bold", "#c28a10")
		}
	}
	d.line(`%s}`, indent)
}

// bondOf is the id of the bond that a member belongs to.
func bondOf(rows []*row, at int) string {
	for at > 0 && rows[at].member {
		at--
	}
	return rows[at].id
}

func (d *dot) edge(from, to, label, style, colour string) {
	text := ""
	if label != "" {
		text = ", label=" + quoted(label)
	}
	d.line(`  %s -- %s [style=%s, color=%q%s]`, from, to, style, colour, text)
}

func (d *dot) tunnels() {
	for i, m := range d.scene.meshes {
		d.line(`  mesh%d [label=%s, shape=ellipse, fillcolor="#e2f2f2", color="#127d7d"]`, i+1, quoted(slices.Concat([]string{m.name, m.text()}, m.wrong)...))
		for _, at := range m.hosts {
			d.edge(fmt.Sprintf("mesh%d", i+1), d.scene.cards[at].id, "", "solid", "#127d7d")
		}
	}
	for i, address := range d.scene.outside() {
		d.line(`  outside%d [label=%s, shape=ellipse]`, i+1, quoted(address))
	}
	for _, t := range d.scene.tunnels {
		style, colour := "solid", "#127d7d"
		if t.wrong != "" {
			style, colour = "dashed", "#b3261e"
		}
		d.edge(d.scene.cards[t.from].id, d.scene.end(t), words(t.name(), t.wrong), style, colour)
	}
}

func boxColour(k boxKind) string {
	return map[boxKind]string{ovsBox: "#2f6fb3", linuxBox: "#4d8052", linksBox: "#a6b1c2", switchBox: "#7a4fa3", routerBox: "#b0701f"}[k]
}

func rowColour(k rowKind) string {
	return map[rowKind]string{nicRow: "#5f6b7a", internalRow: "#2f6fb3", bondRow: "#c28a10", patchRow: "#8b3fa0",
		tunnelRow: "#127d7d", guestRow: "#4d8f3a", moreRow: "#c3cbd8"}[k]
}
