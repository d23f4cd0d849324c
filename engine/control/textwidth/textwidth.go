// Package textwidth measures, cuts and fills text in the columns of a terminal or
// of a fixed-width font.
package textwidth

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Of is how many columns of a terminal a text takes, in one line: two for
// wide characters (Unicode Standard Annex 11), none for combining marks.
func Of(s string) int {
	n := 0
	for _, r := range s {
		n += OfRune(r)
	}
	return n
}

// OfRune is how many columns a character takes.
func OfRune(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Cut shortens a text to so many columns, with an ellipsis at its end.
func Cut(s string, most int) string {
	if Of(s) <= most {
		return s
	}
	n := 1 // of the ellipsis
	for i, r := range s {
		n += OfRune(r)
		if n > most {
			return s[:i] + "…"
		}
	}
	return s
}

// Pad fills a text up with spaces to so many columns.
func Pad(s string, least int) string {
	return s + strings.Repeat(" ", max(0, least-Of(s)))
}
