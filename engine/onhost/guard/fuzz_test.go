package guard

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzFiles reads a guard that a build of another age left, or a broken disk: a
// guard whose time cannot be read has none left, and what can be read can be
// decided once.
func FuzzFiles(f *testing.F) {
	f.Add([]byte(`{"weft":1,"run":"r1","play":"p","step":"ovs_bridge.br0","runner":"d","scope":"play","time":60000000000}`), []byte(`{"boot":"b","micros":7,"time":60000000000}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, armed, deadline []byte) {
		s := Store{Dir: filepath.Join(dir, "guard")}
		if err := s.Prepare(); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{"armed": armed, "deadline": deadline} {
			if err := os.WriteFile(s.path(name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		a, until, err := s.Standing()
		if errors.Is(err, ErrNone) {
			t.Fatalf("%q is no guard", armed)
		}
		if _, broken := read[struct{ Micros int64 }](s.path("deadline")); broken != nil && !until.Passed(Moment{Boot: "any"}) {
			t.Errorf("%q leaves time", deadline)
		}
		if err := s.Expire(); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(); !errors.Is(err, ErrNone) {
			t.Errorf("decided twice: %v", err)
		}
		if again, readErr := s.Expired(); (readErr == nil) != (err == nil) || err == nil && (again.Run != a.Run || again.From != a.From) {
			t.Errorf("%+v expired as %+v, %v", a, again, readErr)
		}
	})
}
