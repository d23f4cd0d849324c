package wire

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestNeutralise(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"plain text\n\tindented", "plain text\n\tindented"},
		{"Grüße, 世界 ✓", "Grüße, 世界 ✓"},
		{"\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		{"\x1b]0;title\a", `\x1b]0;title\x07`},
		{"line\r\nnext", "line\nnext"},
		{"over\rwritten", `over\rwritten`},
		{"\u009b31m", `\x9b31m`},
		{"\x9b31m", `\x9b31m`},
		{"a\u202eb\u2066c", `a\u202eb\u2066c`},
		{"a\u2028b", `a\u2028b`},
		{"zero\u200bwidth\ufeff", `zero\u200bwidth\ufeff`},
		{"\x00\x7f", `\x00\x7f`},
		{"tag\U000e0041", `tag\U000e0041`},
		{"\ufffd", "\ufffd"},
	} {
		if got := Neutralise(c.in); got != c.want {
			t.Errorf("Neutralise(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzNeutralise(f *testing.F) {
	for _, s := range []string{"", "x\x1b[2J", "\r\n\r", "\xff\xfe", "a\u202eb", "\\x1b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Neutralise(s)
		if !utf8.ValidString(got) {
			t.Fatalf("%q became invalid UTF-8 %q", s, got)
		}
		if i := strings.IndexFunc(got, func(r rune) bool {
			return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
		}); i >= 0 {
			t.Fatalf("%q kept a control at %d: %q", s, i, got)
		}
		if again := Neutralise(got); again != got {
			t.Fatalf("%q changed again, to %q", got, again)
		}
	})
}
