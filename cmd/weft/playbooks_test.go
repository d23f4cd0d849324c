package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
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
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		inventories := regexp.MustCompile(`inventories/[a-z-]+\.hcl`).FindAllString(string(text), -1)
		if inventories == nil {
			inventories = []string{"inventories/lab.hcl"}
		}
		for _, inventory := range inventories { // that its comment speaks of
			var out, errs bytes.Buffer
			if code := weft([]string{"validate", p, "-i", "../../" + inventory}, strings.NewReader(""), &out, &errs, os.LookupEnv); code != 0 {
				t.Errorf("%s with %s: exit %d\n%s", p, inventory, code, errs.String())
			}
		}
	}
	var out, errs bytes.Buffer
	if code := weft([]string{"fmt", "--check", "../../playbooks", "../../inventories"}, strings.NewReader(""), &out, &errs, os.LookupEnv); code != 0 {
		t.Errorf("not laid out: %s%s", out.String(), errs.String())
	}
}
