package graph

import (
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"weft/engine/host/topology"
)

// hostile ends strings, elements and statements of every format, calls for
// scripts and images, and moves a cursor.
const hostile = "evil\"]; evil -- x [label=\"\\\n\t</text></svg><script>evil()</script><img src=x onerror=evil()>]]>&amp;#quot;#34;`evil`%%{init}%%\r" +
	"\x1b[2J\u202e\u2028\u200b\x00\x7f\ufffe\xff|end\\"

// fill puts a text into every string of a value, and two elements into every
// list.
func fill(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), text)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), text)
		fill(v.Index(1), text)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, text)
		fill(value, text)
		v.SetMapIndex(key, value)
	case reflect.Int:
		v.SetInt(-1)
	}
}

// hostilePictures have a text in every place where a host may put one.
func hostilePictures(text string) []Picture {
	whole := Picture{}
	fill(reflect.ValueOf(&whole).Elem(), text)
	tunnels, links := three(), three()
	for i := range tunnels.Hosts {
		tunnels.Hosts[i].Name = text
		for b := range tunnels.Hosts[i].Topology.Bridges {
			for p := range tunnels.Hosts[i].Topology.Bridges[b].Ports {
				port := &tunnels.Hosts[i].Topology.Bridges[b].Ports[p]
				port.Name, port.Interfaces[0].Key, port.Interfaces[0].Wrong = text, text, text
			}
		}
		for l := range links.Hosts[i].Topology.Links {
			link := &links.Hosts[i].Topology.Links[l]
			link.Name, link.State, link.Addresses = text, text, []string{text}
		}
	}
	outside := Picture{Hosts: []Host{{Name: text, Topology: &topology.Topology{Bridges: []topology.Bridge{{Name: text,
		Ports: []topology.Port{single(text, topology.Interface{Type: "vxlan", Remote: text, Key: text})}}}}}}}
	return []Picture{whole, tunnels, links, outside}
}

func TestHostileNames(t *testing.T) {
	for _, p := range hostilePictures(hostile) {
		for _, d := range []Detail{Full, Summary} {
			for format, check := range map[Format]func(*testing.T, string){SVG: soundSVG, DOT: soundDOT, Mermaid: soundMermaid} {
				text := string(drawn(t, p, format, d))
				quiet(t, text)
				check(t, text)
				if !strings.Contains(text, "evil") {
					t.Errorf("%s shows nothing of the name", format)
				}
			}
		}
	}
}

// quiet is text that acts on no terminal and no reader.
func quiet(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Error("it is not UTF-8")
	}
	for _, r := range text {
		if r != '\n' && !unicode.IsGraphic(r) {
			t.Errorf("%U is in it", r)
		}
	}
}

// soundSVG has the elements that are drawn, and no other.
func soundSVG(t *testing.T, text string) {
	t.Helper()
	elements := map[string]bool{"svg": true, "title": true, "style": true, "rect": true, "circle": true, "text": true, "path": true}
	attributes := regexp.MustCompile(`^(xmlns|class|role|width|height|viewBox|font-family|font-size|x|y|rx|cx|cy|r|d)$`)
	d := xml.NewDecoder(strings.NewReader(text))
	for depth := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("not well formed: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if depth++; !elements[e.Name.Local] || depth > 2 {
				t.Errorf("a %s, %d deep", e.Name.Local, depth)
			}
			for _, a := range e.Attr {
				if !attributes.MatchString(a.Name.Local) || strings.Contains(a.Value, "evil") {
					t.Errorf("attribute %s=%q", a.Name.Local, a.Value)
				}
			}
		case xml.EndElement:
			depth--
		case xml.Comment, xml.ProcInst, xml.Directive:
			t.Errorf("%v", e)
		}
	}
}

// soundDOT has names of hosts in strings alone, and no escape in those but the
// end of a line.
func soundDOT(t *testing.T, text string) {
	t.Helper()
	rest := regexp.MustCompile(`"(?:[^"\\\n]|\\["\\n])*"`).ReplaceAllString(text, "Q")
	if strings.Contains(rest, "evil") || strings.Contains(rest, `"`) {
		t.Errorf("outside of strings:\n%s", rest)
	}
}

// soundMermaid has names of hosts in strings alone, and no sign in those that
// means anything.
func soundMermaid(t *testing.T, text string) {
	t.Helper()
	stringOf := regexp.MustCompile(`"[^"\n]*"`)
	for _, label := range stringOf.FindAllString(text, -1) {
		label = strings.ReplaceAll(strings.Trim(label, `"`), "<br>", "")
		label = regexp.MustCompile(`#[0-9]+;`).ReplaceAllString(label, "")
		if strings.ContainsAny(label, "<>&`#|[]{}()*_%$\\;'") {
			t.Errorf("label %q", label)
		}
	}
	if strings.Contains(text, `""`) {
		t.Error("Mermaid refuses an empty text")
	}
	if rest := stringOf.ReplaceAllString(text, "Q"); strings.Contains(rest, "evil") || strings.Contains(rest, `"`) {
		t.Errorf("outside of strings:\n%s", rest)
	}
}

func FuzzDraw(f *testing.F) {
	f.Add(hostile)
	f.Add("")
	f.Add("漢字かな交じり文 e\u0301 1. list - item")
	f.Add(strings.Repeat("long ", 200))
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range hostilePictures(text) {
			soundSVG(t, string(drawn(t, p, SVG, Full)))
			soundDOT(t, string(drawn(t, p, DOT, Full)))
			soundMermaid(t, string(drawn(t, p, Mermaid, Full)))
		}
	})
}
