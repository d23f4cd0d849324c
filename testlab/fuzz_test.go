package testlab

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// FuzzRelease reads os-release(5) of this machine or of an image.
func FuzzRelease(f *testing.F) {
	f.Add([]byte("ID=debian\nVERSION_CODENAME=bookworm\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := machineRelease(content)
		if err == nil && (!slices.Contains(releases(), r) || !bytes.Contains(content, []byte(r.Codename))) {
			t.Errorf("%q is %+v", content, r)
		}
	})
}

// FuzzRecord reads what an older weft remembered of a lab: it reads the same
// again.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"Spec":{"Name":"lab"},"Image":"/i"}`))
	path := filepath.Join(f.TempDir(), "lab.json")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readRecord(path)
		if err != nil {
			return
		}
		if err := writeJSON(path, r, 0o600); err != nil {
			t.Fatal(err)
		}
		once, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if r, err = readRecord(path); err != nil {
			t.Fatalf("%q cannot be read again: %v", once, err)
		}
		if err := writeJSON(path, r, 0o600); err != nil {
			t.Fatal(err)
		}
		if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, once) {
			t.Errorf("%q became %q, %v", once, again, err)
		}
	})
}
