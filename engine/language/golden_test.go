package language

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew; then read them aloud")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}

func TestTwentyMistakes(t *testing.T) {
	folder := filepath.Join("testdata", "mistakes")
	c, ds := Load(testKinds(), Sources{
		Playbook:    filepath.Join(folder, "playbook.hcl"),
		Inventories: []string{filepath.Join(folder, "inventory.hcl")},
	})
	p, more := c.Bind(Inputs{})
	ds = Join(ds, more, p.Validate())
	got := plainText(ds)
	golden(t, filepath.Join(folder, "mistakes.golden"), got)
	if len(ds) < 20 {
		t.Errorf("%d diagnostics, want at least 20", len(ds))
	}
	for _, d := range ds {
		if d.File == "" || d.Range.Start.Line == 0 || len(d.Snippet) == 0 {
			t.Errorf("%q does not say where it is", d.Summary)
		}
	}
	if strings.Contains(got, "hunter2") {
		t.Error("a sensitive value is in the text")
	}
}
