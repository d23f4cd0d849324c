package graph

import (
	"encoding/xml"
	"strings"

	"weft/engine/control/textwidth"
	"weft/engine/wire"
)

// shown is a text on one line, without what could act on whoever shows it.
func shown(text string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(wire.Neutralise(text))
}

// escaped is a text for SVG.
func escaped(text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(shown(text))); err != nil {
		panic("graph: a builder that does not take text: " + err.Error())
	}
	return b.String()
}

// tall is how many lines a text takes at most.
const tall = 6

// wrap breaks a text into lines of so many columns, at spaces where there are
// any. What is longer than some lines ends with an ellipsis.
func wrap(text string, width int) []string {
	var lines []string
	rest := strings.TrimSpace(shown(text))
	for rest != "" {
		if len(lines) == tall-1 {
			return append(lines, textwidth.Cut(rest, width))
		}
		head := fitting(rest, width)
		if head != rest {
			if at := strings.LastIndexByte(head+rest[len(head):len(head)+1], ' '); at > 0 {
				head = head[:at]
			}
		}
		lines = append(lines, strings.TrimSpace(head))
		rest = strings.TrimSpace(rest[len(head):])
	}
	return lines
}

// fitting is the longest beginning of a text that fits, and at least one
// character.
func fitting(text string, width int) string {
	n := 0
	for i, r := range text {
		n += textwidth.OfRune(r)
		if n > width && i > 0 {
			return text[:i]
		}
	}
	return text
}
