package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// FuzzContinue writes on after whatever a power cut left: the lines that were
// whole stay, and the new one is read again behind them.
func FuzzContinue(f *testing.F) {
	f.Add([]byte("{\"weft\":1,\"run\":\"r\"}\n{\"line\":\"closed\"}\n{\"line\":\"rec"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		s := Store{Dir: dir, OpenFile: unsynced}
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Dir(s.path("r")), 0o700), os.WriteFile(s.path("r"), content, 0o600)); err != nil {
			t.Fatal(err)
		}
		j, err := s.Load("r")
		if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && j.Version != Version {
			return // broken, or of another age: nobody writes there
		}
		before := &Run{}
		if err == nil {
			before = j.Run
		}
		known := len(before.Records)
		if j, err = s.Run(Header{Run: "r", Runner: "d"}); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Record(aChange("file /a")); err != nil {
			t.Fatalf("after %q: %v", content, err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := s.Load("r")
		if err != nil {
			t.Fatalf("after %q it cannot be read: %v", content, err)
		}
		if len(again.Records) != known+1 || again.Records[known].Finding.Object != "file /a" || show(again.Run) != show(j.Run) {
			t.Fatalf("after %q there are %d records, with %d known", content, len(again.Records), known)
		}
	})
}

// unsynced is a file whose Sync does nothing.
func unsynced(path string) (File, error) {
	f, err := OpenFile(path)
	return noSync{f}, err
}

type noSync struct{ File }

func (noSync) Sync() error { return nil }
