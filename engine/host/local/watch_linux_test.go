package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWatch: what a program prints is told while it runs, also of stderr.
func TestWatch(t *testing.T) {
	t.Parallel()
	go1 := filepath.Join(t.TempDir(), "go")
	c := sh("echo one; echo two >&2; while [ ! -e " + go1 + " ]; do sleep 0.02; done; echo three")
	seen := 0
	c.Watch = func(last string, lines int) {
		seen = lines
		if lines != 2 || last != "one" && last != "two" {
			return
		}
		if err := os.WriteFile(go1, nil, 0o600); err != nil {
			t.Error(err)
		}
	}
	r, err := commands{}.Run(t.Context(), c)
	if err != nil || string(r.Stdout) != "one\nthree\n" || string(r.Stderr) != "two\n" {
		t.Errorf("%+v, %v", r, err)
	}
	if seen < 2 {
		t.Errorf("%d lines were told", seen)
	}
}

func TestLines(t *testing.T) {
	for said, want := range map[string]string{
		"":              "",
		"no end":        "",
		"one\ntwo\nthr": "two 2",
		"10%\r20%\r":    "20% 2",
		"one\r\n\n \n":  "one 1",
		"a\n" + strings.Repeat("x", 1<<20) + "\n": "a 2",
	} {
		for _, piece := range []int{1, 3, 1 << 21} {
			l := &lines{}
			w := l.stream()
			for rest := []byte(said); len(rest) > 0; {
				n := min(piece, len(rest))
				if k, err := w.Write(rest[:n]); k != n || err != nil {
					t.Fatal(k, err)
				}
				rest = rest[n:]
			}
			got := ""
			l.tell(func(last string, n int) { got = fmt.Sprint(last, " ", n) })
			if got != want {
				t.Errorf("of %.20q in pieces of %d is told %q, not %q", said, piece, got, want)
			}
			l.tell(func(string, int) { t.Error("what was told is told again") })
		}
	}
}
