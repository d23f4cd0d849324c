package main

import (
	"bytes"
	"os"
	"testing"

	"weft/engine/control/view"
	"weft/modules"
)

// TestReferenceIsNew fails where docs/reference.md does not say what the kinds
// say of themselves; `make reference` writes it.
func TestReferenceIsNew(t *testing.T) {
	want, err := os.ReadFile("../../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := view.Reference(&got, modules.Kinds()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("docs/reference.md is old: run make reference")
	}
}
