package view

import (
	"fmt"
	"io"
	"strings"

	"weft/engine/control/preflight"
	"weft/engine/wire"
)

// Preflight shows what would go wrong, host by host, and a line that sums it up
// for so many hosts.
func Preflight(w io.Writer, environment func(string) (string, bool), findings []preflight.Finding, hosts int) error {
	p := Colour(w, environment)
	var b strings.Builder
	at := ""
	problems, warnings := 0, 0
	for _, f := range findings {
		if f.Host != at {
			at = f.Host
			b.WriteString(p.bold(wire.Neutralise(at)) + "\n")
		}
		mark := p.yellow("warning")
		if warnings++; f.Severity == preflight.Problem {
			problems, warnings = problems+1, warnings-1
			mark = p.red("problem")
		}
		what := f.What
		if f.Step != "" {
			what = f.Step + ": " + what
		}
		fmt.Fprintf(&b, "  %s  %s\n", mark, hanging(what))
		for _, more := range []struct{ label, text string }{{"why", f.Why}, {"do", f.Do}} {
			if more.text != "" {
				fmt.Fprintf(&b, "           %s %s\n", p.faint(more.label+":"), hanging(more.text))
			}
		}
	}
	switch {
	case hosts == 0:
		b.WriteString("no host was looked at\n")
	case len(findings) == 0:
		fmt.Fprintf(&b, "%s\n", p.green("nothing stands in the way on "+count(hosts, "host")))
	default:
		fmt.Fprintf(&b, "%s, %s on %s\n", count(problems, "problem"), count(warnings, "warning"), count(hosts, "host"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// hanging has the further lines of a text below its first.
func hanging(text string) string {
	return strings.ReplaceAll(strings.TrimSpace(wire.Neutralise(text)), "\n", "\n           ")
}
