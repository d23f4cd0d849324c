// Package graph draws networks: hosts with their bridges, bonds, ports, patch
// pairs and NICs, the tunnels between hosts, and OVN's switches and routers.
//
// What is drawn is a [Picture]: a topology for each host, read from the host by
// its runner, or made by [Wanted] of what a playbook's steps say. [Draw] works
// in two stages. A scene says what is to be seen: it finds the hosts that
// tunnels lead to, joins tunnels to meshes, and leaves out what would be too
// much to read. A renderer puts a scene into SVG, DOT or Mermaid; the SVG needs
// no other program, and reads well on light and dark ground, since all text
// stands on ground of its own.
//
// The same picture gives the same bytes. Names come from hosts: every renderer
// escapes them, and ids are made up here.
package graph

import (
	"cmp"
	"fmt"
	"io"

	"weft/engine/host/topology"
)

// A Host is one of a picture.
type Host struct {
	Name    string
	Address string // where SSH finds it
	Roles   []string
	// Topology is nil for a host that was not read.
	Topology *topology.Topology
}

// A Picture is what is drawn.
type Picture struct {
	Title string
	Hosts []Host // in the order that they are drawn
	// Notes are what the reader must know of the whole.
	Notes []string
}

// A Format is how a picture is written.
type Format string

// The formats.
const (
	SVG     Format = "svg"
	DOT     Format = "dot"     // of Graphviz
	Mermaid Format = "mermaid" // a flowchart
)

// A Detail is how much is drawn of each host.
type Detail string

// The details.
const (
	Auto    Detail = ""
	Full    Detail = "full"    // every port
	Summary Detail = "summary" // counts, bonds and what is wrong
)

// many is how many hosts are still drawn with all their ports.
const many = 8

// Draw writes a picture. A format or detail that is none is an error.
func Draw(w io.Writer, p Picture, f Format, d Detail) error {
	render, ok := map[Format]func(scene) string{SVG: renderSVG, DOT: renderDOT, Mermaid: renderMermaid}[f]
	if !ok {
		return fmt.Errorf("the format is svg, dot or mermaid, not %q", f)
	}
	switch d {
	case Auto:
		d = Full
		if len(p.Hosts) > many {
			d = Summary
		}
	case Full, Summary:
	default:
		return fmt.Errorf("the detail is full or summary, not %q", d)
	}
	if _, err := io.WriteString(w, render(compose(p, d))); err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	return nil
}

// plural is "1 port", "2 ports".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if noun[len(noun)-1] == 'h' { // switch
		noun += "e"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// pairOf is two names in order.
func pairOf(a, b string) [2]string {
	if cmp.Compare(a, b) > 0 {
		return [2]string{b, a}
	}
	return [2]string{a, b}
}
