package xmltree

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const domain = `<?xml version="1.0"?>
<!-- made by hand -->
<domain type='qemu' xmlns:weft='urn:weft:1'>
  <name>v0</name>
  <metadata><weft:owner>lab/libvirt_domain.v0</weft:owner></metadata>
  <description>a &lt; b &amp;
c</description>
  <features><acpi/></features>
  <devices><disk type="file"/><interface type='bridge'><mac address='52:54:00:00:00:01'/></interface></devices>
</domain>`

func TestParse(t *testing.T) {
	n, err := Parse(domain)
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]string{
		"qemu":                   n.Get("type"),
		"v0":                     n.At("name").Text,
		"lab/libvirt_domain.v0":  n.At("metadata").At("weft:owner").Text,
		"a < b &\nc":             n.At("description").Text,
		"file":                   n.At("devices").At("disk").Get("type"),
		"52:54:00:00:00:01":      n.At("devices").All("interface")[0].At("mac").Get("address"),
		"":                       n.At("nothing").At("there").Get("at all"),
		"made":                   n.Clone().Child("made").Name,
		"only what is asked for": must(t, `<a><b/> <b/></a>`).Clone().asked(),
	} {
		if got != what {
			t.Errorf("%q is not %q", got, what)
		}
	}
	again := must(t, n.String())
	if d := cmp.Diff(n, again); d != "" {
		t.Errorf("written and read again:\n%s", d)
	}
}

func (n *Node) asked() string {
	if len(n.All("b")) == 2 && n.Text == "" {
		return "only what is asked for"
	}
	return n.String()
}

func must(t *testing.T, text string) *Node {
	t.Helper()
	n, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "read XML: it ends before its element does"},
		{"<a><b></a></b>", "read XML: line 1: </a> ends nothing"},
		{"<a>\n<b>", "read XML: it ends before its element does"},
		{"<a/>\n<b/>", "read XML: line 2: there is a second element after the first"},
		{"<a/> and more", "read XML: line 1: there is text outside of all elements"},
		{"just text", "read XML: line 1: there is text outside of all elements"},
		{"<a b=c/>", "read XML: XML syntax error on line 1: unquoted or missing attribute value in element"},
	} {
		if _, err := Parse(c.text); err == nil || err.Error() != c.want {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}

func TestChange(t *testing.T) {
	n := must(t, `<a x="1" y="2"><b/><c>text</c></a>`)
	n.Set("x", "3")
	n.Set("z", "4")
	n.Drop("y")
	n.Remove(n.At("b"))
	n.Child("c").Child("d").Text = "<&>\""
	want := `<a x="3" z="4">
  <c>
    <d>&lt;&amp;&gt;&quot;</d>
  </c>
</a>
`
	if got := n.String(); got != want || n.Has("y") || !n.Has("z") {
		t.Errorf("got %s", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(domain)
	f.Add("<a b='&#10;'>\n x </a>")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(n.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", text, n.String(), err)
		}
		if d := cmp.Diff(n, again); d != "" {
			t.Errorf("%q became %q:\n%s", text, n.String(), d)
		}
	})
}
