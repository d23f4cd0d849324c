// Package view shows a run to people and to programs: on a terminal live, on a
// pipe as plain lines, and as JSON lines with -o json. Beside cmd it is the only
// package that prints.
//
// What a host said is data. Every string that came from one goes through
// [wire.Neutralise] before it is written.
package view

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// Palette is the meaning of colours: green for what is as it should be, yellow
// for changes, red for failures, cyan for what was left out.
type Palette struct{ on bool }

// Colour returns the palette for a stream: colours on a terminal, none where
// NO_COLOR is set, TERM is dumb, or never is asked for.
func Colour(w io.Writer, environment func(string) (string, bool)) Palette {
	if no, ok := environment("NO_COLOR"); ok && no != "" {
		return Palette{}
	}
	if t, _ := environment("TERM"); t == "dumb" {
		return Palette{}
	}
	return Palette{on: IsTerminal(w)}
}

// IsTerminal says whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (p Palette) paint(code, s string) string {
	if !p.on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p Palette) green(s string) string  { return p.paint("32", s) }
func (p Palette) yellow(s string) string { return p.paint("33", s) }
func (p Palette) red(s string) string    { return p.paint("31", s) }
func (p Palette) cyan(s string) string   { return p.paint("36", s) }
func (p Palette) bold(s string) string   { return p.paint("1", s) }
func (p Palette) faint(s string) string  { return p.paint("2", s) }

// short is a duration as people read it.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1fms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// indent puts prefix in front of every line of s.
func indent(prefix, s string) string {
	return prefix + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n"+prefix)
}

// On says whether there are colours.
func (p Palette) On() bool { return p.on }
