package view

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// columns is how many columns of a terminal a text takes, in one line: two for
// wide characters (Unicode Standard Annex 11), none for combining marks.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += columnsOf(r)
	}
	return n
}

func columnsOf(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens a text to so many columns, with an ellipsis at its end.
func cut(s string, most int) string {
	if columns(s) <= most {
		return s
	}
	n := 1 // of the ellipsis
	for i, r := range s {
		n += columnsOf(r)
		if n > most {
			return s[:i] + "…"
		}
	}
	return s
}

// pad fills a text up with spaces to so many columns.
func pad(s string, least int) string {
	return s + strings.Repeat(" ", max(0, least-columns(s)))
}

// flat makes one line of a text.
func flat(s string) string { return strings.NewReplacer("\n", " ", "\t", " ").Replace(s) }
