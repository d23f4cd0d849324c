package view

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"weft/engine/control/trace"
	"weft/engine/wire"
)

// Trace shows the way of a packet, a line a hop, and last where it dies.
func Trace(w io.Writer, environment func(string) (string, bool), r *trace.Result) error {
	p := Colour(w, environment)
	var b strings.Builder
	fmt.Fprintf(&b, "%s from %s to %s\n", r.Packet, wire.Neutralise(r.From), wire.Neutralise(r.To))
	wide := 0
	for _, h := range r.Hops {
		wide = max(wide, utf8.RuneCountInString(wire.Neutralise(h.Where)))
	}
	for _, h := range r.Hops {
		mark := p.green("ok  ")
		switch h.State {
		case trace.Dies:
			mark = p.red("dies")
		case trace.Unknown:
			mark = p.yellow("?   ")
		}
		where := wire.Neutralise(h.Where)
		fmt.Fprintf(&b, "  %s  %s%s  %s\n", mark, where, strings.Repeat(" ", wide-utf8.RuneCountInString(where)), wire.Neutralise(h.What))
	}
	if h := r.Died; h != nil {
		for _, more := range []struct{ label, text string }{{"why", h.Why}, {"do", h.Do}} {
			if more.text != "" {
				fmt.Fprintf(&b, "        %s %s\n", p.faint(more.label+":"), wire.Neutralise(more.text))
			}
		}
		fmt.Fprintf(&b, "%s\n", p.red(fmt.Sprintf("dies at: %s (%s)", wire.Neutralise(h.Where), wire.Neutralise(h.What))))
	} else {
		fmt.Fprintf(&b, "%s\n", p.green("arrives"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
