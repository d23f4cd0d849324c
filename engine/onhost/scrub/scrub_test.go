package scrub

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	s := &Scrubber{}
	if got := s.Text("as it is"); got != "as it is" {
		t.Errorf("without secrets: %q", got)
	}
	s.Add("", "ab", "hunter2", "hunter2-long", "two\nlines-of-it\nx", "p&w /1")
	for in, want := range map[string]string{
		"ab is too short to be looked for": "ab is too short to be looked for",
		"pw=hunter2;":                      "pw=(sensitive);",
		"hunter2-longer":                   "(sensitive)er",
		"http://u:p%26w+%2F1@h":            "http://u:(sensitive)@h",
		"http://u:p&w%20%2F1@h":            "http://u:(sensitive)@h",
		"68756e74657232 68756E74657232":    "(sensitive) (sensitive)",
		"before lines-of-it after":         "before (sensitive) after",
		`"two\nlines-of-it\nx"`:            `"(sensitive)"`,
	} {
		if got := s.Text(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestBase64AtEachPlace(t *testing.T) {
	const secret = "correct horse battery"
	s := &Scrubber{}
	s.Add(secret)
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		for before := range 4 {
			for after := range 4 {
				text := e.EncodeToString([]byte(strings.Repeat("?", before) + secret + strings.Repeat("?", after)))
				got := s.Text(text)
				if !strings.Contains(got, Shown) || len(got) > len(text)-len(secret)+len(Shown) {
					t.Errorf("%d before, %d after: %q became %q", before, after, text, got)
				}
			}
		}
	}
}

// TestWrapped: tools break what they encode into lines, and a secret with it.
func TestWrapped(t *testing.T) {
	const secret = "hunter2-long"
	s := &Scrubber{}
	s.Add(secret, "another-one")
	for before := range 120 {
		text := strings.Repeat("?", before) + secret + strings.Repeat("!", 100) + "another-one"
		for name, code := range map[string]string{"base64": base64.StdEncoding.EncodeToString([]byte(text)), "xxd": hex.EncodeToString([]byte(text))} {
			for _, width := range []int{60, 64, 76} {
				var wrapped strings.Builder
				for i := 0; i < len(code); i += width {
					wrapped.WriteString(code[i:min(i+width, len(code))] + "\n")
				}
				got := s.Text("it says\n" + wrapped.String() + "and ends\n")
				joined := strings.ReplaceAll(got, "\n", "")
				for _, hidden := range []string{secret[1 : len(secret)-1], "nother-on"} {
					for _, form := range append(encoded(base64.StdEncoding, hidden), hex.EncodeToString([]byte(hidden))) {
						if strings.Contains(joined, form) {
							t.Fatalf("%s of width %d, %d before: %s", name, width, before, got)
						}
					}
				}
				if !strings.HasPrefix(got, "it says\n") || !strings.HasSuffix(got, "\nand ends\n") {
					t.Fatalf("what stood around it is gone: %s", got)
				}
			}
		}
	}
	harmless := strings.Repeat("c2hvcnQ", 10) + "\n" + strings.Repeat("c2hvcnQ", 10) + "\n\n  two\nwords\n"
	if got := s.Text(harmless); got != harmless {
		t.Errorf("became %q", got)
	}
}

func TestJSONStaysJSON(t *testing.T) {
	s := &Scrubber{}
	s.Add(`a"b\c`, "12345", "key-name", "<tag>")
	for in, want := range map[string]string{
		`{"a":"nothing"}`:             `{"a":"nothing"}`,
		`{"a":"x a\"b\\c y"}`:         `{"a":"x (sensitive) y"}`,
		`{"n":12345,"m":[123456]}`:    `{"m":["(sensitive)6"],"n":"(sensitive)"}`,
		`{"key-name":{"key-name":1}}`: `{"(sensitive)":{"(sensitive)":1}}`,
		`"\u003ctag\u003e"`:           `"(sensitive)"`,
		`{"broken": 12345`:            `"(sensitive)"`,
	} {
		got := s.JSON(json.RawMessage(in))
		if string(got) != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add(`{"a":["secret",1,true,null,{"secret":"x"}]}`, "secret")
	f.Add(`"\ud800"`, "\xff\xfe\xfd")
	f.Fuzz(func(t *testing.T, text, secret string) {
		s := &Scrubber{}
		s.Add(secret)
		if !json.Valid([]byte(text)) {
			return
		}
		if got := s.JSON(json.RawMessage(text)); !json.Valid(got) {
			t.Fatalf("%s without %q is no JSON: %s", text, secret, got)
		}
	})
}
