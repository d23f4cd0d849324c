package graph

import (
	"fmt"
	"slices"
	"strings"
)

// renderMermaid writes a scene as a flowchart of Mermaid: subgraphs for hosts
// and bridges, nodes for ports.
func renderMermaid(s scene) string {
	m := &mermaid{scene: s}
	m.line("flowchart TB")
	m.line("  title[%s]:::head", spelled(append([]string{s.title}, s.notes...)...))
	for _, b := range slices.Concat(s.routers, s.switches) {
		m.box(b, "  ")
	}
	for _, c := range s.cards {
		m.line("  subgraph %s [%s]", c.id, spelled(slices.Concat([]string{c.name}, c.text, c.wrong)...))
		if len(c.boxes) == 0 {
			m.line("    %s_[%s]", c.id, spelled(c.name))
		}
		for _, b := range c.boxes {
			m.box(b, "    ")
		}
		m.line("  end")
	}
	for _, c := range s.cards {
		for _, n := range c.lines {
			m.line("  %s --- %s", n.from, n.to)
		}
	}
	for _, n := range s.lines {
		m.line("  %s %s %s", n.from, map[lineKind]string{routeLine: "---", boundLine: "-.-"}[n.kind], n.to)
	}
	m.tunnels()
	m.line("  classDef head fill:#f4f6fa,stroke:#7d8da5,color:#1b2636")
	m.line("  classDef wrong fill:#fbeceb,stroke:#b3261e,color:#b3261e")
	m.line("  classDef tunnel fill:#e2f2f2,stroke:#127d7d,color:#1b2636")
	for _, k := range []rowKind{nicRow, internalRow, bondRow, patchRow, tunnelRow, guestRow, moreRow} {
		m.line("  classDef %sRow fill:#ffffff,stroke:%s,color:#1b2636", k, rowColour(k))
	}
	return m.out.String()
}

type mermaid struct {
	out   strings.Builder
	scene scene
}

func (m *mermaid) line(format string, args ...any) { fmt.Fprintf(&m.out, format+"\n", args...) }

// spelled is a text of Mermaid with a line for each of several. What could be
// Markdown, HTML or Mermaid's own is written as the number of its character.
func spelled(lines ...string) string {
	var spelt []string
	for _, text := range lines {
		if text == "" {
			continue
		}
		text = shown(text)
		var b strings.Builder
		for i, r := range text {
			item := (r == '.' || r == '-') && strings.HasPrefix(text[i+1:], " ") // of a list
			if plain(r) && !item {
				b.WriteRune(r)
				continue
			}
			fmt.Fprintf(&b, "#%d;", r)
		}
		spelt = append(spelt, b.String())
	}
	if spelt == nil {
		return `" "` // Mermaid refuses an empty text
	}
	return `"` + strings.Join(spelt, "<br>") + `"`
}

// plain says whether a character means itself in every place of a label.
func plain(r rune) bool {
	return r >= 0x80 || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune(" .,:/-", r)
}

func (m *mermaid) box(b *box, indent string) {
	if len(b.rows) == 0 {
		m.line("%s%s[%s]", indent, b.id, spelled(b.name, b.text, b.wrong))
		return
	}
	m.line("%ssubgraph %s [%s]", indent, b.id, spelled(b.name, b.text, b.wrong))
	for i, r := range b.rows {
		class := string(r.kind) + "Row"
		if r.wrong != "" {
			class = "wrong"
		}
		m.line("%s  %s[%s]:::%s", indent, r.id, spelled(r.name, r.text, r.wrong), class)
		if r.member {
			m.line("%s  %s --- %s", indent, bondOf(b.rows, i), r.id)
		}
	}
	m.line("%send", indent)
}

func (m *mermaid) tunnels() {
	for i, mesh := range m.scene.meshes {
		m.line("  mesh%d([%s]):::tunnel", i+1, spelled(slices.Concat([]string{mesh.name, mesh.text()}, mesh.wrong)...))
		for _, at := range mesh.hosts {
			m.line("  mesh%d --- %s", i+1, m.scene.cards[at].id)
		}
	}
	for i, address := range m.scene.outside() {
		m.line("  outside%d([%s]):::tunnel", i+1, spelled(address))
	}
	for _, t := range m.scene.tunnels {
		arrow := "---"
		if t.wrong != "" {
			arrow = "-.-"
		}
		m.line("  %s %s|%s| %s", m.scene.cards[t.from].id, arrow, spelled(words(t.name(), t.wrong)), m.scene.end(t))
	}
}
