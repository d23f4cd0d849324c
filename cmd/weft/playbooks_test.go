package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlaybooksAreValid: what users copy has no mistakes, and is laid out as
// `weft fmt` does.
func TestPlaybooksAreValid(t *testing.T) {
	playbooks, err := filepath.Glob("../../playbooks/*.hcl")
	if err != nil || len(playbooks) == 0 {
		t.Fatalf("%v: %v", playbooks, err)
	}
	for _, p := range playbooks {
		var out, errs bytes.Buffer
		if code := weft([]string{"validate", p, "-i", "../../inventories/lab.hcl"}, strings.NewReader(""), &out, &errs, os.LookupEnv); code != 0 {
			t.Errorf("%s: exit %d\n%s", p, code, errs.String())
		}
	}
	var out, errs bytes.Buffer
	if code := weft([]string{"fmt", "--check", "../../playbooks", "../../inventories"}, strings.NewReader(""), &out, &errs, os.LookupEnv); code != 0 {
		t.Errorf("not laid out: %s%s", out.String(), errs.String())
	}
}
