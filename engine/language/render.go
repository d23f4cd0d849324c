package language

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Style is how diagnostics are written as text. The zero value is plain.
type Style struct {
	Error, Warning, Hint, Source, Reset string // escape sequences
}

// Coloured returns the style for terminals.
func Coloured() Style {
	return Style{Error: "\x1b[1;31m", Warning: "\x1b[1;33m", Hint: "\x1b[36m", Source: "\x1b[2m", Reset: "\x1b[0m"}
}

// WriteText writes diagnostics for people. What the sources hold is
// neutralised: a control character is shown, never sent.
func (ds Diagnostics) WriteText(w io.Writer, style Style) error {
	var b strings.Builder
	for i, d := range ds {
		if i > 0 {
			b.WriteByte('\n')
		}
		d.write(&b, style)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (d Diagnostic) write(b *strings.Builder, style Style) {
	colour := style.Error
	if d.Severity == Warning {
		colour = style.Warning
	}
	fmt.Fprintf(b, "%s%s:%s %s\n", colour, d.Severity, style.Reset, clean(d.Summary))
	if d.File != "" {
		fmt.Fprintf(b, "  %s:%d:%d\n", clean(d.File), d.Range.Start.Line, d.Range.Start.Column)
	}
	width := 0
	for _, l := range d.Snippet {
		width = max(width, len(fmt.Sprint(l.Number)))
	}
	for _, l := range d.Snippet {
		writeLine(b, l, width, style, colour)
	}
	for _, line := range strings.Split(d.Detail, "\n") {
		if line != "" {
			fmt.Fprintf(b, "  %s\n", clean(line))
		}
	}
	if where := d.where(); where != "" {
		fmt.Fprintf(b, "  %s\n", clean(where))
	}
	if d.Hint != "" {
		fmt.Fprintf(b, "  %shint:%s %s\n", style.Hint, style.Reset, clean(d.Hint))
	}
}

func (d Diagnostic) where() string {
	switch {
	case len(d.Hosts) == 0:
		return ""
	case d.MoreHosts == 1:
		return "on " + strings.Join(d.Hosts, ", ") + " and 1 more host"
	case d.MoreHosts > 0:
		return fmt.Sprintf("on %s and %d more hosts", strings.Join(d.Hosts, ", "), d.MoreHosts)
	}
	return "on " + listWords(d.Hosts)
}

func writeLine(b *strings.Builder, l Line, width int, style Style, colour string) {
	from := min(max(l.From, 0), len(l.Text))
	to := min(max(l.To, from), len(l.Text))
	before, marked, after := clean(l.Text[:from]), clean(l.Text[from:to]), clean(l.Text[to:])
	fmt.Fprintf(b, "  %s%*d |%s %s%s%s\n", style.Source, width, l.Number, style.Reset, before, marked, after)
	indent := len(marked) - len(strings.TrimLeft(marked, " "))
	carets := max(uniseg.StringWidth(strings.TrimRight(marked, " "))-indent, 1)
	fmt.Fprintf(b, "  %s%*s |%s %s%s%s%s\n", style.Source, width, "", style.Reset,
		strings.Repeat(" ", uniseg.StringWidth(before)+indent), colour, strings.Repeat("^", carets), style.Reset)
}

// clean makes text harmless for a terminal: tabs become two spaces, control
// and format characters (escape, bidirectional overrides) and bytes that are
// no UTF-8 become a replacement that can be seen.
func clean(s string) string {
	harmless := func(r rune) bool { return r != utf8.RuneError && (r == ' ' || unicode.IsPrint(r)) }
	if strings.IndexFunc(s, func(r rune) bool { return !harmless(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\t':
			b.WriteString("  ")
		case harmless(r):
			b.WriteRune(r)
		default:
			b.WriteRune('\uFFFD')
		}
	}
	return b.String()
}
