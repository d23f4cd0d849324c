package language

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// TestSyntax wants the first mistake of each block, and those of meaning in the
// blocks that have none.
func TestSyntax(t *testing.T) {
	path := filepath.Join("testdata", "syntax", "playbook.hcl")
	c, ds := Load(testKinds(), Sources{Playbook: path})
	p, more := c.Bind(Inputs{})
	golden(t, filepath.Join("testdata", "syntax", "playbook.golden"), plainText(Join(ds, more, p.Validate())))
}

func TestRender(t *testing.T) {
	at := Range{Start: Pos{Line: 7, Column: 3, Byte: 2}, End: Pos{Line: 7, Column: 5, Byte: 4}}
	tests := []struct {
		name  string
		d     Diagnostic
		style Style
		want  string
	}{
		{
			"all parts",
			Diagnostic{
				Severity: Error, Summary: "wrong", Detail: "One.\nTwo.", Hint: "do it", File: "a.hcl", Range: at,
				Snippet: []Line{{Number: 7, Text: "  ab = 1", From: 2, To: 4}}, Hosts: []string{"h1", "h2"}, MoreHosts: 3,
			},
			Style{},
			"error: wrong\n  a.hcl:7:3\n  7 |   ab = 1\n    |   ^^\n  One.\n  Two.\n  on h1, h2 and 3 more hosts\n  hint: do it\n",
		},
		{
			"without a file",
			Diagnostic{Severity: Warning, Summary: "hm"}, Style{}, "warning: hm\n",
		},
		{
			"wide and combining characters",
			Diagnostic{Severity: Error, Summary: "w", File: "f", Range: at, Snippet: []Line{{Number: 10, Text: "世界 = e\u0301x", From: 9, To: 12}}},
			Style{},
			"error: w\n  f:7:3\n  10 | 世界 = e\u0301x\n     |        ^\n",
		},
		{
			"tabs",
			Diagnostic{Severity: Error, Summary: "w", File: "f", Range: at, Snippet: []Line{{Number: 1, Text: "\tx = 1", From: 1, To: 2}}},
			Style{},
			"error: w\n  f:7:3\n  1 |   x = 1\n    |   ^\n",
		},
		{
			"nothing to underline, at the end of the line",
			Diagnostic{Severity: Error, Summary: "w", File: "f", Range: at, Snippet: []Line{{Number: 1, Text: "x =", From: 3, To: 3}}},
			Style{},
			"error: w\n  f:7:3\n  1 | x =\n    |    ^\n",
		},
		{
			"escape sequences and directions",
			Diagnostic{Severity: Error, Summary: "a\x1b[31mb", Detail: "c\u202ed\r\x07", File: "f\x9bg", Range: at, Snippet: []Line{{Number: 1, Text: "\x1b]0;x", From: 0, To: 1}}},
			Style{},
			"error: a\uFFFD[31mb\n  f\uFFFDg:7:3\n  1 | \uFFFD]0;x\n    | ^\n  c\uFFFDd\uFFFD\uFFFD\n",
		},
		{
			"colours",
			Diagnostic{Severity: Error, Summary: "w", Hint: "h", File: "f", Range: at, Snippet: []Line{{Number: 1, Text: "x", From: 0, To: 1}}},
			Style{Error: "<e>", Hint: "<h>", Source: "<s>", Reset: "</>"},
			"<e>error:</> w\n  f:7:3\n  <s>1 |</> x\n  <s>  |</> <e>^</>\n  <h>hint:</> h\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			if err := (Diagnostics{tt.d}).WriteText(&b, tt.style); err != nil {
				t.Fatal(err)
			}
			if b.String() != tt.want {
				t.Errorf("got\n%q\nwant\n%q", b.String(), tt.want)
			}
		})
	}
}

func TestDiagnosticsJSON(t *testing.T) {
	_, ds := tryLoad(inPlay(`step "file" "f" { contnet = 1 }`), Inputs{})
	b, err := json.Marshal(ds)
	want := `[{"severity":"error","summary":"kind \"file\" has no attribute \"contnet\"","hint":"did you mean \"content\"?","file":"play.hcl",` +
		`"range":{"start":{"line":3,"column":19,"byte":45},"end":{"line":3,"column":26,"byte":52}},` +
		`"snippet":[{"number":3,"text":"step \"file\" \"f\" { contnet = 1 }","from":18,"to":25}]}]`
	if err != nil || string(b) != want {
		t.Errorf("got %s, %v", b, err)
	}
}

func TestErr(t *testing.T) {
	one := Diagnostic{Severity: Error, Summary: "a", File: "f", Range: Range{Start: Pos{Line: 1, Column: 2}}}
	for _, tt := range []struct {
		ds   Diagnostics
		want string
	}{
		{nil, ""},
		{Diagnostics{{Severity: Warning, Summary: "w"}}, ""},
		{Diagnostics{one}, "f:1:2: a"},
		{Diagnostics{{Severity: Warning}, one, one}, "f:1:2: a (and 1 more mistakes)"},
	} {
		got := ""
		if err := tt.ds.Err(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"ovs_bridge", "ovs_port", "package", "serial", "on", "österreich"}
	for name, want := range map[string]string{
		"ovs_brigde": "ovs_bridge", "pakcage": "package", "serail": "serial", "no": "on", "x": "",
		"completely": "", "österriech": "österreich", "": "",
	} {
		if got := suggest(name, known); got != want {
			t.Errorf("suggest(%q) = %q, want %q", name, got, want)
		}
	}
	for _, d := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"ab", "ba", 1}, {"abc", "ca", 3}, {"kitten", "sitting", 3}, {"x", "", 1}} {
		if got := distance(d.a, d.b); got != d.want {
			t.Errorf("distance(%q, %q) = %d, want %d", d.a, d.b, got, d.want)
		}
	}
}

// TestManyHosts wants one diagnostic of a mistake that many hosts have.
func TestManyHosts(t *testing.T) {
	files := fleet(40, 1)
	files["play.hcl"] = "play \"p\" {\n  hosts = role.compute\n  step \"package\" \"p\" {\n    for_each = [\"a\", \"b\"]\n    name     = host.vars.nothing\n  }\n}\n"
	_, ds := tryLoad(files, Inputs{})
	if len(ds) != 1 || len(ds[0].Hosts) != 3 || ds[0].MoreHosts != 37 {
		t.Errorf("got %+v", ds)
	}
}

func FuzzRender(f *testing.F) {
	f.Add("summary", "\x1b[2Jdetail\u202e", "file\x00", "text\twith = 世界", 2, 5)
	f.Add("", "", "f", "", -1, 99)
	f.Add("a\nb", "\xff\xfe", "f", "e\u0301", 1, 2)
	f.Fuzz(func(t *testing.T, summary, detail, file, text string, from, to int) {
		d := Diagnostic{Severity: Error, Summary: summary, Detail: detail, File: file, Hint: text, Snippet: []Line{{Number: 3, Text: text, From: from, To: to}}}
		var b strings.Builder
		if err := (Diagnostics{d}).WriteText(&b, Style{}); err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(b.String()) {
			t.Errorf("not UTF-8: %q", b.String())
		}
		for _, r := range b.String() {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("%q reaches the terminal in %q", r, b.String())
			}
		}
	})
}
