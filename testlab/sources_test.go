package testlab

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

func TestParseOneLine(t *testing.T) {
	tests := []struct {
		name, text string
		want       []source
		err        string
	}{
		{"nothing", "", nil, ""},
		{"comments and source code", "# deb http://x y main\ndeb-src http://x y main\n\n", nil, ""},
		{"plain", "deb http://mirror.example/debian bookworm main contrib # hello\n",
			[]source{{URI: "http://mirror.example/debian", Suite: "bookworm", Components: []string{"main", "contrib"}}}, ""},
		{"options and tabs", "deb\t[ arch=amd64 signed-by=" + keyring + " ]  http://m/d\tbookworm  main",
			[]source{{URI: "http://m/d", Suite: "bookworm", Components: []string{"main"}, SignedBy: keyring}}, ""},
		{"no suite", "deb http://m/d", nil, "line 1"},
		{"no bracket", "\ndeb [arch=amd64 http://m/d bookworm main", nil, "line 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { compareSources(t, parseOneLine, tt.text, tt.want, tt.err) })
	}
}

func TestParseDeb822(t *testing.T) {
	tests := []struct {
		name, text string
		want       []source
		err        string
	}{
		{"nothing", "\n\n# only this\n", nil, ""},
		{"two suites", "Types: deb deb-src\nURIs: http://m/d\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: " + keyring + "\n",
			[]source{
				{URI: "http://m/d", Suite: "bookworm", Components: []string{"main"}, SignedBy: keyring},
				{URI: "http://m/d", Suite: "bookworm-updates", Components: []string{"main"}, SignedBy: keyring},
			}, ""},
		{"a comment within, fields in any case, folded", "types: deb\n# why\nURIS: http://m/d\nsuites: noble\nComponents:\n main\n universe\n",
			[]source{{URI: "http://m/d", Suite: "noble", Components: []string{"main", "universe"}}}, ""},
		{"disabled", "Types: deb\nURIs: http://m\nSuites: s\nEnabled: no\n", nil, ""},
		{"source code alone", "Types: deb-src\nURIs: http://m\nSuites: s\n", nil, ""},
		{"a key inside", "Types: deb\nURIs: http://m\nSuites: s\nSigned-By:\n -----BEGIN\n .\n mQ\n -----END\n",
			[]source{{URI: "http://m", Suite: "s", Components: []string{}, SignedBy: "\n -----BEGIN\n .\n mQ\n -----END"}}, ""},
		{"no colon", "Types deb\n", nil, "line 1"},
		{"continues nothing", "\n x\n", nil, "line 2"},
		{"no suites", "Types: deb\nURIs: http://m\n\nTypes: deb\n", nil, "ends at line 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { compareSources(t, parseDeb822, tt.text, tt.want, tt.err) })
	}
}

func compareSources(t *testing.T, parse func([]byte) ([]source, error), text string, want []source, fault string) {
	t.Helper()
	got, err := parse([]byte(text))
	if fault != "" {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Fatalf("error %v, want one with %q", err, fault)
		}
		return
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
	}
}

// What we write must be read as the same again: by us, and so by apt.
func TestRenderDeb822ReadsBack(t *testing.T) {
	want := []source{
		{URI: "http://m/d", Suite: "bookworm", Components: []string{"main", "contrib"}, SignedBy: keyring},
		{URI: "http://m/s", Suite: "bookworm-security", Components: []string{"main"}, SignedBy: "\n -----BEGIN\n .\n -----END"},
		{URI: "http://m/x", Suite: "bookworm-updates", Components: []string{"main"}},
	}
	compareSources(t, parseDeb822, string(renderDeb822(want)), want, "")
}

func TestReadSources(t *testing.T) {
	etc := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := writeFile(filepath.Join(etc, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("os-release", "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_CODENAME=bookworm\n")
	write("apt/sources.list", "deb http://one bookworm main\ndeb http://tool stable main\n")
	write("apt/sources.list.d/debian.sources", "Types: deb\nURIs: http://two\nSuites: bookworm-security bookworm-backports\nComponents: main\n")
	write("apt/sources.list.d/vendor.list", "deb http://vendor bookworm stable\n")
	write("apt/sources.list.d/old.list.save", "deb broken")

	for _, image := range []string{"", "debian-12"} {
		r, got, err := readSources(etc, image)
		want := []source{
			{URI: "http://one", Suite: "bookworm", Components: []string{"main"}},
			{URI: "http://two", Suite: "bookworm-security", Components: []string{"main"}},
		}
		if err != nil || r.Image != "debian-12" || !reflect.DeepEqual(got, want) {
			t.Errorf("image %q: %v %+v %v, want %+v", image, r, got, err, want)
		}
	}
	if _, got, err := readSources(etc, "debian-13"); err != nil || got[1].Suite != "trixie-security" {
		t.Errorf("debian-13: %+v %v, want the same mirrors with trixie", got, err)
	}
	if _, _, err := readSources(etc, "ubuntu-24.04"); err == nil || !strings.Contains(err.Error(), "debian only") {
		t.Errorf("ubuntu-24.04 on Debian: %v, want a refusal", err)
	}
	write("os-release", "ID=fedora\n")
	if _, _, err := readSources(etc, ""); err == nil || !strings.Contains(err.Error(), `"fedora"`) {
		t.Errorf("on Fedora: %v, want a refusal that names it", err)
	}
	write("os-release", "ID=debian\nVERSION_CODENAME=bookworm\n")
	write("apt/sources.list.d/debian.sources", "")
	if err := os.Remove(filepath.Join(etc, "apt/sources.list")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readSources(etc, ""); err == nil || !strings.Contains(err.Error(), "/etc/apt") {
		t.Errorf("no sources: %v, want a refusal", err)
	}
}

func FuzzParseOneLine(f *testing.F) {
	f.Add([]byte("deb [arch=amd64 signed-by=/k] http://m/d bookworm main # c\n"))
	f.Add([]byte("deb [ http://m"))
	f.Fuzz(func(t *testing.T, data []byte) { checkParsed(t, parseOneLine, data) })
}

func FuzzParseDeb822(f *testing.F) {
	f.Add([]byte("Types: deb\nURIs: http://m\nSuites: a b\nComponents: main\nSigned-By:\n -----BEGIN\n .\n"))
	f.Add([]byte("Types: deb\n\n x"))
	f.Fuzz(func(t *testing.T, data []byte) { checkParsed(t, parseDeb822, data) })
}

// checkParsed holds a parser to what the others rely on: it gives no source without a URI and a suite of one word each.
func checkParsed(t *testing.T, parse func([]byte) ([]source, error), data []byte) {
	found, err := parse(data)
	if err != nil && strings.TrimSpace(err.Error()) == "" {
		t.Error("an error that says nothing")
	}
	for _, s := range found {
		if len(strings.Fields(s.URI)) != 1 || len(strings.Fields(s.Suite)) != 1 {
			t.Errorf("source %+v has no single URI and suite", s)
		}
	}
}
