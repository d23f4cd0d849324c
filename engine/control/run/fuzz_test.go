package run

import (
	"bytes"
	"testing"
)

// FuzzSaved reads a saved plan, which lies in a file between its review and its
// apply: what is read is written the same again.
func FuzzSaved(f *testing.F) {
	f.Add((&Saved{Format: savedFormat, Build: "b", Steps: map[string][]SavedStep{"h": {{Address: "file.a", State: "planned"}}}}).Encode())
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := DecodeSaved(content, "b")
		if err != nil {
			return
		}
		once := s.Encode()
		again, err := DecodeSaved(once, "b")
		if err != nil || !bytes.Equal(again.Encode(), once) {
			t.Fatalf("%q became %q, %v", content, once, err)
		}
		if _, err := DecodeSaved(once, "another"); err == nil {
			t.Errorf("another build takes %q", content)
		}
		for host, steps := range s.Steps {
			if left := s.Stale(map[string][]Planned{host: {}}); len(steps) > 0 && len(left) == 0 {
				t.Errorf("%s has steps in %q, and none is missed", host, content)
			}
		}
	})
}
