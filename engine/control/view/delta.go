package view

import (
	"encoding/json"
	"fmt"
	"strings"

	"weft/engine/step"
	"weft/engine/wire"
)

// longest is how many characters of a value a line of a diff shows.
const longest = 120

// writeDeltas shows what differs: + what is added, - what goes, ~ what changes,
// texts of several lines as a diff of lines.
func (p Palette) deltas(b *strings.Builder, prefix string, deltas []step.Delta) {
	for _, d := range deltas {
		switch {
		case d.Secret:
			fmt.Fprintf(b, "%s%s %s: %s\n", prefix, p.sign(d), wire.Neutralise(d.Path), p.faint("(sensitive)"))
		case many(d.From) || many(d.To):
			fmt.Fprintf(b, "%s%s %s:\n", prefix, p.sign(d), wire.Neutralise(d.Path))
			p.lines(b, prefix+"    ", lines(d.From), lines(d.To))
		case d.From == nil:
			fmt.Fprintf(b, "%s%s %s = %s\n", prefix, p.sign(d), wire.Neutralise(d.Path), value(d.To))
		case d.To == nil:
			fmt.Fprintf(b, "%s%s %s = %s\n", prefix, p.sign(d), wire.Neutralise(d.Path), value(d.From))
		default:
			fmt.Fprintf(b, "%s%s %s = %s → %s\n", prefix, p.sign(d), wire.Neutralise(d.Path), value(d.From), value(d.To))
		}
	}
}

func (p Palette) sign(d step.Delta) string {
	switch {
	case d.From == nil && d.To != nil:
		return p.green("+")
	case d.To == nil && d.From != nil:
		return p.red("-")
	}
	return p.yellow("~")
}

// many says whether a value is a text of several lines.
func many(v json.RawMessage) bool {
	var s string
	return json.Unmarshal(v, &s) == nil && strings.Contains(strings.TrimRight(s, "\n"), "\n")
}

func lines(v json.RawMessage) []string {
	var s string
	if json.Unmarshal(v, &s) != nil || s == "" {
		return nil
	}
	return strings.Split(strings.TrimRight(s, "\n"), "\n")
}

// plain undoes what encoding/json does to text for the sake of HTML: matches of ACLs
// are full of it.
var plain = strings.NewReplacer(`\\`, `\\`, `\u0026`, "&", `\u003c`, "<", `\u003e`, ">")

// value is a JSON value in a line: HCL's spelling of it, shortened.
func value(v json.RawMessage) string {
	s := wire.Neutralise(plain.Replace(string(v)))
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest]) + fmt.Sprintf("… (%d characters)", len(r))
	}
	return s
}

// lines shows a diff of two texts: what is equal at both ends is left out, but
// for a line of context.
func (p Palette) lines(b *strings.Builder, prefix string, from, to []string) {
	head := 0
	for head < len(from) && head < len(to) && from[head] == to[head] {
		head++
	}
	tail := 0
	for tail < len(from)-head && tail < len(to)-head && from[len(from)-1-tail] == to[len(to)-1-tail] {
		tail++
	}
	if head > 0 {
		fmt.Fprintf(b, "%s  %s\n", prefix, p.faint(wire.Neutralise(from[head-1])))
	}
	for _, l := range clip(from[head : len(from)-tail]) {
		fmt.Fprintf(b, "%s%s\n", prefix, p.red("- "+wire.Neutralise(l)))
	}
	for _, l := range clip(to[head : len(to)-tail]) {
		fmt.Fprintf(b, "%s%s\n", prefix, p.green("+ "+wire.Neutralise(l)))
	}
	if tail > 0 {
		fmt.Fprintf(b, "%s  %s\n", prefix, p.faint(wire.Neutralise(from[len(from)-tail])))
	}
}

// clip keeps a long block of lines readable; -o json has it whole.
func clip(block []string) []string {
	const most = 40
	if len(block) <= most {
		return block
	}
	out := append([]string{}, block[:most]...)
	return append(out, fmt.Sprintf("… %d more lines", len(block)-most))
}
