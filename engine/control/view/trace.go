package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"weft/engine/control/trace"
	"weft/engine/wire"
)

// Trace shows the way of a packet, a line a hop, and last where it dies.
func Trace(w io.Writer, environment func(string) (string, bool), r *trace.Result) error {
	p := Colour(w, environment)
	var b strings.Builder
	fmt.Fprintf(&b, "%s from %s to %s\n", r.Packet, onLine(r.From), onLine(r.To))
	wide := 0
	for _, h := range r.Hops {
		wide = max(wide, utf8.RuneCountInString(onLine(h.Where)))
	}
	for _, h := range r.Hops {
		mark := p.green("ok  ")
		switch h.State {
		case trace.Dies:
			mark = p.red("dies")
		case trace.Unknown:
			mark = p.yellow("?   ")
		}
		where := onLine(h.Where)
		fmt.Fprintf(&b, "  %s  %s%s  %s\n", mark, where, strings.Repeat(" ", wide-utf8.RuneCountInString(where)), onLine(h.What+counted(h)))
	}
	switch h := r.Died; {
	case h != nil:
		for _, more := range []struct{ label, text string }{{"why", h.Why}, {"do", h.Do}} {
			if more.text != "" {
				fmt.Fprintf(&b, "        %s %s\n", p.faint(more.label+":"), onLine(more.text))
			}
		}
		fmt.Fprintf(&b, "%s\n", p.red(fmt.Sprintf("dies at: %s (%s)", onLine(h.Where), onLine(h.What))))
	case slices.ContainsFunc(r.Hops, func(h trace.Hop) bool { return h.State == trace.Unknown }):
		fmt.Fprintf(&b, "%s\n", p.yellow("arrives, as far as can be seen"))
	default:
		fmt.Fprintf(&b, "%s\n", p.green("arrives"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// counted says what the ports at a hop have counted: of a tunnel, at both ends.
func counted(h trace.Hop) string {
	var b strings.Builder
	for _, c := range h.Counted {
		b.WriteString("; ")
		if len(h.Counted) > 1 {
			b.WriteString(c.Host + " ")
		}
		fmt.Fprintf(&b, "%d in, %d out", c.In, c.Out)
		if c.Dropped > 0 {
			fmt.Fprintf(&b, ", %d dropped", c.Dropped)
		}
		if c.Errors > 0 {
			fmt.Fprintf(&b, ", %d errors", c.Errors)
		}
	}
	return b.String()
}

// onLine keeps what others chose on the line that it is shown on.
func onLine(text string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(wire.Neutralise(text))
}
