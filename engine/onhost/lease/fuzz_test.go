package lease

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzLease reads the lease's file, which a build of another age may have
// written: it is a lease or none, and never an end of all sessions.
func FuzzLease(f *testing.F) {
	f.Add([]byte(`{"run":"r1","owner":"anna","since":"2026-01-02T03:04:05Z","expires":"2026-01-02T03:04:35Z","pid":42}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, "lease"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := read(dir)
		if err != nil {
			t.Fatalf("%q cannot be read: %v", content, err)
		}
		if held := Current(dir); held != nil && (r == nil || r.expired(time.Now())) {
			t.Errorf("%q is held and has expired", content)
		}
		if r != nil && !r.expired(time.Now().Add(1<<62)) && r.Deadline == 0 && r.Expires.Year() < 2100 {
			t.Errorf("%q never expires", content)
		}
	})
}
