package wire

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Neutralise makes what a host said fit to be shown: a banner, the stderr of a
// tool, the name of a file. Newlines, tabs and every printable character stay.
// What could move a cursor, colour or retitle a terminal, or reorder text is
// shown as its escape: \x1b, \r, \u202e. Bytes that are not UTF-8 are shown as
// \xNN. A carriage return before a newline goes.
//
// It is for eyes. Data that is only compared or stored is left as it came.
func Neutralise(s string) string {
	if harmless(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\r' && strings.HasPrefix(s[i+n:], "\n"):
		case r == '\r':
			b.WriteString(`\r`)
		case shown(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += n
	}
	return b.String()
}

// shown tells what goes to a terminal as it is. Graphic leaves out controls
// (C0, DEL, C1), formats (bidirectional overrides, zero-width joins, the byte
// order mark), line and paragraph separators, surrogates and private use.
func shown(r rune) bool {
	return r == '\n' || r == '\t' || unicode.IsGraphic(r)
}

func harmless(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '\n' && c != '\t' && (c < 0x20 || c > 0x7e) {
			return false
		}
	}
	return true
}
